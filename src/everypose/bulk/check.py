"""Check the shards of a bulk run."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from everypose.bulk.records import MANIFEST, PartRecord, SegmentRecord, digest, read_manifest, read_parts
from everypose.bulk.shards import Shard
from everypose.core.files import sha256
from everypose.errors import EveryposeError


@dataclass(frozen=True)
class ShardState:
    """Progress of a shard.

    >>> ShardState(Shard(0, 4), items=100, done=40, failed=1).finished
    False

    Attributes:
        shard: its index and the number of shards.
        items: number of its images and segments of videos; None until its archives have been read once; 0 before the
            shard is started.
        done: number of images and segments in complete parts.
        failed: number of images and videos that could not be read.
        rows: number of table rows in complete parts.
        finished: whether all its images and segments are in complete parts.
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


def shard_states(out: Path) -> list[ShardState]:
    """Return the progress of each shard, including shards that have not been started.

    Raises:
        EveryposeError: if the folder has no bulk run, or a file of it is damaged.

    >>> from everypose.bulk.records import Manifest
    >>> from everypose.core.files import write_json
    >>> started = Manifest(index=0, count=2, model={"model": "boir-lite"}, sources_sha256="", items=100)
    >>> write_json(Path("poses", Shard(0, 2).folder, MANIFEST), started.model_dump())
    >>> [(state.shard.index, state.items, state.done) for state in shard_states(Path("poses"))]
    [(0, 100, 0), (1, 0, 0)]
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


def find_problems(out: Path) -> list[str]:
    """List gaps, duplicates and modified files of a run, one sentence each; empty if the run is complete.

    Raises:
        EveryposeError: if the folder has no bulk run, or a file of it is damaged.

    >>> from everypose.bulk.records import Manifest
    >>> from everypose.core.files import write_json
    >>> empty = Manifest(index=0, count=2, model={}, sources_sha256="", items=0, items_sha256=digest([]), finished=True)
    >>> write_json(Path("half", Shard(0, 2).folder, MANIFEST), empty.model_dump())
    >>> [problem.partition(" ")[2] for problem in find_problems(Path("half"))]  # of the second shard
    ['is not finished: it has not begun']
    """
    found: list[str] = []
    shard_of: dict[str, int] = {}
    for state in shard_states(out):
        folder = out / state.shard.folder
        if not state.finished:
            found.append(f"{folder} is not finished: {_progress(state)}")
            continue
        parts = read_parts(folder)
        found += _modified_parts(parts)
        counts = Counter(key for record in parts.values() for key in record.processed)
        found += [f"{folder} has {key} {count} times" for key, count in counts.items() if count > 1]
        found += [f"{folder} has {key}, which shard {shard_of[key]} has, too" for key in counts if key in shard_of]
        shard_of |= dict.fromkeys(counts, state.shard.index)
        manifest = read_manifest(folder)
        if digest(counts) != manifest.items_sha256:
            found.append(f"{folder} has not the images of its manifest: {len(counts)} of {manifest.items}")
    return found or _missing_frames(out)


def _modified_parts(parts: Mapping[Path, PartRecord]) -> list[str]:
    """List Parquet files that are missing or differ from their record."""
    found = []
    for path, record in parts.items():
        if not path.is_file():
            found.append(f"{path} is missing")
        elif sha256(path) != record.sha256:
            found.append(f"{path} is not as it was written: its SHA-256 differs")
    return found


def segments_of(out: Path) -> dict[str, dict[Path, SegmentRecord]]:
    """Return the parts and records of each video's segments, in the order of their frames, by the video's name.

    Raises:
        EveryposeError: if a file of the run is damaged.

    >>> from everypose.bulk.records import Manifest
    >>> from everypose.core.files import write_json
    >>> folder = Path("video", Shard(0, 1).folder)
    >>> write_json(folder / MANIFEST, Manifest(index=0, count=1, model={}, sources_sha256="").model_dump())
    >>> segment = SegmentRecord(video="a.mp4", first=0, end=30, frames=30, corrupt=0)
    >>> part = PartRecord(items=["a.mp4#frames=0-29"], failed={}, rows=0, sha256="", segment=segment)
    >>> write_json(folder / "part-000000.json", part.model_dump())
    >>> [(path.name, record.end) for path, record in segments_of(Path("video"))["a.mp4"].items()]
    [('part-000000.parquet', 30)]
    """
    found: dict[str, dict[Path, SegmentRecord]] = {}
    for state in shard_states(out):
        for path, record in read_parts(out / state.shard.folder).items():
            if record.segment is not None:
                found.setdefault(record.segment.video, {})[path] = record.segment
    return {video: dict(sorted(found[video].items(), key=lambda pair: pair[1].first)) for video in sorted(found)}


def _missing_frames(out: Path) -> list[str]:
    """List the places where two segments of a video leave a gap or overlap."""
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
    """Describe the progress of an unfinished shard."""
    processed = state.done + state.failed
    if state.items is None:
        return f"{processed} images so far"
    return f"{processed} of {state.items} images" if state.items else "it has not begun"
