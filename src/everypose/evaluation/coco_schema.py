"""The shape of a COCO-format file, checked before anything is read from it."""

from collections.abc import Iterable
from typing import Any

from everypose.errors import EveryposeError

# What names an image, a person or a category in a file.
_NAMES = (int, str, float)


def require_coco(truth: Any, where: str = "the truth") -> None:
    """See that images, annotations and categories are lists of objects with usable ids.

    Args:
        truth: the JSON content.
        where: what to call it in a message.

    Raises:
        EveryposeError: naming the first thing that is not as it must be.
    """
    if not isinstance(truth, dict) or not all(isinstance(truth.get(key), list) for key in ("images", "annotations")):
        raise EveryposeError(f"{where} is not a COCO-format file: it needs lists 'images' and 'annotations'")
    if not isinstance(truth.get("categories", []), list):
        raise EveryposeError(f"{where} is not a COCO-format file: 'categories' is no list")
    for key in ("images", "annotations", "categories"):
        for row, entry in enumerate(truth.get(key, [])):
            if not isinstance(entry, dict):
                raise EveryposeError(f"entry {row} of {key} in {where} is not an object")
    _require_names(truth["images"], "id", True, f"images in {where}")
    _require_names(truth.get("categories", []), "id", True, f"categories in {where}")
    for key in ("id", "image_id", "category_id"):
        _require_names(truth["annotations"], key, key == "image_id", f"annotations in {where}")
    for category in truth.get("categories", []):
        names = category.get("keypoints", [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise EveryposeError(f"category {category['id']} in {where}: keypoints must be a list of names")


def require_results(results: Any) -> None:
    """See that a results list is one, with usable ids.

    Raises:
        EveryposeError: naming the first thing that is not as it must be.
    """
    if not isinstance(results, list) or not all(isinstance(entry, dict) for entry in results):
        raise EveryposeError("the predictions are not a COCO results file: it must be one list of objects")
    _require_names(results, "image_id", True, "the predictions")
    for key in ("category_id", "annotation_id"):
        _require_names(results, key, False, "the predictions")


def _require_names(entries: Iterable[dict[str, Any]], key: str, needed: bool, where: str) -> None:
    for row, entry in enumerate(entries):
        if (needed or key in entry) and not isinstance(entry.get(key), _NAMES):
            raise EveryposeError(
                f"entry {row} of {where}: {key} must be a number or a text, not {entry.get(key)!r:.40}"
            )
