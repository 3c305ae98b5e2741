"""Training of single-stage methods: on whole images."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from everypose.backbones.normalization import normalize
from everypose.data.scenes import Scene
from everypose.methods.single_stage.augmentation import draw, possible_reduction
from everypose.methods.single_stage.graph import SingleStageNetwork
from everypose.methods.single_stage.samples import ImageBatch, ImageSample, collate, make_sample
from everypose.methods.single_stage.settings import ImageSampleSettings
from everypose.methods.single_stage.targets import render_targets
from everypose.methods.spec import spec_of
from everypose.models.settings import method_of
from everypose.skeleton.skeleton import Skeleton
from everypose.training.datasets import trainable
from everypose.training.recipe import SingleStageRecipe
from everypose.training.sample_stream import generator_at, index_at
from everypose.training.tasks.one_set import OneSetTask


class SingleStageTask(OneSetTask):
    """Whole images: the network is called as ``network(images, instance_image, instance_yx)``.

    Attributes:
        samples: the training samples.

    >>> from everypose.training.recipe import parse_recipe
    >>> data = {"train": [{"annotations": "people.json", "images": "."}], "val_split": "", "size": 64}
    >>> recipe = parse_recipe({"model": {"family": "cid"}, "schedule": {"epochs": 2}, "data": data})
    >>> task = SingleStageTask(recipe)
    >>> batch = task.samples.collate([task.samples[position] for position in (0, 1)])
    >>> batch.images.shape, batch.loss_mask.shape
    (torch.Size([2, 64, 64, 3]), torch.Size([2, 1, 16, 16]))
    """

    def __init__(self, recipe: SingleStageRecipe) -> None:
        super().__init__(recipe)
        objective = spec_of(method_of(recipe.model)).objective
        assert objective is not None
        self._objective = objective(recipe)
        scenes = trainable(self._training, mask_unlabeled=recipe.data.mask_unlabeled)
        self.samples = ImageSamples(scenes, self._skeleton, recipe.data, seed=recipe.trainer.seed)

    def losses(self, network: nn.Module, batch: ImageBatch[Tensor]) -> dict[str, Tensor]:
        """Return the method's losses; targets are rendered here, on the device."""
        targets = render_targets(batch)
        images = normalize(batch.images, cast(SingleStageNetwork, network).normalization).contiguous(
            memory_format=torch.channels_last
        )
        return self._objective(network(images, targets.instance_image, targets.instance_yx), targets)


class ImageSamples(Dataset[tuple[int, ImageSample]]):
    """Samples by their position in the run, each of a whole image.

    Args:
        scenes: the images to train on.
        skeleton: their skeleton.
        settings: how an image becomes a sample.
        seed: seed of order and augmentation.

    >>> from pathlib import Path
    >>> nothing = np.zeros(0)
    >>> scene = Scene(
    ...     1, Path("a.jpg"), "a.jpg", 64, 64, nothing, np.zeros((0, 17, 3)), np.zeros((0, 4)), nothing, nothing > 0, []
    ... )
    >>> samples = ImageSamples([scene, scene], Skeleton.named("coco"), ImageSampleSettings(size=64), seed=0)
    >>> sorted(samples.index(position) for position in range(2))  # each scene once an epoch
    [0, 1]
    """

    unit = "images"

    def __init__(
        self, scenes: Sequence[Scene], skeleton: Skeleton, settings: ImageSampleSettings, *, seed: int
    ) -> None:
        self._scenes = scenes
        self._skeleton = skeleton
        self._settings = settings
        self._seed = seed

    def __len__(self) -> int:
        return len(self._scenes)

    def index(self, position: int) -> int:
        """Return which scene is at a position."""
        return index_at(position, len(self._scenes), self._seed)

    def __getitem__(self, position: int) -> tuple[int, ImageSample]:
        scene, settings = self._scenes[self.index(position)], self._settings
        draws = draw(generator_at(position, self._seed), settings.augmentation, scene)
        reduction = possible_reduction(scene.height, scene.width, settings.size, draws)
        image = scene.read_image(reduction)
        return position, make_sample(scene, image, self._skeleton, settings, draws=draws, reduction=reduction)

    def collate(self, samples: Sequence[tuple[int, ImageSample]]) -> ImageBatch[Tensor]:
        """Join samples to one batch of tensors."""
        rng = np.random.default_rng((self._seed, 2, samples[0][0]))
        batch: ImageBatch[Tensor] = collate([sample for _, sample in samples], rng).map(torch.from_numpy)
        return batch
