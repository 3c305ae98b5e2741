"""Training samples of a mixture: people of several data sets, each with its own skeleton, crops and augmentation.

As in :mod:`everypose.training.sample_stream`, the sample at a position is a function of (seed, position) alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from everypose.core.arrays import Int64
from everypose.data.formats.mpii import read_mpii
from everypose.data.formats.tar_set import names_tars
from everypose.data.scenes import SceneSet
from everypose.errors import EveryposeError
from everypose.methods.posebh.targets import rows_by_dataset
from everypose.methods.top_down.augmentation import draw
from everypose.methods.top_down.crops import CropGeometry
from everypose.methods.top_down.samples import CropBatch, CropSample, collate, make_sample
from everypose.methods.top_down.settings import CropInference
from everypose.skeleton.skeleton import Skeleton
from everypose.training.datasets import read_source, require_same_skeleton
from everypose.training.sample_stream import generator_at
from everypose.training.sections import MixedSet, Source
from everypose.training.tasks.people import list_people


def _read_mixture_source(source: Source, root: Path, skeleton: Skeleton | None) -> SceneSet:
    """Read a set for training; also one in MPII's own form, which is a list and no table.

    Raises:
        EveryposeError: if it cannot be read, or its keypoints are not those of ``skeleton``.
    """
    path = Path(root, source.annotations)
    if names_tars(source.images) or not source.annotations or not _is_list(path):
        return read_source(source, root, skeleton)
    scenes = read_mpii(path, Path(root, source.images))
    if skeleton is not None and skeleton.keypoints != scenes.skeleton.keypoints:
        raise EveryposeError(f"{path} is a list in MPII's form, whose keypoints are not those of {skeleton.name}")
    return scenes


def _is_list(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(64).lstrip().startswith(b"[")
    except OSError as error:
        raise EveryposeError(f"cannot read {path}: {error.strerror}") from error


class SetPeople:
    """The people of one data set who can be learned from.

    Args:
        settings: the set's part of the recipe.
        root: what its files are relative to.
        inference: size and padding of the crops.

    Attributes:
        settings: as given.
        training: what was read.
        skeleton: of the keypoints.
        geometry: of the crops.

    Raises:
        EveryposeError: if a file cannot be read or has different keypoints, or no person is usable.

    >>> settings = MixedSet(name="people", train=({"annotations": "people.json", "images": "."},))
    >>> people = SetPeople(settings, Path(), CropInference(crop_size=(48, 64)))
    >>> len(people), people.geometry.size
    (1, Size(width=48, height=64))
    """

    def __init__(self, settings: MixedSet, root: Path, inference: CropInference) -> None:
        self.settings = settings
        given = Skeleton.find(settings.skeleton) if settings.skeleton else None
        self.training = [_read_mixture_source(source, root, given) for source in settings.train]
        for other in self.training[1:]:
            require_same_skeleton(self.training[0], other.label, other.skeleton)
        self.skeleton = self.training[0].skeleton
        self.geometry = CropGeometry(inference.crop_size, settings.convention, inference.padding, settings.crop)
        augmentation = settings.augmentation
        known = bool(self.skeleton.upper_body)
        self._augmentation = augmentation if known else augmentation.model_copy(update={"half_body": 0.0})
        self._scenes = [scene for one in self.training for scene in one]
        self._scene_of, self._row_of = list_people(self._scenes)
        if not len(self):
            files = ", ".join(one.label for one in self.training)
            raise EveryposeError(
                f"the set {settings.name} ({files}) has no person with both a labeled keypoint and a box inside the "
                "image: there is nothing to learn from, leave it out"
            )

    def __len__(self) -> int:
        return len(self._row_of)

    def sample(
        self, person: int, dataset: int, rng: np.random.Generator, person_rng: np.random.Generator
    ) -> CropSample:
        """The crop of a person; ``person_rng`` moves its center, and is alike whenever the person is seen."""
        scene = self._scenes[self._scene_of[person]]
        draws = draw(rng, self._augmentation, person_rng)
        image = scene.read_image()
        row = int(self._row_of[person])
        return make_sample(scene, [row], image, self.skeleton, geometry=self.geometry, draws=draws, dataset=dataset)


@dataclass(frozen=True)
class MixedBatch:
    """``crops`` with one person each, and the ``rows`` (n,) of each data set in them.

    >>> one = torch.zeros(1)
    >>> crops = CropBatch(images=one, keypoints=one, udp=one, dataset=one, keys=("a.jpg",))
    >>> MixedBatch(crops, rows=(torch.tensor([0]), torch.tensor([], dtype=torch.int64))).keys
    ('a.jpg',)
    """

    crops: CropBatch[Tensor]
    rows: tuple[Tensor, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of the samples, for messages."""
        return self.crops.keys

    def in_step(self, batches: Sequence["MixedBatch"]) -> "MixedBatch":
        """Return the batch itself: its losses do not depend on the other batches of its step."""
        del batches
        return self

    def to(self, device: torch.device | str) -> "MixedBatch":
        """The same batch on ``device``."""
        return MixedBatch(self.crops.to(device), tuple(own.to(device, non_blocking=True) for own in self.rows))

    def pin_memory(self) -> "MixedBatch":
        """The same batch in page-locked memory; the loader asks for it."""
        return MixedBatch(self.crops.pin_memory(), tuple(own.pin_memory() for own in self.rows))


class MixedSamples(Dataset[CropSample]):
    """Samples by their position in the run: all people of all sets, shuffled together.

    With equal weights an epoch has every person once, and a set's share is that of its people. A set of weight w has
    w times that share, and goes through its people in an order of its own, so that all of them are seen equally often.

    >>> settings = MixedSet(name="people", train=({"annotations": "people.json", "images": "."},))
    >>> people = SetPeople(settings, Path(), CropInference(crop_size=(48, 64)))
    >>> samples = MixedSamples([people, people], seed=0)
    >>> len(samples), sorted(samples.index(position) for position in range(2))  # data set and person
    (2, [(0, 0), (1, 0)])
    """

    unit = "people"

    def __init__(self, sets: Sequence[SetPeople], seed: int) -> None:
        self._sets = sets
        self._seed = seed
        self._sizes = tuple(len(own) for own in sets)
        self.shares = shares(self._sizes, [own.settings.weight for own in sets])
        self._keypoints = max(len(own.skeleton) for own in sets)

    def __len__(self) -> int:
        return sum(self.shares)

    def index(self, position: int) -> tuple[int, int]:
        """Return the data set and the person at a position."""
        epoch, place = divmod(position, len(self))
        dataset, person = _epoch_order(self._seed, epoch, self._sizes, self.shares)[place]
        return int(dataset), int(person)

    def __getitem__(self, position: int) -> CropSample:
        dataset, person = self.index(position)
        person_rng = np.random.default_rng((self._seed, 3, dataset, person))
        return self._sets[dataset].sample(person, dataset, generator_at(position, self._seed), person_rng)

    def collate(self, samples: Sequence[CropSample]) -> MixedBatch:
        """Samples to one batch of tensors, with the keypoints of the largest skeleton."""
        rows = rows_by_dataset([sample.dataset for sample in samples], len(self._sets))
        crops: CropBatch[Tensor] = collate(samples, self._keypoints).map(torch.from_numpy)
        return MixedBatch(crops, rows)


def shares(sizes: Sequence[int], weights: Sequence[float]) -> tuple[int, ...]:
    """Samples per epoch of each set, by the weights; up to rounding they sum to the number of people of all sets.

    >>> shares([100, 50], [1.0, 4.0])
    (50, 100)
    """
    wanted = np.multiply(sizes, weights)
    return tuple(max(1, round(part)) for part in (wanted * (sum(sizes) / wanted.sum())).tolist())


@lru_cache(maxsize=2)
def _epoch_order(seed: int, epoch: int, sizes: tuple[int, ...], shares: tuple[int, ...]) -> Int64:
    """(samples, 2): the data set and the person at each place of an epoch."""
    parts = []
    for dataset, (size, share) in enumerate(zip(sizes, shares, strict=True)):
        # The set's own epochs, which are not those of the run where it has a weight.
        rounds, places = np.divmod(np.arange(epoch * share, (epoch + 1) * share), size)
        orders = [np.random.default_rng((seed, 4, dataset, int(n))).permutation(size) for n in np.unique(rounds)]
        people = np.stack(orders)[rounds - rounds[0], places]
        parts.append(np.stack([np.full(share, dataset), people], axis=1))
    together = np.concatenate(parts)
    return together[np.random.default_rng((seed, 0, epoch)).permutation(len(together))]
