"""The released BoIR checkpoints: parameter names, and the network's sizes from their shapes."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from everypose.core.renaming import Renaming
from everypose.methods.boir.settings import BoIRSettings
from everypose.methods.checkpoint_sizes import hrnet_settings
from everypose.methods.spec import Imported

_HEADS = (("center", "center"), ("buk", "auxiliary.buk"), ("emb", "auxiliary.emb"), ("bbox", "auxiliary.bbox"))

RENAMING = Renaming(
    (
        ("multihead.neck.0.", "neck."),
        *(
            (f"multihead.{released_head}_head.head.{part}", f"{head}.{own}")
            for released_head, head in _HEADS
            for part, own in (
                ("0.", ""),
                ("0.downsample.conv.", "shortcut.0."),
                ("0.downsample.norm_layer.", "shortcut.1."),
                ("1.", "output."),
            )
        ),
        ("kpt_head.conv_down.", "instance_head.down."),
        ("kpt_head.c_attn.atn.", "instance_head.channel_attention."),
        ("kpt_head.s_attn.atn.", "instance_head.spatial_attention."),
        ("kpt_head.s_attn.conv.", "instance_head.spatial_conv."),
        ("kpt_head.fuse_attn.0.", "instance_head.fuse."),
        ("kpt_head.heatmap_conv.", "instance_head.heatmap."),
    )
)

_AUXILIARY = ("multihead.buk_head.", "multihead.emb_head.", "multihead.bbox_head.")


def recognizes(state: Mapping[str, Tensor]) -> bool:
    """Return whether a state dict is that of a released BoIR.

    >>> recognizes({"multihead.neck.0.project.0.weight": None}), recognizes({"conv1.weight": None})
    (True, False)
    """
    return any(name.startswith("multihead.") for name in state)


def import_state(state: Mapping[str, Tensor], _: Path) -> Imported:
    """Read the network's settings and rename its parameters.

    Raises:
        KeyError: if a tensor whose shape determines a size is missing; with its name.

    >>> from everypose.methods.boir.method import build
    >>> backbone = {"kind": "hrnet", "width": 4, "modules": [1, 1, 1], "blocks": 1, "stem_blocks": 1}
    >>> settings = BoIRSettings(backbone=backbone, instance=4, neck_branch=4, neck=4, head=4, embedding=4)
    >>> released = RENAMING.to_released(build(settings, keypoints=17).state_dict())
    >>> found = import_state(released, Path("boir.pth"))
    >>> found.keypoints, found.settings == settings, next(name for name in found.state if name.startswith("neck"))
    (17, True, 'neck.convs.0.0.weight')
    """
    auxiliary = any(name.startswith(_AUXILIARY) for name in state)
    embedding = {"embedding": len(state["multihead.emb_head.head.1.weight"])} if auxiliary else {}
    settings = BoIRSettings(
        backbone=hrnet_settings(state, "backbone."),
        instance=len(state["kpt_head.conv_down.weight"]),
        neck_branch=len(state["multihead.neck.0.convs.0.0.weight"]),
        neck=len(state["multihead.neck.0.project.0.weight"]),
        head=len(state["multihead.center_head.head.0.conv1.weight"]),
        auxiliary=auxiliary,
        **embedding,
    )
    return Imported(settings, len(state["kpt_head.heatmap_conv.weight"]), RENAMING.to_everypose(state))
