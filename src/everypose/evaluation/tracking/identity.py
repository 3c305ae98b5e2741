"""Identity scores (Ristani et al., 2016): IDF1 under the best one-to-one mapping of tracks to people."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from everypose.core.assignment import best_assignment
from everypose.evaluation.tracking.sequence import SequenceComparison


@dataclass(frozen=True)
class IdentityScores:
    """Counts behind IDF1; adding sequences adds the counts.

    Attributes:
        idtp: boxes of tracks that match the person to whom the track is mapped.
        idfn: people's boxes without such a match.
        idfp: tracks' boxes without such a match.

    >>> IdentityScores(idtp=80, idfn=20, idfp=20).idf1
    0.8
    """

    idtp: int
    idfn: int
    idfp: int

    @property
    def idf1(self) -> float:
        """Harmonic mean of identity precision and recall."""
        return self.idtp / max(1.0, self.idtp + 0.5 * (self.idfp + self.idfn))

    @property
    def idr(self) -> float:
        """Identity recall."""
        return self.idtp / max(1, self.idtp + self.idfn)

    @property
    def idp(self) -> float:
        """Identity precision."""
        return self.idtp / max(1, self.idtp + self.idfp)

    @classmethod
    def combine(cls, scores: Sequence["IdentityScores"]) -> "IdentityScores":
        """The counts of several sequences as one."""
        return cls(**{name: sum(getattr(one, name) for one in scores) for name in cls.__dataclass_fields__})


def identity(sequence: SequenceComparison, threshold: float = 0.5) -> IdentityScores:
    """Score one sequence; a match needs a similarity of at least ``threshold``.

    The mapping that minimizes missed and wrong boxes is the one that maximizes matches, since the total numbers of
    boxes are fixed.

    Example:
        >>> swapped = SequenceComparison.create([[1], [1]], [[5], [6]], [[[1.0]], [[1.0]]])
        >>> identity(swapped).idf1
        0.5
    """
    matches = np.zeros((sequence.people, sequence.tracks))
    for true_ids, track_ids, similarity in zip(
        sequence.true_ids, sequence.track_ids, sequence.similarities, strict=True
    ):
        matches[np.ix_(true_ids, track_ids)] += similarity >= threshold
    rows, columns = best_assignment(matches)
    idtp = int(matches[rows, columns].sum())
    boxes = sum(len(ids) for ids in sequence.true_ids)
    tracked = sum(len(ids) for ids in sequence.track_ids)
    return IdentityScores(idtp=idtp, idfn=boxes - idtp, idfp=tracked - idtp)
