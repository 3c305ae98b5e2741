"""HOTA, higher order tracking accuracy (Luiten et al., IJCV 2021): detection and association in one number."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from everypose.core.arrays import Float64, Int64
from everypose.core.assignment import best_assignment
from everypose.evaluation.tracking.sequence import SequenceComparison

THRESHOLDS: Float64 = np.arange(0.05, 0.99, 0.05)
"""(19,) similarities at which a match counts, 0.05 to 0.95; the scores are means over them."""
_EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class HotaScores:
    """Sums behind HOTA at each of the 19 thresholds; adding sequences adds the sums.

    Attributes:
        tp: (19,) matched people.
        fn: (19,) people without a matched track.
        fp: (19,) tracked boxes without a matched person.
        similarity_sum: (19,) sum of the matches' similarities.
        association_sum: (19,) sum over matches of the association's Jaccard index (section 4.2, eq. 12 there).
        association_recall_sum: (19,) the same for recall.
        association_precision_sum: (19,) the same for precision.

    >>> half = HotaScores(*np.full((7, 19), 10.0))
    >>> round(half.det_a, 2)  # as many people missed, and as many false boxes, as matches
    0.33
    """

    tp: Float64
    fn: Float64
    fp: Float64
    similarity_sum: Float64
    association_sum: Float64
    association_recall_sum: Float64
    association_precision_sum: Float64

    @property
    def hota(self) -> float:
        """Mean over thresholds of sqrt(DetA x AssA)."""
        return float(np.sqrt(self._det_a * self._per_match(self.association_sum)).mean())

    @property
    def det_a(self) -> float:
        """Detection accuracy: TP / (TP + FN + FP)."""
        return float(self._det_a.mean())

    @property
    def ass_a(self) -> float:
        """Association accuracy."""
        return float(self._per_match(self.association_sum).mean())

    @property
    def det_re(self) -> float:
        """Detection recall."""
        return float((self.tp / np.maximum(1, self.tp + self.fn)).mean())

    @property
    def det_pr(self) -> float:
        """Detection precision."""
        return float((self.tp / np.maximum(1, self.tp + self.fp)).mean())

    @property
    def ass_re(self) -> float:
        """Association recall."""
        return float(self._per_match(self.association_recall_sum).mean())

    @property
    def ass_pr(self) -> float:
        """Association precision."""
        return float(self._per_match(self.association_precision_sum).mean())

    @property
    def loc_a(self) -> float:
        """Localization accuracy: the matches' mean similarity; 1 at thresholds without a match."""
        return float((np.maximum(1e-10, self.similarity_sum) / np.maximum(1e-10, self.tp)).mean())

    @property
    def _det_a(self) -> Float64:
        accuracy: Float64 = self.tp / np.maximum(1, self.tp + self.fn + self.fp)
        return accuracy

    def _per_match(self, total: Float64) -> Float64:
        mean: Float64 = total / np.maximum(1, self.tp)
        return mean

    @classmethod
    def combine(cls, scores: Sequence["HotaScores"]) -> "HotaScores":
        """The scores of several sequences as one."""
        names = cls.__dataclass_fields__
        zero = np.zeros(len(THRESHOLDS))
        return cls(**{name: sum((getattr(one, name) for one in scores), zero) for name in names})


def hota(sequence: SequenceComparison) -> HotaScores:
    """Score one sequence.

    Example:
        >>> perfect = SequenceComparison.create([[1], [1]], [[5], [5]], [[[1.0]], [[1.0]]])
        >>> hota(perfect).hota
        1.0
    """
    people_count = _count(sequence.true_ids, sequence.people)
    track_count = _count(sequence.track_ids, sequence.tracks)
    alignment = _alignment(sequence, people_count, track_count)
    matched = []
    for true_ids, track_ids, similarity in _frames(sequence):
        if not similarity.size:
            continue
        rows, columns = best_assignment(alignment[np.ix_(true_ids, track_ids)] * similarity)
        matched.append(np.stack([true_ids[rows], track_ids[columns], similarity[rows, columns]]))
    pairs = np.concatenate(matched, axis=1) if matched else np.zeros((3, 0))
    return _accumulate(pairs, people_count, track_count)


def _alignment(sequence: SequenceComparison, people_count: Float64, track_count: Float64) -> Float64:
    """(people, tracks) Jaccard index of whole trajectories before matching, which the matching maximizes."""
    potential = np.zeros((len(people_count), len(track_count)))
    for true_ids, track_ids, similarity in _frames(sequence):
        either = similarity.sum(axis=0, keepdims=True) + similarity.sum(axis=1, keepdims=True) - similarity
        share = np.divide(similarity, either, out=np.zeros_like(similarity), where=either > _EPSILON)
        potential[np.ix_(true_ids, track_ids)] += share
    jaccard: Float64 = potential / (people_count[:, None] + track_count - potential)
    return jaccard


def _accumulate(pairs: Float64, people_count: Float64, track_count: Float64) -> HotaScores:
    """Sums at each threshold of matched pairs (3, M): person, track, similarity."""
    shape = (len(people_count), len(track_count))
    sums = np.zeros((len(THRESHOLDS), 5))
    for row, threshold in zip(sums, THRESHOLDS, strict=True):
        chosen = pairs[:, pairs[2] >= threshold - _EPSILON]
        flat = np.ravel_multi_index(chosen[:2].astype(np.int64), shape) if chosen.size else np.zeros(0, np.int64)
        matches = np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)
        jaccard = matches / np.maximum(1, people_count[:, None] + track_count - matches)
        recall = matches / np.maximum(1, people_count[:, None])
        precision = matches / np.maximum(1, track_count)
        row[:] = (
            chosen.shape[1],
            chosen[2].sum(),
            (matches * jaccard).sum(),
            (matches * recall).sum(),
            (matches * precision).sum(),
        )
    tp = sums[:, 0]
    return HotaScores(tp, people_count.sum() - tp, track_count.sum() - tp, *sums[:, 1:].T)


def _count(ids: tuple[Int64, ...], identities: int) -> Float64:
    """(identities,) in how many frames each one is."""
    counts = np.zeros(identities)
    for frame in ids:
        counts[frame] += 1
    return counts


def _frames(sequence: SequenceComparison) -> Iterator[tuple[Int64, Int64, Float64]]:
    """True ids, track ids and similarities frame by frame."""
    return zip(sequence.true_ids, sequence.track_ids, sequence.similarities, strict=True)
