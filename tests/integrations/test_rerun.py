"""Rerun recordings with the real package: what was added can be read back."""

import cv2
import numpy as np
import pytest

rerun = pytest.importorskip("rerun")
pytest.importorskip("rerun.chunk")

from everypose.inference.results import read_results  # noqa: E402
from everypose.inference.results.record import FrameResult  # noqa: E402
from everypose.inference.results.rerun import RerunWriter  # noqa: E402
from everypose.people import People  # noqa: E402
from everypose.video import VideoWriter  # noqa: E402
from inference.stand_in import SKELETON, crowd  # noqa: E402


def test_a_recording_holds_images_points_and_times(tmp_path, pose):
    path = tmp_path / "out" / "clip.rrd"
    image = crowd(((0, 0, 100), (1, 1, 200)))
    found = pose(image)
    with RerunWriter(path) as writer:
        for frame in range(3):
            people = People(found.keypoints, found.scores, found.skeleton, image=image, ids=[frame, 7])
            writer.add(FrameResult("clip.mp4", people, frame=frame, time=frame / 30))
        writer.add(FrameResult("clip.mp4", People.empty(SKELETON), frame=3, time=0.1))
    content = path.read_bytes()
    assert content.startswith(b"RRF")
    for name in (b"/image/people", b"Points2D:positions", b"Points2D:class_ids"):
        assert name in content


def test_another_skeleton(tmp_path):
    from everypose.errors import EveryposeError
    from everypose.skeleton.skeleton import Skeleton

    other = Skeleton.named("crowdpose")
    with RerunWriter(tmp_path / "a.rrd") as writer:
        writer.add(FrameResult("a.jpg", People(np.zeros((1, 17, 3)), [1], SKELETON)))
        with pytest.raises(EveryposeError, match="different skeletons"):
            writer.add(FrameResult("b.jpg", People(np.zeros((1, 14, 3)), [1], other)))


def columns_of(path):
    """The columns of each entity of a recording, as lists."""
    found = {}
    for chunk in rerun.chunk.RrdReader(path).stream():
        batch = chunk.to_record_batch()
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            # Times as whole nanoseconds, which datetime does not hold.
            values = column.cast("int64") if "duration" in str(column.type) else column
            if "timestamp" not in str(column.type):
                found.setdefault(chunk.entity_path, {}).setdefault(name, []).extend(values.to_pylist())
    return found


def test_the_command_line_records_a_tracked_video(everypose, model, tmp_path):
    clip = tmp_path / "clip.mp4"
    with VideoWriter(clip) as writer:
        for number in range(6):
            writer.write(crowd([(0, 0, 200), (1, 1, 190)]), number / 30)
    done = everypose("predict", clip, "-m", model, "--track", "--save", "rerun,csv", "-o", tmp_path / "out")
    assert (done.code, done.err) == (0, "")
    columns = columns_of(tmp_path / "out" / "rerun" / "clip.rrd")
    assert columns["/image/people"]["frame"] == columns["/image"]["frame"] == list(range(6))
    np.testing.assert_allclose(np.array(columns["/image/people"]["time"]) / 1e9, np.arange(6) / 30, atol=1e-3)
    rows = list(read_results(tmp_path / "out" / "results.csv"))
    positions, classes = (columns["/image/people"][f"Points2D:{name}"] for name in ("positions", "class_ids"))
    for result, points, ids in zip(rows, positions[1:], classes[1:], strict=True):  # no one has an id in frame 0
        np.testing.assert_allclose(points, result.people.keypoints[..., :2].reshape(-1, 2), atol=1e-3)
        np.testing.assert_array_equal(ids, np.repeat(result.people.ids, 17))
    jpeg = np.array(columns["/image"]["EncodedImage:blob"][0][0], np.uint8)
    assert cv2.imdecode(jpeg, cv2.IMREAD_COLOR).shape == (64, 64, 3)
    described = columns["/"]["AnnotationContext:context"][-1][0]
    assert described[2]["class_description"]["info"]["label"] == "person 2"
    assert described[2]["class_description"]["keypoint_annotations"][9]["label"] == "left_wrist"
    done = everypose("track", tmp_path / "out" / "results.csv", "--save", "rerun", "-o", tmp_path / "tracks")
    assert (done.code, done.err) == (0, "")
    again = columns_of(tmp_path / "tracks" / "rerun" / "clip.rrd")
    assert "/image" not in again
    assert len(again["/image/people"]["frame"]) == len(rows)
