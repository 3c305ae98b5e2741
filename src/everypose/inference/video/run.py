"""Inference over a video: decoding, the network, drawing and encoding overlap; only a few frames are held."""

import time
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from everypose.core.arrays import Image
from everypose.core.process_setup import one_opencv_thread
from everypose.inference.estimator import Estimator
from everypose.inference.inputs import VideoInput
from everypose.inference.outputs import Outputs
from everypose.inference.video.outputs import VideoOutputs
from everypose.inference.video.progress import VideoProgress
from everypose.video.frames import Frame
from everypose.video.numbered import DEFAULT_RATE
from everypose.video.opening import open_video
from everypose.video.selection import Selection
from everypose.video.stream import FrameStream, PeopleFilter
from everypose.video.threads import in_thread

STAGE_AHEAD = 2
"""Finished frames that may wait between two stages."""


@dataclass
class VideoSummary:
    """The result of a run over one video.

    Attributes:
        label: the video, as the user named it.
        frames: number of frames that were processed.
        people: number of people in them.
        tracks: number of identities; None without tracking.
        seconds: wall-clock time.
        video: the annotated video, or None.
        notes: damaged packets, skipped frames, lost connections, lost audio: one sentence each.
        complete: whether the video came to its end.

    Example:
        >>> VideoSummary("clip.mp4").frames
        0
    """

    label: str
    frames: int = 0
    people: int = 0
    tracks: int | None = None
    seconds: float = 0.0
    video: Path | None = None
    notes: list[str] = field(default_factory=list)
    complete: bool = False


def predict_video(
    estimator: Estimator,
    source: VideoInput,
    outputs: Outputs,
    summary: VideoSummary,
    *,
    tracker: PeopleFilter | None = None,
    smoother: PeopleFilter | None = None,
    selection: Selection | None = None,
    frame_rate: float = float(DEFAULT_RATE),
    quiet: bool = False,
) -> None:
    """Find the people in a video and write what is wanted, frame by frame.

    Five stages run at a time: decoding and resizing, the network, tracking, drawing, encoding. An error or Ctrl-C
    leaves finished files that contain everything up to there.

    Args:
        estimator: finds the people.
        source: the video.
        outputs: those of the run.
        summary: receives the counts, also if the run ends early.
        tracker: gives people their identities.
        smoother: smooths the keypoints of tracked people.
        selection: the frames that are processed; all by default.
        frame_rate: frames a second of numbered images.
        quiet: show no progress.

    Raises:
        EveryposeError: if the video cannot be read, an output cannot be written or the model fails.
        UsageError: if the annotated video would overwrite its source.

    >>> from pathlib import Path
    >>> from everypose import load
    >>> from everypose.inference.outputs import open_outputs
    >>> from everypose.inference.run_files import OutputOptions
    >>> clip, summary = VideoInput("clip.mp4", "clip", "clip.mp4"), VideoSummary("clip.mp4")
    >>> with open_outputs(Path("out"), [], OutputOptions(save=("csv",)), live=True) as outputs:
    ...     predict_video(load("boir-lite", threads=1), clip, outputs, summary, quiet=True)
    >>> summary.frames
    3
    """
    chosen = selection or Selection()
    begin = time.monotonic()
    opened = open_video(_paths(source), selection=chosen, frame_rate=frame_rate)
    ids: set[int] = set()
    with one_opencv_thread(), FrameStream(estimator, opened, tracker=tracker, smoother=smoother) as frames:
        files = VideoOutputs(outputs, source, opened, start=chosen.start)
        summary.video = files.video
        try:
            with files, VideoProgress(source.label, seconds=_length(opened.duration, chosen), quiet=quiet) as progress:
                stages = _stages(frames, files)
                try:
                    for frame, drawing in stages:
                        files.write(frame, drawing)
                        progress.advance(frame.time - chosen.start)
                        summary.frames += 1
                        summary.people += len(frame.people)
                        if frame.people.ids is not None:
                            ids.update(frame.people.ids.tolist())
                            summary.tracks = len(ids)
                finally:
                    stages.close()
            summary.complete = True
        finally:
            summary.seconds = time.monotonic() - begin
            summary.notes = [*_notes(opened.corrupt, opened.skipped, opened.reconnections), *files.notes]


def _stages(frames: FrameStream, files: VideoOutputs) -> Generator[tuple[Frame, Image | None]]:
    """Run tracking in one thread, and drawing in another."""
    tracked = in_thread(frames, ahead=STAGE_AHEAD, stop=frames.source.stop)
    drawn = (files.draw(frame) for frame in tracked)
    return in_thread(drawn, ahead=STAGE_AHEAD, stop=frames.source.stop) if files.draws else drawn


def _paths(source: VideoInput) -> str | list[Path]:
    return source.source if isinstance(source.source, str) else list(source.source)


def _length(duration: float | None, selection: Selection) -> float | None:
    """Return the seconds of the video that are processed; None if unknown."""
    ends = [end for end in (duration, selection.end) if end is not None]
    return max(0.0, min(ends) - selection.start) if ends else None


def _notes(corrupt: int, skipped: int, reconnections: int) -> Iterable[str]:
    """Say what happened to the source."""
    if corrupt:
        yield f"{corrupt} damaged packets or frames skipped"
    if skipped:
        yield f"{skipped} frames skipped, to process the newest ones"
    if reconnections:
        yield f"lost and opened again {reconnections} times"
