"""One sequence's tracks next to its ground truth: ids and similarities frame by frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from everypose.core.arrays import Float64, Int64
from everypose.errors import EveryposeError

Similarity: TypeAlias = Literal["box", "oks"]
"""Box IoU or object keypoint similarity."""


@dataclass(frozen=True)
class SequenceComparison:
    """Ids and similarities of every frame of one sequence.

    Attributes:
        true_ids: for each frame, (G,) identities of the annotated people, numbered 0, 1, ... over the sequence.
        track_ids: for each frame, (T,) identities of the tracked people, numbered likewise.
        similarities: for each frame, (G, T) similarity from 0 to 1 (box IoU or OKS).
    """

    true_ids: tuple[Int64, ...]
    track_ids: tuple[Int64, ...]
    similarities: tuple[Float64, ...]

    @classmethod
    def create(
        cls,
        true_ids: Sequence[npt.ArrayLike],
        track_ids: Sequence[npt.ArrayLike],
        similarities: Sequence[npt.ArrayLike],
    ) -> "SequenceComparison":
        """Number the ids from 0 and check the shapes.

        Example:
            >>> SequenceComparison.create([[7], [7]], [[3], []], [[[0.9]], np.zeros((1, 0))]).true_ids
            (array([0]), array([0]))

        Raises:
            EveryposeError: if lengths or shapes differ, or an id appears twice in one frame.
        """
        true = tuple(np.asarray(ids, dtype=np.int64).reshape(-1) for ids in true_ids)
        tracks = tuple(np.asarray(ids, dtype=np.int64).reshape(-1) for ids in track_ids)
        matrices = tuple(np.asarray(matrix, dtype=np.float64) for matrix in similarities)
        if not len(true) == len(tracks) == len(matrices):
            raise EveryposeError(
                f"{len(true)} frames of true ids, {len(tracks)} of track ids and {len(matrices)} of similarities: "
                "give one of each a frame"
            )
        for frame, (one, other, matrix) in enumerate(zip(true, tracks, matrices, strict=True)):
            if matrix.shape != (len(one), len(other)):
                raise EveryposeError(
                    f"frame {frame}: similarities of shape {matrix.shape} for {len(one)} people and {len(other)} tracks"
                )
            for what, ids in (("true", one), ("track", other)):
                if len(np.unique(ids)) < len(ids):
                    raise EveryposeError(f"frame {frame}: a {what} id appears twice")
        return cls(_number_from_zero(true), _number_from_zero(tracks), matrices)

    @property
    def people(self) -> int:
        """Number of true identities."""
        return _highest(self.true_ids) + 1

    @property
    def tracks(self) -> int:
        """Number of track identities."""
        return _highest(self.track_ids) + 1


def _number_from_zero(ids: tuple[Int64, ...]) -> tuple[Int64, ...]:
    """The same identities numbered 0, 1, ... by rising id."""
    if not ids:
        return ()
    _, numbers = np.unique(np.concatenate(ids), return_inverse=True)
    ends = np.cumsum([len(frame) for frame in ids])
    return tuple(np.split(numbers.astype(np.int64), ends[:-1]))


def _highest(ids: tuple[Int64, ...]) -> int:
    return max((int(frame.max()) for frame in ids if len(frame)), default=-1)
