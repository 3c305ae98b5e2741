"""Which annotated image each result of a COCO results list belongs to, by image id and by file name.

An ``image_id`` only means something within one annotation file. Results of ``everypose predict`` number the images
of a folder, so that the same number can be another image in the annotation file. Where both files give a name, the
name decides; a contradiction that the names cannot resolve is an error, because scores would be silently wrong.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from everypose.errors import EveryposeError
from everypose.evaluation.coco_schema import JsonId, JsonObject


@dataclass(frozen=True)
class MatchedImages:
    """The image of each result.

    Attributes:
        image_ids: ids of the annotation file, one for each result; as written where the annotation file has no such id.
        corrected: how many results were assigned by file name to another image than their ``image_id`` says.

    >>> MatchedImages(image_ids=[2], corrected=1).image_ids
    [2]
    """

    image_ids: list[JsonId]
    corrected: int = 0


def match_images(results: Sequence[JsonObject], file_names: Mapping[JsonId, str | None]) -> MatchedImages:
    """Assign each result to an image of the annotation file.

    A result with a ``file_name`` belongs to the image with that name: equal paths, else one path ending with the other,
    else the same base name if it occurs once in both files. Results without a name belong to their ``image_id``.

    Args:
        results: COCO results that passed ``require_results``.
        file_names: image id to file name of all images in the annotation file.

    Raises:
        EveryposeError: if a name contradicts the ``image_id`` and identifies no image, or more than one.

    >>> match_images([{"image_id": 1, "file_name": "000001.jpg"}], {1: "000000.jpg", 2: "000001.jpg"})
    MatchedImages(image_ids=[2], corrected=1)
    """
    as_written = [result["image_id"] for result in results]
    pairs = {(result["image_id"], result.get("file_name")) for result in results}
    names = {name for _, name in pairs if isinstance(name, str)}
    if not names or not any(file_names.values()):
        return MatchedImages(as_written)
    index = _NameIndex(file_names, names)
    images = {pair: _image_of(*pair, file_names, index) for pair in pairs}
    image_ids = [images[result["image_id"], result.get("file_name")] for result in results]
    corrected = sum(found != written for found, written in zip(image_ids, as_written, strict=True))
    unnamed = sum(result.get("file_name") is None for result in results)
    if corrected and unnamed:
        raise EveryposeError(
            f"{unnamed} predictions have no file_name, and the image_id of {corrected} others is another image in the"
            " annotation file: give every prediction its file_name, or the annotation file's image_id"
        )
    return MatchedImages(image_ids, corrected)


def _image_of(
    image_id: JsonId, name: str | None, file_names: Mapping[JsonId, str | None], index: "_NameIndex"
) -> JsonId:
    annotated = file_names.get(image_id)
    if name is None or annotated == name:
        return image_id
    candidates = index.find(name)
    if image_id in candidates:
        return image_id
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise EveryposeError(
            f"{name} of the predictions could be {len(candidates)} images of the annotation file, and image_id"
            f" {image_id!r} is none of them: write the file_name with its folder"
        )
    if annotated is None:
        return image_id
    raise EveryposeError(
        f"image_id {image_id!r} is {annotated} in the annotation file and {name} in the predictions, which the"
        " annotation file does not list: these predictions are for other images, or their file_name must be removed"
    )


class _NameIndex:
    """Finds the images that a file name can mean."""

    def __init__(self, file_names: Mapping[JsonId, str | None], result_names: set[str]) -> None:
        self._by_path: defaultdict[str, list[JsonId]] = defaultdict(list)
        self._by_base: defaultdict[str, list[tuple[str, JsonId]]] = defaultdict(list)
        for image_id, name in file_names.items():
            if name:
                path = _posix(name)
                self._by_path[path].append(image_id)
                self._by_base[_base(path)].append((path, image_id))
        self._result_bases: defaultdict[str, set[str]] = defaultdict(set)
        for name in result_names:
            self._result_bases[_base(_posix(name))].add(_posix(name))

    def find(self, name: str) -> list[JsonId]:
        """The ids of the images that ``name`` can mean, by the closest kind of match that finds any."""
        path = _posix(name)
        if exact := self._by_path.get(path):
            return exact
        same_base = self._by_base.get(_base(path), [])
        suffix = [image_id for known, image_id in same_base if _ends_with(known, path) or _ends_with(path, known)]
        if suffix:
            return suffix
        unique = len(same_base) == 1 and len(self._result_bases[_base(path)]) == 1
        return [same_base[0][1]] if unique else []


def _posix(name: str) -> str:
    return name.replace("\\", "/").removeprefix("./")


def _base(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _ends_with(path: str, end: str) -> bool:
    """Whether the last components of ``path`` are those of ``end``."""
    return path.endswith("/" + end)
