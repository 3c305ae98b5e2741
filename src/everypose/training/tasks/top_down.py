"""Training the methods on crops: SimpleBaseline, HRNet, MIPNet and ViTPose."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from everypose.backbones.colours import normalise
from everypose.data.images import read_image
from everypose.data.scenes import Scene, SceneSet
from everypose.errors import EveryposeError, UsageError
from everypose.methods.mipnet.assignment import Rule, box_people, present_people
from everypose.methods.mipnet.losses import losses as mipnet_losses
from everypose.methods.mipnet.settings import MIPNetSettings
from everypose.methods.top_down.augmentation import draw
from everypose.methods.top_down.crops import CropGeometry, clean_boxes
from everypose.methods.top_down.losses import joints_mse
from everypose.methods.top_down.samples import Sample, collate, make_sample, trainable_people
from everypose.methods.top_down.targets import Batch, gaussian_targets
from everypose.methods.vitpose.settings import ViTPoseSettings
from everypose.models.settings import TopDownSettings
from everypose.training.datasets import read_training_set
from everypose.training.initial_weights import make_network, model_config
from everypose.training.optimizer_groups import freeze, parameter_groups
from everypose.training.recipe import Recipe
from everypose.training.sample_stream import generator_at, index_at
from everypose.training.sections import CropsSection
from everypose.training.validation import make_validators

Objective = Callable[[Tensor, Tensor, Tensor], dict[str, Tensor]]
"""Heatmaps and targets (B, N, K, h, w) and weights (B, N, K) to the losses whose sum is minimised."""


class TopDownTask:
    """One person's crop: the network is called as ``network.heatmaps(images)``.

    Raises:
        UsageError: ``optim.scales`` names parameters that the network has not, or the augmentation looks for half
            bodies in a skeleton that does not know them.
        EveryposeError: data or the weights to start from cannot be used.
    """

    def __init__(self, recipe: Recipe) -> None:
        assert isinstance(recipe.model, TopDownSettings)
        self._recipe = recipe
        self._objective = objective_of(recipe.model)
        training = read_training_set(recipe.data)
        skeleton = training[0].skeleton
        # Validation and the trained model's suppression of double finds need them: say so now, not after the last step.
        skeleton.require_sigmas()
        self.config = model_config(recipe, skeleton)
        cut = self.config.on_crops
        geometry = CropGeometry(cut.crop_size, cut.convention, cut.padding, cut.crop)
        self.samples = CropSamples(training, recipe.model, geometry, recipe.crops, recipe.trainer.seed)
        self.validators = make_validators(recipe, training[0], self.config)
        self.sets = training

    def make_network(self) -> nn.Module:
        """The recipe's network with its first weights, some of them frozen."""
        network = make_network(self._recipe, len(self.config.read_skeleton()))
        freeze(network, self._recipe.optim.scales)
        return network

    def parameter_groups(self, network: nn.Module) -> list[dict[str, Any]]:
        """Heads and backbone, which may learn more slowly, in a ViT block by block."""
        return parameter_groups(network, self._recipe.optim)

    def begin_step(self, network: nn.Module, epoch: float) -> None:
        """Everything learns all the time."""

    def losses(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The family's losses; targets are rendered here, on the device."""
        images = normalise(batch.images, bgr=self.config.on_crops.bgr).contiguous(memory_format=torch.channels_last)
        heatmaps: Tensor = network.heatmaps(images)  # type: ignore[operator]  # as every top-down network has it
        height, width = heatmaps.shape[-2:]
        targets, weights = gaussian_targets(
            batch.keypoints, self.config.on_crops.crop_size, (width, height), self._recipe.crops.sigma, batch.udp
        )
        return self._objective(heatmaps, targets, weights)

    def sample_counts(self, _: Batch) -> dict[str, int]:
        """Every loss is of all samples."""
        return {}


def objective_of(settings: TopDownSettings) -> Objective:
    """The training loss of a family: the mean squared error, half of it but for ViTPose."""
    if isinstance(settings, MIPNetSettings):
        return mipnet_losses
    factor = 1.0 if isinstance(settings, ViTPoseSettings) else 0.5
    return lambda heatmaps, targets, weights: {"heatmap": factor * joints_mse(heatmaps.float(), targets, weights)}


class CropSamples(Dataset[Sample]):
    """Samples by their position in the run, each a person's crop and the N people who are to be found in it.

    Args:
        sets: what is trained on, of one skeleton.
        model: the family; MIPNet has more than one person to a crop, and is asked nothing about keypoints outside it.
        geometry: of the crops.
        settings: how they are changed at random, and who the N people are.
        seed: of order and augmentation.

    Raises:
        UsageError: the augmentation looks for half bodies, and the skeleton does not know its upper body.
        EveryposeError: there is nobody to train on.
    """

    unit = "people"

    def __init__(
        self,
        sets: Sequence[SceneSet],
        model: TopDownSettings,
        geometry: CropGeometry,
        settings: CropsSection,
        seed: int,
    ) -> None:
        self._scenes = [scene for one in sets for scene in one]
        self._skeleton = sets[0].skeleton
        self._geometry = geometry
        self._settings = settings
        self._augmentation = settings.augmentation.settings()
        self._seed = seed
        if self._augmentation.half_body and not self._skeleton.upper_body:
            raise UsageError(
                f"the skeleton {self._skeleton.name!r} does not say which keypoints are of the upper body: "
                "give --set crops.augmentation.half_body=0"
            )
        self._is_mipnet = isinstance(model, MIPNetSettings)
        instances = model.instances if isinstance(model, MIPNetSettings) else 1
        groups = [people_of_crops(scene, instances, settings.others) for scene in self._scenes]
        self._people = np.concatenate([np.zeros((0, instances), np.int64), *groups])
        self._scene_of = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
        if not len(self._people):
            files = ", ".join(str(one.annotation_file or one.name) for one in sets)
            raise EveryposeError(
                f"{files}: nobody has both a labelled keypoint and a box inside the image: there is nothing to train on"
            )

    def __len__(self) -> int:
        return len(self._people)

    def index(self, position: int) -> int:
        """Which person stands at a position."""
        return index_at(position, len(self), self._seed)

    def __getitem__(self, position: int) -> Sample:
        index = self.index(position)
        scene, people = self._scenes[self._scene_of[index]], self._people[index]
        draws = draw(generator_at(position, self._seed), self._augmentation)
        image = read_image(scene.path)
        sample = make_sample(
            scene, people.tolist(), image, self._skeleton, self._geometry, draws, drop_outside=self._is_mipnet
        )
        if self._is_mipnet and self._settings.others == "released":
            sample = replace(sample, keypoints=present_people(sample.keypoints))
        return sample

    def collate(self, samples: Sequence[Sample]) -> Batch:
        """Samples to one batch of tensors."""
        return Batch.of(collate(samples))


def people_of_crops(scene: Scene, instances: int, rule: Rule) -> npt.NDArray[np.int64]:
    """The crops of an image: (P, N) rows of its annotations, the person who makes the crop first, then the others."""
    rows = trainable_people(scene)
    given = scene.boxes[rows]
    boxes, _ = clean_boxes(given, (scene.width, scene.height))
    return rows[box_people(boxes, given, scene.keypoints[rows], instances, rule)]
