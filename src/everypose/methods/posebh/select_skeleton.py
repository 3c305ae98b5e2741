"""Choosing one of the skeletons of a PoseBH or ViTPose++, or all of them."""

from typing import Any, cast

from torch import nn

from everypose.methods.method import ALL_SKELETONS, InferenceSettings
from everypose.methods.posebh.network import PoseBH
from everypose.methods.posebh.settings import PoseBHSettings, decoder_of
from everypose.methods.posebh.union_skeleton import union_skeleton
from everypose.methods.spec import Selection
from everypose.methods.top_down.settings import TopDownInference
from everypose.methods.vitpose.settings import ViTPoseSettings
from everypose.skeleton.skeleton import Skeleton


def select_skeleton(
    network: PoseBH, settings: PoseBHSettings, inference: InferenceSettings, name: str | None
) -> Selection:
    """Return the network that finds the keypoints of one data set, or of all.

    Args:
        network: with its experts and heads.
        settings: its settings.
        inference: how it is run on the crops of its first data set.
        name: a data set: its head, expert, crops and decoder; if its sigmas are unknown, no poses are suppressed. None
            is the first data set. "all" finds the keypoints of all data sets in one pass, by prototypes, on crops
            like those of the first.

    Raises:
        UsageError: if there is no such data set, or, for "all", there are no prototypes.
        EveryposeError: if the name is "all", poses are suppressed and the sigmas of a data set are unknown.

    >>> from everypose.core.geometry import Size
    >>> from everypose.methods.posebh.method import build
    >>> from everypose.methods.posebh.settings import DataSetSettings
    >>> backbone = {"kind": "vit", "width": 16, "depth": 1, "heads": 2, "experts": 2, "expert_part": 4}
    >>> datasets = [DataSetSettings(name=name, skeleton=Skeleton.named(name).to_dict()) for name in ("coco", "ap10k")]
    >>> settings = PoseBHSettings(backbone=backbone, datasets=datasets, embedding=8, channels=4)
    >>> chosen = select_skeleton(build(settings, 17), settings, TopDownInference(crop_size=Size(48, 64)), "ap10k")
    >>> chosen.skeleton.name, chosen.settings.family
    ('ap10k', 'vitpose')
    """
    selected: nn.Module
    if name == ALL_SKELETONS:
        own = settings.datasets[0]
        chosen: PoseBHSettings | ViTPoseSettings = settings
        selected = network.by_prototypes(own.name)
        skeletons = {one.name: Skeleton.from_dict(one.skeleton) for one in settings.datasets}
        suppresses = cast(TopDownInference, inference).nms is not None
        skeleton = union_skeleton(skeletons, ALL_SKELETONS, need_sigmas=suppresses)
    else:
        own = settings.datasets[0 if name is None else network.index_of(name)]
        selected, skeleton = network.merged(own.name), Skeleton.from_dict(own.skeleton)
        backbone = settings.backbone.model_copy(update={"experts": 0, "expert_part": 0})
        chosen = ViTPoseSettings(backbone=backbone, channels=settings.channels)
    cut: dict[str, Any] = {"convention": own.convention, "decoder": decoder_of(own.convention), "crop": own.crop}
    if name != ALL_SKELETONS and not own.skeleton["sigmas"]:
        cut["nms"] = None
    return Selection(selected, chosen, skeleton, inference.model_copy(update=cut))
