"""Check the shards of a bulk run."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from everypose.bulk.records import MANIFEST, SegmentRecord, digest, read_manifest, read_parts
from everypose.bulk.shards import Shard
from everypose.core.files import sha256
from everypose.errors import EveryposeError


@dataclass(frozen=True)
class ShardState:
    """How far a shard is.

    Attributes:
        shard: which one.
        items: its images; None while its archives are not read to their end; 0 if it has not begun.
        done: images in complete parts.
        failed: images that could not be read.
        rows: rows of its complete parts.
        finished: whether it is.
        seconds: wall-clock time of its complete parts.
        peak_mb: largest resident memory of its processes, in MB.
    """

    shard: Shard
    items: int | None = 0
    done: int = 0
    failed: int = 0
    rows: int = 0
    finished: bool = False
    seconds: float = 0.0
    peak_mb: float = 0.0


def states(out: Path) -> list[ShardState]:
    """Return the state of each shard, those that have not begun included.

    Raises:
        EveryposeError: if the folder has no bulk run, or a file of it is damaged.
    """
    manifests = [read_manifest(path.parent) for path in sorted(out.glob(f"shard-*/{MANIFEST}"))]
    if not manifests:
        raise EveryposeError(f"{out} has no shards of 'everypose bulk run'")
    count = max(manifest.count for manifest in manifests)
    found = {index: ShardState(Shard(index, count)) for index in range(count)}
    for manifest in manifests:
        shard = Shard(manifest.index, manifest.count)
        records = read_parts(out / shard.folder).values()
        found[manifest.index] = ShardState(
            shard,
            manifest.items,
            sum(len(record.items) for record in records),
            sum(len(record.failed) for record in records),
            sum(record.rows for record in records),
            manifest.finished,
            sum(record.seconds for record in records),
            max((record.peak_mb for record in records), default=0.0),
        )
    return list(found.values())


def problems(out: Path) -> list[str]:
    """Return what is wrong with a run: gaps, duplicates, and parts that are not as they were written.

    Raises:
        EveryposeError: if the folder has no bulk run, or a file of it is damaged.
    """
    found: list[str] = []
    shards: dict[str, int] = {}
    for state in states(out):
        folder = out / state.shard.folder
        if not state.finished:
            found.append(f"{folder} is not finished: {_progress(state)}")
            continue
        parts = read_parts(folder)
        for path, record in parts.items():
            if not path.is_file():
                found.append(f"{path} is missing")
            elif sha256(path) != record.sha256:
                found.append(f"{path} is not as it was written: its SHA-256 differs")
        times = Counter(key for record in parts.values() for key in record.processed)
        found += [f"{folder} has {key} {number} times" for key, number in times.items() if number > 1]
        found += [f"{folder} has {key}, which shard {shards[key]} has, too" for key in times if key in shards]
        shards |= dict.fromkeys(times, state.shard.index)
        manifest = read_manifest(folder)
        if digest(times) != manifest.items_sha256:
            found.append(f"{folder} has not the images of its manifest: {len(times)} of {manifest.items}")
    return found or _missing_frames(out)


def segments_of(out: Path) -> dict[str, dict[Path, SegmentRecord]]:
    """Return the parts with segments of each video, in the order of their frames.

    Raises:
        EveryposeError: if a file of the run is damaged.
    """
    found: dict[str, dict[Path, SegmentRecord]] = {}
    for state in states(out):
        for path, record in read_parts(out / state.shard.folder).items():
            if record.segment is not None:
                found.setdefault(record.segment.video, {})[path] = record.segment
    return {video: dict(sorted(found[video].items(), key=lambda pair: pair[1].first)) for video in sorted(found)}


def _missing_frames(out: Path) -> list[str]:
    """Return where the segments of a video do not join."""
    found = []
    for video, parts in segments_of(out).items():
        segments = list(parts.values())
        ends = [0, *(segment.end for segment in segments)]
        starts = [*(segment.first for segment in segments), None]
        found += [
            f"the segments of {video} do not join: one ends before frame {end}, the next begins with {start}"
            for end, start in zip(ends, starts, strict=True)
            if end != start
        ]
    return found


def _progress(state: ShardState) -> str:
    """Return how far a shard is that is not finished."""
    processed = state.done + state.failed
    if state.items is None:
        return f"{processed} images so far"
    return f"{processed} of {state.items} images" if state.items else "it has not begun"
