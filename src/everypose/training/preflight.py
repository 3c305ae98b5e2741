"""Checks of a run before its first step: errors that would otherwise appear hours later, as one line."""

from torch import nn

from everypose.errors import EveryposeError, UsageError
from everypose.models.build import build_network
from everypose.models.buildable import require_buildable
from everypose.training.recipe import Recipe
from everypose.training.tasks.protocol import AnyTask


def check_run(recipe: Recipe, task: AnyTask) -> None:
    """Refuse a run that cannot train or be validated.

    Args:
        recipe: the recipe.
        task: its data and validation sets.

    Raises:
        UsageError: if a setting cannot work; the message has the ``--set`` that fixes it.
        EveryposeError: if a validation set has no labeled person.

    >>> from types import SimpleNamespace
    >>> from everypose.training.initial_weights import model_config
    >>> from everypose.training.recipe import parse_recipe
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> recipe = parse_recipe({"model": {"family": "cid"}, "schedule": {"epochs": 2}})
    >>> check_run(recipe, SimpleNamespace(config=model_config(recipe, Skeleton.named("coco")), validators=[]))
    """
    keypoints = len(task.config.skeleton)
    require_buildable(lambda: build_network(task.config.network, keypoints), f"recipe {recipe.name or 'without name'}")
    for validator in task.validators:
        if not validator.has_labeled_people:
            raise EveryposeError(
                f"{validator.annotated.layout.annotation_file} has no person with labeled "
                "keypoints in the images to validate on, so there is no AP: give another set, or train without one "
                "with --set data.val_split='\"\"'"
            )


def check_batch(recipe: Recipe, network: nn.Module) -> None:
    """Refuse one image a step where BatchNorm follows global pooling: it would have one value for each channel.

    Args:
        recipe: the recipe.
        network: its network.

    Raises:
        UsageError: if the batch is 1, and a layer of the network needs more.

    >>> from everypose.methods.boir.network import ASPP
    >>> from everypose.training.recipe import parse_recipe
    >>> table = {"model": {"family": "boir"}, "schedule": {"epochs": 2}, "trainer": {"batch": 1}}
    >>> check_batch(parse_recipe(table), ASPP(inputs=8, branch=4, outputs=4))
    Traceback (most recent call last):
        ...
    everypose.errors.UsageError: trainer.batch=1: the family boir normalizes pooled features over the ...
    """
    settings = recipe.trainer
    if settings.batch > 1 or settings.freeze_batchnorm or not _normalizes_pooled_features(network):
        return
    raise UsageError(
        f"trainer.batch=1: the family {recipe.model.family} normalizes pooled features over the images of a step, and "
        "cannot train with one: give --set trainer.batch=2 or more"
    )


def _normalizes_pooled_features(network: nn.Module) -> bool:
    for module in network.modules():
        if isinstance(module, nn.Sequential):
            layers = list(module.children())
            pooled = any(isinstance(layer, nn.AdaptiveAvgPool2d) for layer in layers)
            if pooled and any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in layers):
                return True
    return False
