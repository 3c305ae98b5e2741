"""Matching the keypoints of two skeletons by name, in any spelling."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from everypose.errors import EveryposeError

if TYPE_CHECKING:
    from everypose.skeleton.skeleton import Skeleton

# Different names of one anatomical point, each with its canonical name. The neck is the upper end of the neck, not
# MPII's thorax (the point between the shoulders); JHMDB's "head" is the face, not the top of the head.
SYNONYMS = {"top_head": "head_top", "upper_neck": "neck", "head_bottom": "neck"}


@dataclass(frozen=True)
class Conversion:
    """Conversion of poses from one skeleton to another by keypoint name.

    Attributes:
        index: (K_target,) int64, source keypoint of each target keypoint; -1 if there is none.
        missing: target keypoints without a counterpart in the source.
        lost: source keypoints without a counterpart in the target.
    """

    index: npt.NDArray[np.int64]
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
    places = {_anatomy(name): index for index, name in reversed(list(enumerate(source.keypoints)))}
    index = np.array([places.get(_anatomy(name), -1) for name in target.keypoints], dtype=np.int64)
    missing = tuple(name for name, place in zip(target.keypoints, index, strict=True) if place < 0)
    lost = tuple(name for place, name in enumerate(source.keypoints) if place not in index)
    return Conversion(index, missing, lost)


def require_same_places(names: Sequence[str], skeleton: "Skeleton", where: str) -> None:
    """Check that keypoints in both a file and a skeleton have the same index.

    Args:
        names: keypoint names of the file.
        skeleton: the skeleton.
        where: the file, for messages.

    Raises:
        EveryposeError: if an index differs.
    """
    places = {_anatomy(name): index for index, name in enumerate(skeleton.keypoints)}
    for index, name in enumerate(names):
        place = places.get(_anatomy(name), index)
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
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+", name)]
    side = ""
    rest = []
    for word in words:
        match = None if side else re.fullmatch(r"(l|r|left|right)|(left|right)(.+)", word)
        if match is None:
            rest.append(word)
            continue
        side = "left" if word.startswith("l") else "right"
        if match[3]:
            rest.append(match[3])
    return side, "_".join(rest)


def _anatomy(name: str) -> tuple[str, str]:
    side, rest = split_side(name)
    return side, SYNONYMS.get(rest, rest)
