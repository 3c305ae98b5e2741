"""The files of one video: the annotated video, formats with a file for each frame or person, crops."""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from everypose.core.arrays import Image
from everypose.drawing import Trails, draw_people
from everypose.errors import UsageError
from everypose.inference.earlier_run import remove_files_of_video
from everypose.inference.inputs import VideoInput
from everypose.inference.outputs import Outputs
from everypose.inference.pictures import write_crops
from everypose.inference.results import FrameResult
from everypose.inference.results.writing import frame_writers, recording_writers, video_writers
from everypose.people import People
from everypose.video.audio import AudioTracks
from everypose.video.file import VideoFile
from everypose.video.frames import Frame, VideoSource
from everypose.video.writer import VideoWriter

FOLDER = "videos"


class VideoOutputs:
    """Writes what is wanted of one video; closing it finishes the files, also after an error.

    Attributes:
        video: the annotated video, or None.
        notes: what could not be kept, one sentence each.

    >>> import numpy as np
    >>> from everypose.inference.outputs import open_outputs
    >>> from everypose.inference.run_files import OutputOptions
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> clip = VideoInput("clip.mp4", "clip", "clip.mp4")
    >>> people = People(np.ones((1, 17, 3)), [0.9], Skeleton.named("coco"))
    >>> with open_outputs(Path("out"), [], OutputOptions(save=("csv",)), live=True) as outputs:
    ...     files = VideoOutputs(outputs, clip, None)
    ...     files.add(FrameResult("clip.mp4", people, frame=0, time=0.0))
    ...     files.close(complete=True)
    >>> len(Path("out/results.csv").read_text().splitlines())
    18
    """

    def __init__(self, outputs: Outputs, source: VideoInput, opened: VideoSource | None, *, start: float = 0.0) -> None:
        """Create the files.

        Args:
            outputs: those of the run.
            source: the video.
            opened: its frames; None if nothing is drawn.
            start: time of the source at which the annotated video starts, in seconds.

        Raises:
            EveryposeError: if a file cannot be written.
            UsageError: if the annotated video would overwrite its source.
        """
        options = outputs.options
        self.notes: list[str] = []
        self._outputs = outputs
        self._label = source.label
        self._name = source.name
        self._start = start
        self.video: Path | None = None
        self._audio: AudioTracks | None = None
        self._writer: VideoWriter | None = None
        if "pictures" in options.save and opened is not None:
            self.video = outputs.folder / FOLDER / f"{source.name}.mp4"
            _refuse_to_overwrite(self.video, source)
        remove_files_of_video(outputs.folder, source.name)
        with ExitStack() as files:  # closes what is open if a file cannot be opened
            self._recordings = [
                files.enter_context(writer)
                for writer in recording_writers(outputs.folder / "rerun", source.name, options.save)
            ]
            if self.video is not None and opened is not None:
                # Audio belongs to finite files; that of live streams would have to be recorded with the skipped frames.
                self._audio = AudioTracks(opened) if isinstance(opened, VideoFile) else None
                self._writer = VideoWriter.like(self.video, opened, audio=self._audio)
            self._writers = [
                files.enter_context(writer)
                for writer in (
                    *frame_writers(outputs.folder, source.name, options.save, in_folders=True),
                    *video_writers(outputs.folder, source.name, options.save),
                )
            ]
            self._files = files.pop_all()
        style = options.style
        self._style = style if style.supersampling else style.model_copy(update={"supersampling": 1})
        self._trails = Trails(seconds=style.trail_seconds, palette=style.palette) if style.trail_seconds else None

    @property
    def draws(self) -> bool:
        """Whether frames must be drawn."""
        return self._writer is not None

    def draw(self, frame: Frame) -> tuple[Frame, Image | None]:
        """Return a frame and its drawing; None if no video is written. Call it in the order of the frames."""
        if self._writer is None:
            return frame, None
        if self._trails is not None:
            self._trails.update(frame.people, frame.time)
        return frame, draw_people(frame.image, frame.people, self._style, trails=self._trails, time=frame.time)

    def write(self, frame: Frame, drawing: Image | None) -> None:
        """Write one frame to all files.

        Raises:
            EveryposeError: if a file cannot be written.
        """
        with _interrupts_deferred():
            self._write_frame(frame, drawing)

    def _write_frame(self, frame: Frame, drawing: Image | None) -> None:
        height, width = frame.image.shape[:2]
        if self._writer is not None and drawing is not None:
            self._writer.write(drawing, frame.time - self._start)
        if "crops" in self._outputs.options.save:
            folder = self._outputs.folder / "crops" / self._name
            write_crops(folder, f"{self._name}_{frame.index:06d}", frame.people, self._outputs.options.style)
        result = FrameResult(self._label, frame.people, width, height, frame.index, frame.time)
        self.add(result, raw=frame.raw, image=frame.image)

    def add(self, result: FrameResult, *, raw: People | None = None, image: Image | None = None) -> None:
        """Write one frame's people to lists, tables and the other formats.

        Args:
            result: the people of the frame; it gets the next image_id of the run.
            raw: the same people before smoothing; None without smoothing.
            image: (H, W, 3) uint8 RGB frame, for recordings.

        Raises:
            EveryposeError: if a file cannot be written.
        """
        self._outputs.last_image_id += 1
        numbered = replace(result, image_id=self._outputs.last_image_id).with_image(None)
        for writer in self._writers:
            writer.add(numbered)
        for recording in self._recordings:
            recording.add(numbered.with_image(image))
        if raw is None:
            self._outputs.add_result(numbered)
        else:
            self._outputs.add_result(replace(numbered, people=raw).with_image(None))
            self._outputs.add_smoothed(numbered)

    def close(self, *, complete: bool) -> None:
        """Finish all files.

        Args:
            complete: whether the video came to its end, so that the rest of the audio belongs to it.

        Raises:
            EveryposeError: if the disk is full.
        """
        try:
            if self._writer is not None:
                self._writer.close(rest_of_audio=complete)
                self._writer = None
                if self._audio is not None and self._audio.left_out:
                    codecs = ", ".join(self._audio.left_out)
                    self.notes.append(f"audio left out, because an MP4 cannot contain its format ({codecs})")
        finally:
            self._files.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(complete=error is None)


def refuse_to_overwrite_videos(folder: Path, videos: Sequence[VideoInput]) -> None:
    """Refuse an output folder in which an annotated video would take the place of any video of the run.

    Args:
        folder: the output folder.
        videos: all videos of the run.

    Raises:
        UsageError: if one would.

    >>> refuse_to_overwrite_videos(Path("out"), [VideoInput("out/videos/clip.mp4", "clip", "clip.mp4")])
    Traceback (most recent call last):
        ...
    everypose.errors.UsageError: the output would overwrite clip.mp4: choose another output folder
    """
    written = {os.path.realpath(folder / FOLDER / f"{video.name}.mp4") for video in videos}
    for source in videos:
        if isinstance(source.source, str) and (real := os.path.realpath(source.source)) in written:
            _refuse_to_overwrite(Path(real), source)


def _refuse_to_overwrite(video: Path, source: VideoInput) -> None:
    """Refuse an annotated video in the place of its source.

    Raises:
        UsageError: if it would be there.
    """
    if isinstance(source.source, str) and os.path.realpath(source.source) == os.path.realpath(video):
        raise UsageError(f"the output would overwrite {source.label}: choose another output folder")


@contextmanager
def _interrupts_deferred() -> Iterator[None]:
    """Delay Ctrl-C until a frame is in all files, so that videos and tables hold the same frames."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    previous = signal.signal(signal.SIGINT, lambda number, _: arrived.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
    if arrived:
        signal.raise_signal(signal.SIGINT)
