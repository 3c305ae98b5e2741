"""Time and size of the images and frames of a bulk run, measured on a sample, in total and for each stage."""

import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from everypose.bulk.addresses import read_address
from everypose.bulk.items import Item, read_item
from everypose.bulk.process import process_items
from everypose.bulk.segments import SegmentTracks, VideoSettings, open_segment
from everypose.bulk.sources import Archive, Clip, Sources
from everypose.core.counted import counted
from everypose.core.process_setup import available_threads
from everypose.data.web_images import is_web_address
from everypose.errors import EveryposeError
from everypose.inference.estimator import Estimator, Prepared
from everypose.inference.results.parquet_table import ParquetWriter
from everypose.inference.results.record import FrameResult

if TYPE_CHECKING:
    from everypose.video.frames import VideoSource

ARCHIVES = 4
"""Number of archives whose first images are in the sample."""


@dataclass(frozen=True)
class Stages:
    """Seconds of one image or frame in each stage, measured one stage at a time.

    >>> Stages(reading=0.001, decoding=0.004, network=0.02, writing=0.0005).network
    0.02

    Attributes:
        reading: reading the file from the disk or the store; 0 for frames, which are read while decoding.
        decoding: decoding to pixels, and resizing for the network.
        network: running the network and decoding its outputs to people.
        writing: writing the table rows.
    """

    reading: float
    decoding: float
    network: float
    writing: float


@dataclass(frozen=True)
class Measured:
    """Mean time and size of one image or frame.

    >>> Measured(sample=64, problems=(), seconds=0.02, megabytes=0.3, stages=Stages(0.001, 0.004, 0.02, 0.0005)).sample
    64

    Attributes:
        sample: number of images or frames that were measured, without unreadable ones.
        problems: why others of the sample cannot be read, one line each.
        seconds: wall-clock time with overlapping stages, as in a run.
        megabytes: mean size of an image file; 0 for frames.
        stages: seconds of each stage.
    """

    sample: int
    problems: tuple[str, ...]
    seconds: float
    megabytes: float
    stages: Stages


def measure_images(estimator: Estimator, sources: Sources, sample: int) -> Measured:
    """Measure images of a run.

    Args:
        estimator: finds the people.
        sources: of the run.
        sample: the most images.

    Raises:
        EveryposeError: if none of the sample can be read, with the first one's reason, or the model fails.

    >>> import numpy as np
    >>> from everypose import load
    >>> from everypose.drawing import encode
    >>> _ = Path("a.png").write_bytes(encode(np.zeros((64, 64, 3), np.uint8), ".png"))
    >>> measured = measure_images(load("boir-lite", threads=1), Sources({"a.png": "a.png"}), sample=1)
    >>> measured.sample, measured.seconds > 0
    (1, True)
    """
    reading, decoding, size = 0.0, 0.0, 0
    problems: list[str] = []

    def prepared() -> Iterator[Prepared]:
        nonlocal reading, decoding, size
        for item in _sample(sources, sample):
            begin = time.monotonic()
            try:
                content = _content(item)
                middle = time.monotonic()
                one = estimator.prepare(read_item(Item(item.key, content)))
            except EveryposeError as error:
                problems.append(str(error))
                continue
            reading += middle - begin
            decoding += time.monotonic() - middle
            size += len(content) if isinstance(content, bytes) else 0
            yield one

    count, network, writing = _network_and_writing(estimator, prepared())
    if not count:
        raise EveryposeError(_none_readable("image", problems))
    results = process_items(estimator, _sample(sources, sample))
    together = _seconds_of(FrameResult(each.key, each.people) for each in results if each.people is not None)
    # Files that were just read are in memory: waiting for the store is added where it would be the bottleneck.
    seconds = max(together, reading / min(4, available_threads())) / count
    stages = Stages(reading / count, decoding / count, network / count, writing / count)
    return Measured(count, tuple(problems), seconds, size / count / 1e6, stages)


def measure_frames(estimator: Estimator, clips: Sequence[Clip], sample: int, settings: VideoSettings) -> Measured:
    """Measure the first frames of a segment in the middle of a run, or of the first one after it that can be read.

    Args:
        estimator: finds the people.
        clips: segments of the run.
        sample: the most frames.
        settings: how videos are processed.

    Raises:
        EveryposeError: if no segment has frames that can be read, with the first one's reason, or the model fails.

    >>> from everypose import load
    >>> from everypose.video.segments import Segment
    >>> clip = Clip("clip.mp4", "clip.mp4", Segment())
    >>> measure_frames(load("boir-lite", threads=1), [clip], sample=2, settings=VideoSettings()).sample
    2
    """
    from everypose.video.stream import FrameStream

    decoding = 0.0

    def prepared(video: "VideoSource") -> Iterator[Prepared]:
        nonlocal decoding
        begin = time.monotonic()
        for frame in islice(video, sample):
            one = estimator.prepare(frame.image)
            decoding += time.monotonic() - begin
            yield one
            begin = time.monotonic()

    problems: list[str] = []
    middle = len(clips) // 2
    for clip in (*clips[middle:], *clips[:middle]):
        try:
            source = open_segment(clip, settings)
        except EveryposeError as error:
            problems.append(str(error))
            continue
        with source:
            count, network, writing = _network_and_writing(estimator, prepared(source))
        if count:
            break
        problems.append(f"{clip.key} has no frames that can be decoded")
    else:
        raise EveryposeError(_none_readable("segment", problems))
    with FrameStream(estimator, open_segment(clip, settings)) as frames:
        tracks = SegmentTracks(estimator.skeleton) if settings.track else None

        def results() -> Iterator[FrameResult]:
            for frame in islice(frames, sample):
                if tracks is not None:
                    tracks.follow(frame.people, frame.time)
                yield FrameResult(clip.video, frame.people, frame=frame.index, time=frame.time)

        seconds = _seconds_of(results())
    stages = Stages(0.0, decoding / count, network / count, writing / count)
    return Measured(count, tuple(problems), seconds / count, 0.0, stages)


def _none_readable(noun: str, problems: Sequence[str]) -> str:
    """Return the message of a sample of which nothing can be read."""
    if not problems:
        return "the archives have no images: there is nothing to measure"
    number = counted(len(problems), noun)
    return f"cannot plan: none of {number} of the sample can be read, the first because: {problems[0]}"


def count_images(archive: Archive, sample: int = 32) -> int:
    """Return the number of images of an archive; of a large tar, an estimate by the bytes of the first ones.

    Raises:
        UsageError: if a table has no column of images.

    >>> import io, tarfile
    >>> from everypose.bulk.sources.found import TableOptions
    >>> with tarfile.open("photos.tar", "w") as tar:
    ...     tar.addfile(tarfile.TarInfo("a.jpg"), io.BytesIO())
    >>> count_images(Archive("photos.tar", "photos.tar", TableOptions()))
    1
    """
    if (rows := archive.rows()) is not None:
        return rows
    first = list(islice(archive.items(), sample + 1))
    sizes = [len(item.content) for item in first if isinstance(item.content, bytes)]
    if len(first) <= sample or not sizes:
        return len(sizes)
    # Each image has a header of 512 bytes, and often a small file of labels with another.
    return max(len(first), round(archive.size() / (sum(sizes) / len(sizes) + 1536)))


def _sample(sources: Sources, sample: int) -> Iterator[Item]:
    """Yield image files spread over the run; if there are none, the first images of some archives."""
    keys = sorted(sources.images)[:: max(1, len(sources.images) // sample)][:sample]
    yield from Sources({key: sources.images[key] for key in keys}).items()
    if not keys:
        archives = sources.archives[:: max(1, len(sources.archives) // ARCHIVES)][:ARCHIVES]
        for archive in archives:
            yield from islice(archive.items(), max(1, sample // len(archives)))


def _content(item: Item) -> bytes | str | EveryposeError:
    """Return the bytes of an image's file; an image on the web remains an address.

    Raises:
        EveryposeError: if it cannot be read.
    """
    if isinstance(item.content, Path):
        try:
            return item.content.read_bytes()
        except OSError as error:
            raise EveryposeError(f"cannot read {item.key}: {error.strerror or error}") from error
    if isinstance(item.content, str) and not is_web_address(item.content):
        return read_address(item.content)
    return item.content


def _network_and_writing(estimator: Estimator, prepared: Iterator[Prepared]) -> tuple[int, float, float]:
    """Return the number of images, and the seconds of the network and of writing rows; one batch is in memory."""
    count, network = 0, 0.0

    def results() -> Iterator[FrameResult]:
        nonlocal count, network
        while batch := list(islice(prepared, estimator.batch_size)):
            if not count:
                estimator.predict(batch)  # the first run allocates memory
            begin = time.monotonic()
            people = estimator.predict(batch)
            network += time.monotonic() - begin
            count += len(batch)
            yield from (FrameResult("image", found) for found in people)

    writing = 0.0
    with tempfile.TemporaryDirectory() as folder, ParquetWriter(Path(folder) / "part.parquet") as writer:
        for result in results():
            begin = time.monotonic()
            writer.add(result)
            writing += time.monotonic() - begin
    return count, network, writing


def _seconds_of(results: Iterable[FrameResult]) -> float:
    """Return the seconds that computing results and writing their rows takes."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, ParquetWriter(Path(folder) / "part.parquet") as writer:
        for result in results:
            writer.add(result)
    return time.monotonic() - begin
