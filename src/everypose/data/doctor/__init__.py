"""Checks of COCO-format keypoint sets: finds their flaws and writes corrected copies.

:func:`examine` checks one annotation file, :func:`examine_all` all files of a folder; :meth:`Examined.corrected`
repairs what can be repaired. :mod:`everypose.data.doctor.flaws` describes the flaws and how reading handles them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from everypose.core.files import exists
from everypose.data.discovery.annotation_files import annotation_files, find_image_root, load
from everypose.data.doctor import annotations, categories, images
from everypose.data.doctor.fix import corrected
from everypose.data.doctor.flaws import Diagnosis, Flaw, Kind, Severity
from everypose.data.doctor.table import Table, build
from everypose.errors import EveryposeError
from everypose.skeleton.matching import pairs_note
from everypose.skeleton.skeleton import Skeleton

__all__ = ["Diagnosis", "Examined", "Flaw", "Kind", "examine", "examine_all", "examine_content"]

_SEVERITIES = get_args(Severity)


@dataclass(frozen=True)
class Examined:
    """An annotation file with its diagnosis.

    >>> content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "person", "keypoints": ["nose"]}]}
    >>> examined = examine_content(content, Path("gt.json"))
    >>> sorted(examined.corrected())
    ['annotations', 'categories', 'images']
    """

    diagnosis: Diagnosis
    content: dict[str, Any]
    table: Table
    images: images.ImageFindings

    def corrected(self) -> dict[str, Any]:
        """The file's content with everything corrected that can be; see :func:`everypose.data.doctor.fix.corrected`."""
        return corrected(self.content, self.table, self.images)


def examine_all(path: Path, image_root: Path | None = None, damaged: list[str] | None = None) -> Iterator[Examined]:
    """Examine an annotation file, or every keypoint annotation file of a folder.

    Args:
        path: the file or the folder.
        image_root: folder of the pictures; searched near the file when None.
        damaged: takes a line for each .json file of a folder that is not JSON.

    Raises:
        EveryposeError: if there is no annotation file, or ``image_root`` is no folder.

    >>> import json
    >>> category = {"id": 1, "name": "mouse", "keypoints": ["nose", "tail"]}
    >>> mouse = {"id": 1, "image_id": 1, "category_id": 1, "keypoints": [1, 2, 2, 3, 4, 2], "bbox": [0, 0, 9, 9]}
    >>> image = {"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}
    >>> content = {"images": [image], "annotations": [mouse], "categories": [category]}
    >>> _ = Path("mice.json").write_text(json.dumps(content))
    >>> [flaw.kind.name for examined in examine_all(Path("mice.json")) for flaw in examined.diagnosis.flaws]
    ['num_keypoints_missing', 'no_area']
    """
    if image_root is not None and not Path(image_root).is_dir():
        raise EveryposeError(f"{image_root} is not a folder; --images takes the folder that holds the pictures")
    if Path(path).is_dir():
        found: Iterator[tuple[Path, dict[str, Any]]] = annotation_files(Path(path), damaged)
    elif exists(path):
        found = iter([(Path(path), load(Path(path)))])
    else:
        raise EveryposeError(f"{path} does not exist; give a data set's folder or its annotation file")
    for annotation_file, content in found:
        yield examine_content(content, annotation_file, image_root)


def examine(annotation_file: Path, image_root: Path | None = None) -> Examined:
    """Examine one annotation file; see :func:`examine_all`.

    >>> import json
    >>> content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "person", "keypoints": ["nose"]}]}
    >>> _ = Path("empty.json").write_text(json.dumps(content))
    >>> examine(Path("empty.json")).diagnosis.annotations
    0
    """
    return next(examine_all(annotation_file, image_root))


def examine_content(content: dict[str, Any], annotation_file: Path, image_root: Path | None = None) -> Examined:
    """Examine a file's content as read.

    >>> categories = [{"id": 1, "name": "person", "keypoints": ["nose", "nose"]}]
    >>> examined = examine_content({"images": [], "annotations": [], "categories": categories}, Path("gt.json"))
    >>> [flaw.kind.name for flaw in examined.diagnosis.flaws], examined.diagnosis.readable
    (['keypoint_names'], False)
    """
    table = build(content)
    names = [image["file_name"] for image in content["images"] if _has_name(image)]
    root = image_root if image_root is not None else find_image_root(annotation_file, names)
    category_flaws, skeleton = categories.check(content["categories"])
    image_findings = images.check(content["images"], root, table)
    annotation_flaws = annotations.check(content, table, image_findings.sizes)
    notes = _notes(content, annotation_file, root) + _pairs_note(content["categories"])
    found = [*category_flaws, *image_findings.flaws, *annotation_flaws]
    diagnosis = Diagnosis(
        annotation_file=Path(annotation_file),
        images=len(content["images"]),
        annotations=len(content["annotations"]),
        persons=int((annotations.labeled(table).any(axis=1) & ~table.is_crowd).sum()),
        keypoints=table.keypoints.shape[1],
        skeleton=None if skeleton is None else skeleton.name,
        image_root=root,
        notes=notes + _sigmas_note(table.keypoints.shape[1], skeleton),
        flaws=sorted(found, key=lambda flaw: _SEVERITIES.index(flaw.kind.severity)),
    )
    return Examined(diagnosis, content, table, image_findings)


def _notes(content: dict[str, Any], annotation_file: Path, image_root: Path | None) -> list[str]:
    notes = []
    if image_root is None and content["images"]:
        notes.append(
            f"none of the images is at hand near {annotation_file}: files, sizes and orientation were not checked "
            "(give their folder with --images)"
        )
    if not content["images"]:
        notes.append("the file lists no images")
    if not content["annotations"]:
        notes.append("the file has no annotations")
    return notes


def _pairs_note(categories: list[Any]) -> list[str]:
    """Name keypoints that look like left and right but are not read as such, if no flip_idx says which swap."""
    for category in categories:
        names = category.get("keypoints") if isinstance(category, dict) and not category.get("flip_idx") else None
        note = pairs_note(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else None
        if note is not None:
            return [note]
    return []


def _sigmas_note(keypoints: int, skeleton: Skeleton | None) -> list[str]:
    if not keypoints or (skeleton is not None and skeleton.sigmas is not None):
        return []
    return [
        "the OKS sigmas of these keypoints are unknown, which training and evaluation ask for: 'everypose data sigmas' "
        "estimates them, or writes yours down"
    ]


def _has_name(image: Any) -> bool:
    return isinstance(image, dict) and isinstance(image.get("file_name"), str)
