from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from everypose.errors import EveryposeError, UsageError
from everypose.inference.inputs import VideoInput
from everypose.inference.outputs import open_outputs
from everypose.inference.results import ResultsWriter
from everypose.inference.run_files import OutputOptions
from everypose.inference.video import outputs as video_outputs
from everypose.inference.video.outputs import VideoOutputs
from everypose.video.writer import VideoWriter

OPTIONS = OutputOptions(save=("pictures", "deeplabcut"))


class Recording(ResultsWriter):
    path, closed = Path("clip.rrd"), False

    def add(self, result):
        """Record nothing."""

    def close(self):
        self.closed = True


def test_what_is_open_is_closed_when_a_file_cannot_be_opened(tmp_path, monkeypatch):
    recording = Recording()
    monkeypatch.setattr(video_outputs, "recording_writers", lambda *_: [recording])
    monkeypatch.setattr(VideoWriter, "like", Mock(side_effect=EveryposeError("disk full")))
    with open_outputs(tmp_path, [], OPTIONS, live=True) as outputs:
        clip = VideoInput("clip.mp4", "clip", "clip.mp4")
        with pytest.raises(EveryposeError, match="disk full"):
            VideoOutputs(outputs, clip, SimpleNamespace())
    assert recording.closed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.json"]


def test_a_refused_video_leaves_the_files_of_an_earlier_run(tmp_path):
    crop = tmp_path / "crops" / "clip" / "clip_000000_person0.jpg"
    crop.parent.mkdir(parents=True)
    crop.touch()
    with open_outputs(tmp_path, [], OPTIONS, live=True) as outputs:
        clip = VideoInput(str(tmp_path / "videos" / "clip.mp4"), "clip", "clip.mp4")
        with pytest.raises(UsageError, match=r"the output would overwrite clip\.mp4"):
            VideoOutputs(outputs, clip, SimpleNamespace())
    assert crop.exists()
