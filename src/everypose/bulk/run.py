"""Process one shard: Parquet parts of a fixed number of images, each followed by its record."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from everypose.bulk.records import MANIFEST, Manifest, PartRecord, digest, read_manifest, read_parts
from everypose.bulk.shards import Shard, keys_of_shard
from everypose.core.files import remove_leftovers, sha256, write_json
from everypose.core.process_setup import available_threads
from everypose.core.progress import track
from everypose.errors import UsageError
from everypose.inference.bulk import Summary, find_people
from everypose.inference.estimator import Estimator
from everypose.inference.inputs import Source
from everypose.inference.results.parquet_table import ParquetWriter
from everypose.inference.results.record import FrameResult

PART_ITEMS = 256
"""Images of a part: the most that a killed shard processes again."""


@dataclass(frozen=True)
class ShardSummary:
    """The result of a run over a shard.

    Attributes:
        done_before: images that were in complete parts when it began.
        images: images that were processed now.
        people: people in them.
        failed: images that could not be read now, with the reason.
    """

    done_before: int
    images: int
    people: int
    failed: dict[str, str]


def run_shard(
    estimator: Estimator,
    images: Sequence[Source],
    out: Path,
    *,
    shard: Shard,
    model: Mapping[str, str],
    part_items: int = PART_ITEMS,
    quiet: bool = False,
) -> ShardSummary:
    """Process the images of a shard that are in no complete part.

    Only one process at a time may run a shard.

    Args:
        estimator: finds the people.
        images: all images of the run.
        out: the output folder of all shards.
        shard: which of the images are processed.
        model: the model and options that determine the results; a resumed shard must have the same.
        part_items: images of a part.
        quiet: show no progress.

    Raises:
        UsageError: if the folder has results of another model or another number of shards.
        EveryposeError: if an output cannot be written or the model fails.
    """
    folder = out / shard.folder
    sources = {source.label: source for source in images}
    keys = keys_of_shard(sources, shard)
    manifest = Manifest(
        index=shard.index, count=shard.count, model=dict(model), items=len(keys), items_sha256=digest(keys)
    )
    _require_same_run(out, manifest)
    remove_leftovers(folder)
    parts = read_parts(folder)
    done = {key for record in parts.values() for key in (*record.items, *record.failed)}
    if gone := done.difference(keys):
        raise UsageError(
            f"{folder} has results of images that are no longer named, such as {min(gone)}: use a new --out"
        )
    remaining = [key for key in keys if key not in done]
    write_json(folder / MANIFEST, manifest.model_dump())
    number = 1 + max((int(path.stem.removeprefix("part-")) for path in parts), default=-1)
    starts = range(0, len(remaining), part_items)
    images_now, people, failed = 0, 0, dict[str, str]()
    for start in track(starts, f"shard {shard.index}/{shard.count}", total=len(starts), quiet=quiet):
        chunk = remaining[start : start + part_items]
        part = folder / f"part-{number:06d}.parquet"
        record, found = _run_part(estimator, [sources[key] for key in chunk], part)
        number += 1
        images_now += len(record.items)
        people += found
        failed |= record.failed
    write_json(folder / MANIFEST, manifest.model_copy(update={"finished": True}).model_dump())
    return ShardSummary(len(done), images_now, people, failed)


def _require_same_run(out: Path, manifest: Manifest) -> None:
    """Raise a UsageError if the output folder has a shard of another run."""
    for path in sorted(out.glob(f"shard-*/{MANIFEST}")):
        other = read_manifest(path.parent)
        if other.count != manifest.count:
            raise UsageError(f"{out} has results of {other.count} shards, not {manifest.count}: use a new --out")
        if other.model != manifest.model:
            raise UsageError(f"{out} has results of another model or other options: use a new --out")


def _run_part(estimator: Estimator, sources: Sequence[Source], path: Path) -> tuple[PartRecord, int]:
    """Write one part and its record; return the record and the number of people."""
    summary = Summary()
    items: list[str] = []
    rows, people = 0, 0
    workers = min(4, available_threads())
    with ParquetWriter(path) as writer, ThreadPoolExecutor(workers) as pool:
        for source, found in find_people(estimator, sources, pool, workers=workers, summary=summary):
            writer.add(FrameResult(source.label, found))
            items.append(source.label)
            people += len(found)
            rows += len(found) * len(found.skeleton)
    failed = {source.label: reason for source, reason in summary.failed}
    record = PartRecord(items=items, failed=failed, rows=rows, sha256=sha256(path))
    write_json(path.with_suffix(".json"), record.model_dump())
    return record, people
