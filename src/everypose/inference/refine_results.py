"""Refinement of saved results: a COCO results list and its images to a list with better keypoints."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from everypose.core.arrays import Image
from everypose.core.progress import track
from everypose.data.images import read_image
from everypose.errors import EveryposeError
from everypose.inference.inputs import Source
from everypose.inference.refinement import Refiner
from everypose.inference.results.coco import Entry, read_entries, read_people
from everypose.people import People

ImageKey = tuple[str | None, int]
"""What identifies an image: its file name and 0; its name and number if others have the name; None and its number."""


@dataclass
class RefinedResults:
    """A refined COCO results list.

    Attributes:
        entries: in the order of the given list, without duplicates; other fields than ``keypoints`` are unchanged.
        images: number of images whose people were refined.
        people: number of refined people.
        suppressed: number of people left out as duplicates.
        failed: one line for each image whose people stay as they were, because it is missing or cannot be read.

    >>> RefinedResults(images=3, people=12, suppressed=1).failed
    []
    """

    entries: list[Entry] = field(default_factory=list)
    images: int = 0
    people: int = 0
    suppressed: int = 0
    failed: list[str] = field(default_factory=list)


def refine_results(path: Path, images: Sequence[Source], refiner: Refiner, *, quiet: bool = False) -> RefinedResults:
    """Refine the people of a COCO results list.

    Entries with a ``file_name`` belong to the image of that name; of several images with that name, and without a name,
    to the one whose number is their ``image_id``.

    Args:
        path: the JSON file.
        images: the images.
        refiner: refines the poses.
        quiet: show no progress bar.

    Raises:
        EveryposeError: if the file is not a COCO results list with the model's keypoints.

    >>> import json
    >>> from types import SimpleNamespace
    >>> import numpy as np
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> _ = Path("poses.json").write_text(json.dumps([{"image_id": 1, "keypoints": [5, 5, 0.9], "score": 0.9}]))
    >>> refiner = SimpleNamespace(skeleton=Skeleton("point", ("tip",), (), (), (0.1,)))
    >>> refined = refine_results(Path("poses.json"), images=[], refiner=refiner, quiet=True)
    >>> refined.people, refined.failed  # the image is not among those given
    (0, ['there is no image with the number 1'])
    """
    entries = read_entries(path)
    shared = {name for name, count in Counter(source.path.name for source in images).items() if count > 1}
    groups = _rows_of_images(path, entries, shared)
    # All entries are read before the first image, so that a malformed one is reported at once.
    people = [read_people(path, [entries[row] for row in rows], refiner.skeleton) for rows in groups.values()]
    sources: dict[ImageKey, Source] = {(None, source.image_id): source for source in images}
    sources |= {_key(source.path.name, source.image_id, shared): source for source in images}
    result, kept = RefinedResults(), dict(enumerate(entries))
    work = list(zip(groups.items(), people, strict=True))
    for ((name, image_id), rows), own in track(work, "refining poses", quiet=quiet):
        source = sources.get((name and Path(name).name, image_id))
        if source is None:
            named = "" if name is None else f" {name}"
            numbered = f" with the number {image_id}" if name is None or image_id else ""
            result.failed.append(f"there is no image{named}{numbered}")
            continue
        try:
            image = read_image(source.path)
        except EveryposeError as error:
            result.failed.append(str(error))
            continue
        refined = _refined(own, image, refiner)
        for row, keypoints in zip(rows, refined, strict=True):
            if keypoints is None:
                del kept[row]
            else:
                kept[row] = entries[row] | {"keypoints": keypoints}
        result.images += 1
        result.people += sum(keypoints is not None for keypoints in refined)
        result.suppressed += refined.count(None)
    result.entries = list(kept.values())
    return result


def _rows_of_images(path: Path, entries: Sequence[Entry], shared: Collection[str]) -> dict[ImageKey, list[int]]:
    """The rows of each image's entries; several images have one of the ``shared`` names."""
    groups: dict[ImageKey, list[int]] = {}
    for row, entry in enumerate(entries):
        if entry.get("frame") is not None:
            raise EveryposeError(
                f"{path}: entry {row} is of a video's frame: refine videos by 'everypose predict --refine'"
            )
        name, number = entry.get("file_name") or None, entry.get("image_id")
        if name is None and not isinstance(number, int):
            raise EveryposeError(f"{path}: entry {row} has neither a file_name nor a number as its image_id")
        image_id = number if isinstance(number, int) else 0
        groups.setdefault((None, image_id) if name is None else _key(str(name), image_id, shared), []).append(row)
    return groups


def _key(name: str, image_id: int, shared: Collection[str]) -> ImageKey:
    """The key of an image with a file name, which may be one of those that several images have."""
    return name, image_id if Path(name).name in shared else 0


def _refined(people: People, image: Image, refiner: Refiner) -> list[list[float] | None]:
    """The refined keypoints of each person as COCO writes them; None for a duplicate."""
    keypoints = refiner.refine(people.keypoints, image)
    distinct = set(refiner.distinct(keypoints, people.scores).tolist())
    entries = People(keypoints, people.scores, people.skeleton, boxes=people.boxes).to_coco(0)
    return [entry["keypoints"] if row in distinct else None for row, entry in enumerate(entries)]
