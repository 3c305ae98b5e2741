"""The stream of training samples: stateless, so that a run can stop and go on anywhere.

Sample number n of a run (its position) is image ``permutation(epoch)[n % images]`` of epoch ``n // images`` (or person,
for the families that work on crops), and its random numbers come from (seed, position) alone. So neither the number of
loader workers nor a resumption changes what is seen, and process r of R takes every R-th sample of the order that one
process would see.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from everypose.data.discovery.layouts import find_data
from everypose.data.formats.coco import read_coco
from everypose.data.images import read_image
from everypose.data.scenes import Scene, SceneSet
from everypose.errors import EveryposeError
from everypose.methods.single_stage.augmentation import draw, possible_reduction
from everypose.methods.single_stage.samples import Sample, SampleBatch, collate, make_sample, training_scenes
from everypose.methods.single_stage.targets import Batch
from everypose.skeleton.skeleton import Skeleton
from everypose.training.sections import DataSection, Source

if TYPE_CHECKING:
    from everypose.training.tasks.protocol import Samples


def read_training_set(data: DataSection) -> list[SceneSet]:
    """The sets that a recipe trains on: its sources, or the layout found under its root, and the extra sets.

    Raises:
        EveryposeError: a set cannot be found or read, has no labelled person, or has another skeleton than the first.
    """
    sets = _read_split(data, data.train, data.dataset, data.train_split) + [
        _read_source(data, source) for source in data.extra
    ]
    for other in sets[1:]:
        require_same_skeleton(sets[0], other)
    return sets


def read_validation_set(data: DataSection) -> SceneSet:
    """The set that a recipe validates on.

    Raises:
        EveryposeError: it cannot be found or read.
    """
    sets = _read_split(data, data.val, data.val_dataset or data.dataset, data.val_split)
    if len(sets) > 1:
        raise EveryposeError("data.val names several sets: AP is measured on one")
    return sets[0]


def require_same_skeleton(first: SceneSet, other: SceneSet) -> None:
    """See that two sets of one run have the same keypoints.

    Raises:
        EveryposeError: they have not.
    """
    if other.skeleton.keypoints != first.skeleton.keypoints:
        raise EveryposeError(
            f"{other.annotation_file} has the keypoints of {other.skeleton.name}, {first.annotation_file} those "
            f"of {first.skeleton.name}: sets of one run must share one skeleton"
        )


def _read_split(data: DataSection, sources: Sequence[Source], dataset: str, split: str) -> list[SceneSet]:
    if sources:
        return [_read_source(data, source) for source in sources]
    layout = find_data(Path(data.root), split, dataset)
    skeleton = _skeleton(data)
    return [replace(layout, annotation_files=(file,)).read(skeleton) for file in layout.annotation_files]


def _read_source(data: DataSection, source: Source) -> SceneSet:
    return read_coco(Path(data.root, source.annotations), Path(data.root, source.images), _skeleton(data))


def _skeleton(data: DataSection) -> Skeleton | None:
    return Skeleton.find(data.skeleton) if data.skeleton else None


def trainable(sets: Sequence[SceneSet], data: DataSection) -> list[Scene]:
    """The scenes of all sets that are worth training on.

    Raises:
        EveryposeError: there is none.
    """
    scenes = [scene for one in sets for scene in training_scenes(one, need_keypoints=data.mask_unlabelled)]
    if not any(scene.is_labelled_person.any() for scene in scenes):
        files = ", ".join(str(one.annotation_file or one.name) for one in sets)
        raise EveryposeError(f"no image of {files} has a person with labelled keypoints: there is nothing to train on")
    return scenes


class TrainingSamples(Dataset[tuple[int, Sample]]):
    """Samples by their position in the run, each a whole image."""

    unit = "images"

    def __init__(self, scenes: Sequence[Scene], skeleton: Skeleton, data: DataSection, seed: int) -> None:
        self._scenes = scenes
        self._skeleton = skeleton
        self._data = data
        self._augmentation = data.augmentation.settings()
        self._seed = seed

    def __len__(self) -> int:
        return len(self._scenes)

    def index(self, position: int) -> int:
        """Which scene stands at a position."""
        return index_at(position, len(self._scenes), self._seed)

    def __getitem__(self, position: int) -> tuple[int, Sample]:
        scene, data = self._scenes[self.index(position)], self._data
        draws = draw(generator_at(position, self._seed), self._augmentation, scene)
        reduction = possible_reduction(scene.height, scene.width, data.size, draws)
        image = read_image(scene.path, reduction)
        return position, make_sample(
            scene,
            image,
            self._skeleton,
            data.size,
            draws,
            data.minimum_area,
            data.mask_unlabelled,
            reduction,
            data.exact_flip,
        )

    def collate(self, samples: Sequence[tuple[int, Sample]]) -> Batch:
        """Samples to one batch of tensors."""
        rng = np.random.default_rng((self._seed, 2, samples[0][0]))
        return to_tensors(collate([sample for _, sample in samples], rng))


def index_at(position: int, length: int, seed: int) -> int:
    """Which of ``length`` samples stands at a position of the run: every epoch has an order of its own."""
    epoch, place = divmod(position, length)
    return int(_permutation(seed, epoch, length)[place])


def generator_at(position: int, seed: int) -> np.random.Generator:
    """What draws the augmentation of the sample at a position of the run."""
    return np.random.default_rng((seed, 1, position))


@lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, length: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng((seed, 0, epoch)).permutation(length)


def to_tensors(batch: SampleBatch) -> Batch:
    """The sample maker's arrays as tensors of the same names; the memory is shared."""
    values: dict[str, Any] = {name: getattr(batch, name) for name in batch.__dataclass_fields__}
    tensors: dict[str, Any] = {
        name: torch.from_numpy(value) for name, value in values.items() if isinstance(value, np.ndarray)
    }
    return Batch(**values | tensors)


class StepBatches(Sampler[list[int]]):
    """The batches of one process, from one step of the run to another, as lists of positions.

    Args:
        first_step: steps already taken.
        last_step: steps of the whole run.
        batch: samples a process and batch.
        accumulate: batches a step.
        rank: this process among ``world_size``.
        world_size: number of processes.
    """

    def __init__(
        self, first_step: int, last_step: int, batch: int, accumulate: int = 1, rank: int = 0, world_size: int = 1
    ) -> None:
        self._batches = range(first_step * accumulate, last_step * accumulate)
        self._batch = batch
        self._rank = rank
        self._world_size = world_size

    def __iter__(self) -> Iterator[list[int]]:
        together = self._batch * self._world_size
        for number in self._batches:
            yield list(range(number * together + self._rank, (number + 1) * together, self._world_size))

    def __len__(self) -> int:
        return len(self._batches)


def training_loader(samples: "Samples", batches: StepBatches, workers: int, pin: bool) -> DataLoader[Any]:
    """The loader of one process, for the whole rest of the run."""
    if workers:
        # The workers are the parallelism; and a fork of OpenCV's own thread pool would wait for threads it has not got.
        cv2.setNumThreads(1)
    return DataLoader(
        cast(Dataset[Any], samples),
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=samples.collate,
        pin_memory=pin,
    )
