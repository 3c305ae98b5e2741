"""Join the shards of a bulk run to one table, with the tracks of a video joined across its segments."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from everypose.bulk.check import find_problems, segments_of, shard_states
from everypose.bulk.records import SegmentRecord, read_parts
from everypose.core.counted import counted
from everypose.core.files import written_whole
from everypose.errors import EveryposeError

if TYPE_CHECKING:
    import pyarrow

BATCH_ROWS = 65_536


def merge(out: Path, table: Path) -> int:
    """Write the rows of all shards as one Parquet file; return their number.

    Images come first, in the order of shards and parts, then each video in the order of its frames. Tracks are numbered
    through each video; detections in no track have an empty ``track_id``.

    Raises:
        EveryposeError: if the run has problems (`everypose.bulk.check.find_problems`), or the file cannot be written.

    >>> import numpy as np
    >>> from everypose import load
    >>> from everypose.bulk.run import run_shard
    >>> from everypose.bulk.shards import Shard
    >>> from everypose.bulk.sources import Sources
    >>> from everypose.drawing import encode
    >>> _ = Path("a.png").write_bytes(encode(np.zeros((64, 64, 3), np.uint8), ".png"))
    >>> pose, black, out = load("boir-lite", threads=1), Sources({"a.png": "a.png"}), Path("poses")
    >>> summary = run_shard(pose, black, out, shard=Shard(0, 1), model={"model": "boir-lite"}, quiet=True)
    >>> merge(out, Path("poses.parquet"))  # no people, no rows
    0
    """
    if found := find_problems(out):
        raise EveryposeError(f"{found[0]} ({counted(len(found), 'problem')}: see 'everypose bulk verify {out}')")
    from pyarrow import parquet

    videos = segments_of(out)
    of_videos = {path for parts in videos.values() for path in parts}
    paths = [path for state in shard_states(out) for path in read_parts(out / state.shard.folder)]
    if not paths:
        raise EveryposeError(f"{out} has no images")
    rows = 0
    schema = parquet.read_schema(paths[0])
    with written_whole(table) as whole, parquet.ParquetWriter(whole, schema) as writer:
        for path in paths:
            if path not in of_videos:
                for batch in _batches(path):
                    writer.write_table(batch.cast(schema))
                    rows += batch.num_rows
        for parts in videos.values():
            for path, people in zip(parts, join_tracks(list(parts.values())), strict=True):
                for batch in _batches(path):
                    writer.write_table(_with_tracks(batch, people).cast(schema))
                    rows += batch.num_rows
    return rows


def join_tracks(segments: Sequence[SegmentRecord]) -> list[dict[int, int]]:
    """Join the tracks of a video's segments: return each segment's map from track to person, numbered from 1.

    Each segment was also tracked through the first frames of the next one. Two tracks that share detections there are
    the same person; pairs with the most shared detections are joined first, and each track at most once.

    >>> first = SegmentRecord(
    ...     video="a.mp4", first=0, end=30, frames=30, corrupt=0, tracks={4: 4, 5: 4, 6: 6}, after=[(30, 0, 5)]
    ... )
    >>> second = SegmentRecord(
    ...     video="a.mp4", first=30, end=None, frames=30, corrupt=0, tracks={1: 1, 2: 2}, begin=[(30, 0, 2), (30, 1, 1)]
    ... )
    >>> join_tracks([first, second])
    [{4: 1, 5: 1, 6: 2}, {1: 3, 2: 1}]

    Args:
        segments: of one video, in the order of their frames.
    """
    joined: list[dict[int, int]] = []
    known = 0
    before: dict[tuple[int, int], int] = {}
    for segment in segments:
        common = Counter(
            (before[frame, row], segment.tracks[track])
            for frame, row, track in segment.begin
            if (frame, row) in before and track in segment.tracks
        )
        people: dict[int, int] = {}
        for (person, track), _ in sorted(common.items(), key=lambda pair: (-pair[1], pair[0])):
            if person not in people.values() and track not in people:
                people[track] = person
        for track in sorted(set(segment.tracks.values()) - people.keys()):
            known += 1
            people[track] = known
        joined.append({number: people[track] for number, track in segment.tracks.items()})
        before = {(frame, row): joined[-1][track] for frame, row, track in segment.after if track in joined[-1]}
    return joined


def _batches(path: Path) -> "Iterator[pyarrow.Table]":
    """Yield the rows of a part in batches of `BATCH_ROWS`."""
    import pyarrow
    from pyarrow import parquet

    for batch in parquet.ParquetFile(path).iter_batches(BATCH_ROWS):
        yield pyarrow.Table.from_batches([batch])


def _with_tracks(rows: "pyarrow.Table", people: dict[int, int]) -> "pyarrow.Table":
    """Return the rows with the persons of a video in place of the tracks of a segment."""
    import pyarrow

    place = rows.schema.get_field_index("track_id")
    tracks = rows.column(place).to_numpy(zero_copy_only=False)
    values, inverse = np.unique(np.nan_to_num(tracks.astype(np.float64), nan=-1).astype(np.int64), return_inverse=True)
    found = np.array([people.get(value, -1) for value in values.tolist()], dtype=np.int64)[inverse]
    return rows.set_column(place, rows.schema.field(place), pyarrow.array(found, mask=found < 0))
