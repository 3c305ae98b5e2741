"""The image files of a set: those below a folder, or those that an annotation file names."""

from dataclasses import dataclass
from pathlib import Path

from everypose.core.files import exists
from everypose.data.discovery.annotation_files import find_image_root, image_path, load
from everypose.data.discovery.walk import walk
from everypose.data.image_header import IMAGE_SUFFIXES
from everypose.errors import EveryposeError


@dataclass(frozen=True)
class ImageSet:
    """The image files of a set.

    Attributes:
        files: sorted paths.
        problems: one line for each image or folder that cannot be used; missing images of an annotation file are
            counted in one line.

    >>> ImageSet(files=[Path("a.jpg")], problems=[]).files[0].name
    'a.jpg'
    """

    files: list[Path]
    problems: list[str]


def find_image_set(source: Path) -> ImageSet:
    """Find the image files below a folder, or those that an annotation file names.

    Args:
        source: the folder or the annotation file.

    Returns:
        The files, and what could not be used.

    Raises:
        EveryposeError: if ``source`` does not exist, or no image belongs to it.

    >>> Path("photos").mkdir()
    >>> for name in ("b.jpg", "a.png", "notes.txt"):
    ...     Path("photos", name).touch()
    >>> [path.name for path in find_image_set(Path("photos")).files]
    ['a.png', 'b.jpg']
    """
    if source.is_dir():
        found = walk(source)
        problems = [skipped.reason for skipped in found.skipped]
        if not found.files:
            raise EveryposeError(
                problems[0] if problems else f"{source} holds no images ({', '.join(sorted(IMAGE_SUFFIXES))})"
            )
        return ImageSet(sorted(found.files), problems)
    if not exists(source):
        raise EveryposeError(f"{source} does not exist; give a folder of images or an annotation file")
    entries = load(source)["images"]
    listed = [image["file_name"] for image in entries if isinstance(image, dict) and "file_name" in image]
    names = sorted({name for name in listed if isinstance(name, str)})
    root = find_image_root(source, names)
    if root is None:
        raise EveryposeError(f"the images of {source} are not near it; give the folder that holds them instead")
    paths = [image_path(root, name) for name in names]
    present = [path for path in paths if path is not None]
    missing = len(paths) - len(present)
    return ImageSet(present, [f"{source}: {missing:,} images of its list are not there"] if missing else [])
