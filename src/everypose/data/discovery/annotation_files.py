"""Finding the COCO-format annotation files of a folder, and the folder of their images."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from everypose.core.files import read_json
from everypose.data.discovery.tool_files import read_annotations, refuse_tool_files
from everypose.data.discovery.walk import is_file, walk
from everypose.errors import EveryposeError

_LISTS = ("images", "annotations", "categories")
_DEPTH = 3
_FOLDERS_TRIED = 400
_ANNOTATION_FOLDERS = frozenset({"annotations", "annotation", "annos", "ann", "json", "labels"})


def load(path: Path) -> dict[str, Any]:
    """Read a COCO annotation file without checking its entries.

    Raises:
        EveryposeError: if it is not JSON, or lacks the lists ``images``, ``annotations`` and ``categories``.

    >>> _ = Path("results.json").write_text("[]")
    >>> load(Path("results.json"))
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: results.json is a JSON list, not a COCO annotation file; results ...
    """
    content = read_annotations(path)
    if isinstance(content, list):
        raise EveryposeError(
            f"{path} is a JSON list, not a COCO annotation file; results are scored with 'everypose evaluate', "
            "MPII annotations are turned into COCO with 'everypose data convert'"
        )
    values: dict[str, Any] = content if isinstance(content, dict) else {}
    for key in _LISTS:
        if not isinstance(values.get(key), list):
            raise EveryposeError(f"{path} is not a COCO annotation file: it has no list {key!r}")
    return values


def annotation_files(root: Path, damaged: list[str] | None = None) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the keypoint annotation files of a folder with their content; they are recognized by content.

    COCO files without any keypoints (instances, captions) and other JSON files are skipped.

    Args:
        root: the folder.
        damaged: takes a line for each .json file that is not JSON and each folder that cannot be read.

    Raises:
        EveryposeError: if the folder does not exist or has none; the message lists the requirements.

    >>> import json
    >>> category = {"id": 1, "name": "mouse", "keypoints": ["nose", "tail"]}
    >>> person = {"id": 1, "image_id": 1, "category_id": 1, "keypoints": [1, 2, 2, 3, 4, 2]}
    >>> content = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [person], "categories": [category]}
    >>> Path("mice").mkdir()
    >>> _ = Path("mice/labels.json").write_text(json.dumps(content))
    >>> [path.name for path, _ in annotation_files(Path("mice"))]
    ['labels.json']
    """
    root = Path(root)
    if not root.is_dir():
        raise EveryposeError(f"{root} does not exist; give a data set's folder or its annotation file")
    found = False
    lines: list[str] = [] if damaged is None else damaged
    entered = walk(root, (".json",), depth=_DEPTH)
    lines += [skipped.reason for skipped in entered.skipped]
    for path in sorted(entered.files):
        try:
            content = read_json(path)
        except EveryposeError as error:
            lines.append(str(error))
            continue
        if _is_coco(content) and _has_keypoints(content):
            found = True
            yield path, content
    if not found:
        refuse_tool_files(root)
    if not found and lines:
        raise EveryposeError(f"{root} has no annotation file that can be read: {lines[0]}")
    if not found:
        raise EveryposeError(
            f"{root} is not a data set: no JSON file with 'images', 'categories' and 'annotations' with keypoints "
            f"in it or in its folders (looked {_DEPTH} levels deep); 'everypose data convert' reads YOLO-pose and MPII"
        )


def first_with_keypoints(categories: list[Any], path: Path) -> dict[str, Any]:
    """The first category that lists its keypoints.

    Raises:
        EveryposeError: if none does; the message names the file, ``path``.

    >>> categories = [{"id": 1, "name": "car"}, {"id": 2, "name": "person", "keypoints": ["nose"]}]
    >>> first_with_keypoints(categories, Path("gt.json"))["id"]
    2
    """
    for category in categories:
        if isinstance(category, dict) and category.get("keypoints"):
            return category
    raise EveryposeError(f"{path} does not say what its keypoints are: no category lists 'keypoints'")


def find_image_root(annotation_file: Path, file_names: Sequence[str]) -> Path | None:
    """The folder below which ``file_names`` exist; None when none of them is found.

    Tried: the annotation file's folder and its folders, two levels deep, then, from a folder of annotations, the
    same of its parent. The folder in which most of up to 16 names exist is taken; fewer than a quarter is chance.

    >>> Path("set/images").mkdir(parents=True)
    >>> Path("set/images/a.jpg").touch()
    >>> find_image_root(Path("set/labels.json"), ["a.jpg"]).name
    'images'
    """
    if not file_names:
        return None
    step = max(1, len(file_names) // 16)
    sample = file_names[::step][:16]
    best, most = None, (len(sample) - 1) // 4
    for folder in _folders_nearby(Path(annotation_file).resolve().parent):
        found = sum(image_path(folder, name) is not None for name in sample)
        if found > most:
            best, most = folder, found
        if found == len(sample):
            break
    return best


def _is_coco(content: Any) -> bool:
    return isinstance(content, dict) and all(isinstance(content.get(key), list) for key in _LISTS)


def _has_keypoints(content: dict[str, Any]) -> bool:
    entries = [*content["categories"], *content["annotations"][:1000]]
    return any(isinstance(entry, dict) and "keypoints" in entry for entry in entries)


def _folders_nearby(start: Path) -> Iterator[Path]:
    """The start and its folders, then those of its parent where the start holds annotations only: nearest first."""
    seen: set[Path] = set()
    for base in (start, start.parent) if start.name.lower() in _ANNOTATION_FOLDERS else (start,):
        level = [base]
        for _ in range(_DEPTH):
            following: list[Path] = []
            for folder in level:
                if folder not in seen and len(seen) < _FOLDERS_TRIED:
                    seen.add(folder)
                    yield folder
                    following += _subfolders(folder)
            level = following


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError:
        return []


def contained(root: Path, file_name: str) -> Path | None:
    """The path of a file name below a folder; None when it leaves the folder (``..``, another absolute path).

    Links below the folder are followed: data sets often consist of links to images elsewhere.

    Example:
        >>> contained(Path("images"), "train/../a.jpg"), contained(Path("images"), "../secret.txt")
        (PosixPath('images/a.jpg'), None)
    """
    if not file_name or "\0" in file_name:
        return None
    base = Path.cwd() / root
    inside = os.path.relpath(os.path.normpath(base / file_name), os.path.normpath(base))
    return None if inside == "." or inside.split(os.sep, 1)[0] == ".." else Path(root) / inside


def image_path(root: Path, file_name: str) -> Path | None:
    """The image file of a name below ``root``: as written, else without its folders; None when neither is a file.

    >>> Path("photos").mkdir()
    >>> Path("photos/a.jpg").touch()
    >>> image_path(Path("photos"), "train/a.jpg").name, image_path(Path("photos"), "b.jpg")
    ('a.jpg', None)
    """
    for name in dict.fromkeys((file_name, file_name.replace("\\", "/"), last_part(file_name))):
        path = contained(root, name)
        if path is not None and is_file(path):
            return path
    return None


def last_part(file_name: str) -> str:
    r"""An image's name without its folders, also those of Windows.

    >>> last_part("train\\a.jpg")
    'a.jpg'
    """
    return file_name.replace("\\", "/").rsplit("/", 1)[-1]


def expected_path(root: Path, file_name: str) -> Path:
    """Where an image of an annotation file is, or should be, below ``root``.

    Raises:
        EveryposeError: if the name leaves the folder, and the folder has no image of its last part either.

    >>> expected_path(Path("photos"), "c.jpg").as_posix()
    'photos/c.jpg'
    """
    path = image_path(root, file_name) or contained(root, file_name)
    if path is None:
        raise EveryposeError(f"the image name {file_name!r} is not inside the folder of the images, {root}")
    return path
