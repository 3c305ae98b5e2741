"""Training BoIR and CID."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from everypose.backbones.colours import normalise
from everypose.methods.boir.losses import LossSettings as BoIRLossSettings
from everypose.methods.boir.losses import losses as boir_losses
from everypose.methods.cid.losses import LossSettings as CIDLossSettings
from everypose.methods.cid.losses import losses as cid_losses
from everypose.methods.single_stage.targets import Batch, Targets, render_targets
from everypose.models.build import SingleStageNetwork
from everypose.training.initial_weights import make_network, model_config
from everypose.training.optimizer_groups import freeze, parameter_groups
from everypose.training.recipe import Recipe
from everypose.training.sample_stream import TrainingSamples, read_training_set, trainable
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
        self.sets = [*training, *(validator.scene_set for validator in self.validators)]

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
