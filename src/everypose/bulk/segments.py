"""The people of a segment of a video, as a Parquet part and its record."""

import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from everypose.bulk.records import PartRecord, SegmentRecord
from everypose.bulk.sources.clips import Clip
from everypose.core.arrays import Int64
from everypose.core.files import sha256, write_json
from everypose.core.process_setup import peak_memory_mb
from everypose.errors import EveryposeError
from everypose.inference.estimator import Estimator
from everypose.inference.results.parquet_table import ParquetWriter
from everypose.inference.results.record import FrameResult
from everypose.people import People
from everypose.skeleton.skeleton import Skeleton
from everypose.tracking.tracker import Tracker

if TYPE_CHECKING:
    from everypose.video.segments import VideoSegment
    from everypose.video.stream import FrameStream

OVERLAP_SECONDS = 1.0
"""A segment is tracked this far into the next one, so that `merge` can join the tracks of both."""
Sighting = tuple[int, int, int]
"""Frame, position of the person in the frame, track."""


@dataclass(frozen=True)
class VideoSettings:
    """How videos are processed.

    >>> VideoSettings(every=5).track
    False

    Attributes:
        every: process the frames whose number is a multiple of this.
        track: give people identities.
    """

    every: int = 1
    track: bool = False


class SegmentTracks:
    """Tracks the people of a segment without changing them.

    >>> skeleton = Skeleton.named("coco")
    >>> tracks = SegmentTracks(skeleton)
    >>> person = People(np.ones((1, 17, 3)), [0.9], skeleton, boxes=[[0, 0, 40, 100]])
    >>> [tracks.follow(person, time / 10).tolist() for time in range(3)], tracks.sure_of([1])
    ([[1], [1], [1]], {1: 1})
    """

    def __init__(self, skeleton: Skeleton) -> None:
        self._tracker = Tracker(skeleton)
        self._is_sure: dict[int, bool] = {}

    def follow(self, people: People, seconds: float) -> Int64:
        """Return the track of each person of a frame, (N,) int64; -1 for people in no track."""
        tracks = self._tracker.follow(people, seconds, image=people.image)
        seen = tracks.select(tracks.rows >= 0)
        numbers = np.full(len(people), -1, dtype=np.int64)
        numbers[seen.rows] = seen.ids
        sure = seen.confirmed & (seen.evidence >= self._tracker.settings.min_reliability * seen.detections)
        self._is_sure |= dict(zip(seen.ids.tolist(), sure.tolist(), strict=True))
        return numbers

    def sure_of(self, seen: Collection[int]) -> dict[int, int]:
        """Map each track with enough evidence to the first track of the same person.

        Args:
            seen: tracks of the segment itself; a person without any of these is left out.
        """
        found = {}
        for number in self._is_sure:
            first = number
            while first in self._tracker.renamed:
                first = self._tracker.renamed[first]
            if self._is_sure.get(first, False):
                found[number] = first
        people = {found[number] for number in seen if number in found}
        return {number: first for number, first in found.items() if first in people}


def write_segment(
    estimator: Estimator, clip: Clip, path: Path, *, settings: VideoSettings | None = None
) -> tuple[PartRecord, int]:
    """Write the Parquet part of a segment.

    With tracking, the column ``track_id`` has provisional numbers, and the record says which of them are people.

    Args:
        estimator: finds the people.
        clip: the segment.
        path: the Parquet file.
        settings: how videos are processed.

    Returns:
        Its record, and the number of people.

    Raises:
        EveryposeError: if the file cannot be written or the model fails.

    >>> from everypose import load
    >>> from everypose.video.segments import Segment
    >>> clip = Clip("clip.mp4", "clip.mp4", Segment())
    >>> record, people = write_segment(load("boir-lite", threads=1), clip, Path("part-000000.parquet"))
    >>> record.segment.frames, people
    (3, 0)
    """
    from everypose.video.stream import FrameStream

    begin = time.monotonic()
    chosen = settings or VideoSettings()
    segment, people, failed = None, 0, dict[str, str]()
    with ParquetWriter(path) as writer:
        try:
            source = open_segment(clip, chosen)
        except EveryposeError as error:
            failed = {clip.key: str(error)}
        else:
            tracks = SegmentTracks(estimator.skeleton) if chosen.track else None
            with FrameStream(estimator, source) as frames:
                segment, people = _write_frames(writer, frames, clip, tracks=tracks)
    record = PartRecord(
        items=[] if failed else [clip.key],
        failed=failed,
        rows=people * len(estimator.skeleton),
        sha256=sha256(path),
        seconds=round(time.monotonic() - begin, 3),
        peak_mb=peak_memory_mb(),
        segment=segment,
    )
    write_json(path.with_suffix(".json"), record.model_dump())
    return record, people


def open_segment(clip: Clip, settings: VideoSettings) -> "VideoSegment":
    """Open a segment; with tracking, it extends `OVERLAP_SECONDS` into the next one.

    Raises:
        EveryposeError: if the video cannot be read.

    >>> from everypose.video.segments import Segment
    >>> with open_segment(Clip("clip.mp4", "clip.mp4", Segment()), VideoSettings(every=2)) as video:
    ...     [frame.index for frame in video]
    [0, 2]
    """
    from everypose.video.segments import VideoSegment

    if isinstance(clip.segment, EveryposeError):
        raise clip.segment
    overlap = OVERLAP_SECONDS if settings.track else 0.0
    return VideoSegment(clip.name, clip.segment, every=settings.every, seconds_after=overlap, opener=clip.opener)


def _write_frames(
    writer: ParquetWriter, frames: "FrameStream", clip: Clip, *, tracks: SegmentTracks | None
) -> tuple[SegmentRecord, int]:
    """Write the frames of a segment; return its record and the number of people."""
    assert not isinstance(clip.segment, EveryposeError)
    end = clip.segment.end
    begin: list[Sighting] = []
    after: list[Sighting] = []
    own: set[int] = set()
    start = None
    number, people = 0, 0
    for frame in frames:
        found = frame.people
        is_after = end is not None and frame.index >= end
        if tracks is not None:
            start = frame.time if start is None else start
            ids = tracks.follow(found, frame.time)
            sightings = [(frame.index, row, track) for row, track in enumerate(ids.tolist()) if track >= 0]
            if is_after:
                after += sightings
            else:
                own.update(track for _, _, track in sightings)
                begin += sightings if frame.time < start + OVERLAP_SECONDS else []
            found = People(found.keypoints, found.scores, found.skeleton, boxes=found.boxes, ids=ids)
        if not is_after:
            writer.add(FrameResult(clip.video, found, frame=frame.index, time=frame.time))
            number += 1
            people += len(found)
    record = SegmentRecord(
        video=clip.video,
        first=clip.segment.first,
        end=end,
        frames=number,
        corrupt=frames.source.corrupt,
        tracks={} if tracks is None else tracks.sure_of(own),
        begin=begin,
        after=after,
    )
    return record, people
