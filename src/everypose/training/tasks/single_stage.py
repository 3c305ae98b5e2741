"""Training BoIR and CID."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from everypose.backbones.colours import normalise
from everypose.data.images import read_image
from everypose.data.scenes import Scene
from everypose.methods.boir.losses import LossSettings as BoIRLossSettings
from everypose.methods.boir.losses import losses as boir_losses
from everypose.methods.cid.losses import LossSettings as CIDLossSettings
from everypose.methods.cid.losses import losses as cid_losses
from everypose.methods.single_stage.augmentation import draw, possible_reduction
from everypose.methods.single_stage.samples import Sample, SampleBatch, collate, make_sample
from everypose.methods.single_stage.targets import Batch, Targets, render_targets
from everypose.models.build import SingleStageNetwork
from everypose.skeleton.skeleton import Skeleton
from everypose.training.datasets import read_training_set, trainable
from everypose.training.initial_weights import make_network, model_config
from everypose.training.optimizer_groups import freeze, parameter_groups
from everypose.training.recipe import Recipe
from everypose.training.sample_stream import generator_at, index_at
from everypose.training.sections import DataSection
from everypose.training.validation import make_validators

Objective = Callable[[Any, Targets], dict[str, Tensor]]
"""(network outputs, targets) to weighted losses, each already divided by the number of images."""


class SingleStageTask:
    """One pass over the image: the network is called as ``network(images, instance_image, instance_yx)``.

    Raises:
        UsageError: ``optim.scales`` names parameters that the network has not.
        EveryposeError: data or the weights to start from cannot be used.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._objective = objective_of(recipe)
        training = read_training_set(recipe.data)
        scenes, skeleton = trainable(training, recipe.data), training[0].skeleton
        # Validation and the trained model's suppression of double finds need them: say so now, not after the last step.
        skeleton.require_sigmas()
        self.config = model_config(recipe, skeleton)
        self.samples = TrainingSamples(scenes, skeleton, recipe.data, recipe.trainer.seed)
        self.validators = make_validators(recipe, training[0], self.config)
        self.sets = training

    def make_network(self) -> nn.Module:
        """The recipe's network with its first weights, some of them frozen."""
        network = make_network(self._recipe, len(self.config.read_skeleton()))
        freeze(network, self._recipe.optim.scales)
        return network

    def parameter_groups(self, network: nn.Module) -> list[dict[str, Any]]:
        """Heads and backbone, which may learn more slowly."""
        return parameter_groups(network, self._recipe.optim)

    def begin_step(self, network: nn.Module, epoch: float) -> None:
        """Everything learns all the time."""

    def losses(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The family's losses; targets are rendered here, on the device."""
        assert isinstance(network, SingleStageNetwork)
        targets = render_targets(batch)
        images = normalise(batch.images, network.colours).contiguous(memory_format=torch.channels_last)
        return self._objective(network(images, targets.instance_image, targets.instance_yx), targets)

    def sample_counts(self, _: Batch) -> dict[str, int]:
        """Every loss is of all samples."""
        return {}


def objective_of(recipe: Recipe) -> Objective:
    """The training loss of the recipe's family, with the recipe's weights."""
    weights = recipe.losses
    if recipe.model.family == "cid":
        cid = CIDLossSettings(weights.multi_heatmap, weights.single_heatmap, weights.contrastive)
        return lambda outputs, targets: cid_losses(outputs, targets, cid)
    boir = BoIRLossSettings(
        weights.multi_heatmap,
        weights.single_heatmap,
        weights.bbox,
        weights.bbox_mask,
        weights.background,
        weights.offset,
    )
    return lambda outputs, targets: boir_losses(outputs, targets, boir)


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


def to_tensors(batch: SampleBatch) -> Batch:
    """The sample maker's arrays as tensors of the same names; the memory is shared."""
    values: dict[str, Any] = {name: getattr(batch, name) for name in batch.__dataclass_fields__}
    tensors: dict[str, Any] = {
        name: torch.from_numpy(value) for name, value in values.items() if isinstance(value, np.ndarray)
    }
    return Batch(**values | tensors)
