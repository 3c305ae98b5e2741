"""Fields of a skeleton from COCO categories, MMPose data set infos and Ultralytics pose YAML."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Required, TypedDict

from everypose.errors import EveryposeError, plain_reason
from everypose.skeleton.matching import split_sides


class SkeletonFields(TypedDict, total=False):
    """Fields of :class:`everypose.skeleton.skeleton.Skeleton` (which describes them), except its name.

    Example:
        >>> SkeletonFields(keypoints=("a", "b"), links=((0, 1),))["links"]
        ((0, 1),)
    """

    keypoints: Required[tuple[str, ...]]
    flip_pairs: Required[tuple[tuple[int, int], ...]]
    links: Required[tuple[tuple[int, int], ...]]
    sigmas: Required[tuple[float, ...] | None]
    upper_body: tuple[int, ...]
    lower_body: tuple[int, ...]
    joint_weights: tuple[float, ...] | None


def coco_keypoints(category: Mapping[str, Any], title: str) -> tuple[str, ...]:
    """Read the keypoint names of a COCO category; ``title`` names it in messages.

    Raises:
        EveryposeError: if there are none.

    Example:
        >>> coco_keypoints({"name": "mouse", "keypoints": ["snout", "tail"]}, "mouse")
        ('snout', 'tail')
    """
    names = category.get("keypoints")
    if not _is_list(names) or not names or not all(isinstance(keypoint, str) for keypoint in names):
        raise EveryposeError(f"category {title!r} has no list of keypoint names: is this a keypoint annotation file?")
    return tuple(keypoint.strip() for keypoint in names)


def coco_fields(category: Mapping[str, Any], keypoints: tuple[str, ...], title: str) -> SkeletonFields:
    """Read links of a COCO category and determine its pairs from ``flip_idx``, or else from its keypoints' names.

    ``everypose data convert`` writes ``flip_idx`` if the names do not contain left and right.

    Raises:
        EveryposeError: if links are not pairs, or left and right cannot be determined.

    Example:
        >>> coco_fields({"skeleton": [[1, 2]]}, ("left_ear", "right_ear"), "mouse")["links"]
        ((0, 1),)
    """
    links = _coco_links(category.get("skeleton") or [], len(keypoints), title)
    flips = category.get("flip_idx")
    if flips is None:
        pairs = pairs_from_names(keypoints, title)
    elif _is_list(flips) and all(type(index) is int for index in flips):
        pairs = _pairs_from_flips(flips, len(keypoints), f"category {title!r}")
    else:
        raise EveryposeError(f"category {title!r}: flip_idx is not a list of whole numbers")
    return SkeletonFields(keypoints=keypoints, flip_pairs=pairs, links=links, sigmas=None)


def mmpose_fields(dataset_info: Mapping[str, Any], title: str) -> SkeletonFields:
    """Read an MMPose ``dataset_info``: keypoint_info, skeleton_info, joint_weights, sigmas.

    ``title`` names it in messages.

    Raises:
        EveryposeError: if an entry is missing or names an unknown keypoint.

    Example:
        >>> info = {"keypoint_info": {0: {"name": "snout", "id": 0, "swap": ""}}, "skeleton_info": {}, "sigmas": [0.1]}
        >>> mmpose_fields(info | {"joint_weights": [1.0]}, "mouse")["sigmas"]
        (0.1,)
    """
    try:
        infos = sorted(dataset_info["keypoint_info"].values(), key=lambda info: int(info["id"]))
        place = {info["name"]: index for index, info in enumerate(infos)}
        swaps = [(place[info["name"]], place[info["swap"]]) for info in infos if info.get("swap")]
        links = [
            info["link"] for _, info in sorted(dataset_info["skeleton_info"].items(), key=lambda item: int(item[0]))
        ]
        return SkeletonFields(
            keypoints=tuple(place),
            flip_pairs=tuple(sorted({(min(pair), max(pair)) for pair in swaps if pair[0] != pair[1]})),
            links=tuple((place[start], place[end]) for start, end in links),
            sigmas=tuple(float(sigma) for sigma in dataset_info.get("sigmas") or ()) or None,
            upper_body=tuple(place[info["name"]] for info in infos if info.get("type") == "upper"),
            lower_body=tuple(place[info["name"]] for info in infos if info.get("type") == "lower"),
            joint_weights=tuple(float(weight) for weight in dataset_info.get("joint_weights") or ()) or None,
        )
    except KeyError as error:
        raise EveryposeError(f"the MMPose data set {title!r} lacks {error}") from error
    except (AttributeError, TypeError, ValueError, ArithmeticError, LookupError) as error:
        raise EveryposeError(f"the MMPose data set {title!r} is not a dataset_info: {plain_reason(error)}") from error


@dataclass(frozen=True)
class UltralyticsKeys:
    """The keypoint settings of an Ultralytics data set.

    Attributes:
        keypoints: K names; ``keypoint_0`` and so on if the file has none.
        flips: for each keypoint, the index of its partner on the other side, or its own; empty if the file has none.
        has_names: whether the file gives the names.
        where: the file, for messages.

    Example:
        >>> UltralyticsKeys(("a", "b"), (1, 0), has_names=True, where="data.yaml").flips
        (1, 0)
    """

    keypoints: tuple[str, ...]
    flips: tuple[int, ...]
    has_names: bool
    where: str


def ultralytics_keys(source: Path | str | Mapping[str, Any]) -> UltralyticsKeys:
    """Read ``kpt_shape``, ``flip_idx`` and ``kpt_names`` of an Ultralytics YAML file or its content.

    Raises:
        EveryposeError: if the file cannot be read, or there is no ``kpt_shape`` or it disagrees with the names.

    Example:
        >>> ultralytics_keys({"kpt_shape": [2, 3], "flip_idx": [1, 0]}).keypoints
        ('keypoint_0', 'keypoint_1')
    """
    where = str(source) if isinstance(source, Path | str) else "the Ultralytics data set"
    shape, flips, names = _ultralytics_lists(source, where)
    if not shape:
        raise EveryposeError(f"{where} has no kpt_shape: it is not a pose data set")
    keypoints = tuple(names) if names else tuple(f"keypoint_{index}" for index in range(shape[0]))
    if len(keypoints) != shape[0]:
        raise EveryposeError(f"{where}: kpt_shape says {shape[0]} keypoints, but kpt_names lists {len(keypoints)}")
    return UltralyticsKeys(keypoints, tuple(flips), bool(names), where)


def ultralytics_fields(keys: UltralyticsKeys, title: str) -> SkeletonFields:
    """Determine the flip pairs by ``flip_idx``, or else by the keypoints' names.

    Raises:
        EveryposeError: if there is neither, or the flips are not pairs.

    Example:
        >>> ultralytics_fields(ultralytics_keys({"kpt_shape": [2, 3], "flip_idx": [1, 0]}), "mouse")["flip_pairs"]
        ((0, 1),)
    """
    if keys.flips:
        pairs = _pairs_from_flips(keys.flips, len(keys.keypoints), keys.where)
    elif keys.has_names:
        pairs = pairs_from_names(keys.keypoints, title)
    else:
        raise EveryposeError(
            f"{keys.where} has neither flip_idx nor kpt_names: left and right cannot be determined; give flip_idx"
        )
    return SkeletonFields(keypoints=keys.keypoints, flip_pairs=pairs, links=(), sigmas=None)


def pairs_from_names(keypoints: Sequence[str], title: str) -> tuple[tuple[int, int], ...]:
    """Determine the (left, right) pairs from names: ``left_eye`` and ``right_eye``, ``L_Eye`` and ``R_Eye``.

    :func:`everypose.skeleton.matching.split_sides` describes the forms.

    Raises:
        EveryposeError: if a keypoint of one side has no partner on the other, or names differ only in a number.

    >>> pairs_from_names(["nose", "L_Eye", "R_Eye"], "face")
    ((1, 2),)
    """
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for index, (side, rest) in enumerate(split_sides(keypoints)):
        if side:
            found[rest][side] = index
    for places in found.values():
        if len(places) == 1:
            alone = keypoints[next(iter(places.values()))]
            raise EveryposeError(f"{title!r}: {alone!r} has no twin on the other side; {_ADVICE}")
    if len({re.sub(r"\d+", "", name) for name in keypoints}) == 1 < len(set(keypoints)):
        raise EveryposeError(f"{title!r}: names like {keypoints[0]!r} do not distinguish left and right; {_ADVICE}")
    return tuple(sorted((places["left"], places["right"]) for places in found.values()))


_ADVICE = "give a skeleton by name or as a TOML file with its flip pairs"


def _coco_links(links: Any, count: int, title: str) -> tuple[tuple[int, int], ...]:
    """Links counted from 0. COCO counts from 1; a list that contains a 0, as in some published files, from 0.

    Links are for drawing only, so those that refer to no keypoint are dropped.
    """
    if not _is_list(links) or not all(_is_list(link) and len(link) == 2 for link in links):
        raise EveryposeError(f"category {title!r}: its skeleton is not a list of keypoint pairs")
    if not all(isinstance(end, int) for link in links for end in link):
        raise EveryposeError(f"category {title!r}: its skeleton contains values that are not whole numbers")
    first = 0 if any(0 in link for link in links) else 1
    shifted = [(start - first, end - first) for start, end in links]
    return tuple(link for link in shifted if min(link) >= 0 and max(link) < count)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _pairs_from_flips(flips: Sequence[int], count: int, where: str) -> tuple[tuple[int, int], ...]:
    if sorted(flips) != list(range(count)) or any(flips[flips[index]] != index for index in range(count)):
        raise EveryposeError(f"{where}: flip_idx is not {count} keypoints that swap in pairs")
    return tuple((index, other) for index, other in enumerate(flips) if index < other)


def _ultralytics_lists(
    source: Path | str | Mapping[str, Any], where: str
) -> tuple[list[int], list[int], list[str] | None]:
    """``kpt_shape``, ``flip_idx`` and ``kpt_names`` of a dict or a file."""
    if isinstance(source, Mapping):
        values: Mapping[str, Any] = source
    else:
        try:
            text = Path(source).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise EveryposeError(f"cannot read {where}: {error}") from error
        values = {key: _yaml_lists(text, key, where) for key in ("kpt_shape", "flip_idx", "kpt_names")}
    shape, flips = _one_list(values, "kpt_shape", where), _one_list(values, "flip_idx", where)
    names = _one_list(values, "kpt_names", where)
    try:
        return [int(size) for size in shape], [int(index) for index in flips], [str(name) for name in names] or None
    except (TypeError, ValueError, OverflowError) as error:
        raise EveryposeError(f"{where}: kpt_shape and flip_idx must be lists of whole numbers") from error


def _one_list(values: Mapping[str, Any], key: str, where: str) -> list[Any]:
    """The list of a key; lists by class must be equal."""
    value = values.get(key) or []
    lists = list(value.values()) if isinstance(value, Mapping) else [value]
    if not all(_is_list(items) for items in lists):
        raise EveryposeError(f"{where}: {key} is not a list")
    if any(list(items) != list(lists[0]) for items in lists):
        raise EveryposeError(f"{where}: {key} differs between the classes; everypose needs one skeleton")
    return list(lists[0]) if lists else []


def _yaml_lists(text: str, key: str, where: str) -> dict[str, list[str]]:
    """The lists under a top-level key of a YAML file, by class ("" without classes).

    Reads the forms of these files: ``key: [a, b]`` over one or several lines, ``- a`` lines, and either under class
    numbers. It is not a general YAML reader.
    """
    block = re.search(rf"^{key}[ \t]*:(.*\n?(?:(?:[ \t\-\]}}#].*)?\n|[ \t\-\]}}#].*\Z)*)", text, re.MULTILINE)
    if block is None:
        return {}
    content = re.sub(r"(^|\s)#.*", "", block[1])
    flow = re.findall(r"(?:(\w+)[ \t]*:\s*)?\[([^\[\]]*)\]", content)
    if flow:
        return {label: [_unquoted(item) for item in items.split(",") if item.strip()] for label, items in flow}
    lists: dict[str, list[str]] = {}
    label = ""
    for line in filter(str.strip, content.splitlines()):
        if heading := re.fullmatch(r"\s*(\w+)[ \t]*:\s*", line):
            label = heading[1]
        elif item := re.fullmatch(r"\s*-\s+(.*)", line):
            lists.setdefault(label, []).append(_unquoted(item[1]))
        else:
            raise EveryposeError(f"{where}: {key} is written in a way that everypose does not read: {line.strip()!r}")
    return lists


def _unquoted(item: str) -> str:
    return item.strip().strip("'\"")
