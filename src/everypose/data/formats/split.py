"""A split of a data set on its way from one format to another: COCO content and where its images are."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from everypose.data.discovery.annotation_files import image_path
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
        image_root: what the images' file names are relative to; None when the images are not at hand.
        notes: what the format it was read from could not say, or what was left out.
    """

    name: str
    content: dict[str, Any]
    image_root: Path | None
    notes: list[str] = field(default_factory=list)

    def image_path(self, file_name: str) -> Path | None:
        """The image file; None when it is not there."""
        return None if self.image_root is None else image_path(self.image_root, file_name)


def split_name(path: Path) -> str:
    """The split that a file is for, by the words of its name and its folder's; the file's stem when none says."""
    for text in (path.stem, path.parent.name):
        words = "".join(char if char.isalpha() else " " for char in text.lower()).split()
        found = [_NAMES[word] for word in words if word in _NAMES]
        if found:
            return found[-1]
    return path.stem


def place_images(pairs: Iterable[tuple[Path, Path]], copy: bool) -> int:
    """Make each (source, target): a symbolic link, or a copy where asked for or links are not possible.

    Returns:
        The number of images placed.

    Raises:
        EveryposeError: when a target cannot be written, or is another file already.
    """
    placed = 0
    for source, target in pairs:
        source = source.resolve()
        placed += 1
        if target.exists():
            if target.samefile(source) or target.stat().st_size == source.stat().st_size:
                continue
            raise EveryposeError(f"{target} is there already and is not {source}; give an empty folder")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _place(source, target, copy)
        except OSError as error:
            raise EveryposeError(f"cannot write {target}: {error.strerror or error}") from error
    return placed


def _place(source: Path, target: Path, copy: bool) -> None:
    if not copy:
        try:
            target.symlink_to(source)
            return
        except OSError:
            # Windows allows links to some users only: a copy does as well.
            pass
    shutil.copyfile(source, target)


def inside_name(file_name: str) -> str:
    """A file name that stays in the folder it is put in: without drive, root and '..', with forward slashes."""
    parts = [part for part in file_name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    return "/".join(part for part in parts if not part.endswith(":"))
