"""Choosing one skeleton of a model that has several."""

from typing import Any

from everypose.methods.posebh.network import PoseBH
from everypose.methods.posebh.settings import PoseBHSettings, decoder_of
from everypose.methods.posebh.union_skeleton import every_skeleton
from everypose.methods.vitpose.settings import ViTPoseSettings
from everypose.models.build import PoseNetwork
from everypose.models.config import ALL_SKELETONS, ModelConfig
from everypose.skeleton.skeleton import Skeleton


def select_skeleton(
    network: PoseNetwork, config: ModelConfig, name: str | None = None
) -> tuple[PoseNetwork, ModelConfig]:
    """The network and the configuration that give one skeleton's keypoints, of those that a PoseBH knows.

    Args:
        network: any; one with a single skeleton is returned as it is.
        config: its configuration.
        name: a data set of a PoseBH, by default its first: that set's head, expert, crops and decoder. Where its
            sigmas are unknown, nothing is left out as found twice. "all" finds the keypoints of all sets in one pass,
            by prototypes, from crops like those of the first.

    Raises:
        UsageError: there is no such data set, or, for "all", no prototypes.
        EveryposeError: for "all", a set's sigmas are unknown.
    """
    settings = config.network
    if not isinstance(network, PoseBH) or not isinstance(settings, PoseBHSettings):
        config.require_only(name)
        return network, config
    if name == ALL_SKELETONS:
        own = settings.datasets[0]
        selected: PoseNetwork = network.by_prototypes(own.name)
        skeletons = {one.name: Skeleton.from_dict(one.skeleton) for one in settings.datasets}
        skeleton = every_skeleton(skeletons, ALL_SKELETONS, need_sigmas=config.on_crops.nms is not None)
        update: dict[str, Any] = {"skeleton": skeleton.to_dict()}
    else:
        own = settings.datasets[0 if name is None else network.index_of(name)]
        selected = network.merged(own.name)
        backbone = settings.backbone.model_copy(update={"experts": 0, "expert_part": 0})
        plain = ViTPoseSettings(backbone=backbone, channels=settings.channels)
        update = {"network": plain, "skeleton": own.skeleton}
    cut: dict[str, Any] = {"convention": own.convention, "decoder": decoder_of(own.convention), "crop": own.crop}
    if name != ALL_SKELETONS and not own.skeleton["sigmas"]:
        cut["nms"] = None
    return selected, config.model_copy(update=update | {"inference": config.on_crops.model_copy(update=cut)})
