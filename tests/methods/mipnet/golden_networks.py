"""The released networks of the golden vectors, in our form."""

import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from everypose.backbones.hrnet import HRNet
from everypose.backbones.resnet import ResNet
from everypose.core.renaming import Renaming
from everypose.methods.method import NetworkSettings
from everypose.methods.mipnet.network import PUBLISHED_SITES, MIPNet, Sites
from everypose.methods.spec import Imported, spec_of
from everypose.methods.top_down.baselines import Baseline, HRNetPose, SimpleBaseline
from everypose.models.import_checkpoint import identify
from everypose.models.settings import method_of
from golden_vectors import load

BLOCK_NAMES = Renaming((("fc.", "excite."), ("fc_lambda.", "embed.")))
"""What the release calls the parts of a block alone, and what we do."""
SELECTORS = {"lam0": (1.0, 0.0), "lam1": (0.0, 1.0), "soft": (0.3, 0.7)}


def tensors(vectors: dict[str, np.ndarray], prefix: str) -> dict[str, Tensor]:
    """The arrays whose names begin with ``prefix``, without it."""
    return {name[len(prefix) :]: torch.from_numpy(a) for name, a in vectors.items() if name.startswith(prefix)}


def w8_state(all_sites: bool = False) -> dict[str, Tensor]:
    """The recorded state dict of HRNet-W8 lambda; the networks with two and with four sites share their trunk."""
    vectors = load("mipnet/hrnet_w8")
    state = tensors(vectors, "sd/")
    if not all_sites:
        return state
    return {name: value for name, value in state.items() if "_se." not in name} | tensors(vectors, "all4/sd/")


def recipe_state(vectors: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """The weights of a full-size network: random numbers that each name is the seed of."""
    return {
        str(name): _recipe(str(name), tuple(int(side) for side in shape.split("x") if side), float(vectors["gain"]))
        for name, shape in zip(vectors["keys"], vectors["shapes"], strict=True)
    }


def _recipe(name: str, shape: tuple[int, ...], gain: float) -> Tensor:
    if name.endswith("num_batches_tracked"):
        return torch.tensor(0)
    random = np.random.RandomState(zlib.crc32(name.encode()))
    if name.endswith("running_var"):
        values = 0.5 + random.rand(*shape)
    elif len(shape) >= 2:
        values = gain * random.randn(*shape) / np.sqrt(np.prod(shape[1:]))
    elif name.endswith(".weight"):
        values = 0.5 + 0.5 * random.rand(*shape)
    else:
        values = 0.1 * random.randn(*shape)
    return torch.from_numpy(np.asarray(values, np.float32))


def imported(state: dict[str, Tensor]) -> Imported:
    """What is read from a released state dict, by the method that recognizes it."""
    return identify(state, Path("released.pth"))


def built(settings: NetworkSettings, keypoints: int) -> Baseline | MIPNet:
    """The network of settings that were read from released tensors."""
    network = spec_of(method_of(settings)).build(settings, keypoints)
    assert isinstance(network, Baseline | MIPNet)
    return network


def loaded(state: dict[str, Tensor]) -> MIPNet:
    """The network that a released state dict is of, with its weights, in evaluation mode."""
    settings, keypoints, ours, *_ = imported(state)
    network = built(settings, keypoints)
    network.load_state_dict(ours)
    assert isinstance(network, MIPNet)
    return network.eval()


def tiny_baseline(kind: str, keypoints: int = 5) -> Baseline:
    if kind == "hrnet":
        return HRNetPose(HRNet(8, (1, 1, 1), 1, 1, outputs=1), keypoints)
    return SimpleBaseline(ResNet((1, 1, 1, 1)), keypoints, deconv=8)


def tiny_mipnet(kind: str, sites: Sites = PUBLISHED_SITES, instances: int = 2, keypoints: int = 5) -> MIPNet:
    """A small network whose weights and statistics make each part matter."""
    torch.manual_seed(0)
    network = MIPNet(tiny_baseline(kind, keypoints), sites, instances)
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    return network.eval()
