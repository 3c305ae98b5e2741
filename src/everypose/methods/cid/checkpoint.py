"""The released CID checkpoints: parameter names, and the network's sizes from their shapes."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from everypose.core.renaming import Renaming
from everypose.methods.checkpoint_sizes import hrnet_settings
from everypose.methods.cid.settings import CIDSettings
from everypose.methods.spec import Imported

RENAMING = Renaming(
    (
        ("iia.keypoint_center_conv.", "keypoints_and_center."),
        ("gfd.conv_down.", "instance_head.down."),
        ("gfd.c_attn.atn.", "instance_head.channel_attention."),
        ("gfd.s_attn.atn.", "instance_head.spatial_attention."),
        ("gfd.s_attn.conv.", "instance_head.spatial_conv."),
        ("gfd.fuse_attn.", "instance_head.fuse."),
        ("gfd.heatmap_conv.", "instance_head.heatmap."),
    )
)


def recognizes(state: Mapping[str, Tensor]) -> bool:
    """Return whether a state dict is that of a released CID.

    >>> recognizes({"iia.keypoint_center_estimator.weight": None}), recognizes({"conv1.weight": None})
    (True, False)
    """
    return any(name.startswith("iia.") for name in state)


def import_state(state: Mapping[str, Tensor], _: Path) -> Imported:
    """Read the network's settings and rename its parameters.

    Raises:
        KeyError: if a tensor whose shape determines a size is missing; with its name.

    >>> from everypose.methods.cid.method import build
    >>> settings = CIDSettings(
    ...     backbone={"kind": "hrnet", "width": 4, "modules": [1, 1, 1], "blocks": 1, "stem_blocks": 1}, instance=4
    ... )
    >>> released = RENAMING.to_released(build(settings, keypoints=17).state_dict())
    >>> found = import_state(released, Path("cid.pth"))
    >>> found.keypoints, found.settings == settings, "keypoints_and_center.weight" in found.state
    (17, True, True)
    """
    backbone, instance = hrnet_settings(state, "backbone."), len(state["gfd.conv_down.weight"])
    keypoints = len(state["gfd.heatmap_conv.weight"])
    return Imported(CIDSettings(backbone=backbone, instance=instance), keypoints, RENAMING.to_everypose(state))
