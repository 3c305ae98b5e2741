"""From one data set format to another, by way of COCO content: YOLO-pose, MPII, CVAT's and Label Studio's exports."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from everypose.core.files import exists, read_json, write_json
from everypose.data.discovery.annotation_files import annotation_files, find_image_root, load
from everypose.data.discovery.tool_files import read_annotations, refuse_tool_files
from everypose.data.formats.coco import coco_content
from everypose.data.formats.coco_entries import parse_entries
from everypose.data.formats.mpii import read_mpii
from everypose.data.formats.split import Split, checked_images, inside_name, place_images, split_name
from everypose.data.formats.vendor_exports import cleaned
from everypose.data.formats.yolo import find_yaml, read_yolo
from everypose.errors import EveryposeError
from everypose.skeleton.skeleton import Skeleton


def read_any(source: Path, images: Path | None = None, skeleton: Skeleton | None = None) -> list[Split]:
    """Read a data set whatever its format; the format shows in its content.

    Args:
        source: a folder with a data.yaml or COCO files, a data.yaml, a COCO file or an MPII list.
        images: folder of the images; searched near the annotations when None.
        skeleton: what the keypoints are; replaces what the data set says. Needed where the format has no names.

    Raises:
        EveryposeError: if it is none of these.

    >>> Path("mice.zip").touch()
    >>> read_any(Path("mice.zip"))
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: mice.zip is an archive; unpack it and give its folder
    """
    if not exists(source):
        raise EveryposeError(f"{source} does not exist")
    if source.suffix == ".zip":
        raise EveryposeError(f"{source} is an archive; unpack it and give its folder")
    yaml_file = find_yaml(source)
    if yaml_file is not None:
        return read_yolo(yaml_file, skeleton)
    if source.is_dir():
        return [_from_coco(path, content, images, skeleton) for path, content in _coco_files(source)]
    if isinstance(read_annotations(source), list):
        return [_from_mpii(source, images)]
    return [_from_coco(source, load(source), images, skeleton)]


def write_coco(splits: Sequence[Split], out: Path, copy: bool) -> None:
    """Write splits as ``annotations/<split>.json`` with ``images/<split>/`` linked or copied.

    When ``out`` is a .json file, only the annotations of the one split are written. Images come first, so that an
    annotation file is only there when its images are.

    Raises:
        EveryposeError: if an image was not found, two share a name, or ``out`` is one file for several splits.

    >>> category = {"id": 1, "name": "mouse", "keypoints": ["nose", "tail"]}
    >>> empty = Split("train", {"images": [], "annotations": [], "categories": [category]}, Path("photos"))
    >>> write_coco([empty], Path("mice"), copy=False)
    >>> read_json(Path("mice/annotations/train.json"))["categories"]
    [{'id': 1, 'name': 'mouse', 'keypoints': ['nose', 'tail']}]
    """
    if out.suffix == ".json":
        if len(splits) > 1:
            names = ", ".join(split.name for split in splits)
            raise EveryposeError(f"{out} is one file, but there are several splits ({names}); give a folder")
        write_json(out, splits[0].content, null_for_nan=True)
        return
    targets = [checked_images(split, out / "images" / split.name) for split in splits]
    for each in targets:
        place_images(each, copy=copy)
    for split in splits:
        entries = [{**image, "file_name": inside_name(image["file_name"])} for image in split.content["images"]]
        write_json(out / "annotations" / f"{split.name}.json", {**split.content, "images": entries}, null_for_nan=True)


def join(contents: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """Join COCO files of one set (CrowdPose's train and val) into one.

    An image that several files list counts once, if they agree on its name and labels; annotations that clash in their
    id get new ids above all others.

    Args:
        contents: (name for messages, content) of each.

    Raises:
        EveryposeError: if categories differ, one image id stands for two files or has two sets of labels, or an entry
            has no id.

    >>> category = {"id": 1, "name": "mouse", "keypoints": ["nose", "tail"]}
    >>> train, val = ({"images": [{"id": i, "file_name": f"{i}.jpg"}], "annotations": []} for i in (1, 2))
    >>> joined = join([("train", train | {"categories": [category]}), ("val", val | {"categories": [category]})])
    >>> [image["file_name"] for image in joined["images"]]
    ['1.jpg', '2.jpg']
    """
    contents = [(name, parse_entries(content, name)) for name, content in contents]
    first_name, first = contents[0]
    images: dict[int, dict[str, Any]] = {}
    annotations: list[dict[str, Any]] = []
    for name, content in contents:
        if _skeletons(content) != _skeletons(first):
            raise EveryposeError(f"cannot join {first_name} and {name}: their categories or keypoints differ")
        repeated = {image["id"] for image in content["images"] if image["id"] in images}
        for image in content["images"]:
            known = images.setdefault(image["id"], image)["file_name"]
            if known != image["file_name"]:
                raise EveryposeError(
                    f"cannot join: image id {image['id']} is {known}, but {image['file_name']} in {name}"
                )
        again = [entry for entry in content["annotations"] if entry["image_id"] in repeated]
        if _labels(again) != _labels([entry for entry in annotations if entry["image_id"] in repeated]):
            raise EveryposeError(
                f"cannot join: {len(repeated)} images of {name} are listed before it (first: {min(repeated)}), "
                "with other annotations; give different images different ids, or correct the annotations"
            )
        annotations += [entry for entry in content["annotations"] if entry["image_id"] not in repeated]
    return {**first, "images": list(images.values()), "annotations": _with_own_ids(annotations)}


def _labels(annotations: list[dict[str, Any]]) -> list[str]:
    """What annotations say, whatever their order and ids."""
    return sorted(str([entry["image_id"], entry.get("keypoints"), entry.get("bbox")]) for entry in annotations)


def _skeletons(content: dict[str, Any]) -> list[tuple[Any, Any]]:
    return [(category.get("id"), category.get("keypoints")) for category in content["categories"]]


def _with_own_ids(annotations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Annotations with ids that differ; the first with an id keeps it."""
    following = max((entry["id"] for entry in annotations if isinstance(entry.get("id"), int)), default=0) + 1
    seen: set[Any] = set()
    result = []
    for entry in annotations:
        key = entry.get("id")
        if not isinstance(key, int) or key in seen:
            key, following = following, following + 1
        seen.add(key)
        result.append({**entry, "id": key})
    return result


def _coco_files(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    damaged: list[str] = []
    try:
        return list(annotation_files(folder, damaged))
    except EveryposeError as error:
        if damaged:
            raise
        refuse_tool_files(folder)
        raise EveryposeError(
            f"{folder} is not a data set: neither a data.yaml with kpt_shape nor a COCO file with keypoints is in it"
        ) from error


def _from_coco(path: Path, content: dict[str, Any], images: Path | None, skeleton: Skeleton | None) -> Split:
    content, notes = cleaned(content, str(path), skeleton)
    names = [image["file_name"] for image in content["images"]]
    root = images if images is not None else find_image_root(path, names)
    return Split(split_name(path), content, root, notes)


def _from_mpii(path: Path, images: Path | None) -> Split:
    people = read_json(path)
    names = [person["image"] for person in people if isinstance(person, dict) and isinstance(person.get("image"), str)]
    root = images if images is not None else find_image_root(path, list(dict.fromkeys(names)))
    if not names:
        raise EveryposeError(f"{path} is neither a COCO file nor an MPII list of people with image, center and joints")
    if root is None:
        raise EveryposeError(f"the images of {path} are not near it, and MPII has no image sizes; give --images FOLDER")
    scenes = read_mpii(path, root)
    return Split(split_name(path), coco_content(scenes), root, scenes.repairs)
