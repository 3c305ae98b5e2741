"""``everypose track`` on saved results."""

import json

import numpy as np
import pytest

from everypose.inference.results import FrameResult, read_results
from everypose.inference.results.coco import CocoWriter
from everypose.inference.results.csv_table import CsvWriter
from everypose.inference.results.openpose import OpenPoseWriter
from tracking.walkers import COCO, people_at


def video(name="clip.mp4", missing=(), noise=0.0):
    """Two people who walk for three seconds."""
    rng = np.random.default_rng(0)
    for frame in range(30):
        people = people_at([(100 + 5 * frame, 100), (400 - 3 * frame, 300)][: 1 if frame in missing else 2])
        people.keypoints[..., :2] += rng.normal(0, noise, people.keypoints[..., :2].shape) if noise else 0
        yield FrameResult(name, people, 640, 480, frame=frame, time=frame / 10, image_id=frame + 1)


def saved(writer, results):
    with writer:
        for result in results:
            writer.add(result)
    return writer.path


def ids(path, **options):
    return [result.people.ids.tolist() for result in read_results(path, **options)]


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_results_get_ids(everypose, tmp_path, kind):
    writer = CsvWriter(tmp_path / "in.csv") if kind == "csv" else CocoWriter(tmp_path / "in.json")
    source = saved(writer, video(missing=range(10, 14)))
    options = ("--skeleton", "coco") if kind == "json" else ()
    finished = everypose("track", source, *options, "-o", tmp_path / "out", "--json")
    assert finished.code == 0, finished.err
    summary = json.loads(finished.out)
    assert summary["videos"] == [{"file": "clip.mp4", "frames": 30, "people": 2, "drawn": None}]
    for found in (ids(tmp_path / "out" / "results.json", skeleton=COCO), ids(tmp_path / "out" / "results.csv")):
        assert len(found) == 30
        assert all(sorted(numbers) == [1, 2] for numbers in found)


def test_smoothing_and_movement_formats(everypose, tmp_path):
    source = saved(CsvWriter(tmp_path / "in.csv"), video(noise=1.5))
    arguments = (
        "track",
        source,
        "--smooth",
        "savitzky-golay",
        "--save",
        "csv,trc,openpose",
        "-o",
        tmp_path / "out",
        "-q",
    )
    finished = everypose(*arguments)
    assert (finished.code, finished.out) == (0, "")
    assert sorted(file.name for file in (tmp_path / "out" / "trc").iterdir()) == [
        "clip_person1.trc",
        "clip_person2.trc",
    ]
    assert len(list((tmp_path / "out" / "openpose" / "clip").iterdir())) == 30

    def roughness(path):
        x = np.array([result.people.keypoints[0, :, 0] for result in read_results(path)])
        return np.abs(np.diff(x, n=2, axis=0)).mean()

    assert roughness(tmp_path / "out" / "results.csv") < 0.6 * roughness(source)


def test_several_videos(everypose, tmp_path):
    source = saved(CsvWriter(tmp_path / "in.csv"), [*video("a.mp4"), *video("b.mp4")])
    finished = everypose("track", source, "-o", tmp_path / "out")
    assert finished.out.splitlines()[:2] == ["a.mp4: 2 people in 30 frames", "b.mp4: 2 people in 30 frames"]


def test_openpose_files_need_a_frame_rate(everypose, tmp_path):
    saved(OpenPoseWriter(tmp_path / "in", "clip"), video())
    finished = everypose("track", tmp_path / "in", "-o", tmp_path / "out")
    assert finished.code == 2
    assert "has no time" in finished.err
    finished = everypose("track", tmp_path / "in", "--fps", "10", "-o", tmp_path / "out")
    assert finished.code == 0, finished.err
    assert all(sorted(numbers) == [1, 2] for numbers in ids(tmp_path / "out" / "results.csv"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--cutoff", "4"), "--cutoff is for --smooth butterworth"),
        (("--smooth", "butterworth", "--cutoff", "0"), "give a frequency above 0"),
        (("--smooth", "butterworth", "--cutoff", "1e-9"), "give a frequency above 0, of 0.001 Hz at least"),
        (("--save", "xlsx"), "--save xlsx is unknown"),
        (("-o", "."), "give another --out"),
    ],
)
def test_wrong_usage(everypose, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    saved(CsvWriter(tmp_path / "in.csv"), video())
    finished = everypose("track", "in.csv", *arguments)
    assert finished.code == 2
    assert message in finished.err


def test_results_of_photos(everypose, tmp_path):
    source = saved(CsvWriter(tmp_path / "in.csv"), [FrameResult("photo.jpg", people_at([(100, 100)]))])
    finished = everypose("track", source, "-o", tmp_path / "out")
    assert finished.code == 2
    assert "photo.jpg is a photo" in finished.err
