"""Reading the authors' files and writing ours in their form; nothing is ever unpickled as code."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter
from torch import Tensor

from everypose import __version__
from everypose.backbones.lite import Lite
from everypose.backbones.lite_hrnet import LiteHRNet
from everypose.backbones.openpose_light import OpenPoseLight
from everypose.backbones.pretrained.tinypose import read_tinypose
from everypose.backbones.settings import HRNetSettings, LiteHRNetSettings, ResNetSettings
from everypose.core.files import sha256
from everypose.errors import EveryposeError, UsageError, first_line
from everypose.methods.boir import checkpoint as boir
from everypose.methods.boir.network import BoIR
from everypose.methods.boir.settings import BoIRSettings
from everypose.methods.checkpoint_sizes import hrnet_settings
from everypose.methods.cid import checkpoint as cid
from everypose.methods.cid.network import CID
from everypose.methods.cid.settings import CIDSettings
from everypose.methods.mipnet import checkpoint as mipnet
from everypose.methods.posebh.network import PoseBH
from everypose.methods.posebh.settings import PoseBHSettings, decoder_of
from everypose.methods.single_stage.settings import InferenceSettings
from everypose.methods.top_down.settings import HRNetPoseSettings, TopDownInference
from everypose.methods.vitpose import checkpoint as vitpose
from everypose.methods.vitpose.network import ViTPose
from everypose.methods.vitpose.settings import ViTPoseSettings
from everypose.models.build import PoseNetwork, build_network
from everypose.models.buildable import require_buildable, require_finite
from everypose.models.checkpoint_file import read_checkpoint, write_checkpoint
from everypose.models.config import ModelConfig
from everypose.models.settings import Network, TopDownSettings
from everypose.models.storage import load_strictly
from everypose.skeleton.skeleton import Skeleton

WRAPPERS = (
    "latest_state_dict", "best_state_dict", "ema_state_dict", "model_ema", "ema", "state_dict", "model_state_dict",
    "model", "module", "net", "network", "weights",
)  # fmt: skip
"""Where trainers keep the state dict; averaged weights come before plain ones."""
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")
"""What wrappers (DataParallel, torch.compile, Lightning modules) put before all names."""
_MOST_WRAPPERS = 3
SKELETON_OF_SIZE = {17: "coco", 14: "crowdpose"}
CROP_SIZE = (192, 256)
UDP = ("coco", "mpii")
"""The data sets whose crops ViTPose and PoseBH cut by the UDP convention; those of all others are classic."""
PADDING = {"interhand2d": 1.5}
"""What differs from 1.25: boxes of hands are those of the keypoints, around which more is to be seen."""
_SETTINGS: TypeAdapter[Network] = TypeAdapter(Network)


def import_checkpoint(
    path: Path, skeleton: Skeleton | None = None, crop_size: tuple[int, int] = CROP_SIZE
) -> tuple[PoseNetwork, ModelConfig]:
    """Read an authors' checkpoint: method, sizes, keypoints and training heads are found out from its tensors.

    Args:
        path: the file; a plain state dict, or one under a usual key, with or without ``module.`` before the names; or
            PP-TinyPose's ONNX file.
        skeleton: whose keypoints they are; without it COCO for 17 keypoints and CrowdPose for 14.
        crop_size: (width, height) that a convolutional network on crops was trained for, which no tensor tells.

    Returns:
        The network in evaluation mode and its configuration.

    Raises:
        EveryposeError: for a damaged file, one that holds more than tensors (nothing in it is run), another method's,
            or one whose tensors are missing, unknown or of another shape.
    """
    settings: Network
    if path.suffix == ".onnx":
        tensors = read_tinypose(path)
        settings, keypoints = HRNetPoseSettings(backbone=LiteHRNetSettings()), len(tensors["head.weight"])
    else:
        state = read_state(path)
        settings, keypoints = identify(state, path)
        tensors = to_ours(state, path)
    skeleton = _fitting_skeleton(skeleton, keypoints, path)
    require_buildable(lambda: build_network(settings, keypoints), str(path))
    network = build_network(settings, keypoints)
    load_strictly(network, tensors, path)
    config = ModelConfig(
        name=path.stem,
        network=settings,
        skeleton=skeleton.to_dict(),
        inference=_inference(settings, skeleton, crop_size),
        provenance={
            "imported_from": path.name,
            "imported_sha256": sha256(path),
            "everypose": __version__,
        },
    )
    return network.eval(), config


def write_released(network: PoseNetwork, path: Path) -> None:
    """Write the network's weights as a plain state dict under the authors' names.

    Raises:
        EveryposeError: the authors have no such network, for example because of its backbone.
    """
    own = next((module for module in network.modules() if isinstance(module, Lite | LiteHRNet | OpenPoseLight)), None)
    if own is not None:
        raise EveryposeError(
            f"a {type(network).__name__} with the backbone {type(own).__name__} has no authors' form: only one with an "
            "HRNet, a ResNet or a ViT can be written with --back"
        )
    to_theirs: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
    if isinstance(network, BoIR):
        to_theirs = boir.RENAMING.to_theirs
    elif isinstance(network, CID):
        to_theirs = cid.RENAMING.to_theirs
    elif isinstance(network, ViTPose | PoseBH):
        to_theirs = vitpose.renaming_of(len(network.datasets) if isinstance(network, PoseBH) else 0).to_theirs
    else:
        to_theirs = mipnet.to_theirs
    write_checkpoint(to_theirs(network.state_dict()), path)


def read_state(path: Path) -> dict[str, Tensor]:
    """The state dict of a checkpoint file, without what trainers put around it and before its names.

    Raises:
        EveryposeError: the file cannot be read, holds no state dict, or holds weights that are not finite.
    """
    content = read_checkpoint(path)
    for _ in range(_MOST_WRAPPERS):
        inner = next((content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)), None) if isinstance(
            content, Mapping
        ) else None  # fmt: skip
        if inner is None:
            break
        content = inner
    tensors = {str(name): value for name, value in content.items()} if isinstance(content, Mapping) else {}
    if not tensors or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise EveryposeError(
            f"{path} holds no state dict: looked for tensors at the top and under {', '.join(WRAPPERS)}"
        )
    require_finite(tensors, str(path))
    return _without_prefixes(tensors)


def _without_prefixes(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without the prefixes that wrappers of networks put before all of their names."""
    state = {name.removeprefix("module."): value for name, value in state.items()}
    while (prefix := next((p for p in PREFIXES if all(name.startswith(p) for name in state)), None)) is not None:
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def to_ours(state: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The authors' state dict under our names, whosever it is."""
    if _is_boir(state):
        return boir.RENAMING.to_ours(state)
    if vitpose.recognises(state):
        return vitpose.to_ours(state, vitpose.read_layout(state, path))
    return cid.RENAMING.to_ours(state) if _is_cid(state) else mipnet.to_ours(state)


def identify(state: Mapping[str, Tensor], path: Path) -> tuple[Network, int]:
    """The settings and the number of keypoints that a released state dict tells of.

    Raises:
        EveryposeError: when it is of no method that is known, or the tensors that tell are not there.
    """
    try:
        if _is_boir(state):
            return _boir_settings(state), len(state["kpt_head.heatmap_conv.weight"])
        if _is_cid(state):
            instance = len(state["gfd.conv_down.weight"])
            settings = CIDSettings(backbone=hrnet_settings(state, "backbone."), instance=instance)
            return settings, len(state["gfd.heatmap_conv.weight"])
        if vitpose.recognises(state):
            return _vit_settings(vitpose.read_layout(state, path), path)
        if mipnet.recognises(state):
            values, keypoints = mipnet.read_settings(state)
            return _SETTINGS.validate_python(values), keypoints
    except KeyError as error:
        raise EveryposeError(
            f"{path}: the tensor {error.args[0]} is missing, which tells the network's size"
        ) from error
    except (ValueError, TypeError, IndexError, ArithmeticError, RuntimeError) as error:  # tensors of odd shapes
        raise EveryposeError(f"{path}: the tensors give no possible network: {first_line(error)}") from error
    first = ", ".join(list(state)[:3])
    raise EveryposeError(
        f"{path} is not a checkpoint of BoIR, CID, MIPNet, HRNet, SimpleBaseline, ViTPose or PoseBH "
        f"(it starts with {first})"
    )


def _inference(
    settings: Network, skeleton: Skeleton, crop_size: tuple[int, int]
) -> InferenceSettings | TopDownInference:
    """How the authors run such a network."""
    if isinstance(settings, ViTPoseSettings | PoseBHSettings):
        convention: Literal["classic", "udp"] = "udp" if skeleton.name in UDP else "classic"
        return TopDownInference(
            crop_size=settings.backbone.image_size,
            padding=PADDING.get(skeleton.name, 1.25),
            convention=convention,
            crop="mpii" if skeleton.name == "mpii" else "box",
            decoder=decoder_of(convention),
            nms=None if skeleton.sigmas is None else 0.9,
        )
    if isinstance(settings, TopDownSettings):
        # CrowdPose's people are too close for suppression; the ResNets were trained on BGR.
        nms = None if skeleton.name == "crowdpose" else 0.9
        if isinstance(settings.backbone, LiteHRNetSettings):
            return TopDownInference(crop_size=crop_size, nms=nms, decoder="dark-3")
        return TopDownInference(crop_size=crop_size, nms=nms, bgr=isinstance(settings.backbone, ResNetSettings))
    wide = isinstance(settings.backbone, HRNetSettings) and settings.backbone.width >= 48
    return InferenceSettings(size=640 if wide else 512)


def _vit_settings(layout: vitpose.Layout, path: Path) -> tuple[Network, int]:
    """The settings that the tensors of a ViTPose or PoseBH tell of, and the keypoints of its first data set."""
    names = ("width", "depth", "heads", "image_size", "experts", "expert_part")
    values: dict[str, Any] = {"backbone": {"kind": "vit"} | {name: getattr(layout, name) for name in names}}
    values["channels"] = layout.channels
    if layout.plain:
        return _SETTINGS.validate_python({"family": "vitpose", **values}), layout.keypoints[0]
    if layout.keypoints not in vitpose.DATASETS_OF_SIZES:
        raise EveryposeError(
            f"{path} has heads of {', '.join(map(str, layout.keypoints))} keypoints, which is no mixture that is "
            "known: split it by the authors' tool, and import the parts"
        )
    datasets = [
        {
            "name": name,
            "skeleton": Skeleton.named(name).to_dict(),
            "convention": "udp" if name in UDP else "classic",
            "crop": "mpii" if name == "mpii" else "box",
        }
        for name in vitpose.DATASETS_OF_SIZES[layout.keypoints]
    ]
    values |= {"datasets": datasets, "embedding": layout.embedding, "prototypes": layout.prototypes}
    return _SETTINGS.validate_python({"family": "posebh", **values}), layout.keypoints[0]


def _is_boir(state: Mapping[str, Tensor]) -> bool:
    return any(name.startswith("multihead.") for name in state)


def _is_cid(state: Mapping[str, Tensor]) -> bool:
    return any(name.startswith("iia.") for name in state)


def _boir_settings(state: Mapping[str, Tensor]) -> BoIRSettings:
    auxiliary = any(
        name.startswith(("multihead.buk_head.", "multihead.emb_head.", "multihead.bbox_head.")) for name in state
    )
    embedding = {"embedding": len(state["multihead.emb_head.head.1.weight"])} if auxiliary else {}
    return BoIRSettings(
        backbone=hrnet_settings(state, "backbone."),
        instance=len(state["kpt_head.conv_down.weight"]),
        neck_branch=len(state["multihead.neck.0.convs.0.0.weight"]),
        neck=len(state["multihead.neck.0.project.0.weight"]),
        head=len(state["multihead.center_head.head.0.conv1.weight"]),
        auxiliary=auxiliary,
        **embedding,
    )


def _fitting_skeleton(skeleton: Skeleton | None, keypoints: int, path: Path) -> Skeleton:
    if skeleton is None:
        if keypoints not in SKELETON_OF_SIZE:
            raise UsageError(f"{path} has {keypoints} keypoints: say whose they are with --skeleton NAME")
        return Skeleton.named(SKELETON_OF_SIZE[keypoints])
    if len(skeleton) != keypoints:
        raise UsageError(f"{path} has {keypoints} keypoints, but the skeleton {skeleton.name} has {len(skeleton)}")
    return skeleton
