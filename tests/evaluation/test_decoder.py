"""Scoring a top-down model with another decoder than its own: the crops follow its convention."""

import json

import pytest

from evaluation.oracle import content, write_set
from evaluation.tiny_crops import tiny_folder
from everypose.errors import UsageError
from everypose.evaluation.box_source import GROUND_TRUTH, BoxSource
from everypose.evaluation.evaluate import evaluate_model
from everypose.evaluation.options import EvaluationOptions
from everypose.evaluation.report.record import differences
from everypose.export.onnx import export_onnx
from everypose.inference.loading import load
from everypose.models.storage import load_model

TRUTH = BoxSource(GROUND_TRUTH)
UDP = {"convention": "udp", "decoder": "udp"}


@pytest.fixture
def layout(tmp_path):
    return write_set(tmp_path / "set", content())


def evaluate(model, layout, decoder=None):
    return evaluate_model(model, layout, EvaluationOptions(boxes=TRUTH, flip=True, decoder=decoder, quiet=True))


@pytest.mark.parametrize(("own", "decoder", "trained"), [
    ({}, "udp", UDP), (UDP, "quarter", {"convention": "classic", "decoder": "quarter"}), ({}, "dark-17",
     {"decoder": "dark-17"}),
])  # fmt: skip
def test_another_decoder_scores_as_a_model_that_has_it(tmp_path, layout, own, decoder, trained):
    model = tiny_folder(tmp_path / "own", inference=own)
    found = evaluate(model, layout, decoder)
    expected = evaluate(tiny_folder(tmp_path / "other", inference=trained), layout)
    assert found.results == expected.results
    assert found.results != evaluate(model, layout).results
    different = differences(found.record.protocol, expected.record.protocol)
    assert different == [f"decoder: {decoder} versus the model's own"]


def test_exported_and_single_stage_models_have_no_other_decoder(tmp_path):
    folder = tmp_path / "tiny"
    tiny_folder(folder)
    export_onnx(*load_model(folder), tmp_path / "tiny.onnx")
    with pytest.raises(UsageError, match=r"tiny\.onnx is exported, which fixes its decoder: give the model's folder"):
        load(tmp_path / "tiny.onnx", decoder="dark")
    single = tiny_folder(tmp_path / "single", family="boir")
    with pytest.raises(UsageError, match="finds people by itself: a decoder is for models that take boxes"):
        load(single, decoder="dark")


def test_the_command_records_the_decoder(everypose, tmp_path, layout):
    model = tiny_folder(tmp_path / "tiny")
    data = ("--annotations", layout.annotation_file, "--images", layout.image_root, "--boxes", "truth")
    done = everypose("evaluate", model, *data, "--decoder", "udp", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["protocol"]["decoder"] == "udp"
    assert everypose("evaluate", model, *data, "--decoder", "best").code == 2
    (tmp_path / "results.json").write_text("[]")
    done = everypose("evaluate", "--predictions", tmp_path / "results.json", *data[:2], "--decoder", "udp")
    assert (done.code, "--decoder: only with MODEL" in done.err) == (2, True)
