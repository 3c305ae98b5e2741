"""Reading released checkpoints and writing models in their form; nothing is ever unpickled as code."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from everypose import __version__
from everypose.backbones.pretrained.tinypose import read_tinypose
from everypose.backbones.settings import LiteHRNetSettings, ViTSettings
from everypose.core.files import sha256
from everypose.errors import EveryposeError, UsageError, first_line
from everypose.methods import METHODS
from everypose.methods.spec import Imported, spec_of
from everypose.methods.top_down.settings import LARGEST_CROP, HRNetPoseSettings
from everypose.models.build import build_network
from everypose.models.buildable import require_buildable, require_finite
from everypose.models.checkpoint_file import read_checkpoint, write_checkpoint
from everypose.models.config import WEIGHTS_FILE, ModelConfig
from everypose.models.settings import method_of
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


def import_checkpoint(
    path: Path, skeleton: Skeleton | None = None, crop_size: tuple[int, int] = CROP_SIZE
) -> tuple[nn.Module, ModelConfig]:
    """Read a released checkpoint; method, sizes and number of keypoints are determined from its tensors.

    Args:
        path: the file; a plain state dict, or one under a usual key, with or without ``module.`` before the names; a
            ``.safetensors`` file, such as transformers' ViTPose; or PP-TinyPose's ONNX file.
        skeleton: the skeleton of its keypoints; by default that of the file's name (``vitpose-b-aic.pth``), or else
            COCO for 17 keypoints and CrowdPose for 14.
        crop_size: (width, height) in pixels that a convolutional top-down network was trained for, which no tensor
            determines.

    Returns:
        The network in evaluation mode and its configuration.

    Raises:
        EveryposeError: if the file is damaged, holds more than tensors (nothing in it is run), is of an unknown
            method, or tensors are missing, unknown or of another shape.
        UsageError: if the network cannot take crops of that size.

    >>> from everypose.methods.cid.settings import CIDSettings
    >>> backbone = {"kind": "hrnet", "width": 4, "modules": [1, 1, 1], "blocks": 1, "stem_blocks": 1}
    >>> settings = CIDSettings(backbone=backbone, instance=4)
    >>> config = ModelConfig(name="small", network=settings, skeleton=Skeleton.named("coco"))
    >>> write_released(build_network(settings, 17), config, Path("cid.pth"))
    >>> network, config = import_checkpoint(Path("cid.pth"))
    >>> config.network.family, config.skeleton.name
    ('cid', 'coco')
    """
    imported = _identify_tinypose(path) if path.suffix == ".onnx" else identify(read_state(path), path)
    settings, keypoints, state, changes, named = imported
    if skeleton is None and named is not None:
        skeleton = Skeleton.named(named)
    skeleton = _fitting_skeleton(skeleton, keypoints, path)
    if settings.task == "top-down" and not isinstance(settings.backbone, ViTSettings):
        _require_possible_crops(crop_size, settings.backbone.step)
    require_buildable(lambda: build_network(settings, keypoints), str(path))
    network = build_network(settings, keypoints)
    load_strictly(network, state, path)
    inference = spec_of(method_of(settings)).released_inference
    assert inference is not None
    config = ModelConfig(
        name=path.parent.name if path.name == WEIGHTS_FILE else path.stem,
        network=settings,
        skeleton=skeleton,
        inference=inference(settings, skeleton, crop_size).model_copy(update=dict(changes)),
        provenance={
            "imported_from": path.name,
            "imported_sha256": sha256(path),
            "everypose": __version__,
        },
    )
    return network.eval(), config


def write_released(network: nn.Module, config: ModelConfig, path: Path) -> None:
    """Write a network's weights as a plain state dict under the released names.

    Raises:
        UsageError: if there are no released checkpoints of its method.
        EveryposeError: if there are none with its backbone.

    >>> from everypose.methods.cid.settings import CIDSettings
    >>> backbone = {"kind": "hrnet", "width": 4, "modules": [1, 1, 1], "blocks": 1, "stem_blocks": 1}
    >>> settings = CIDSettings(backbone=backbone, instance=4)
    >>> config = ModelConfig(name="small", network=settings, skeleton=Skeleton.named("coco"))
    >>> write_released(build_network(settings, 17), config, Path("cid.pth"))
    >>> "iia.keypoint_center_conv.weight" in read_state(Path("cid.pth"))
    True
    """
    export_state = spec_of(method_of(config.network)).export_state
    if export_state is None:
        raise UsageError(f"there are no released checkpoints of the family {config.network.family}")
    backbone = config.network.backbone
    if not backbone.has_released_form:
        raise EveryposeError(
            f"a network of the family {config.network.family} with the backbone {backbone.kind} has no released form: "
            "only one with an HRNet, a ResNet or a ViT can be written with --back"
        )
    write_checkpoint(export_state(network.state_dict()), path)


def read_state(path: Path) -> dict[str, Tensor]:
    """Read the state dict of a checkpoint file, without wrappers around it and prefixes before its names.

    Raises:
        EveryposeError: if the file cannot be read, holds no state dict, or holds weights that are not finite.

    >>> import torch
    >>> write_checkpoint({"state_dict": {"module.conv1.weight": torch.zeros(1)}}, Path("network.pth"))
    >>> list(read_state(Path("network.pth")))  # unwrapped, without the prefix
    ['conv1.weight']
    """
    content = _read_safetensors(path) if path.suffix == ".safetensors" else read_checkpoint(path)
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


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file."""
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise EveryposeError(f"cannot read {path}: {first_line(error)}") from error


def _without_prefixes(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Remove the prefixes that wrappers of networks put before all names."""
    state = {name.removeprefix("module."): value for name, value in state.items()}
    while (prefix := next((p for p in PREFIXES if all(name.startswith(p) for name in state)), None)) is not None:
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def identify(state: Mapping[str, Tensor], path: Path) -> Imported:
    """Determine a released state dict's method, and read it.

    Raises:
        EveryposeError: if it is of no known method, or tensors whose shapes determine sizes are missing.

    >>> identify({"conv1.weight": None}, Path("network.pth"))
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: network.pth is not a checkpoint of BoIR, CID, MIPNet, HRNet, ...
    """
    for method in METHODS:
        spec = spec_of(method)
        if spec.recognize is None or spec.import_state is None or not spec.recognize(state):
            continue
        try:
            return spec.import_state(state, path)
        except KeyError as error:
            raise EveryposeError(
                f"{path}: the tensor {error.args[0]} is missing, whose shape determines the network's size"
            ) from error
        except (ValueError, TypeError, IndexError, ArithmeticError, RuntimeError) as error:  # tensors of odd shapes
            raise EveryposeError(f"{path}: the tensors give no possible network: {first_line(error)}") from error
    first = ", ".join(list(state)[:3])
    raise EveryposeError(
        f"{path} is not a checkpoint of BoIR, CID, MIPNet, HRNet, SimpleBaseline, ViTPose or PoseBH "
        f"(it starts with {first})"
    )


def _identify_tinypose(path: Path) -> Imported:
    """Read PP-TinyPose's ONNX file."""
    state = read_tinypose(path)
    return Imported(HRNetPoseSettings(backbone=LiteHRNetSettings()), len(state["head.weight"]), state)


def _require_possible_crops(crop_size: tuple[int, int], step: int) -> None:
    """Check that a network whose backbone needs multiples of ``step`` pixels can take crops of that size."""
    if not all(step <= side <= LARGEST_CROP and side % step == 0 for side in crop_size):
        width, height = crop_size
        raise UsageError(
            f"crops of {width} x {height} pixels are not possible: width and height must be multiples of {step}, "
            f"{LARGEST_CROP} at most"
        )


def _fitting_skeleton(skeleton: Skeleton | None, keypoints: int, path: Path) -> Skeleton:
    if skeleton is None:
        if keypoints not in SKELETON_OF_SIZE:
            raise UsageError(f"{path} has {keypoints} keypoints: say whose they are with --skeleton NAME")
        return Skeleton.named(SKELETON_OF_SIZE[keypoints])
    if len(skeleton) != keypoints:
        raise UsageError(f"{path} has {keypoints} keypoints, but the skeleton {skeleton.name} has {len(skeleton)}")
    return skeleton
