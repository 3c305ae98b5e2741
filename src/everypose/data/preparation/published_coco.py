"""Halpe and COCO-WholeBody: already in COCO's format, checked and put where the recipes look for them."""

from pathlib import Path
from typing import Any

from everypose.core.files import read_json
from everypose.data.formats.coco_entries import WHOLE_BODY_PARTS
from everypose.data.preparation.prepared import Prepared, category, find_file, require_any
from everypose.errors import EveryposeError, as_user_error
from everypose.skeleton.skeleton import Skeleton


def prepare_halpe(folder: Path, *, quiet: bool = False) -> list[Prepared]:  # noqa: ARG001  # nothing takes long here
    """Check ``halpe_{train,val}_v1.json`` and link HICO-DET's and COCO's image folders.

    Args:
        folder: of the downloads, with ``hico_20160224_det`` and ``val2017`` anywhere below.
        quiet: not used.

    Raises:
        EveryposeError: if no annotations are there, or they have other keypoints.

    >>> prepare_halpe(Path("downloads"))
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: downloads does not hold halpe_train_v1.json or halpe_val_v1.json
    """
    prepared = []
    for split, images in (("train", "hico_20160224_det/images/train2015"), ("val", "val2017")):
        path = find_file(folder, [f"**/halpe_{split}_v1.json"])
        if path is not None:
            roots = [each for each in sorted(folder.glob(f"**/{images}")) if each.is_dir()]
            links = {f"images/{split}": roots[0]} if roots else {}
            prepared.append(_checked(path, "halpe", f"halpe_{split}.json", links))
    require_any(prepared, folder, "halpe_train_v1.json or halpe_val_v1.json")
    return prepared


def prepare_wholebody(folder: Path, *, quiet: bool = False) -> list[Prepared]:  # noqa: ARG001
    """Check ``coco_wholebody_{train,val}_v1.0.json`` and copy them to ``annotations`` of COCO's folder.

    Args:
        folder: COCO's folder, with the downloads anywhere below.
        quiet: not used.

    Raises:
        EveryposeError: if no annotations are there, or they have other keypoints.

    >>> prepare_wholebody(Path("downloads"))
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: downloads does not hold coco_wholebody_train_v1.0.json or ...
    """
    prepared = []
    for split in ("train", "val"):
        name = f"coco_wholebody_{split}_v1.0.json"
        path = find_file(folder, [f"**/{name}"])
        if path is not None:
            prepared.append(_checked(path, "coco_wholebody", name, {}))
    require_any(prepared, folder, "coco_wholebody_train_v1.0.json or coco_wholebody_val_v1.0.json")
    return prepared


def _checked(path: Path, skeleton_name: str, name: str, links: dict[str, Path]) -> Prepared:
    """The content of a file, with the skeleton's keypoint names in its category."""
    content = read_json(path)
    skeleton = Skeleton.named(skeleton_name)
    images, annotations = (content.get(key) if isinstance(content, dict) else None for key in ("images", "annotations"))
    if not isinstance(images, list) or not isinstance(annotations, list):
        raise EveryposeError(f"{path} is not a COCO annotation file: it needs the lists images and annotations")
    with as_user_error(f"{path} has an annotation that is not one of COCO's"):
        counts = [_keypoint_count(entry) for entry in annotations]
    for entry, found in zip(annotations, counts, strict=True):
        if found not in (0, len(skeleton)):
            raise EveryposeError(
                f"{path}: annotation {entry.get('id')} has {found:g} keypoints, not the {len(skeleton)} of"
                f" {skeleton.name}"
            )
    without = counts.count(0)
    notes = [f"{without} annotations have no keypoints"] if without else []
    return Prepared(name, images, annotations, category(skeleton), links=links, notes=notes)


def _keypoint_count(entry: dict[str, Any]) -> float:
    """The keypoints of an annotation, its five parts joined where it has them."""
    parts = WHOLE_BODY_PARTS if all(part in entry for part in WHOLE_BODY_PARTS) else ("keypoints",)
    return sum(len(entry.get(part) or ()) for part in parts) / 3
