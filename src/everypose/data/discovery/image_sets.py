"""The image files of a set: of a folder, or those that an annotation file names."""

from pathlib import Path

from everypose.data.discovery.annotation_files import find_image_root, image_path, load
from everypose.data.image_header import SUFFIXES
from everypose.errors import EveryposeError


def images_of(source: Path) -> tuple[list[Path], int]:
    """The image files of a folder (its folders included) or of an annotation file, sorted.

    Returns:
        The files, and how many more an annotation file names that are not there.

    Raises:
        EveryposeError: when ``source`` does not exist or no image belongs to it.
    """
    if source.is_dir():
        found = sorted(path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        if not found:
            raise EveryposeError(f"{source} holds no images ({', '.join(sorted(SUFFIXES))})")
        return found, 0
    if not source.exists():
        raise EveryposeError(f"{source} does not exist; give a folder of images or an annotation file")
    entries = load(source)["images"]
    names = [image["file_name"] for image in entries if isinstance(image, dict) and "file_name" in image]
    names = sorted({name for name in names if isinstance(name, str)})
    root = find_image_root(source, names)
    if root is None:
        raise EveryposeError(f"the images of {source} are not near it; give the folder that holds them instead")
    paths = [image_path(root, name) for name in names]
    there = [path for path in paths if path is not None]
    return there, len(paths) - len(there)
