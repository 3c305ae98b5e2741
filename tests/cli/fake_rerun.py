"""Stands in for the package rerun-sdk: keeps what is logged, and writes the file when the recording ends."""

from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np


class Image:
    def __init__(self, pixels):
        self.pixels = pixels

    def compress(self, *, jpeg_quality):
        assert 0 < jpeg_quality <= 100
        return self


class RecordingStream:
    """What rerun.RecordingStream is used for.

    Attributes:
        finished: recordings by the name of their file.
        logged: (entity path, what, times) in order; times by the name of the time line.
    """

    finished: ClassVar[dict] = {}

    def __init__(self, name):
        assert name == "everypose"
        self.logged = []
        self._times = {}

    def save(self, path):
        self._path = Path(path)
        assert self._path.parent.is_dir()

    def set_time(self, timeline, *, sequence=None, duration=None):
        self._times[timeline] = sequence if duration is None else duration

    def log(self, entity, what, *, static=False):
        self.logged.append((entity, what, {} if static else dict(self._times)))

    def flush(self):
        self._path.write_bytes(b"RRF")

    def disconnect(self):
        self.finished[self._path.name] = self.logged


def points(positions, *, keypoint_ids, class_ids):
    assert len(positions) == len(keypoint_ids) == len(class_ids)
    return SimpleNamespace(positions=np.array(positions), keypoint_ids=keypoint_ids, class_ids=class_ids)


def module():
    """A new module, without recordings."""
    stream = type("RecordingStream", (RecordingStream,), {"finished": {}})
    return SimpleNamespace(
        RecordingStream=stream,
        Image=Image,
        Points2D=points,
        AnnotationInfo=SimpleNamespace,
        ClassDescription=SimpleNamespace,
        AnnotationContext=list,
    )
