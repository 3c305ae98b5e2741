"""``everypose track`` on what ``predict`` saved, and annotated videos of tracked results."""

import json

import numpy as np
import pytest

from cli.outputs import results
from cli.test_predict_video import frames_of, write_people
from everypose.inference.results import read_results


@pytest.fixture
def clip(tmp_path):
    return write_people(tmp_path / "clips" / "clip.mp4", 20)


@pytest.fixture
def saved(predict, clip, tmp_path):
    """The results of a run without tracking."""
    assert predict(clip, "--save", "csv,parquet").code == 0
    return (tmp_path / "out").rename(tmp_path / "saved")


def ids_by_frame(path):
    return {result.frame: result.people.ids.tolist() for result in read_results(path)}


@pytest.mark.parametrize(
    ("name", "options"), [("results.csv", []), ("results.parquet", []), ("results.json", ["--skeleton", "coco"])]
)
def test_results_of_each_format_are_tracked(everypose, saved, tmp_path, name, options):
    before = (saved / name).read_bytes()
    done = everypose("track", saved / name, "-o", tmp_path / "out", *options, "--save", "csv,trc")
    assert (done.code, done.err) == (0, "")
    assert "clip.mp4: 2 people in 20 frames\n" in done.out
    assert ids_by_frame(tmp_path / "out" / "results.csv") == {n: [1, 2] if n >= 4 else [1] for n in range(20)}
    assert {row["track_id"] for row in results(tmp_path)} == {1, 2}
    assert len(list((tmp_path / "out" / "trc").iterdir())) == 2
    assert (saved / name).read_bytes() == before


def test_smoothed_keypoints_stay_close(everypose, saved, tmp_path):
    done = everypose("track", saved / "results.csv", "-o", tmp_path / "out", "--smooth", "butterworth", "--json")
    assert json.loads(done.out)["videos"][0]["people"] == 2
    pairs = zip(read_results(saved / "results.csv"), read_results(tmp_path / "out" / "results.csv"), strict=True)
    for raw, smooth in pairs:
        np.testing.assert_allclose(raw.people.keypoints, smooth.people.keypoints, atol=0.5)


def test_the_video_is_drawn_again(everypose, saved, clip, tmp_path):
    moved = clip.rename(tmp_path / "moved.mp4")
    missing = everypose("track", saved / "results.csv", "-o", tmp_path / "out", "--save", "pictures")
    assert missing.code == 2
    assert "clip.mp4" in missing.err
    done = everypose(
        "track", saved / "results.csv", "-o", tmp_path / "out", "--save", "pictures", "--video", moved, "--labels", "id"
    )
    assert (done.code, done.err) == (0, "")
    drawn, original = frames_of(tmp_path / "out" / "videos" / "clip.mp4"), frames_of(moved)
    assert [frame.time for frame in drawn] == [frame.time for frame in original]
    assert np.abs(drawn[9].image.astype(int) - original[9].image).max() > 80


def test_results_of_every_third_frame_are_drawn_on_those(everypose, predict, clip, tmp_path):
    assert predict(clip, "--every", "3").code == 0
    saved = (tmp_path / "out").rename(tmp_path / "saved")
    done = everypose("track", saved / "results.csv", "-o", tmp_path / "out", "--save", "pictures,csv")
    assert done.code == 0
    assert [round(frame.time * 29.97) for frame in frames_of(tmp_path / "out" / "videos" / "clip.mp4")] == [
        0, 3, 6, 9, 12, 15, 18,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.csv"], "none.csv"),
        (["notes.txt"], "cannot read results from"),
        (["results.json"], "give a skeleton"),
        (["results.csv", "-o", "."], "give another --out"),
        (["results.csv", "--save", "json"], "--save json is unknown"),
        (["photos.csv"], "is a photo"),
    ],
)
def test_wrong_usage_is_one_line(everypose, predict, photos, saved, tmp_path, monkeypatch, arguments, message):
    assert predict(photos, "--save", "csv").code == 0
    (tmp_path / "out" / "results.csv").rename(saved / "photos.csv")
    monkeypatch.chdir(saved)
    (saved / "notes.txt").write_text("")
    done = everypose("track", *arguments)
    assert done.code in (1, 2)
    assert message in done.err
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("place", ["http://127.0.0.1:9/clip.mp4", "rtsp://127.0.0.1:9/clip", "0", "\\0"])
def test_a_video_that_results_name_is_a_file_here_or_not_opened(everypose, saved, tmp_path, monkeypatch, place):
    """Results may be anyone's: neither an address nor a camera in them is opened."""

    def refuse(*_):
        raise AssertionError("it was opened")

    monkeypatch.setattr("everypose.inference.video.write_tracked.open_video", refuse)
    text = (saved / "results.csv").read_text()
    name = text.splitlines()[1].split(",")[0]
    (saved / "results.csv").write_text(text.replace(name, place))
    done = everypose("track", saved / "results.csv", "-o", tmp_path / "out", "--save", "pictures")
    assert done.code == 2
    assert done.err.endswith("say where it is with --video\n")
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("place", ["..", "a/..", "", "a\x01b.mp4", "x" * 400])
def test_names_of_videos_in_results_cannot_leave_the_folder(everypose, saved, tmp_path, place):
    text = (saved / "results.csv").read_text()
    name = text.splitlines()[1].split(",")[0]
    (saved / "results.csv").write_text(text.replace(name, place))
    done = everypose("track", saved / "results.csv", "-o", tmp_path / "out", "--save", "csv,trc,deeplabcut")
    assert done.code in (0, 1)
    assert len(done.err.splitlines()) <= 1
    assert {path.name for path in tmp_path.iterdir()} == {"clips", "saved", "out"}
    assert {path.name for path in (tmp_path / "out").iterdir()} <= {"results.csv", "results.json", "trc", "deeplabcut"}


def test_files_of_an_earlier_tracking_do_not_stay(everypose, saved, tmp_path):
    """A run over fewer people and frames leaves no person and no frame of the one before, and what is not ours."""
    formats = ("--save", "csv,trc,openpose")
    assert everypose("track", saved / "results.csv", "-o", tmp_path / "out", *formats).code == 0
    for name in ("clip_person9.trc", "mine.trc"):
        (tmp_path / "out" / "trc" / name).write_text("")
    frame = tmp_path / "out" / "openpose" / "clip" / "clip_000000000099_keypoints.json"
    frame.write_text("{}")
    assert everypose("track", saved / "results.csv", "-o", tmp_path / "out", *formats).code == 0
    names = sorted(path.name for path in (tmp_path / "out" / "trc").iterdir())
    assert names == ["clip_person1.trc", "clip_person2.trc", "mine.trc"]
    assert not frame.exists()
    assert len(list(frame.parent.iterdir())) == 20
