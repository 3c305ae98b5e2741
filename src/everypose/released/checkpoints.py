"""Reading the authors' BoIR and CID files and writing ours in their form; nothing is ever unpickled as code."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from everypose import __version__
from everypose.boir.network import BoIR
from everypose.errors import EveryposeError, UsageError
from everypose.files import sha256, written_whole
from everypose.models import BoIRSettings, CIDSettings, HRNetSettings, InferenceSettings, ModelConfig
from everypose.networks import PoseNetwork, build_network, load_strictly
from everypose.released import boir, cid
from everypose.released.names import Renaming
from everypose.skeleton import Skeleton

WRAPPERS = ("best_state_dict", "state_dict", "latest_state_dict", "model")
SKELETON_OF_SIZE = {17: "coco", 14: "crowdpose"}


def import_checkpoint(path: Path, skeleton: Skeleton | None = None) -> tuple[PoseNetwork, ModelConfig]:
    """Read an authors' checkpoint: method, width, keypoints and training heads are found out from its tensors.

    Args:
        path: the file; a plain state dict, or one under a usual key, with or without ``module.`` before the names.
        skeleton: whose keypoints they are; without it COCO for 17 keypoints and CrowdPose for 14.

    Returns:
        The network in evaluation mode and its configuration.

    Raises:
        EveryposeError: for a damaged file, one that holds more than tensors (nothing in it is run), another method's,
            or one whose tensors are missing, unknown or of another shape.
    """
    state = read_state(path)
    settings, keypoints, renaming = identify(state, path)
    skeleton = _fitting_skeleton(skeleton, keypoints, path)
    network = build_network(settings, keypoints)
    load_strictly(network, renaming.to_ours(state), path)
    size = 640 if isinstance(settings.backbone, HRNetSettings) and settings.backbone.width >= 48 else 512
    config = ModelConfig(
        name=path.stem,
        network=settings,
        skeleton=skeleton.to_dict(),
        inference=InferenceSettings(size=size),
        provenance={
            "imported_from": path.name,
            "imported_sha256": sha256(path),
            "everypose": __version__,
        },
    )
    return network.eval(), config


def write_released(network: PoseNetwork, path: Path) -> None:
    """Write the network's weights as a plain state dict under the authors' names."""
    renaming = boir.RENAMING if isinstance(network, BoIR) else cid.RENAMING
    with written_whole(path) as part:
        torch.save(renaming.to_theirs(network.state_dict()), part)


def read_state(path: Path) -> dict[str, Tensor]:
    """The state dict of a checkpoint file, unwrapped and without ``module.``."""
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise EveryposeError(f"{path} holds more than tensors and is refused; nothing in it was run") from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, AttributeError) as error:
        raise EveryposeError(f"{path} is not a checkpoint that torch can read: it is damaged or cut short") from error
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise EveryposeError(
            f"{path} holds no state dict: looked for tensors at the top and under {', '.join(WRAPPERS)}"
        )
    return {str(name).removeprefix("module."): value for name, value in content.items()}


def identify(state: Mapping[str, Tensor], path: Path) -> tuple[BoIRSettings | CIDSettings, int, Renaming]:
    """The settings, number of keypoints and names that a released state dict tells of.

    Raises:
        EveryposeError: when it is neither BoIR's nor CID's, or the tensors that tell are not there.
    """
    try:
        if any(name.startswith("multihead.") for name in state):
            return _boir_settings(state), len(state["kpt_head.heatmap_conv.weight"]), boir.RENAMING
        if any(name.startswith("iia.") for name in state):
            instance = len(state["gfd.conv_down.weight"])
            settings = CIDSettings(backbone=_hrnet_settings(state), instance=instance)
            return settings, len(state["gfd.heatmap_conv.weight"]), cid.RENAMING
    except KeyError as error:
        raise EveryposeError(
            f"{path}: the tensor {error.args[0]} is missing, which tells the network's size"
        ) from error
    first = ", ".join(list(state)[:3])
    raise EveryposeError(f"{path} is neither a BoIR nor a CID checkpoint (it starts with {first})")


def _boir_settings(state: Mapping[str, Tensor]) -> BoIRSettings:
    auxiliary = any(
        name.startswith(("multihead.buk_head.", "multihead.emb_head.", "multihead.bbox_head.")) for name in state
    )
    embedding = {"embedding": len(state["multihead.emb_head.head.1.weight"])} if auxiliary else {}
    return BoIRSettings(
        backbone=_hrnet_settings(state),
        instance=len(state["kpt_head.conv_down.weight"]),
        neck_branch=len(state["multihead.neck.0.convs.0.0.weight"]),
        neck=len(state["multihead.neck.0.project.0.weight"]),
        head=len(state["multihead.center_head.head.0.conv1.weight"]),
        auxiliary=auxiliary,
        **embedding,
    )


def _hrnet_settings(state: Mapping[str, Tensor]) -> HRNetSettings:
    modules = tuple(_count(state, f"backbone.stage{stage}.") for stage in (2, 3, 4))
    return HRNetSettings(
        width=len(state["backbone.stage2.0.branches.0.0.conv1.weight"]),
        modules=(modules[0], modules[1], modules[2]),
        blocks=_count(state, "backbone.stage2.0.branches.0."),
        stem_blocks=_count(state, "backbone.layer1."),
    )


def _count(state: Mapping[str, Tensor], prefix: str) -> int:
    """How many numbered parts follow ``prefix``."""
    return len({name[len(prefix) :].split(".")[0] for name in state if name.startswith(prefix)})


def _fitting_skeleton(skeleton: Skeleton | None, keypoints: int, path: Path) -> Skeleton:
    if skeleton is None:
        if keypoints not in SKELETON_OF_SIZE:
            raise UsageError(f"{path} has {keypoints} keypoints: say whose they are with --skeleton NAME")
        return Skeleton.named(SKELETON_OF_SIZE[keypoints])
    if len(skeleton) != keypoints:
        raise UsageError(f"{path} has {keypoints} keypoints, but the skeleton {skeleton.name} has {len(skeleton)}")
    return skeleton
