"""Process one shard: Parquet parts of a fixed number of images, each followed by its record."""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, count, islice
from pathlib import Path

from everypose.bulk.process import ItemResult, process_items
from everypose.bulk.records import MANIFEST, Manifest, PartRecord, digest, keys_of, read_manifest, read_parts
from everypose.bulk.segments import VideoSettings, write_segment
from everypose.bulk.shards import Shard
from everypose.bulk.sources import Sources
from everypose.core.files import remove_leftovers, sha256, write_json
from everypose.core.process_setup import peak_memory_mb
from everypose.core.progress import track
from everypose.errors import UsageError
from everypose.inference.estimator import Estimator
from everypose.inference.results.parquet_table import ParquetWriter
from everypose.inference.results.record import FrameResult

PART_ITEMS = 256
"""Images of a part: the most that a killed shard processes again."""


@dataclass(frozen=True)
class ShardSummary:
    """The result of a run over one or several shards.

    >>> first = ShardSummary(done_before=0, images=10, people=12, failed={})
    >>> first + ShardSummary(done_before=5, images=1, people=2, failed={"b.jpg": "it is empty"})
    ShardSummary(done_before=5, images=11, people=14, failed={'b.jpg': 'it is empty'}, segments=0)

    Attributes:
        done_before: number of images and segments of videos that earlier runs had processed.
        images: number of images that this run processed.
        people: number of people in these images and segments.
        failed: images and videos that this run could not read, with the reason.
        segments: number of segments of videos that this run processed.
    """

    done_before: int
    images: int
    people: int
    failed: dict[str, str]
    segments: int = 0

    def __add__(self, other: "ShardSummary") -> "ShardSummary":
        """Return the summary of both runs."""
        return ShardSummary(
            self.done_before + other.done_before,
            self.images + other.images,
            self.people + other.people,
            self.failed | other.failed,
            self.segments + other.segments,
        )


def run_shard(
    estimator: Estimator,
    sources: Sources,
    out: Path,
    *,
    shard: Shard,
    model: Mapping[str, str],
    part_items: int = PART_ITEMS,
    video: VideoSettings | None = None,
    retry_failed: bool = False,
    quiet: bool = False,
) -> ShardSummary:
    """Process the images and segments of videos of a shard that are in no complete part.

    Only one process at a time may run a shard.

    Args:
        estimator: finds the people.
        sources: the images, archives and videos of all shards.
        out: the output folder of all shards.
        shard: the shard to process.
        model: the model and options that determine the results; a resumed shard must have the same.
        part_items: number of images in a part.
        video: options for videos.
        retry_failed: process images again that could not be read.
        quiet: show no progress.

    Raises:
        UsageError: if the folder has results of another model or another number of shards.
        EveryposeError: if an output cannot be written or the model fails.

    >>> import numpy as np
    >>> from everypose import load
    >>> from everypose.drawing import encode
    >>> _ = Path("a.png").write_bytes(encode(np.zeros((64, 64, 3), np.uint8), ".png"))
    >>> sources = Sources({"a.png": "a.png", "missing.png": "missing.png"})
    >>> pose, model = load("boir-lite", threads=1), {"model": "boir-lite"}
    >>> summary = run_shard(pose, sources, Path("poses"), shard=Shard(0, 1), model=model, quiet=True)
    >>> summary.images, summary.people, list(summary.failed)
    (1, 0, ['missing.png'])
    """
    folder = out / shard.folder
    own = sources.of_shard(shard)
    manifest = _new_manifest(shard, model, own)
    _require_same_run(out, manifest)
    remove_leftovers(folder)
    if retry_failed:
        _forget_failed(folder)
    parts = read_parts(folder)
    done = keys_of(parts)
    if gone := next((key for key in sorted(done) if not own.has(key)), None):
        raise UsageError(f"{folder} has results of images that are no longer named, such as {gone}: use a new --out")
    summary, keys = ShardSummary(len(done), 0, 0, {}), set(done)
    if _is_finished(folder, manifest, done):
        return summary
    write_json(folder / MANIFEST, manifest.model_dump())
    label = f"shard {shard.index}/{shard.count}"
    remaining = None if own.archives else len(own.images.keys() - done)
    results = track(process_items(estimator, own.items(done)), label, total=remaining, quiet=quiet)
    clips = track([clip for clip in own.clips if clip.key not in done], f"{label}, videos", quiet=quiet)
    paths = _free_paths(folder, parts)
    image_parts = (_write_part(chunk, next(paths), begin) for begin, chunk in _chunks(results, part_items))
    video_parts = (write_segment(estimator, clip, next(paths), settings=video) for clip in clips)
    for record, people in chain(image_parts, video_parts):
        summary += _summary_of(record, people)
        keys.update(record.processed)
    complete = {"items": len(keys), "items_sha256": digest(keys), "finished": True}
    write_json(folder / MANIFEST, manifest.model_copy(update=complete).model_dump())
    return summary


def _new_manifest(shard: Shard, model: Mapping[str, str], own: Sources) -> Manifest:
    """Return the manifest of a shard that is not finished."""
    manifest = Manifest(index=shard.index, count=shard.count, model=dict(model), sources_sha256=digest(own.keys()))
    if (items := own.item_keys()) is None:
        return manifest
    return manifest.model_copy(update={"items": len(items), "items_sha256": digest(items)})


def _free_paths(folder: Path, parts: Iterable[Path]) -> Iterator[Path]:
    """Yield the paths of new parts, numbered after the existing ones."""
    start = 1 + max((int(path.stem.removeprefix("part-")) for path in parts), default=-1)
    return (folder / f"part-{number:06d}.parquet" for number in count(start))


def _summary_of(record: PartRecord, people: int) -> ShardSummary:
    """Return the summary of one part with this number of people."""
    is_video = record.segment is not None
    return ShardSummary(0, 0 if is_video else len(record.items), people, record.failed, int(is_video))


def _require_same_run(out: Path, manifest: Manifest) -> None:
    """Raise a UsageError if the output folder has a shard of another run."""
    for path in sorted(out.glob(f"shard-*/{MANIFEST}")):
        other = read_manifest(path.parent)
        if other.count != manifest.count:
            raise UsageError(f"{out} has results of {other.count} shards, not {manifest.count}: use a new --out")
        if other.model != manifest.model:
            raise UsageError(f"{out} has results of another model or other options: use a new --out")


def _is_finished(folder: Path, manifest: Manifest, done: set[str]) -> bool:
    """Whether nothing is left to process, so that archives need not be read again."""
    if not (folder / MANIFEST).is_file():
        return False
    before = read_manifest(folder)
    same = before.sources_sha256 == manifest.sources_sha256
    return before.finished and same and before.items_sha256 == digest(done)


def _forget_failed(folder: Path) -> None:
    """Remove failed images from the records of the parts, so that they are processed again."""
    for path, record in read_parts(folder).items():
        if record.failed:
            write_json(path.with_suffix(".json"), record.model_copy(update={"failed": {}}).model_dump())


def _chunks(results: Iterable[ItemResult], size: int) -> Iterator[tuple[float, Iterator[ItemResult]]]:
    """Yield the start time of each part and its results, which must be consumed before the next part."""
    remaining = iter(results)
    begin = time.monotonic()
    for first in remaining:
        yield begin, chain([first], islice(remaining, size - 1))
        begin = time.monotonic()


def _write_part(results: Iterable[ItemResult], path: Path, begin: float) -> tuple[PartRecord, int]:
    """Write one part and its record; return the record and the number of people.

    Args:
        results: of the part's images.
        path: the Parquet file.
        begin: `time.monotonic` when the part was started.
    """
    items: list[str] = []
    failed: dict[str, str] = {}
    rows, people = 0, 0
    with ParquetWriter(path) as writer:
        for result in results:
            if result.people is None:
                failed[result.key] = result.problem
                continue
            writer.add(FrameResult(result.key, result.people))
            items.append(result.key)
            people += len(result.people)
            rows += len(result.people) * len(result.people.skeleton)
    seconds = round(time.monotonic() - begin, 3)
    record = PartRecord(
        items=items, failed=failed, rows=rows, sha256=sha256(path), seconds=seconds, peak_mb=peak_memory_mb()
    )
    write_json(path.with_suffix(".json"), record.model_dump())
    return record, people
