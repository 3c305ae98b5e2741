"""Find people in batches of a table, for pipelines of Ray Data, Daft, Spark or plain Python."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
import numpy.typing as npt

from everypose.core.ordered_work import generator_threads
from everypose.core.process_setup import available_threads
from everypose.errors import EveryposeError, UsageError
from everypose.inference.bulk import find_people, pixels_of_file
from everypose.inference.image_like import ImageLike
from everypose.inference.results.table import LONG_COLUMNS, wide_columns
from everypose.models.default_names import DEFAULT_MODEL
from everypose.people import People

if TYPE_CHECKING:
    from everypose.inference.estimator import Estimator, Prepared

Column = npt.NDArray[np.generic] | Sequence[object]
"""A column of a batch: an array, or a list of paths, bytes or arrays."""

_TEXT_COLUMNS = ("file", "skeleton", "keypoint", "problem")
_VIDEO_COLUMNS = ("frame", "time_s", "track_id")


class PoseActor:
    """Finds the people of a batch of images; the model is loaded once, when the actor is made.

    A batch is a mapping from column names to columns, as Ray Data passes with ``batch_format="numpy"``. The result has
    the columns of ``everypose predict --save parquet`` without those of videos, and the column ``problem``: an image
    that cannot be read has one row with its reason, -1 as ``person``, and all others empty.

    Args:
        model: as for `everypose.load`.
        key: the column with each image's name; also its path or address, if ``image`` is None.
        image: the column of images as bytes of a file or (H, W, 3) uint8 RGB arrays; None to read the files of ``key``.
        rows: a row for each keypoint ("keypoints") or for each person ("people").
        device: as for `everypose.load`.
        detector: as for `everypose.load`.
        min_score: as for `everypose.load`.
        batch_size: as for `everypose.load`.
        threads: CPU threads of the model; give the number of CPUs that Ray reserves for the actor.

    Raises:
        EveryposeError: if the model is damaged.
        UsageError: if there is no such model, detector or device.

    >>> actor = PoseActor("boir-lite", key="path", rows="people", threads=1)
    >>> actor({"path": ["no-such-photo.jpg"]})["problem"].tolist()
    ['cannot read the image no-such-photo.jpg: No such file or directory']
    """

    def __init__(
        self,
        model: str | Path = DEFAULT_MODEL,
        key: str = "path",
        *,
        image: str | None = None,
        rows: Literal["keypoints", "people"] = "keypoints",
        device: str = "cpu",
        detector: str | Path | None = None,
        min_score: float | None = None,
        batch_size: int | None = None,
        threads: int | None = None,
    ) -> None:
        from everypose.inference.loading import load

        self._key = key
        self._image = image
        self._wide = rows == "people"
        self.estimator: Estimator = load(
            model,
            device=device,
            detector=detector,
            min_score=min_score,
            batch_size=batch_size,
            threads=threads,
        )

    def __call__(self, batch: Mapping[str, Column]) -> dict[str, npt.NDArray[np.generic]]:
        """Return the rows of all people in the batch's images.

        Args:
            batch: columns of B images by name.

        Raises:
            UsageError: if the batch does not have the actor's columns.
        """
        for name in filter(None, (self._key, self._image)):
            if name not in batch:
                raise UsageError(f"the batch has no column {name!r}, only {', '.join(batch)}")
        keys = [str(key) for key in batch[self._key]]
        images = keys if self._image is None else list(batch[self._image])
        columns = wide_columns(self.estimator.skeleton) if self._wide else LONG_COLUMNS
        names = [*(name for name in columns if name not in _VIDEO_COLUMNS), "problem"]
        tables = [self._table(key, outcome) for key, outcome in zip(keys, self._outcomes(images), strict=True)]
        return {name: np.concatenate([_empty(name), *(table[name] for table in tables)]) for name in names}

    def _outcomes(self, images: Sequence[object]) -> Iterator[People | str]:
        """Yield each image's people, or why it could not be read; reading overlaps with the network."""

        def prepare(image: object) -> "Prepared":
            prepared: Prepared = self.estimator.prepare(cast(ImageLike, image))
            return prepared

        workers = min(4, available_threads())
        with generator_threads(workers) as pool:
            for _, outcome in find_people(
                self.estimator, images, pool, workers=workers, prepare=prepare, pixels=_pixels_of
            ):
                yield str(outcome) if isinstance(outcome, EveryposeError) else outcome

    def _table(self, key: str, outcome: People | str) -> dict[str, npt.NDArray[np.generic]]:
        """Return the rows of one image."""
        if isinstance(outcome, str):
            return _Problem({"file": np.array([key]), "problem": np.array([outcome]), "person": np.array([-1])})
        table = {
            name: column for name, column in outcome.to_table(wide=self._wide).items() if name not in _VIDEO_COLUMNS
        }
        rows = len(table["person"])
        return table | {"file": np.full(rows, key), "problem": np.full(rows, "")}


def _pixels_of(image: object) -> int:
    """Return the pixels of an image before it is read; 0 if they are unknown."""
    if isinstance(image, np.ndarray):
        return int(np.prod(image.shape[:2]))
    return pixels_of_file(Path(image)) if isinstance(image, str | Path) else 0


class _Problem(dict[str, npt.NDArray[np.generic]]):
    """The single row of an image that could not be read; missing columns are empty."""

    def __missing__(self, name: str) -> npt.NDArray[np.generic]:
        return np.array([""]) if name in _TEXT_COLUMNS else np.array([np.nan], dtype=np.float32)


def _empty(name: str) -> npt.NDArray[np.generic]:
    """Return a column without rows, which determines the type of an empty table."""
    return np.empty(0, dtype="U1" if name in _TEXT_COLUMNS else np.int64 if name == "person" else np.float32)
