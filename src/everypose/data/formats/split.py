"""A split of a data set between reading and writing: COCO content and the folder of its images."""

import filecmp
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from everypose.core.files import written_whole
from everypose.data.discovery.annotation_files import image_path
from everypose.data.discovery.walk import walk
from everypose.data.images import read_header
from everypose.errors import EveryposeError

_NAMES = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test", "trainval": "trainval",
}  # fmt: skip


@dataclass
class Split:
    """One split.

    Attributes:
        name: train, val, test, or the subset's own name.
        content: COCO content: images, annotations, categories.
        image_root: what the images' file names are relative to; None if the images were not found.
        notes: what the format it was read from could not say, or what was left out.

    >>> split = Split("train", {"images": [{"id": 1, "file_name": "a.jpg"}]}, image_root=None)
    >>> split.image_path("a.jpg") is None  # the images were not found
    True
    """

    name: str
    content: dict[str, Any]
    image_root: Path | None
    notes: list[str] = field(default_factory=list)

    def image_path(self, file_name: str) -> Path | None:
        """The image file; None when it is not there."""
        return None if self.image_root is None else image_path(self.image_root, file_name)


def split_name(path: Path) -> str:
    """The split that a file is for, by the words of its name and its folder's; the file's stem when none says.

    >>> split_name(Path("annotations/person_keypoints_val2017.json"))
    'val'
    """
    for text in (path.stem, path.parent.name):
        words = "".join(char if char.isalpha() else " " for char in text.lower()).split()
        found = [_NAMES[word] for word in words if word in _NAMES]
        if found:
            return found[-1]
    return path.stem


def checked_images(split: Split, folder: Path) -> dict[Path, Path]:
    """Where each image of a split is, and where it goes.

    Args:
        split: its images are read from below ``split.image_root``.
        folder: the folder that the images go to.

    Returns:
        Target to source, in the split's order.

    Raises:
        EveryposeError: if an image is missing or no image, two share a target, or ``folder`` holds other images.

    >>> split = Split("train", {"images": [{"id": 1, "file_name": "a.jpg"}]}, image_root=None)
    >>> checked_images(split, Path("mice/images/train"))
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: the image 'a.jpg' of train is not in the folder of the images; ...
    """
    targets: dict[Path, Path] = {}
    names: set[str] = set()
    for image in split.content["images"]:
        source = split.image_path(image["file_name"])
        if source is None:
            raise EveryposeError(
                f"the image {image['file_name']!r} of {split.name} is not in the folder of the images; give --images "
                "FOLDER, or leave such images out with 'everypose data doctor --fix'"
            )
        read_header(source)  # a file that is no image must not be published with the set
        target = folder / inside_name(image["file_name"])
        if targets.setdefault(target, source) != source or str(target).casefold() in names:
            raise EveryposeError(f"{split.name}: two images are called {inside_name(image['file_name'])}")
        names.add(str(target).casefold())
    others = [path for path in walk(folder).files if path not in targets] if folder.is_dir() else []
    if others:
        raise EveryposeError(
            f"{folder} holds {len(others):,} images of another set (such as {others[0].name}): give an empty folder"
        )
    return targets


def place_images(targets: Mapping[Path, Path], *, copy: bool) -> None:
    """Put each image at its target: a symbolic link, or a copy where asked for or where links are not possible.

    Args:
        targets: target to source.
        copy: copy instead of linking.

    Raises:
        EveryposeError: if a target cannot be written, or is another file already.

    >>> _ = Path("a.jpg").write_bytes(b"an image")
    >>> place_images({Path("mice/images/train/a.jpg"): Path("a.jpg")}, copy=True)
    >>> Path("mice/images/train/a.jpg").read_bytes()
    b'an image'
    """
    for target, source in targets.items():
        source = Path(os.path.realpath(source))
        try:
            if target.exists() or target.is_symlink():
                if target.exists() and (target.samefile(source) or filecmp.cmp(target, source, shallow=False)):
                    continue
                raise EveryposeError(f"{target} is there already and is not {source}; give an empty folder")
            target.parent.mkdir(parents=True, exist_ok=True)
            _place(source, target, copy)
        except OSError as error:
            raise EveryposeError(f"cannot write {target}: {error.strerror or error}") from error


def _place(source: Path, target: Path, copy: bool) -> None:
    if not copy:
        try:
            target.symlink_to(source)
            return
        except OSError:
            # Windows allows links to some users only; a copy serves as well.
            pass
    with written_whole(target) as part:
        shutil.copyfile(source, part)


def inside_name(file_name: str) -> str:
    """A file name that stays in the folder it is put in: without drive, root and '..', with forward slashes.

    Example:
        >>> inside_name("../train/a.jpg")
        'train/a.jpg'
    """
    parts = [part for part in file_name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    return "/".join(part for part in parts if not part.endswith(":"))
