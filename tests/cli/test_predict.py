import errno
import json
import os
from pathlib import Path

import cv2
import pytest

from cli.outputs import results
from everypose.inference.single_stage import SingleStageEstimator
from everypose.models.catalog import catalog
from inference.stand_in import crowd


def test_a_folder(predict, photos, tmp_path):
    done = predict(photos)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("3 people in 2 images")
    assert [row["image_id"] for row in results(tmp_path)] == [7, 8, 8]
    for line in done.out.splitlines()[1:]:  # every place that is named is there
        assert Path(line.split()[-1]).exists()


def test_a_list_on_standard_input(predict, photos, tmp_path):
    assert predict("-", stdin=bytes(photos / "b8.png") + b"\n").code == 0
    assert [row["image_id"] for row in results(tmp_path)] == [8, 8]


def test_a_quoted_glob(predict, photos, tmp_path):
    assert predict(photos / "a*.png").code == 0
    assert len(results(tmp_path)) == 1


@pytest.mark.usefixtures("photos")
def test_a_second_run_over_the_same_place_finds_the_same(predict, tmp_path):
    for _ in range(2):  # the first run's pictures lie below the folder that is searched
        assert predict(tmp_path).code == 0
        assert len(results(tmp_path)) == 3


def test_a_list_with_spaces_other_scripts_and_repeats(predict, photos, tmp_path):
    deep = photos / "zwei Köpfe" / "三人"
    deep.mkdir(parents=True)
    (photos / "a7.png").rename(deep / "größer 写真.png")
    listed = [photos / "b8.png", photos, deep / "größer 写真.png", photos / "b8.png"]
    assert predict("-", photos / "b*.png", stdin=b"".join(bytes(path) + b"\n" for path in listed)).code == 0
    assert [row["file_name"] for row in results(tmp_path)] == ["b8.png", "b8.png", "größer 写真.png"]
    assert (tmp_path / "out" / "pictures" / "größer 写真.jpg").exists()


@pytest.mark.parametrize(
    ("save", "written"),
    [
        ("pictures", {"pictures", "contact_sheet.jpg"}),
        ("json", {"json"}),
        ("json, pictures", {"json", "pictures", "contact_sheet.jpg"}),
        ("", set()),
    ],
)
def test_only_what_is_asked_for_is_written(predict, photos, tmp_path, save, written):
    assert predict(photos, "--save", save).code == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == written | {"results.json", "run.json"}


def test_nobody_is_an_empty_list_and_still_a_picture(predict, tmp_path):
    assert cv2.imwrite(str(tmp_path / "meadow.png"), crowd([]))
    done = predict(tmp_path / "meadow.png")
    assert (done.code, done.out.splitlines()[0][:21]) == (0, "0 people in 1 images,")
    assert results(tmp_path) == []
    assert json.loads((tmp_path / "out" / "json" / "meadow.json").read_text())["people"] == []
    assert (tmp_path / "out" / "contact_sheet.jpg").exists()


def test_the_output_may_lie_inside_the_searched_folder(everypose, model, photos):
    for _ in range(2):
        assert everypose("predict", photos, "-m", model, "-o", photos / "found").code == 0
        assert len(json.loads((photos / "found" / "results.json").read_text())) == 3


def test_ctrl_c_leaves_whole_files_and_no_list(predict, photos, tmp_path, monkeypatch):
    predicted = []

    def interrupted(self, prepared):
        if predicted:
            raise KeyboardInterrupt
        predicted.append(1)
        return original(self, prepared)

    original = SingleStageEstimator.predict
    monkeypatch.setattr(SingleStageEstimator, "predict", interrupted)
    done = predict(photos, "--batch", "1")
    assert done.code == 130
    assert "Traceback" not in done.err
    assert not (tmp_path / "out" / "results.json").exists()
    assert not any(path.name.startswith(".") for path in (tmp_path / "out").rglob("*"))


def test_quiet_says_nothing(predict, photos):
    done = predict(photos, "--quiet")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_the_summary_as_json(predict, photos, tmp_path):
    (photos / "c.png").write_bytes(b"")
    done = predict(photos, "--json", "--save", "json")
    summary = json.loads(done.out)
    assert (done.code, summary["images"], summary["people"]) == (1, 2, 3)
    assert summary["failed"][0]["path"] == str(photos / "c.png")
    assert (summary["pictures"], summary["json"]) == (None, str(tmp_path / "out" / "json"))
    assert not (tmp_path / "out" / "pictures").exists()


def test_options_reach_the_model(predict, photos, tmp_path):
    assert predict(photos, "--min-score", "0.3").code == 0
    assert [round(row["score"] * 255) for row in results(tmp_path)] == [100, 200]
    assert predict(photos, "--flip", "--batch", "1").code == 0  # the flip test halves the stand-in's scores
    assert [round(row["score"] * 510) for row in results(tmp_path)] == [100, 200, 50]
    assert predict(photos, "--device", "openvino", "--flip").code == 0
    assert [round(row["score"] * 510) for row in results(tmp_path)] == [100, 200, 50]


def test_a_folder_that_cannot_be_written_is_one_line(everypose, model, photos, tmp_path):
    (tmp_path / "file").write_text("")
    done = everypose("predict", photos, "-m", model, "-o", tmp_path / "file")
    assert done.code == 1
    assert done.err == f"everypose: cannot write {tmp_path / 'file' / 'results.json'}: File exists\n"


def test_a_full_disk_is_one_line(predict, photos, tmp_path, monkeypatch):
    def fsync(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    done = predict(photos)
    assert done.code == 1
    assert done.err.endswith("No space left on device\n")
    assert len(done.err.splitlines()) == 1
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


def test_demo_draws_the_bundled_pictures(everypose, model, photos, tmp_path, monkeypatch):
    import everypose as package

    monkeypatch.setattr(package, "__file__", str(tmp_path / "__init__.py"))
    photos.rename(tmp_path / "examples")
    done = everypose("demo", "-m", model, "-o", tmp_path / "demo")
    assert done.code == 0
    assert "a7.png" in done.out
    assert "b8.png" in done.out
    assert "contact_sheet.jpg" in done.out.replace("\n", "")
    assert len(list((tmp_path / "demo" / "pictures").iterdir())) == 2


def test_models_lists_every_name(everypose):
    done = everypose("models")
    assert done.code == 0
    names = [entry.name for entry in catalog().model]
    assert all(name in done.out for name in names)
    assert [row["name"] for row in json.loads(everypose("models", "--json").out)] == names
