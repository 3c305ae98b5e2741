"""CLEAR MOT scores (Bernardin and Stiefelhagen, 2008): MOTA, MOTP, identity switches, fragments."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from everypose.core.arrays import Float64, Int64
from everypose.core.assignment import best_assignment
from everypose.evaluation.tracking.sequence import SequenceComparison

_EPSILON = float(np.finfo(np.float64).eps)
_NO_TRACK = -1
# Larger than any similarity: keeping a person's track of the previous frame takes precedence over a better overlap.
_CONTINUITY = 1000.0


@dataclass(frozen=True)
class ClearScores:
    """Counts behind MOTA; adding sequences adds the counts.

    Attributes:
        tp: people matched to a track.
        fn: people missed.
        fp: tracked boxes that match no person.
        switches: matches whose track differs from the person's last one.
        fragments: times that a person is tracked again after an interruption.
        mostly_tracked: people matched in more than 80 % of their frames.
        partly_tracked: people matched in 20 to 80 %.
        mostly_lost: people matched in less than 20 %.
        similarity_sum: sum of the matches' similarities.

    >>> scores = ClearScores(
    ...     tp=80, fn=20, fp=5, switches=2, fragments=3, mostly_tracked=4, partly_tracked=1, mostly_lost=0,
    ...     similarity_sum=70.0,
    ... )
    >>> scores.mota, scores.recall
    (0.73, 0.8)
    """

    tp: int
    fn: int
    fp: int
    switches: int
    fragments: int
    mostly_tracked: int
    partly_tracked: int
    mostly_lost: int
    similarity_sum: float

    @property
    def mota(self) -> float:
        """1 - (FN + FP + switches) / people, as multiple object tracking accuracy; can be negative."""
        return (self.tp - self.fp - self.switches) / max(1, self.tp + self.fn)

    @property
    def motp(self) -> float:
        """Mean similarity of the matches."""
        return self.similarity_sum / max(1, self.tp)

    @property
    def recall(self) -> float:
        """Share of people matched."""
        return self.tp / max(1, self.tp + self.fn)

    @property
    def precision(self) -> float:
        """Share of tracked boxes matched."""
        return self.tp / max(1, self.tp + self.fp)

    @classmethod
    def combine(cls, scores: Sequence["ClearScores"]) -> "ClearScores":
        """The counts of several sequences as one."""
        return cls(**{name: sum(getattr(one, name) for one in scores) for name in cls.__dataclass_fields__})


def clear(sequence: SequenceComparison, threshold: float = 0.5) -> ClearScores:
    """Score one sequence; a match needs a similarity of at least ``threshold``.

    Example:
        >>> swapped = SequenceComparison.create([[1], [1]], [[5], [6]], [[[1.0]], [[1.0]]])
        >>> clear(swapped).switches
        1
    """
    people = sequence.people
    present = np.zeros(people, dtype=np.int64)
    matched = np.zeros(people, dtype=np.int64)
    runs = np.zeros(people, dtype=np.int64)
    last = np.full(people, _NO_TRACK)
    previous = np.full(people, _NO_TRACK)
    tp = fp = switches = 0
    similarity_sum = 0.0
    for true_ids, track_ids, similarity in zip(
        sequence.true_ids, sequence.track_ids, sequence.similarities, strict=True
    ):
        present[true_ids] += 1
        fp += len(track_ids)
        # A frame without people or without tracks leaves `previous` as it was, as the reference implementation does.
        if not similarity.size:
            continue
        rows, columns = _match(similarity, previous[true_ids][:, None] == track_ids, threshold)
        found, tracks = true_ids[rows], track_ids[columns]
        switches += int(((last[found] != _NO_TRACK) & (last[found] != tracks)).sum())
        runs[found] += previous[found] == _NO_TRACK
        matched[found] += 1
        last[found] = tracks
        previous[:] = _NO_TRACK
        previous[found] = tracks
        tp += len(found)
        fp -= len(found)
        similarity_sum += float(similarity[rows, columns].sum())
    share = matched / np.maximum(1, present)
    mostly_tracked, tracked = int((share > 0.8).sum()), int((share >= 0.2).sum())
    return ClearScores(
        tp=tp,
        fn=int(present.sum()) - tp,
        fp=fp,
        switches=switches,
        fragments=int((runs[runs > 0] - 1).sum()),
        mostly_tracked=mostly_tracked,
        partly_tracked=tracked - mostly_tracked,
        mostly_lost=people - tracked,
        similarity_sum=similarity_sum,
    )


def _match(similarity: Float64, continued: Int64, threshold: float) -> tuple[Int64, Int64]:
    """Rows and columns of the best assignment among pairs at or above ``threshold``."""
    value = _CONTINUITY * continued + similarity
    value[similarity < threshold - _EPSILON] = 0
    rows, columns = best_assignment(value)
    kept = value[rows, columns] > _EPSILON
    return rows[kept], columns[kept]
