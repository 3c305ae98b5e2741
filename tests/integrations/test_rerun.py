"""Rerun recordings with the real package: what was added can be read back."""

import numpy as np
import pytest

rerun = pytest.importorskip("rerun")

from everypose.inference.results.record import FrameResult  # noqa: E402
from everypose.integrations.rerun import RerunWriter  # noqa: E402
from everypose.people import People  # noqa: E402
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
