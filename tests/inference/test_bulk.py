import errno
import json
import os
import threading

import cv2
import numpy as np
import pytest

from everypose.errors import EveryposeError, UsageError
from everypose.inference.bulk import predict_all
from everypose.inference.inputs import find_images
from everypose.inference.outputs import Outputs, open_outputs
from everypose.inference.run_files import OutputOptions
from everypose.inference.single_stage import SingleStageEstimator
from everypose.models.config import ModelConfig
from everypose.people import People
from inference.stand_in import SKELETON, StandIn, config, crowd

PEOPLE = [[(0, 0, 100)], [], [(0, 0, 50), (1, 1, 200)], [(1, 0, 250)], [(0, 1, 10)]]


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, blocks in enumerate(PEOPLE):
        assert cv2.imwrite(str(folder / f"{number}.png"), crowd(blocks)[..., ::-1])
    return folder


def estimator(batch_size=2):
    return SingleStageEstimator(StandIn(), ModelConfig.model_validate(config()), batch_size=batch_size)


def run(photos, out, batch_size=2, **keywords):
    sources = find_images([str(photos)])
    with open_outputs(out, sources, OutputOptions(**keywords)) as outputs:
        return predict_all(estimator(batch_size), sources, outputs, quiet=True)


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_results_are_a_coco_list_that_reads_back(photos, tmp_path, batch_size):
    summary = run(photos, tmp_path / "out", batch_size)
    assert (summary.images, summary.people, summary.failed) == (5, 5, [])
    results = tmp_path / "out" / "results.json"
    rows = json.loads(results.read_text())
    assert [(row["image_id"], row["file_name"]) for row in rows] == [
        (image_id, f"{image_id}.png") for image_id in [0, 2, 2, 3, 4]
    ]
    assert {"image_id", "file_name", "category_id", "keypoints", "score"} <= set(rows[0])
    for image_id in range(5):
        expected = estimator()(photos / f"{image_id}.png")
        for read in (
            People.from_coco(results, SKELETON, image_id=image_id),
            People.from_json((tmp_path / "out" / "json" / f"{image_id}.json").read_text()),
        ):
            np.testing.assert_array_equal(read.keypoints, expected.keypoints)
            np.testing.assert_array_equal(read.scores, expected.scores)


def test_everything_is_written_and_nothing_else(photos, tmp_path):
    run(photos, tmp_path / "out")
    written = sorted(
        str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()
    )
    each = [f"json/{number}.json" for number in range(5)] + [f"pictures/{number}.jpg" for number in range(5)]
    assert written == sorted([*each, "contact_sheet.jpg", "results.json"])
    one = json.loads((tmp_path / "out" / "json" / "1.json").read_text())
    assert (one["file_name"], one["image_id"], one["width"], one["height"], one["people"]) == ("1.png", 1, 64, 64, [])
    assert cv2.imread(str(tmp_path / "out" / "pictures" / "2.jpg")).shape == (64, 64, 3)


def test_only_what_is_wanted_is_written(photos, tmp_path):
    run(photos, tmp_path / "out", save=["json"])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["json", "results.json"]


def test_nobody_anywhere_is_an_empty_list(tmp_path):
    assert cv2.imwrite(str(tmp_path / "a.png"), crowd([]))
    run(tmp_path / "a.png", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == []
    assert (tmp_path / "out" / "contact_sheet.jpg").exists()


def test_files_of_one_name_do_not_overwrite_each_other(tmp_path):
    for folder, blocks in [("a", [(0, 0, 100)]), ("b", [])]:
        (tmp_path / folder).mkdir()
        assert cv2.imwrite(str(tmp_path / folder / "x.png"), crowd(blocks)[..., ::-1])
    run(tmp_path, tmp_path / "out")
    counts = [
        len(json.loads((tmp_path / "out" / "json" / f"{name}.json").read_text())["people"]) for name in ["x", "x_2"]
    ]
    assert counts == [1, 0]


def test_broken_images_are_passed_over_and_named(photos, tmp_path):
    (photos / "1.png").write_bytes(b"")
    (photos / "3.png").write_bytes((photos / "3.png").read_bytes()[:60])
    summary = run(photos, tmp_path / "out")
    assert summary.images == 3
    assert [source.path.name for source, _ in summary.failed] == ["1.png", "3.png"]
    assert all(source.path.name in reason and "\n" not in reason for source, reason in summary.failed)
    assert {row["image_id"] for row in json.loads((tmp_path / "out" / "results.json").read_text())} == {0, 2, 4}


def test_all_images_broken_still_gives_an_empty_list(photos, tmp_path):
    for path in photos.iterdir():
        path.write_bytes(b"text")
    assert run(photos, tmp_path / "out").images == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["results.json"]


def test_an_output_that_would_overwrite_an_input_is_refused(photos, tmp_path):
    pictures = photos.rename(tmp_path / "pictures")
    (pictures / "0.png").rename(pictures / "0.jpg")
    before = (pictures / "0.jpg").read_bytes()
    with pytest.raises(UsageError, match=r"would overwrite .*0\.jpg"):
        run(pictures, tmp_path)
    assert (pictures / "0.jpg").read_bytes() == before


def test_a_folder_that_cannot_be_written_is_one_line(photos, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EveryposeError, match=r"cannot write .*results\.json"):
        run(photos, tmp_path / "file" / "out")


@pytest.mark.parametrize("full_after", [0, 1, 5, 10, 11], ids=lambda files: f"{files} files")
def test_a_full_disk_is_one_line_and_leaves_no_half_file(photos, tmp_path, monkeypatch, full_after):
    synced = []

    def fsync(_):
        synced.append(1)
        if len(synced) > full_after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    out = tmp_path / "out"
    with pytest.raises(EveryposeError, match=r"^cannot write [^\n]*: No space left on device$"):
        run(photos, out)
    for path in out.rglob("*"):  # what is there is whole, and no temporary file stays
        assert path.is_dir() or path.suffix in (".json", ".jpg")
        assert not path.name.startswith(".")
        if path.suffix == ".json":
            json.loads(path.read_text())
        if path.suffix == ".jpg":
            assert cv2.imread(str(path)) is not None
    # The list is finished before the contact sheet, which is the twelfth file, is begun.
    assert (out / "results.json").exists() == (full_after == 11)


def test_a_failing_model_ends_the_run_without_a_list(photos, tmp_path, monkeypatch):
    def fail(*_):
        raise EveryposeError("out of memory")

    monkeypatch.setattr(StandIn, "run", fail)
    with pytest.raises(EveryposeError, match="out of memory"):
        run(photos, tmp_path / "out")
    assert not (tmp_path / "out" / "results.json").exists()


def test_the_contact_sheet_is_spread_over_the_run(tmp_path, monkeypatch):
    shown = []

    def sheet(images, captions):
        shown.extend(captions)
        return images[0]

    monkeypatch.setattr("everypose.inference.pictures.contact_sheet", sheet)
    for number in range(50):
        assert cv2.imwrite(str(tmp_path / f"{number:02}.png"), crowd([(0, 0, 99)], 64, 640)[..., ::-1])
    run(tmp_path, tmp_path / "out", 8)
    assert shown == [f"{number:02}.png: 1" for number in range(0, 50, 3)]


def test_a_batch_of_large_images_is_cut_short(photos, tmp_path, monkeypatch):
    monkeypatch.setattr("everypose.inference.bulk.MOST_PIXELS", 64 * 64)
    runs = []

    def counted(self, images, min_score):
        runs.append(len(images))
        return original(self, images, min_score)

    original = StandIn.run
    monkeypatch.setattr(StandIn, "run", counted)
    assert run(photos, tmp_path / "out", batch_size=8).images == 5
    assert runs == [2, 2, 1]


def test_the_next_batch_does_not_wait_until_the_last_one_is_saved(photos, tmp_path, monkeypatch):
    begun, second, waited = [], threading.Event(), []
    run_network, save = StandIn.run, Outputs.save

    def counted(self, images, min_score):
        begun.append(len(images))
        if len(begun) == 2:
            second.set()
        return run_network(self, images, min_score)

    def slow(self, source, people):
        waited.append(second.wait(5))
        return save(self, source, people)

    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    monkeypatch.setattr(StandIn, "run", counted)
    monkeypatch.setattr(Outputs, "save", slow)
    assert run(photos, tmp_path / "out", batch_size=2).images == 5
    assert all(waited)
