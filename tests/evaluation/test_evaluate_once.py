"""The ground truth of an evaluation is read from disk and parsed into arrays once, whatever is computed from it."""

import json
from typing import Any

import pytest

from evaluation.made import with_people
from evaluation.oracle import content, open_oracle, write_set
from everypose.core import files
from everypose.data.discovery import tool_files
from everypose.evaluation import annotated_set, coco_arrays, evaluate
from everypose.evaluation.box_source import BoxSource
from everypose.evaluation.evaluate import evaluate_model, evaluate_predictions
from everypose.evaluation.options import EvaluationOptions
from everypose.evaluation.report.html_page import write_report
from everypose.skeleton.skeleton import Skeleton


@pytest.fixture
def counted(monkeypatch):
    """How often annotation files are read, and turned into arrays."""
    counts: Any = {"files": [], "arrays": 0, "results": 0}

    def read(path):
        counts["files"].append(path.name)
        return files.read_json(path)

    def parse(*arguments):
        counts["arrays"] += 1
        return coco_arrays.read_ground_truth(*arguments)

    def parse_results(*arguments):
        counts["results"] += 1
        return coco_arrays.read_results(*arguments)

    monkeypatch.setattr(tool_files, "read_json", read)
    monkeypatch.setattr(annotated_set, "read_ground_truth", parse)
    monkeypatch.setattr(evaluate, "read_results", parse_results)
    return counts


@pytest.mark.parametrize("metric", ["coco", "crowdpose", "wholebody"])
def test_predictions_are_scored_by_every_metric_from_one_reading(counted, tmp_path, metric):
    skeleton = Skeleton.named({"coco": "coco", "crowdpose": "crowdpose", "wholebody": "coco_wholebody"}[metric])
    truth, results = with_people(1, images=4, count=len(skeleton))
    truth["categories"][0]["keypoints"] = list(skeleton.keypoints)
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (tmp_path / "results.json").write_text(json.dumps(results))
    evaluation = evaluate_predictions(tmp_path / "results.json", tmp_path / "truth.json")
    write_report(tmp_path / "report.html", evaluation)
    assert evaluation.record.protocol.metric == metric
    assert counted == {"files": ["truth.json"], "arrays": 1, "results": 1}


def test_a_model_is_run_and_scored_from_one_reading(counted, monkeypatch, tmp_path):
    truth = content()
    model, _ = open_oracle(monkeypatch, tmp_path, truth)
    options = EvaluationOptions(boxes=BoxSource(boxes="truth"), quiet=True)
    evaluate_model(str(model), write_set(tmp_path / "set", truth), options)
    assert counted == {"files": ["truth.json"], "arrays": 1, "results": 1}
