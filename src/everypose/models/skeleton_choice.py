"""Choosing one skeleton of a model that has several."""

from torch import nn

from everypose.methods.spec import spec_of
from everypose.models.config import ModelConfig
from everypose.models.settings import method_of


def select_skeleton(network: nn.Module, config: ModelConfig, name: str | None = None) -> tuple[nn.Module, ModelConfig]:
    """Return the network and configuration that find the keypoints of one skeleton.

    Args:
        network: any; one with a single skeleton is returned as it is.
        config: its configuration.
        name: the skeleton's data set, "all" for the keypoints of all in one pass, or None for the first; see
            :func:`everypose.methods.posebh.select_skeleton.select_skeleton`.

    Raises:
        UsageError: if the model has no such skeleton.
        EveryposeError: if the skeletons cannot be combined.

    >>> from everypose.methods.cid.settings import CIDSettings
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> config = ModelConfig(name="mine", network=CIDSettings(), skeleton=Skeleton.named("coco"))
    >>> network = nn.Identity()
    >>> select_skeleton(network, config)[0] is network  # it has one skeleton
    True
    """
    choose = spec_of(method_of(config.network)).select_skeleton
    if choose is None:
        config.require_only(name)
        return network, config
    chosen = choose(network, config.network, config.inference, name)
    update = {"network": chosen.settings, "skeleton": chosen.skeleton, "inference": chosen.inference}
    return chosen.network, config.model_copy(update=update)
