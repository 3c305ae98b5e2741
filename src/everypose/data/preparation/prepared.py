"""What a preparation gives, and writing it."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from everypose.core.files import write_json
from everypose.data.formats.coco import AREA_OF_BOX, coco_category_fields
from everypose.errors import EveryposeError
from everypose.skeleton.skeleton import Skeleton

Entry = dict[str, Any]
"""An image, an annotation or a category of a COCO file."""


@dataclass(frozen=True)
class Prepared:
    """One annotation file.

    Attributes:
        name: of the file in ``annotations``.
        images: COCO's image entries.
        annotations: COCO's annotation entries.
        categories: COCO's category entries.
        links: folders to link, path in the data set's folder to an existing folder.
        notes: what was left out or repaired.

    >>> nothing = Prepared("aic_val.json", [], [], category(Skeleton.named("aic")))
    >>> nothing.write(Path("aic")).as_posix()
    'aic/annotations/aic_val.json'
    """

    name: str
    images: Sequence[Entry]
    annotations: Sequence[Entry]
    categories: Sequence[Entry]
    links: Mapping[str, Path] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def write(self, folder: Path) -> Path:
        """Write the file below ``annotations`` of a folder, and link the image folders.

        Returns:
            The path of the file.

        Raises:
            EveryposeError: if it cannot be written.
        """
        path = folder / "annotations" / self.name
        content = {"images": self.images, "annotations": self.annotations, "categories": self.categories}
        write_json(path, content)
        for name, target in self.links.items():
            _link(folder / name, target)
        return path


def category(skeleton: Skeleton, name: str = "person") -> list[Entry]:
    """The categories of a set with one kind of instance.

    >>> category(Skeleton.named("aic"))[0]["keypoints"][0]
    'right_shoulder'
    """
    return [{"id": 1, "name": name, **coco_category_fields(skeleton)}]


def annotation(number: int, image_id: int, keypoints: Sequence[float], box: Sequence[float]) -> Entry:
    """An annotation of a person without a segmentation.

    Args:
        number: its id.
        image_id: of its image.
        keypoints: flat x, y, visibility.
        box: x, y, width, height.

    >>> entry = annotation(1, 7, [5, 5, 2, 0, 0, 0], [0, 0, 20, 10])
    >>> entry["num_keypoints"], round(entry["area"])
    (1, 106)
    """
    return {
        "id": number,
        "image_id": image_id,
        "category_id": 1,
        "keypoints": list(keypoints),
        "num_keypoints": sum(1 for visibility in keypoints[2::3] if visibility > 0),
        "bbox": list(box),
        "area": AREA_OF_BOX * box[2] * box[3],
        "iscrowd": 0,
    }


def find_file(folder: Path, patterns: Sequence[str]) -> Path | None:
    """The first file below a folder that a glob pattern matches; None if there is none.

    >>> Path("downloads").mkdir()
    >>> Path("downloads/halpe_val_v1.json").touch()
    >>> find_file(Path("downloads"), ["**/halpe_val_v1.json"]).name
    'halpe_val_v1.json'
    """
    for pattern in patterns:
        for path in sorted(folder.glob(pattern)):
            if path.is_file():
                return path
    return None


def required_file(folder: Path, pattern: str, what: str) -> Path:
    """The first file below a folder that a glob pattern matches.

    Raises:
        EveryposeError: if there is none; names what was looked for.

    >>> required_file(Path("downloads"), "**/halpe_train_v1.json", "halpe_train_v1.json")
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: downloads does not hold halpe_train_v1.json
    """
    path = find_file(folder, [pattern])
    if path is None:
        raise EveryposeError(f"{folder} does not hold {what}")
    return path


def require_any(found: Sequence[object], folder: Path, what: str) -> None:
    """Check that something was found.

    Raises:
        EveryposeError: if not; names what was looked for.

    >>> require_any([], Path("downloads"), "halpe_val_v1.json")
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: downloads does not hold halpe_val_v1.json
    """
    if not found:
        raise EveryposeError(f"{folder} does not hold {what}")


def _link(path: Path, target: Path) -> None:
    """Make ``path`` a relative link to the folder ``target``, unless something is there."""
    if path.exists() or path.is_symlink():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(os.path.relpath(target.resolve(), path.parent.resolve()), target_is_directory=True)
    except OSError as error:
        raise EveryposeError(f"cannot link {path} to {target}: {error.strerror or error}") from error
