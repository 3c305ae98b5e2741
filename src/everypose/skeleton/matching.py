"""Matching the keypoints of two skeletons by name, in any spelling."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from everypose.core.arrays import Int64
from everypose.errors import EveryposeError

if TYPE_CHECKING:
    from everypose.skeleton.skeleton import Skeleton

# Different names of one anatomical point, each with its canonical name. The neck is the upper end of the neck, not
# MPII's thorax (the point between the shoulders); JHMDB's "head" is the face, not the top of the head.
SYNONYMS = {"top_head": "head_top", "upper_neck": "neck", "head_bottom": "neck"}

# Words for left and right in other languages, in the same order. Such a word counts as a side only where the name with
# its opposite is there, too: "links" is also an English word.
_WORDS = tuple(
    (tuple(left.split()), tuple(right.split()))
    for left, right in (
        ("izquierda izquierdo izq", "derecha derecho der"),  # Spanish
        ("gauche", "droite droit"),  # French
        ("links linke linker linkes", "rechts rechte rechter rechtes"),  # German, Dutch
        ("sinistra sinistro sx", "destra destro dx"),  # Italian
        ("esquerda esquerdo esq", "direita direito dir"),  # Portuguese
        ("vänster venstre", "höger højre høyre"),  # Swedish, Danish, Norwegian
        ("lewa lewy lewe", "prawa prawy prawe"),  # Polish
        ("левая левый левое", "правая правый правое"),  # Russian
        ("左 左侧 左側", "右 右侧 右側"),  # Chinese, Japanese
        ("왼쪽", "오른쪽"),  # Korean
    )
)
_WORD = re.compile(r"[A-ZÀ-ÖØ-Þ]+(?![a-zß-öø-ÿ])|[A-ZÀ-ÖØ-Þ]?[a-zß-öø-ÿ]+|\d+|[^\W\d_a-zA-ZÀ-ÖØ-öø-ÿ]+")
_GLUED = (("left", "right"), ("左", "右"), ("왼", "오른"), ("l", "r"))
# Words in which names differ that are not left and right.
_OTHER_OPPOSITES = frozenset(
    word
    for words in (
        "upper lower top bottom up down front back fore hind rear head tail",
        "start end tip base root inner outer in out mid middle center centre first second",  # British spelling
    )
    for word in words.split()
)


@dataclass(frozen=True)
class Conversion:
    """Conversion of poses from one skeleton to another by keypoint name.

    Attributes:
        index: (K_target,) int64, source keypoint of each target keypoint; -1 if there is none.
        missing: target keypoints without a counterpart in the source.
        lost: source keypoints without a counterpart in the target.

    Example:
        >>> found = Conversion(np.array([1, -1]), missing=("tail",), lost=("ear",))
        >>> found.apply(np.array([[[5.0, 6.0, 1.0], [7.0, 8.0, 1.0]]])).tolist()
        [[[7.0, 8.0, 1.0], [0.0, 0.0, 0.0]]]
    """

    index: Int64
    missing: tuple[str, ...]
    lost: tuple[str, ...]

    def apply(self, keypoints: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Convert keypoints (N, K_source, 3) to (N, K_target, 3); x, y and score are 0 for missing keypoints."""
        found = (self.index >= 0)[None, :, None]
        return np.where(found, keypoints[:, self.index], np.zeros((), dtype=keypoints.dtype))


def conversion(source: "Skeleton", target: "Skeleton") -> Conversion:
    """Match two skeletons by keypoint name, in any spelling (``L_Eye``, ``left eye``), and by :data:`SYNONYMS`.

    >>> from everypose.skeleton.skeleton import Skeleton
    >>> conversion(Skeleton.named("coco"), Skeleton.named("crowdpose")).missing
    ('top_head', 'neck')
    """
    places = {anatomy: index for index, anatomy in reversed(list(enumerate(_anatomies(source.keypoints))))}
    index = np.array([places.get(anatomy, -1) for anatomy in _anatomies(target.keypoints)], dtype=np.int64)
    missing = tuple(name for name, place in zip(target.keypoints, index, strict=True) if place < 0)
    lost = tuple(name for place, name in enumerate(source.keypoints) if place not in index)
    return Conversion(index, missing, lost)


def require_same_indices(names: Sequence[str], skeleton: "Skeleton", where: str) -> None:
    """Check that keypoints in both a file and a skeleton have the same index.

    Args:
        names: keypoint names of the file.
        skeleton: the skeleton.
        where: the file, for messages.

    Raises:
        EveryposeError: if an index differs.

    Example:
        >>> from everypose.skeleton.skeleton import Skeleton
        >>> require_same_indices(["nose", "left_eye"], Skeleton.named("coco"), "a.json")
    """
    places = {anatomy: index for index, anatomy in enumerate(_anatomies(skeleton.keypoints))}
    for index, (name, anatomy) in enumerate(zip(names, _anatomies(names), strict=True)):
        place = places.get(anatomy, index)
        if place != index:
            raise EveryposeError(
                f"{where} has {name!r} as keypoint {index + 1}, the skeleton {skeleton.name} as keypoint {place + 1}: "
                "give the skeleton that the annotations follow"
            )


@cache
def split_side(name: str) -> tuple[str, str]:
    """Split a keypoint name into its side (``left``, ``right`` or "") and the rest.

    >>> split_side("L_Eye"), split_side("eyeL"), split_side("nose")
    (('left', 'eye'), ('left', 'eye'), ('', 'nose'))
    """
    side = ""
    rest = []
    for word in _words(name):
        match = None if side else re.fullmatch(r"(l|r|left|right)|(left|right)(.+)", word)
        if match is None:
            rest.append(word)
            continue
        side = "left" if word.startswith("l") else "right"
        if match[3]:
            rest.append(match[3])
    return side, "_".join(rest)


def split_sides(names: Sequence[str]) -> list[tuple[str, str]]:
    """Split the keypoint names of one skeleton into sides and the rest.

    Names are split as by :func:`split_side`. Forms that could be something else count where both twins exist: ``l`` and
    ``r`` without a separator (``leye``, ``eyel``), and left and right in other languages.

    >>> split_sides(["nose", "leye", "reye", "lip"])
    [('', 'nose'), ('left', 'eye'), ('right', 'eye'), ('', 'lip')]
    >>> split_sides(["ojo_izquierdo", "ojo_derecho"])
    [('left', 'ojo'), ('right', 'ojo')]
    """
    found = [split_side(name) for name in names]
    places = {_words(name): index for index, name in enumerate(names) if not found[index][0]}
    for words, left in places.items():
        for twin, rest in _twins(words):
            right = places.get(twin)
            if right is None or found[left][0] or found[right][0] or ("left", rest) in found:
                continue
            found[left], found[right] = ("left", rest), ("right", rest)
    return found


def unrecognized_pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    """Names that look like left and right, but in words that are not known as such.

    They are names without a side that differ in one word, if others differ in the same two words.
    Words such as upper and lower do not count.

    >>> unrecognized_pairs(["nose", "eye_a", "eye_b", "ear_a", "ear_b"])
    [('eye_a', 'eye_b'), ('ear_a', 'ear_b')]
    >>> unrecognized_pairs(["upper_lip", "lower_lip", "upper_beak", "lower_beak"])
    []
    """
    groups: dict[tuple[str, ...], list[tuple[str, str]]] = defaultdict(list)
    for name, (side, _) in zip(names, split_sides(names), strict=True):
        words = _words(name)
        for place, word in enumerate(words if len(words) > 1 and not side else ()):
            groups[(*words[:place], "", *words[place + 1 :])].append((word, name))
    pairs: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for shared, members in groups.items():
        says_part = any(word and not word.isdigit() and word not in _OTHER_OPPOSITES for word in shared)
        if len(members) == 2 and says_part and _OTHER_OPPOSITES.isdisjoint(word for word, _ in members):
            (one, first), (other, second) = sorted(members)
            pairs[one, other].append((first, second))
    # "eye" and "ear" differ like "a" and "b": sides are in more names, or shorter.
    sides = max(pairs, key=lambda pair: (len(pairs[pair]), -len("".join(pair))), default=None)
    return pairs[sides] if sides is not None and len(pairs[sides]) > 1 else []


def pairs_note(names: Sequence[str]) -> str | None:
    """A sentence on :func:`unrecognized_pairs` and what to do; None if there are none.

    Example:
        >>> pairs_note(["nose", "left_eye", "right_eye"]) is None
        True
    """
    pairs = unrecognized_pairs(names)
    if not pairs:
        return None
    shown = ", ".join(f"{one!r} and {other!r}" for one, other in pairs[:2])
    return (
        f"keypoints such as {shown} look paired, but are not read as left and right, so they do not swap in mirrored "
        "images; if they should, call them left_... and right_..., or give a skeleton TOML file with flip_pairs"
    )


def _twins(words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """The words of every possible twin on the right if these are on the left, and what both share."""
    for place, word in enumerate(words):
        for right, rest in _opposites(word):
            shared = (*words[:place], *([rest] if rest else []), *words[place + 1 :])
            # A side alone is the name of no keypoint.
            if shared:
                yield (*words[:place], right, *words[place + 1 :]), "_".join(shared)


def _opposites(word: str) -> Iterator[tuple[str, str]]:
    """Words for the right if ``word`` is one for the left, each with what is left of it without the side."""
    for lefts, rights in _WORDS:
        if word in lefts:
            yield from ((right, "") for right in rights)
    for left, right in _GLUED:
        shortest = len(left) + (2 if left == "l" else 1)
        if len(word) >= shortest and word.startswith(left):
            yield right + word[len(left) :], word[len(left) :]
        if len(word) >= shortest and word.endswith(left):
            yield word[: -len(left)] + right, word[: -len(left)]


@cache
def _words(name: str) -> tuple[str, ...]:
    """The words of a name in lower case: ``("l", "eye")`` of ``L_Eye``, ``LEye`` and ``l-eye``."""
    return tuple(word.lower() for word in _WORD.findall(name))


def _anatomies(names: Sequence[str]) -> list[tuple[str, str]]:
    return [(side, SYNONYMS.get(rest, rest)) for side, rest in split_sides(names)]
