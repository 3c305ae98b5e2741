"""The released HRNet and SimpleBaseline checkpoints: parameter names, and the network's sizes from their shapes.

MIPNet's are the same with modulation blocks, see :mod:`everypose.methods.mipnet.checkpoint`.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from everypose.backbones.settings import ResNetSettings
from everypose.core.decoder_names import Decoder
from everypose.core.renaming import Renaming
from everypose.methods.checkpoint_sizes import count_parts, hrnet_settings
from everypose.methods.spec import Imported
from everypose.methods.top_down.settings import (
    HRNetPoseSettings,
    SimpleBaselineSettings,
    TopDownInference,
    TopDownNetworkSettings,
)
from everypose.skeleton.skeleton import Skeleton

HRNET_NAMES = (("", "backbone."), ("final_layer.", "head."))
RESNET_NAMES = (("", "backbone."), ("deconv_layers.", "head.deconv."), ("final_layer.", "head.final."))
_HRNET, _RESNET = Renaming(HRNET_NAMES), Renaming(RESNET_NAMES)
_MODULATION = "_se.se_layers."


def recognizes(state: Mapping[str, Tensor]) -> bool:
    """Return whether a state dict is of HRNet, SimpleBaseline or MIPNet: a head, and a backbone without a prefix.

    >>> recognizes({"conv1.weight": None, "final_layer.weight": None}), recognizes({"backbone.conv1.weight": None})
    (True, False)
    """
    return "final_layer.weight" in state and "conv1.weight" in state


def is_resnet(state: Mapping[str, Tensor]) -> bool:
    """Return whether the backbone of a released state dict is a ResNet; an HRNet otherwise.

    >>> is_resnet({"deconv_layers.0.weight": None}), is_resnet({"stage4.0.weight": None})
    (True, False)
    """
    return any(name.startswith("deconv_layers.") for name in state)


def is_modulated(state: Mapping[str, Tensor]) -> bool:
    """Return whether a released state dict has MIPNet's modulation blocks.

    >>> is_modulated({"conv1.weight": None})
    False
    """
    return any(_MODULATION in name for name in state)


def recognizes_hrnet(state: Mapping[str, Tensor]) -> bool:
    """Return whether a state dict is that of HRNet on crops.

    >>> recognizes_hrnet({"conv1.weight": None, "stage4.0.weight": None, "final_layer.weight": None})
    True
    """
    return recognizes(state) and not is_resnet(state) and not is_modulated(state)


def recognizes_simple_baseline(state: Mapping[str, Tensor]) -> bool:
    """Return whether a state dict is that of SimpleBaseline.

    >>> recognizes_simple_baseline({"conv1.weight": None, "deconv_layers.0.weight": None, "final_layer.weight": None})
    True
    """
    return recognizes(state) and is_resnet(state) and not is_modulated(state)


def read_hrnet(state: Mapping[str, Tensor]) -> HRNetPoseSettings:
    """Read the settings of HRNet on crops.

    >>> from everypose.methods.top_down.method import HRNET
    >>> backbone = {"kind": "hrnet", "width": 4, "modules": [1, 1, 1], "blocks": 1, "stem_blocks": 1}
    >>> released = export_state(HRNET.build(HRNetPoseSettings(backbone=backbone), 17).state_dict())
    >>> read_hrnet(released).backbone.width
    4
    """
    return HRNetPoseSettings(backbone=hrnet_settings(state))


def read_simple_baseline(state: Mapping[str, Tensor]) -> SimpleBaselineSettings:
    """Read the settings of SimpleBaseline.

    >>> from everypose.methods.top_down.method import SIMPLE_BASELINE
    >>> settings = SimpleBaselineSettings(backbone={"kind": "resnet", "blocks": (1, 1, 1, 1)}, deconv=8)
    >>> released = export_state(SIMPLE_BASELINE.build(settings, 17).state_dict())
    >>> read_simple_baseline(released) == settings
    True
    """
    one, two, three, four = (count_parts(state, f"layer{layer}.") for layer in (1, 2, 3, 4))
    backbone = ResNetSettings(blocks=(one, two, three, four))
    return SimpleBaselineSettings(backbone=backbone, deconv=len(state["deconv_layers.3.weight"]))


def import_hrnet(state: Mapping[str, Tensor], _: Path) -> Imported:
    """Read HRNet's settings and rename its parameters; raises KeyError if a tensor is missing.

    >>> from everypose.methods.top_down.method import HRNET
    >>> backbone = {"kind": "hrnet", "width": 4, "modules": [1, 1, 1], "blocks": 1, "stem_blocks": 1}
    >>> released = export_state(HRNET.build(HRNetPoseSettings(backbone=backbone), 17).state_dict())
    >>> found = import_hrnet(released, Path("hrnet.pth"))
    >>> found.keypoints, "head.weight" in found.state
    (17, True)
    """
    return Imported(read_hrnet(state), len(state["final_layer.weight"]), renamed(state, _HRNET))


def import_simple_baseline(state: Mapping[str, Tensor], _: Path) -> Imported:
    """Read SimpleBaseline's settings and rename its parameters; raises KeyError if a tensor is missing.

    >>> from everypose.methods.top_down.method import SIMPLE_BASELINE
    >>> settings = SimpleBaselineSettings(backbone={"kind": "resnet", "blocks": (1, 1, 1, 1)}, deconv=8)
    >>> released = export_state(SIMPLE_BASELINE.build(settings, 17).state_dict())
    >>> found = import_simple_baseline(released, Path("resnet.pth"))
    >>> found.keypoints, "head.final.weight" in found.state
    (17, True)
    """
    return Imported(read_simple_baseline(state), len(state["final_layer.weight"]), renamed(state, _RESNET))


def export_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the parameters of a baseline to those of a released checkpoint.

    >>> list(export_state({"head.final.weight": torch.zeros(17, 8, 1, 1), "backbone.conv1.weight": torch.zeros(1)}))
    ['final_layer.weight', 'conv1.weight']
    """
    return (_RESNET if "head.final.weight" in state else _HRNET).to_released(state)


def renamed(state: Mapping[str, Tensor], renaming: Renaming) -> dict[str, Tensor]:
    """Rename a released state dict's parameters.

    Files from before PyTorch 0.4.1 lack the counters of batch normalization, which nothing here reads: they become 0.

    >>> released = {"bn1.running_mean": torch.zeros(64), "final_layer.weight": torch.zeros(17, 8, 1, 1)}
    >>> list(renamed(released, Renaming(HRNET_NAMES)))
    ['backbone.bn1.running_mean', 'head.weight', 'backbone.bn1.num_batches_tracked']
    """
    tensors = renaming.to_everypose(state)
    if not any(name.endswith(".num_batches_tracked") for name in tensors):
        means = [name for name in tensors if name.endswith(".running_mean")]
        tensors |= {name.replace("running_mean", "num_batches_tracked"): torch.tensor(0) for name in means}
    return tensors


def released_inference(
    settings: TopDownNetworkSettings, skeleton: Skeleton, crop_size: tuple[int, int]
) -> TopDownInference:
    """Return how the authors of HRNet, Lite-HRNet (PP-TinyPose), SimpleBaseline and MIPNet run a network.

    CrowdPose's people are too close to each other for suppression; the ResNets were trained on BGR images.

    >>> released_inference(SimpleBaselineSettings(), Skeleton.named("coco"), (192, 256)).bgr
    True
    >>> released_inference(HRNetPoseSettings(), Skeleton.named("crowdpose"), (192, 256)).nms is None
    True
    """
    nms = None if skeleton.name == "crowdpose" else 0.9
    kind = settings.backbone.kind
    decoder: Decoder = "dark-3" if kind == "lite-hrnet" else "quarter"
    return TopDownInference(crop_size=crop_size, nms=nms, decoder=decoder, bgr=kind == "resnet")
