"""People in each box and people by occlusion, against loops."""

import json

import numpy as np
import pytest

from evaluation.oracle import content
from everypose.data.discovery.layouts import Layout
from everypose.evaluation.annotated_set import AnnotatedSet
from everypose.studies.people_statistics import describe, people_in_boxes, study_statistics


def annotated(truth, tmp_path):
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(truth))
    return AnnotatedSet.read(Layout((path,), tmp_path, None, None, "")).ground_truth, path


def test_people_in_a_box_have_three_keypoints_there(tmp_path):
    truth = content()
    rng = np.random.default_rng(3)
    for annotation in truth["annotations"]:
        points = np.reshape(annotation["keypoints"], (-1, 3))
        points[:, :2] += rng.uniform(-25, 25, (17, 2))
        points[:, 2] = rng.integers(0, 3, 17)
        annotation["keypoints"] = points.ravel().tolist()
    truth["annotations"][3]["iscrowd"] = 1
    ground_truth, _ = annotated(truth, tmp_path)
    people = [each for each in truth["annotations"] if not each["iscrowd"]]
    expected = []
    for person in people:
        x, y, width, height = person["bbox"]
        count = 1
        for other in people:
            if other is not person and other["image_id"] == person["image_id"]:
                inside = sum(
                    x <= px <= x + width and y <= py <= y + height and v > 0
                    for px, py, v in np.reshape(other["keypoints"], (-1, 3))
                )
                count += inside >= 3
        expected.append(count)
    assert people_in_boxes(ground_truth).tolist() == expected
    assert max(expected) > 1


def test_classes_are_counted(tmp_path):
    ground_truth, path = annotated(content(), tmp_path)
    rows = {(row["kind"], row["class"]): (row["count"], row["share"]) for row in describe(ground_truth)}
    assert rows["set", "images"] == (3, None)
    assert rows["set", "people"] == (6, None)
    assert rows["set", "labeled keypoints that are hidden"] == (6, pytest.approx(1 / 16))
    occluded = [rows["largest IoU", name][0] for name in ("0", "0 to 0.3", "0.3 to 0.5", "above 0.5")]
    assert occluded == [2, 2, 0, 2]
    in_boxes = [rows["people in a box", name][0] for name in ("1", "2", "3", "4", "5 or more")]
    assert sum(in_boxes) == 6
    study = study_statistics([path, path])
    assert "| set | people | 6 | – | 6 | – |" in study.table()
    assert study.facts["annotations"] == f"{path}, {path}"
