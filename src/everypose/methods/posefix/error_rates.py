"""How often each kind of pose error occurs, by body part (released PoseFix code, from Ronchi and Perona, ICCV 2017)."""

from dataclasses import dataclass

import numpy as np

from everypose.core.arrays import Float64, Mask
from everypose.skeleton.matching import split_side
from everypose.skeleton.skeleton import Skeleton

_FACE = {"nose", "eye", "ear", "head", "head_top", "top_head", "jaw"}
_STABLE = {"nose", "knee", "ankle"}
"""Keypoints with little jitter."""
_HIPS = {"hip", "pelvis"}
_RARELY_MISSED = {"shoulder", "ankle"}


@dataclass(frozen=True)
class ErrorRates:
    """Body parts of a skeleton's K keypoints, each (K,) bool, which the error probabilities depend on.

    Parts are found by the keypoints' names, so that any skeleton has rates; keypoints with other names count as the
    part of the body that the skeleton puts them in.

    Example:
        >>> rates = ErrorRates.of(Skeleton.named("coco"))
        >>> rates.probabilities(labeled=17, overlap=0)[0].round(2).tolist()  # nose: good, jitter, ..., miss
        [0.86, 0.1, 0.01, 0.01, 0.02]
    """

    face: Mask
    lower: Mask
    stable: Mask
    hips: Mask
    rarely_missed: Mask

    @classmethod
    def of(cls, skeleton: Skeleton) -> "ErrorRates":
        """The body parts of a skeleton."""
        names = [split_side(name)[1].strip("_") for name in skeleton.keypoints]

        def named(part: set[str]) -> Mask:
            return np.array([name in part for name in names])

        lower = np.isin(np.arange(len(names)), skeleton.lower_body)
        return cls(named(_FACE), lower, named(_STABLE), named(_HIPS), named(_RARELY_MISSED))

    def probabilities(self, labeled: int, overlap: int) -> Float64:
        """The probabilities of the kinds of error.

        Args:
            labeled: number of labeled keypoints of the person.
            overlap: number of people nearby.

        Returns:
            (K, 5): good, jitter, inversion, swap, miss; rows sum to 1.
        """
        few = labeled <= 10
        jitter = _by_part(self.stable, self.hips, (0.15, 0.25, 0.20) if few else (0.10, 0.20, 0.15))
        miss = _by_part(self.face, self.rarely_missed, _miss_rates(labeled))
        inversion = _by_part(self.face, self.lower, (0.01, 0.06, 0.03))
        crowded = (few and overlap > 0) or (labeled <= 15 and overlap >= 3)
        swap = _by_part(self.face, self.lower, (0.02, 0.10, 0.15) if crowded else (0.01, 0.03, 0.06))
        good = 1 - jitter - inversion - swap - miss
        return np.stack([good, jitter, inversion, swap, miss], axis=1)


def _miss_rates(labeled: int) -> tuple[float, float, float]:
    """Rates of misses: face, shoulders and ankles, other keypoints."""
    if labeled <= 5:
        return 0.15, 0.20, 0.25
    return (0.10, 0.13, 0.15) if labeled <= 10 else (0.02, 0.05, 0.10)


def _by_part(first: Mask, second: Mask, rates: tuple[float, float, float]) -> Float64:
    """(K,): the first rate where ``first``, the second where ``second``, the third elsewhere."""
    return np.where(first, rates[0], np.where(second, rates[1], rates[2]))
