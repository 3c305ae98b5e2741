"""Labeling value: what each measure counts, the ranking, and the task lists."""

import csv
import json
import os
import sys

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everypose.integrations.cvat_labels import label_definition
from everypose.integrations.label_studio import read_controls
from everypose.integrations.mining import (
    MinedImage,
    crowding,
    inconsistency,
    percentile_ranks,
    rank,
    uncertainty,
    unmirror,
)
from everypose.integrations.task_lists import write_task_lists
from everypose.people import People
from inference.stand_in import SKELETON, crowd


def people_at(*lefts, score=1.0):
    """People of one shape, each beginning at an x."""
    rng = np.random.default_rng(0)
    shape = np.column_stack([rng.uniform(0, 40, 17), rng.uniform(0, 80, 17), np.full(17, score)])
    keypoints = [shape + np.array((left, 0, 0)) for left in lefts]
    return People(np.reshape(keypoints, (-1, 17, 3)), np.full(len(lefts), score), SKELETON)


def test_uncertainty():
    assert uncertainty(people_at()) == 0
    assert uncertainty(people_at(0)) == pytest.approx(0)
    half = people_at(0, 50)
    half.keypoints[0, 1:, 2] = 0.5
    assert uncertainty(half) == pytest.approx(0.5 * 16 / 17 / 2)


def test_crowding():
    assert crowding(people_at(0)) == crowding(people_at(0, 500)) == 0
    assert crowding(people_at(0, 0)) == pytest.approx(2)
    assert 0 < crowding(people_at(0, 10, 500)) < 2


def test_inconsistency():
    assert inconsistency(people_at(), people_at()) == 0
    assert inconsistency(people_at(0), people_at()) == inconsistency(people_at(), people_at(0)) == 1
    assert inconsistency(people_at(0, 300), people_at(300, 0)) == pytest.approx(0)
    assert inconsistency(people_at(0, 300), people_at(300)) == pytest.approx(0.5)


def test_unmirroring_twice_changes_nothing():
    people = people_at(0, 30)
    twice = unmirror(unmirror(people, 100), 100)
    assert np.allclose(twice.keypoints, people.keypoints, atol=1e-4)
    assert np.allclose(twice.boxes, people.boxes, atol=1e-4)
    assert unmirror(people, 100)[0]["left_wrist"][0] == pytest.approx(99 - people[0]["right_wrist"][0])


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(0, 5), min_size=2, max_size=30))
def test_percentile_ranks_are_those_of_the_definition(values):
    found = percentile_ranks(np.array(values, dtype=float)[:, None])[:, 0]
    for value, place in zip(values, found, strict=True):
        smaller = sum(other < value for other in values)
        equal = sum(other == value for other in values) - 1
        assert place == pytest.approx((smaller + equal / 2) / (len(values) - 1))


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos with spaces"
    folder.mkdir()
    for name, blocks in (("empty", ()), ("one", [(0, 0, 200)]), ("two", [(0, 0, 200), (1, 0, 90)])):
        assert cv2.imwrite(str(folder / f"{name}.png"), np.ascontiguousarray(crowd(blocks)[..., ::-1]))
    return folder


def test_the_command(everypose, model, photos, tmp_path):
    out = tmp_path / "tasks"
    done = everypose("data", "mine", photos, "-o", out, "-m", model, "--top", 2, "--url-prefix", "http://studio/files/")
    assert (done.code, done.err) == (0, "")
    assert {path.name for path in out.iterdir()} == {line.split("/")[-1] for line in done.out.splitlines()[1:]}
    rows = list(csv.DictReader((out / "ranking.csv").read_text().splitlines()))
    assert [row["people"] for row in rows] == ["1", "2"] or [row["people"] for row in rows] == ["2", "1"]
    assert float(rows[0]["value"]) >= float(rows[1]["value"])
    coco = json.loads((out / "prelabels.json").read_text())
    assert (len(coco["images"]), len(coco["annotations"])) == (2, 3)
    tasks = json.loads((out / "label_studio.json").read_text())
    assert tasks[0]["data"]["image"].startswith("http://studio/files/")
    assert len(tasks[0]["predictions"][0]["result"]) % 18 == 0
    assert read_controls((out / "label_studio.xml").read_text()).labels == SKELETON.keypoints
    assert (out / "images.txt").read_text().splitlines()[0].startswith(str(photos))
    checked = everypose("data", "doctor", out / "prelabels.json", "--images", photos)
    assert checked.code == 0, checked.out


def test_an_image_that_cannot_be_read_is_named(everypose, model, photos, tmp_path):
    (photos / "damaged.png").write_bytes(b"\x89PNG")
    done = everypose("data", "mine", photos, "-o", tmp_path / "tasks", "-m", model, "-q")
    assert (done.code, done.out) == (1, "")
    assert "damaged.png" in done.err
    for path in photos.iterdir():
        path.write_bytes(b"")
    assert everypose("data", "mine", photos, "-o", tmp_path / "tasks", "-m", model).code == 1
    assert everypose("data", "mine", tmp_path / "missing").code == 2


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_that_are_no_unicode(tmp_path):
    people = people_at(0)
    people.image = np.zeros((64, 64, 3), np.uint8)
    photos = [tmp_path / os.fsdecode(name) for name in (b"caf\xe9.png", "café.png".encode())]
    ranked = rank([MinedImage(photo, people, 0.0, 0.0, 0.0) for photo in photos])
    write_task_lists(ranked, tmp_path, tmp_path / "out", "/files/", "m")
    lines = (tmp_path / "out" / "images.txt").read_bytes().splitlines()
    assert lines == [os.fsencode(photo) for photo in photos]
    tasks = json.loads((tmp_path / "out" / "label_studio.json").read_text())
    assert [task["data"]["image"] for task in tasks] == ["/files/caf%E9.png", "/files/caf%C3%A9.png"]
    images = json.loads((tmp_path / "out" / "prelabels.json").read_text())["images"]
    assert [image["file_name"] for image in images] == ["caf\\xe9.png", "café.png"]


def test_the_label_definition_for_cvats_raw_editor():
    (label,) = json.loads(json.dumps(label_definition(SKELETON)))
    assert len(label["sublabels"]) == label["svg"].count("<circle") == 17
    assert label["svg"].count("<line") == len(SKELETON.links)
