"""Check and merge the shards of a bulk run."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from everypose.bulk.records import MANIFEST, digest, read_manifest, read_parts
from everypose.bulk.shards import Shard
from everypose.core.files import sha256, written_whole
from everypose.errors import EveryposeError


@dataclass(frozen=True)
class ShardState:
    """How far a shard is.

    Attributes:
        shard: which one.
        items: its images; 0 if it has not begun.
        done: images in complete parts.
        failed: images that could not be read.
        rows: rows of its complete parts.
        finished: whether it is.
    """

    shard: Shard
    items: int = 0
    done: int = 0
    failed: int = 0
    rows: int = 0
    finished: bool = False


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
        )
    return list(found.values())


def problems(out: Path) -> list[str]:
    """Return what is wrong with a run: gaps, duplicates, and parts that are not as they were written.

    Raises:
        EveryposeError: if the folder has no bulk run, or a file of it is damaged.
    """
    found: list[str] = []
    for state in states(out):
        folder = out / state.shard.folder
        if not state.finished:
            progress = f"{state.done + state.failed} of {state.items} images" if state.items else "it has not begun"
            found.append(f"{folder} is not finished: {progress}")
            continue
        parts = read_parts(folder)
        for path, record in parts.items():
            if not path.is_file():
                found.append(f"{path} is missing")
            elif sha256(path) != record.sha256:
                found.append(f"{path} is not as it was written: its SHA-256 differs")
        times = Counter(key for record in parts.values() for key in (*record.items, *record.failed))
        found += [f"{folder} has {key} {number} times" for key, number in times.items() if number > 1]
        if digest(times) != read_manifest(folder).items_sha256:
            found.append(f"{folder} has not the images of its manifest: {len(times)} of {state.items}")
    return found


def merge(out: Path, table: Path) -> int:
    """Write the rows of all shards as one Parquet file, in the order of shards and images; return their number.

    Raises:
        EveryposeError: if the run has `problems`, or the file cannot be written.
    """
    if found := problems(out):
        raise EveryposeError(f"{found[0]} ({len(found)} problems: see 'everypose bulk verify {out}')")
    from pyarrow import parquet

    paths = [path for state in states(out) for path in read_parts(out / state.shard.folder)]
    if not paths:
        raise EveryposeError(f"{out} has no images")
    rows = 0
    schema = parquet.read_schema(paths[0])
    with written_whole(table) as whole, parquet.ParquetWriter(whole, schema) as writer:
        for path in paths:
            part = parquet.read_table(path, schema=schema)
            writer.write_table(part)
            rows += part.num_rows
    return rows
