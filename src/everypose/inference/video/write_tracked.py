"""Track the saved results of videos again and write them, with or without the frames."""

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from everypose.errors import EveryposeError, UsageError
from everypose.inference.inputs import VideoInput
from everypose.inference.outputs import Outputs
from everypose.inference.results import FrameResult
from everypose.inference.video.outputs import VideoOutputs
from everypose.inference.video.run import VideoSummary
from everypose.video.frames import Frame, VideoFrame, VideoSource
from everypose.video.opening import open_video


def write_tracked(results: Iterable[FrameResult], outputs: Outputs, *, video: Path | None = None) -> list[VideoSummary]:
    """Write tracked results, one video after the other.

    Args:
        results: tracked results; those of one video come together, in the order of the frames.
        outputs: those of the run; with pictures, the frames are read from the videos and drawn.
        video: where the video is, if not where the results say.

    Returns:
        A summary of each video.

    Raises:
        EveryposeError: if a video that is drawn cannot be read, or a file cannot be written.

    >>> import numpy as np
    >>> from everypose.inference.outputs import open_outputs
    >>> from everypose.inference.run_files import OutputOptions
    >>> from everypose.people import People
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> people = People(np.ones((1, 17, 3)), [0.9], Skeleton.named("coco"), ids=[7])
    >>> frames = [FrameResult("clip.mp4", people, frame=i, time=i / 10) for i in range(3)]
    >>> with open_outputs(Path("out"), [], OutputOptions(save=("csv",)), live=True) as outputs:
    ...     [summary] = write_tracked(frames, outputs)
    >>> summary.frames, summary.tracks
    (3, 1)
    """
    summaries = []
    names: set[str] = set()
    for file, group in groupby(results, lambda result: result.file):
        name = _new_name(_file_name(file), names)
        source = VideoInput(str(video or file), name, file)
        summary = VideoSummary(file, tracks=0)
        _write_video(group, outputs, source, summary)
        summaries.append(summary)
    return summaries


def _write_video(results: Iterator[FrameResult], outputs: Outputs, source: VideoInput, summary: VideoSummary) -> None:
    """Write the results of one video, drawn if pictures are wanted."""
    ids: set[int] = set()
    opened = _open(source) if "pictures" in outputs.options.save else None
    try:
        with VideoOutputs(outputs, source, opened) as files:
            summary.video = files.video
            frames = results if opened is None else _joined(results, opened)
            for frame in frames:
                if isinstance(frame, Frame):
                    files.write(*files.draw(frame))
                else:
                    files.add(frame)
                summary.frames += 1
                summary.people += len(frame.people)
                ids.update([] if frame.people.ids is None else frame.people.ids.tolist())
            summary.tracks = len(ids)
        summary.notes = files.notes
        summary.complete = True
    finally:
        if opened is not None:
            opened.close()


def _open(source: VideoInput) -> VideoSource:
    """Open a video that results name. Results may be anyone's: they must not open network addresses and cameras.

    Raises:
        UsageError: if it is no file or folder here.
        EveryposeError: if it is not a video.
    """
    place = Path(str(source.source))
    if not (place.is_file() or place.is_dir()):
        raise UsageError(f"the video {source.source} of the results is not here: say where it is with --video")
    return open_video(place)


def _joined(results: Iterable[FrameResult], frames: Iterable[VideoFrame]) -> Iterator[Frame]:
    """Join results and frames of a video by their numbers; frames without a result are left out."""
    pictures = iter(frames)
    for result in results:
        number = result.frame or 0
        picture = next((each for each in pictures if each.index >= number), None)
        if picture is None or picture.index != number:
            raise EveryposeError(f"{result.file} has no frame {number}: the results are those of another video")
        yield Frame(picture.index, picture.time, picture.image, result.people)


def _file_name(video: str) -> str:
    """Return what the files of a video are called, from its name in results, which may be anyone's.

    >>> _file_name("clips/a.b.mp4"), _file_name("a/.."), _file_name("")
    ('a.b', 'video', 'video')
    """
    stem = re.sub(r"[\x00-\x1f\x7f]", "_", Path(video).stem)
    return stem if stem.strip(".") else "video"


def _new_name(stem: str, taken: set[str]) -> str:
    """Return the stem, with a number if another video has it."""
    name, number = stem, 1
    while name.casefold() in taken:
        number += 1
        name = f"{stem}_{number}"
    taken.add(name.casefold())
    return name
