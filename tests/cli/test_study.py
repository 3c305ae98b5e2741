"""``everypose study``: the commands around the studies of tests/evaluation/test_studies.py."""

import json
import sys

import cv2
import pytest

from evaluation.oracle import content, detections, open_oracle, photo, write_set
from evaluation.tiny_crops import tiny_folder
from everypose.cli.study import study_app
from inference import stand_in


@pytest.fixture
def data(tmp_path):
    truth = content()
    layout = write_set(tmp_path / "set", truth)
    boxes = tmp_path / "det.json"
    boxes.write_text(json.dumps(detections(truth, [0.9, 0.8, 0.7, 0.6, 0.5, 0.4])))
    return truth, ("--annotations", layout.annotation_file, "--images", layout.image_root), boxes


@pytest.fixture
def folder(tmp_path):
    """A tiny MIPNet with random weights."""
    return tiny_folder(tmp_path / "tiny")


def written(out, name, picture=".svg"):
    """The study's JSON, its other files being there."""
    assert (out / f"{name}.md").read_text().startswith("# ")
    assert (out / f"{name}{picture}").stat().st_size > 100
    return json.loads((out / f"{name}.json").read_text())


def test_every_study_has_help_with_an_example(everypose):
    listed = everypose("study", "--help").out
    names = [command.callback.__name__ for command in study_app.registered_commands]
    assert names == ["boxes", "occlusion", "dark", "selector", "latency", "similarity", "tsne", "heatmaps"]
    for name in names:
        assert f"  {name}" in listed
        shown = everypose("study", name, "--help")
        assert (shown.code, "Example: everypose study" in shown.out) == (0, True)


def test_boxes(everypose, monkeypatch, tmp_path, data):
    truth, given, boxes = data
    model, _ = open_oracle(monkeypatch, tmp_path, truth)
    out = tmp_path / "out"
    done = everypose("study", "boxes", model, "--against", model, *given, "--boxes", boxes, "-o", out)
    assert done.code == 0, done.err
    assert "| threshold | boxes | AP crop stand-in (1) |" in done.out
    rows = written(out, "boxes")["rows"]
    assert [row["boxes"] for row in rows] == [6, 6, 6, 6, 6, 5, 4, 3, 2, 1]
    assert rows[0]["gain"] == 0
    others = everypose("study", "boxes", model, *given, "--boxes", boxes, "-o", out, "--thresholds", "0.65,0.85")
    assert others.code == 0, others.err
    assert [row["boxes"] for row in written(out, "boxes")["rows"]] == [3, 1]
    refused = everypose("study", "boxes", model, *given, "--boxes", "truth")
    assert (refused.code, refused.err.count("\n"), "have no scores" in refused.err) == (2, 1, True)


def test_occlusion(everypose, monkeypatch, tmp_path, data):
    truth, given, boxes = data
    model, _ = open_oracle(monkeypatch, tmp_path, truth)
    out = tmp_path / "out"
    done = everypose(
        "study", "occlusion", model, "--against", model, *given, "--boxes", boxes, "--box-threshold", "0.65", "-o", out
    )
    assert done.code == 0, done.err
    rows = {row["IoU"]: row for row in written(out, "occlusion")["rows"]}
    assert rows["above 0.5"]["AR crop stand-in (1)"] == pytest.approx(1)
    assert rows["0 to 0.3"]["AR crop stand-in (1)"] == pytest.approx(0)
    quiet = everypose("study", "occlusion", model, "--against", model, *given, "--boxes", "truth", "-o", out, "-q")
    assert (quiet.code, quiet.out) == (0, "")
    assert written(out, "occlusion")["facts"]["boxes"] == "ground truth"


def test_dark(everypose, tmp_path, data, folder):
    out = tmp_path / "out"
    done = everypose("study", "dark", folder, *data[1], "--boxes", "truth", "-o", out)
    assert done.code == 0, done.err
    assert [row["decoder"] for row in written(out, "dark")["rows"]] == ["quarter", "dark", "dark-17"]


def test_selector(everypose, tmp_path, monkeypatch, folder):
    cv2.imwrite(str(tmp_path / "pair.png"), photo(1)[..., ::-1])
    out = tmp_path / "out"
    given = ("study", "selector", folder, tmp_path / "pair.png", "-o", out)
    done = everypose(*given, "--box", "40,30,100,140", "--steps", "3")
    assert done.code == 0, done.err
    assert [row["selector"] for row in written(out, "selector", ".png")["rows"]] == [[1, 0], [0.5, 0.5], [0, 1]]
    wrong = everypose(*given, "--box", "40,30,100")
    assert (wrong.code, wrong.err.count("\n")) == (2, 1)
    # Without a box the default detector looks, for which there is nobody here.
    detector = stand_in.write_model(tmp_path / "stand_in.onnx")
    monkeypatch.setattr("everypose.models.locate.bundled", lambda _: detector)
    cv2.imwrite(str(tmp_path / "pair.png"), stand_in.crowd([])[..., ::-1])
    nobody = everypose(*given)
    assert (nobody.code, "give a --box" in nobody.err) == (1, True)
    cv2.imwrite(str(tmp_path / "pair.png"), stand_in.crowd([(0, 0, 200)])[..., ::-1])
    assert everypose(*given).code == 0


def test_latency(everypose, tmp_path, folder):
    out = tmp_path / "out"
    done = everypose("study", "latency", folder, "--crops", "1", "--turns", "1", "-o", out)
    assert done.code == 0, done.err
    assert len(written(out, "latency")["rows"]) == 4


@pytest.mark.parametrize("study", ["dark", "selector", "latency"])
def test_without_torch_a_study_says_what_to_install(everypose, monkeypatch, study):
    for name in [name for name in sys.modules if name.startswith("everypose.studies.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "everypose.inference.runtimes.torch", raising=False)
    done = everypose("study", study, "model", *(["photo.jpg"] if study == "selector" else []))
    assert (done.code, "pip install 'everypose[train]'" in done.err) == (2, True)


def test_data_must_be_named(everypose, folder):
    done = everypose("study", "boxes", folder)
    assert (done.code, done.err.count("\n"), "--data and --split" in done.err) == (2, 1, True)
