"""Annotated images in tars, such as WebDataset's shards, for training without extracting them.

A tar's headers are read once; afterwards each image is read by its place in the tar, so that every process and loader
worker reads the images of its own samples only, in any order.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from everypose.data.discovery.annotation_files import load
from everypose.data.discovery.search import files_of
from everypose.data.discovery.walk import Skipped
from everypose.data.formats.coco import coco_category_fields, parse_coco
from everypose.data.formats.image_places import ImageTars
from everypose.data.image_header import IMAGE_SUFFIXES
from everypose.data.scenes import SceneSet
from everypose.data.tars import TAR_SUFFIXES, TarMember, expand_range
from everypose.errors import EveryposeError, as_user_error
from everypose.skeleton.skeleton import Skeleton

MOST_JSON_BYTES = 1 << 24
"""Bytes of one image's annotations."""
_PERSON = 1
"""COCO's category of people."""


def names_tars(images: str) -> bool:
    """Whether the images of a source are tars, by the suffix.

    Example:
        >>> names_tars("sets/train-{000..127}.tar"), names_tars("images")
        (True, False)
    """
    return images.lower().endswith(TAR_SUFFIXES)


def read_tar_set(images: str, annotation_file: Path | None = None, skeleton: Skeleton | None = None) -> SceneSet:
    """Read the annotations of images in tars.

    Without an annotation file, each image has a JSON file of its own in the tar, with the same name up to the first dot
    of its last part: a list of COCO annotations, or an object with the list ``annotations``.

    Args:
        images: the tars: a path, a glob, or a range of numbers such as ``train-{000..127}.tar``.
        annotation_file: a COCO-format file of all images; None for JSON files in the tars.
        skeleton: what the keypoints are; it may be None with an annotation file that says it.

    Raises:
        UsageError: if there are no such tars, or one is compressed.
        EveryposeError: if a tar is damaged, an annotation file as of :func:`everypose.data.formats.coco.read_coco`, an
            image has no annotations, or the skeleton is unknown.

    >>> import tarfile
    >>> import cv2
    >>> import numpy as np
    >>> _ = cv2.imwrite("a.png", np.zeros((48, 64), np.uint8))
    >>> _ = Path("a.json").write_text("[]")
    >>> with tarfile.open("set.tar", "w") as tar:
    ...     for name in ("a.png", "a.json"):
    ...         tar.add(name)
    >>> [(scene.file_name, len(scene)) for scene in read_tar_set("set.tar", skeleton=Skeleton.named("coco"))]
    [('a.png', 0)]
    """
    skipped: list[Skipped] = []
    tars = ImageTars([path for name in expand_range(images) for path in files_of(name, None, skipped, TAR_SUFFIXES)])
    if skipped:
        raise EveryposeError(skipped[0].reason)
    if annotation_file is not None:
        return parse_coco(load(annotation_file), annotation_file, tars, skeleton)
    if skeleton is None:
        raise EveryposeError(f"{images}: the JSON files in tars do not say what the keypoints are: give data.skeleton")
    scenes = parse_coco(_content(tars.members, images, skeleton), Path(images), tars, skeleton)
    return replace(scenes, name=images, annotation_file=None)


def _content(members: Sequence[TarMember], where: str, skeleton: Skeleton) -> dict[str, Any]:
    """Join the annotations of all images to the content of one annotation file."""
    annotations_of = {_sample(member): member for member in members if member.name.endswith(".json")}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for member in members:
        if PurePosixPath(member.name).suffix.lower() not in IMAGE_SUFFIXES:
            continue
        file = annotations_of.get(_sample(member))
        if file is None:
            raise EveryposeError(
                f"{member.tar}/{member.name} has no JSON file in the tar: without people, add one with []"
            )
        fields, own = _read(file)
        image_id = len(images) + 1
        images.append({**fields, "id": image_id, "file_name": member.name})
        for entry in own:
            entry |= {"id": len(annotations) + 1, "image_id": image_id, "category_id": _PERSON}
            annotations.append(entry)
    if not images:
        raise EveryposeError(f"{where}: the tars have no images")
    category = {"id": _PERSON, "name": "person", **coco_category_fields(skeleton)}
    return {"images": images, "annotations": annotations, "categories": [category]}


def _sample(member: TarMember) -> tuple[Path, str]:
    """Return the tar and the name up to the first dot of its last part, as WebDataset joins files to samples."""
    folder, separator, last = member.name.rpartition("/")
    return member.tar, f"{folder}{separator}{last.partition('.')[0]}"


def _read(member: TarMember) -> tuple[Mapping[str, Any], list[dict[str, Any]]]:
    """Return width and height, if the file has them, and the annotations of people."""
    name = f"{member.tar}/{member.name}"
    if member.size > MOST_JSON_BYTES:
        raise EveryposeError(f"{name} is too large: {MOST_JSON_BYTES // 2**20} MB are the most")
    with as_user_error(f"{name} is not JSON"):
        content = json.loads(member.read())
    fields = {}
    if isinstance(content, dict):
        fields = {side: content[side] for side in ("width", "height") if side in content}
        content = content.get("annotations")
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise EveryposeError(f"{name} has no annotations: neither a list of objects nor an object with 'annotations'")
    return fields, [dict(entry) for entry in content if entry.get("category_id", _PERSON) == _PERSON]
