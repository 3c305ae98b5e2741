"""Training of top-down methods on one skeleton: on crops of people."""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from everypose.backbones.normalization import normalize
from everypose.core.arrays import Int64
from everypose.core.geometry import Size
from everypose.data.scenes import Scene, SceneSet
from everypose.errors import UsageError
from everypose.methods.spec import spec_of
from everypose.methods.top_down.augmentation import draw
from everypose.methods.top_down.crops import CropGeometry, clean_boxes
from everypose.methods.top_down.graph import HeatmapNetwork
from everypose.methods.top_down.samples import CropBatch, CropSample, collate, make_sample, trainable_people
from everypose.methods.top_down.settings import CropAugmentation, PeopleRule
from everypose.methods.top_down.targets import gaussian_targets
from everypose.models.settings import method_of
from everypose.training.recipe import TopDownRecipe
from everypose.training.sample_stream import generator_at, index_at
from everypose.training.tasks.one_set import OneSetTask
from everypose.training.tasks.people import list_people, require_people


class TopDownTask(OneSetTask):
    """A crop for each person: the network is called as ``network.heatmaps(images)``.

    Attributes:
        samples: the training samples.

    Raises:
        UsageError: if the augmentation crops half bodies and the skeleton does not know its upper body.

    >>> from everypose.training.recipe import parse_recipe
    >>> data = {"train": [{"annotations": "people.json", "images": "."}], "val_split": ""}
    >>> table = {"model": {"family": "mipnet"}, "inference": {"crop_size": [192, 256]}, "data": data}
    >>> task = TopDownTask(parse_recipe(table | {"schedule": {"epochs": 2}}))
    >>> task.samples[0].crop.shape, task.samples[0].keypoints.shape  # two people a crop
    ((256, 192, 3), (2, 17, 3))
    """

    def __init__(self, recipe: TopDownRecipe) -> None:
        super().__init__(recipe)
        objective = spec_of(method_of(recipe.model)).objective
        assert objective is not None
        self._objective = objective(recipe)
        self._sigma = recipe.crops.sigma
        cut, model = self.config.on_crops, recipe.model
        self.samples = CropSamples(
            self._training,
            CropGeometry(cut.crop_size, cut.convention, cut.padding, cut.crop),
            recipe.crops.augmentation,
            rule=recipe.crops.people_rule(model.people_per_crop),
            seed=recipe.trainer.seed,
        )

    def losses(self, network: nn.Module, batch: CropBatch[Tensor]) -> dict[str, Tensor]:
        """Return the method's losses; targets are rendered here, on the device."""
        cut = self.config.on_crops
        images = normalize(batch.images, bgr=cut.bgr).contiguous(memory_format=torch.channels_last)
        heatmaps = cast(HeatmapNetwork, network).heatmaps(images)
        size = Size(heatmaps.shape[-1], heatmaps.shape[-2])
        targets, weights = gaussian_targets(batch.keypoints, cut.crop_size, size, self._sigma, batch.udp)
        return self._objective(heatmaps, targets, weights)


class CropSamples(Dataset[CropSample]):
    """Samples by their position in the run, each a person's crop and the N people that are to be found in it.

    Args:
        sets: what is trained on, of one skeleton.
        geometry: how crops are cut.
        augmentation: ranges of the random augmentation.
        rule: who the N people of a crop are.
        seed: seed of order and augmentation.

    Raises:
        UsageError: if the augmentation crops half bodies and the skeleton does not know its upper body.
        EveryposeError: if there is no person to train on.

    >>> import numpy as np
    >>> from pathlib import Path
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> scene = Scene(
    ...     1, Path("a.jpg"), "a.jpg", 64, 64, np.array([7]), np.full((1, 17, 3), 2.0), np.array([[0.0, 0, 20, 40]]),
    ...     np.array([424.0]), np.array([False]), [None],
    ... )
    >>> people, geometry = SceneSet([scene], Skeleton.named("coco"), "train"), CropGeometry(Size(48, 64))
    >>> samples = CropSamples([people], geometry, CropAugmentation(), rule=PeopleRule(), seed=0)
    >>> len(samples), samples.unit
    (1, 'people')
    """

    unit = "people"

    def __init__(
        self,
        sets: Sequence[SceneSet],
        geometry: CropGeometry,
        augmentation: CropAugmentation,
        *,
        rule: PeopleRule,
        seed: int,
    ) -> None:
        self._scenes = [scene for one in sets for scene in one]
        self._skeleton = sets[0].skeleton
        self._geometry = geometry
        self._augmentation = augmentation
        self._rule = rule
        self._seed = seed
        if augmentation.half_body and not self._skeleton.upper_body:
            raise UsageError(
                f"the skeleton {self._skeleton.name!r} does not say which keypoints are of the upper body: "
                "give --set crops.augmentation.half_body=0"
            )
        self._scene_of, self._people = list_people(self._scenes, lambda scene: people_of_crops(scene, rule))
        require_people(self._people, sets)

    def __len__(self) -> int:
        return len(self._people)

    def index(self, position: int) -> int:
        """Return which person is at a position."""
        return index_at(position, len(self), self._seed)

    def __getitem__(self, position: int) -> CropSample:
        index = self.index(position)
        scene, people = self._scenes[self._scene_of[index]], self._people[index]
        draws = draw(generator_at(position, self._seed), self._augmentation)
        sample = make_sample(
            scene,
            people.tolist(),
            scene.read_image(),
            self._skeleton,
            geometry=self._geometry,
            draws=draws,
            drop_outside=self._rule.drop_outside,
        )
        if self._rule.replace_absent is not None:
            sample = replace(sample, keypoints=self._rule.replace_absent(sample.keypoints))
        return sample

    def collate(self, samples: Sequence[CropSample]) -> CropBatch[Tensor]:
        """Join samples to one batch of tensors."""
        batch: CropBatch[Tensor] = collate(samples).map(torch.from_numpy)
        return batch


def people_of_crops(scene: Scene, rule: PeopleRule) -> Int64:
    """Return the crops of an image: (P, N) rows of its annotations, in each row the crop's own person first.

    >>> import numpy as np
    >>> from pathlib import Path
    >>> scene = Scene(
    ...     1, Path("a.jpg"), "a.jpg", 64, 64, np.arange(2), np.full((2, 17, 3), 2.0), np.array([[0.0, 0, 20, 40]] * 2),
    ...     np.full(2, 424.0), np.array([False, False]), [None, None],
    ... )
    >>> people_of_crops(scene, PeopleRule()).tolist()
    [[0], [1]]
    """
    rows = trainable_people(scene)
    if rule.choose is None:
        return rows[:, None]
    given = scene.boxes[rows]
    boxes, _ = clean_boxes(given, Size(scene.width, scene.height))
    return rows[rule.choose(boxes, given, scene.keypoints[rows])]
