"""Flaws of the categories: names of keypoints and categories, links, mixed skeletons."""

import difflib
from typing import Any

from everypose.data.doctor import flaws
from everypose.data.doctor.flaws import Flaw, flaw
from everypose.data.doctor.table import identity
from everypose.errors import EveryposeError
from everypose.skeleton.skeleton import Skeleton, recognize

_PEOPLE = frozenset({"coco", "ochuman", "crowdpose", "mpii", "aic", "coco_wholebody", "halpe", "jhmdb", "posetrack18"})
_NEAR = 0.75


def check(categories: list[Any]) -> tuple[list[Flaw], Skeleton | None]:
    """Flaws of the categories, and the shipped skeleton that the first with keypoints follows, where it is one.

    >>> flaws_found, skeleton = check([{"id": 1, "name": "mouse", "keypoints": ["nose", "tail", "nose"]}])
    >>> [flaw.kind.name for flaw in flaws_found], skeleton
    (['keypoint_names'], None)
    """
    usable = [category for category in categories if _named_keypoints(category)]
    if not usable:
        return flaw(flaws.NO_CATEGORY, "categories", [_title(category) for category in categories] or ["none"]), None
    names = usable[0]["keypoints"]
    ids = [identity(category.get("id")) if isinstance(category, dict) else None for category in categories]
    bad_ids = [_title(c) for c, key in zip(categories, ids, strict=True) if key is None or ids.count(key) > 1]
    found = flaw(flaws.CATEGORY_ENTRY, "categories", bad_ids)
    found += flaw(flaws.MIXED_SKELETONS, "categories", [_title(c) for c in usable if c["keypoints"] != names])
    known = _recognized(names)
    found += flaw(flaws.KEYPOINT_NAMES, "categories", _name_faults(usable[0], known))
    found += _links(usable, known)
    found += flaw(flaws.CATEGORY_NAME, "categories", _wrong_titles(usable, known))
    return found, known


def link_is_usable(link: Any, count: int, first: int) -> bool:
    """Whether a link is a pair of different keypoint numbers from ``first``.

    >>> link_is_usable([1, 2], count=17, first=1), link_is_usable([1, 99], count=17, first=1)
    (True, False)
    """
    return (
        isinstance(link, list)
        and len(link) == 2
        and all(isinstance(end, int) and first <= end < count + first for end in link)
        and link[0] != link[1]
    )


def first_number(links: list[Any]) -> int:
    """Links count from 1; a list that holds a 0 counts from 0.

    >>> first_number([[1, 2], [2, 3]]), first_number([[0, 1]])
    (1, 0)
    """
    return 0 if any(isinstance(link, list) and 0 in link for link in links) else 1


def _named_keypoints(category: Any) -> bool:
    return isinstance(category, dict) and isinstance(category.get("keypoints"), list) and bool(category["keypoints"])


def _title(category: Any) -> str:
    return f"{category.get('name')!r}" if isinstance(category, dict) else repr(category)


def _recognized(names: list[Any]) -> Skeleton | None:
    return recognize(names) if all(isinstance(name, str) and name for name in names) else None


def _name_faults(category: dict[str, Any], known: Skeleton | None) -> list[str]:
    """What is wrong with the keypoints' names; nothing where they are those of a known skeleton."""
    names = category["keypoints"]
    faults = [f"{name!r} is no name" for name in names if not isinstance(name, str) or not name.strip()]
    faults += [f"{name!r} is used twice" for name in dict.fromkeys(map(str, names)) if names.count(name) > 1]
    if faults or known is not None:
        return faults
    faults = [f"{name!r} for {meant!r} of {skeleton}" for name, meant, skeleton in _misspelt(names)]
    if not faults:
        try:
            Skeleton.from_coco_category({**category, "skeleton": []})
        except EveryposeError as error:
            faults = [str(error)]
    return faults


def _misspelt(names: list[str]) -> list[tuple[str, str, str]]:
    """Names that differ a little from a known skeleton's where nearly all others are the same."""
    for skeleton_name in Skeleton.names():
        known = Skeleton.named(skeleton_name).keypoints
        if len(known) != len(names):
            continue
        different = [(name, meant) for name, meant in zip(names, known, strict=True) if _plain(name) != _plain(meant)]
        near = [difflib.SequenceMatcher(None, _plain(a), _plain(b)).ratio() >= _NEAR for a, b in different]
        if all(near) and len(different) <= max(1, len(names) // 5):
            return [(name, meant, skeleton_name) for name, meant in different]
    return []


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def _links(categories: list[dict[str, Any]], known: Skeleton | None) -> list[Flaw]:
    """Flaws of links; reading fails only on links of unknown skeletons that are not pairs of whole numbers."""
    harmless: list[str] = []
    unusable: list[str] = []
    for category in categories:
        links = category.get("skeleton") or []
        count = len(category["keypoints"])
        wrong = [link for link in links if not link_is_usable(link, count, 1)] if isinstance(links, list) else [links]
        if not wrong:
            continue
        where = f"{_title(category)}: {', '.join(str(link) for link in wrong[:4])}"
        (harmless if known is not None or all(_is_pair(link) for link in wrong) else unusable).append(where)
    return flaw(flaws.LINKS, "categories", harmless) + flaw(flaws.LINKS_UNUSABLE, "categories", unusable)


def _is_pair(link: Any) -> bool:
    return isinstance(link, list) and len(link) == 2 and all(isinstance(end, int) for end in link)


def _wrong_titles(categories: list[dict[str, Any]], known: Skeleton | None) -> list[str]:
    """Categories without a name, with another's name, or people's keypoints under another name than person."""
    titles = [category.get("name") for category in categories]
    wrong = [f"{title!r}" for title in titles if not isinstance(title, str) or not title.strip() or title.isdigit()]
    wrong += [f"{title!r} is used twice" for title in dict.fromkeys(map(str, titles)) if titles.count(title) > 1]
    if not wrong and known is not None and known.name in _PEOPLE:
        wrong = [f"{c['name']!r} for 'person'" for c in categories if c["name"] != "person" and _of_people(c)]
    return wrong


def _of_people(category: dict[str, Any]) -> bool:
    """Whether the supercategory does not exclude people (macaques have COCO's keypoints)."""
    return str(category.get("supercategory") or "person").lower() in ("person", "people", "human", "none")
