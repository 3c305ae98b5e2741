"""What the training tasks for one data set share."""

from torch import nn

from everypose.data.scenes import SceneSet
from everypose.models.config import ModelConfig
from everypose.training.datasets import read_training_set
from everypose.training.initial_weights import make_network, model_config
from everypose.training.optimizer_groups import ParameterGroup, freeze, parameter_groups
from everypose.training.recipe import OneSetRecipe
from everypose.training.validation import Validator, make_validators


class OneSetTask:
    """Training on the sets of one skeleton.

    Attributes:
        config: the configuration of the trained model.
        validators: one for the validation set, if there is one.
        sets: the training sets.

    Raises:
        EveryposeError: if data cannot be used, or the skeleton has no sigmas, which AP and suppression need.

    >>> from everypose.training.recipe import parse_recipe
    >>> data = {"train": [{"annotations": "people.json", "images": "."}], "val_split": ""}
    >>> recipe = parse_recipe({"model": {"family": "cid"}, "schedule": {"epochs": 2}, "data": data})
    >>> task = OneSetTask(recipe)
    >>> task.config.skeleton.name, task.validators
    ('coco', [])
    """

    leaves_parameters_unused = False

    def __init__(self, recipe: OneSetRecipe) -> None:
        self._recipe = recipe
        self._training: list[SceneSet] = read_training_set(recipe.data)
        self._skeleton = self._training[0].skeleton
        # Validation and the trained model's suppression need them: refuse now, not after the last step.
        self._skeleton.require_sigmas()
        self.config: ModelConfig = model_config(recipe, self._skeleton)
        self.validators: list[Validator] = self._make_validators()
        self.sets = self._training

    def make_network(self) -> nn.Module:
        """Make the recipe's network with its initial weights, some of them frozen.

        Raises:
            UsageError: if ``optim.scales`` names parameters that the network does not have.
            EveryposeError: if the weights to start from cannot be read or do not fit.
        """
        network = make_network(self._recipe, len(self.config.skeleton))
        freeze(network, self._recipe.optim.scales)
        return network

    def _make_validators(self) -> list[Validator]:
        """Return the recipe's validation: one set, or none."""
        return make_validators(self._recipe, self._training[0], self.config)

    def parameter_groups(self, network: nn.Module) -> list[ParameterGroup]:
        """Return the trained parameters by learning-rate multiplier; of a ViT with layer decay, by block."""
        return parameter_groups(network, self._recipe.optim)

    def begin_step(self, network: nn.Module, epoch: float) -> None:
        """Do nothing: all parameters are trained in all epochs."""

    def end_step(self, network: nn.Module) -> None:
        """Do nothing: losses determine gradients only."""

    def sample_counts(self, _: object, /) -> dict[str, int]:
        """Return nothing: every loss is computed from all samples."""
        return {}
