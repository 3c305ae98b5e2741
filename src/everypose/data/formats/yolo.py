"""Reading Ultralytics YOLO-pose data sets: a data.yaml, images/ and labels/ with one text file for each image.

A label line is ``class cx cy w h x1 y1 v1 x2 y2 v2 ...``, everything but class and visibility as a share of the image's
width or height. Format: https://docs.ultralytics.com/datasets/pose/.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from everypose.core.arrays import Float64
from everypose.data.discovery.annotation_files import contained
from everypose.data.discovery.walk import is_file, is_folder, walk
from everypose.data.formats import flat_yaml
from everypose.data.formats.coco import AREA_OF_BOX, coco_category_fields
from everypose.data.formats.coco_entries import LARGEST_NUMBER, whole_visibilities
from everypose.data.formats.split import Split
from everypose.data.images import read_header
from everypose.errors import EveryposeError
from everypose.skeleton.skeleton import Skeleton

_SPLITS = ("train", "val", "test")
_SHARE_SLACK = 0.1
"""How far outside of 0 to 1 a share may lie: keypoints may be a little outside of their image."""


def find_yaml(source: Path) -> Path | None:
    r"""The data set's YAML file: ``source`` itself, or the one in the folder that has a ``kpt_shape``.

    >>> Path("mice").mkdir()
    >>> _ = Path("mice/data.yaml").write_text("kpt_shape: [2, 3]\n")
    >>> find_yaml(Path("mice")).name
    'data.yaml'
    """
    if source.is_file():
        return source if source.suffix in (".yaml", ".yml") else None
    files = sorted(walk(source, (".yaml", ".yml"), depth=0).files, key=lambda path: path.stem != "data")
    return next((path for path in files if "kpt_shape" in _text(path)), None)


def read_yolo(yaml_file: Path, skeleton: Skeleton | None = None) -> list[Split]:
    r"""Read all splits of a data set.

    Args:
        yaml_file: its YAML file.
        skeleton: what the keypoints are; without it, ``kpt_names`` of the file.

    Raises:
        EveryposeError: if the file is no pose data set, does not name its keypoints, or a label line is malformed.

    >>> import cv2
    >>> Path("pair/images").mkdir(parents=True)
    >>> Path("pair/labels").mkdir()
    >>> _ = cv2.imwrite("pair/images/a.png", np.zeros((48, 64, 3), np.uint8))
    >>> _ = Path("pair/labels/a.txt").write_text("0 0.5 0.5 0.5 0.5 0.25 0.5 2 0.75 0.5 2\n")
    >>> shape = "kpt_shape: [2, 3]\nkpt_names: {0: [nose, tail]}\nnames: {0: mouse}\n"
    >>> _ = Path("pair/data.yaml").write_text("train: images\n" + shape)
    >>> [split] = read_yolo(Path("pair/data.yaml"))
    >>> split.content["annotations"][0]["keypoints"]
    [16, 24, 2, 48, 24, 2]
    """
    values = flat_yaml.parse(_text(yaml_file), str(yaml_file))
    keypoints, values_each = _shape(values, yaml_file)
    categories = _categories(values, _named(values, keypoints, yaml_file, skeleton), yaml_file)
    splits = []
    for name in _SPLITS:
        if values.get(name):
            paths = _images(values, name, yaml_file)
            splits.append(_read_split(name, paths, categories, keypoints, values_each, yaml_file))
    if not splits:
        raise EveryposeError(f"{yaml_file} names no images: it has neither 'train' nor 'val' nor 'test'")
    return splits


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise EveryposeError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise EveryposeError(f"{path} is not UTF-8 text") from error


def _shape(values: dict[str, Any], path: Path) -> tuple[int, int]:
    """kpt_shape: number of keypoints, and 2 (x, y) or 3 (x, y, visibility) values for each."""
    shape = values.get("kpt_shape")
    if not (isinstance(shape, list) and len(shape) == 2 and all(isinstance(n, int) for n in shape) and shape[0] > 0):
        raise EveryposeError(f"{path} has no kpt_shape like [17, 3]: it is not a pose data set")
    if shape[1] not in (2, 3):
        raise EveryposeError(f"{path}: kpt_shape {shape} must have 2 or 3 values for each keypoint")
    return shape[0], shape[1]


def _named(values: dict[str, Any], count: int, path: Path, skeleton: Skeleton | None) -> Skeleton:
    """Return the given skeleton, or one with the keypoint names of ``kpt_names``."""
    if skeleton is None:
        if not values.get("kpt_names"):
            raise EveryposeError(
                f"{path} does not name its keypoints: give --skeleton NAME (coco, say) or a TOML file with their names"
            )
        skeleton = Skeleton.from_ultralytics(path)
    if len(skeleton) != count:
        raise EveryposeError(f"{path} has {count} keypoints, but the skeleton {skeleton.name!r} has {len(skeleton)}")
    return skeleton


def _categories(values: dict[str, Any], skeleton: Skeleton, path: Path) -> list[dict[str, Any]]:
    names = values.get("names")
    if isinstance(names, dict):
        names = [names.get(index) for index in range(len(names))]
    if not isinstance(names, list) or not names or any(name is None for name in names):
        raise EveryposeError(f"{path} has no 'names' of the classes, numbered from 0")
    fields = coco_category_fields(skeleton)
    return [{"id": index + 1, "name": str(name), **fields} for index, name in enumerate(names)]


def _images(values: dict[str, Any], split: str, yaml_file: Path) -> list[Path]:
    """The image files of a split: of folders, or listed in text files."""
    places = values[split] if isinstance(values[split], list) else [values[split]]
    found: list[Path] = []
    for place in places:
        path = _resolved(str(place), values.get("path"), yaml_file)
        if path.is_dir():
            entered = walk(path)
            if entered.skipped:
                raise EveryposeError(f"{yaml_file}: {entered.skipped[0].reason}")
            found += sorted(entered.files)
        else:
            lines = [line.strip() for line in _text(path).splitlines() if line.strip()]
            found += [_listed(path, line) for line in lines]
    # Some may lie below an absolute 'path', others next to a YAML file with a relative path.
    return [path.absolute() for path in found] if any(path.is_absolute() for path in found) else found


def _resolved(place: str, root: Any, yaml_file: Path) -> Path:
    """Below ``path:`` of the file, next to the file, or, as Roboflow writes it, with one ``../`` too many.

    Raises:
        EveryposeError: if the place does not exist, or lies outside of these folders.
    """
    base = yaml_file.parent
    bases = list(dict.fromkeys([base / str(root), base] if root else [base]))
    for folder in bases:
        for name in (place, place.removeprefix("../")):
            inside = folder if name in (".", "./") else contained(folder, name)
            if inside is not None and (is_folder(inside) or is_file(inside)):
                return inside
    looked = ", ".join(str(each) for each in bases)
    if any(is_folder(each / place) or is_file(each / place) for each in bases):
        raise EveryposeError(f"{yaml_file}: {place} lies outside of the data set's folder, {looked}: give it as 'path'")
    raise EveryposeError(f"{yaml_file}: there is no {place}; looked in {looked}")


def _listed(list_file: Path, line: str) -> Path:
    """The image of one line of a list file, which must lie in that file's folder."""
    path = contained(list_file.parent, line)
    if path is None:
        raise EveryposeError(f"{list_file}: the image {line} lies outside of {list_file.parent}")
    return path


def _read_split(
    name: str, paths: list[Path], categories: list[dict[str, Any]], count: int, values_each: int, yaml_file: Path
) -> Split:
    root = _common_root(paths, yaml_file.parent)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, path in zip(_image_ids(paths), paths, strict=True):
        width, height = read_header(path).upright
        file_name = path.relative_to(root).as_posix()
        images.append({"id": image_id, "file_name": file_name, "width": width, "height": height})
        for line in _label_lines(path):
            entry = _annotation(line, categories, count, values_each, (width, height), _label_path(path))
            annotations.append({"id": len(annotations) + 1, "image_id": image_id, **entry})
    content = {"images": images, "annotations": annotations, "categories": categories}
    return Split(name, content, root, [f"areas are {AREA_OF_BOX} of the box: YOLO has none"])


def _common_root(paths: list[Path], otherwise: Path) -> Path:
    """The deepest folder that holds all images."""
    return Path(os.path.commonpath([path.parent for path in paths])) if paths else otherwise


def _image_ids(paths: list[Path]) -> list[int]:
    """The files' numbers where all have one that an id can be and they differ, as COCO's do; else 1, 2, 3 ..."""
    numbers = {int(path.stem) for path in paths if path.stem.isdecimal() and len(path.stem) < 20}
    are_ids = len(numbers) == len(paths) and all(number < LARGEST_NUMBER for number in numbers)
    return [int(path.stem) for path in paths] if are_ids else list(range(1, len(paths) + 1))


def _label_path(image: Path) -> Path:
    """labels/ instead of the last images/ of the path, .txt instead of the suffix."""
    parts = list(image.parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            parts[index] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _label_lines(image: Path) -> list[list[str]]:
    """The fields of each line; an image without a label file has no people."""
    path = _label_path(image)
    return [line.split() for line in _text(path).splitlines() if line.strip()] if path.exists() else []


def _annotation(
    fields: list[str], categories: list[dict[str, Any]], count: int, values_each: int, size: tuple[int, int], path: Path
) -> dict[str, Any]:
    """One person. Coordinates are given back to a millionth of a pixel."""
    wanted = 5 + count * values_each
    if len(fields) != wanted:
        raise EveryposeError(f"{path}: a line has {len(fields)} values; {wanted} are needed for {count} keypoints")
    try:
        numbers = np.array([float(value) for value in fields])
        class_index = int(fields[0])
    except ValueError as error:
        raise EveryposeError(f"{path}: a value is not a number ({error})") from error
    if not np.isfinite(numbers).all() or not 0 <= class_index < len(categories):
        raise EveryposeError(f"{path}: class {fields[0]} is unknown, or a value is not finite")
    shares = np.concatenate([numbers[1:5], numbers[5:].reshape(count, values_each)[:, :2].reshape(-1)])
    if (np.abs(shares - 0.5) > 0.5 + _SHARE_SLACK).any():
        worst = shares[np.abs(shares - 0.5).argmax()]
        raise EveryposeError(
            f"{path}: a coordinate is {worst:g}: coordinates are shares of the image's size, 0 to 1; divide pixels by "
            "its width and height, percent by 100"
        )
    scale = np.array(size, np.float64)
    center, extent = numbers[1:3] * scale, numbers[3:5] * scale
    keypoints = np.full((count, 3), 2.0)
    keypoints[:, :values_each] = numbers[5:].reshape(count, values_each)
    if values_each == 2:
        keypoints[(keypoints[:, :2] == 0).all(axis=1), 2] = 0
    keypoints[:, :2] *= scale
    whole_visibilities(keypoints)
    keypoints[keypoints[:, 2] <= 0] = 0
    keypoints[:, 2] = keypoints[:, 2].clip(0, 2)
    return {
        "category_id": categories[class_index]["id"],
        "bbox": _plain(np.concatenate([center - extent / 2, extent])),
        "keypoints": _plain(keypoints.reshape(-1)),
        "num_keypoints": int((keypoints[:, 2] > 0).sum()),
        "area": float(np.round(AREA_OF_BOX * extent[0] * extent[1], 6)),
        "iscrowd": 0,
    }


def _plain(values: Float64) -> list[float | int]:
    return [int(value) if value.is_integer() else value for value in values.round(6).tolist()]
