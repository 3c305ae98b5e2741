"""Narrow the neck of a BoIR: a projection of the feature's channels in front of it.

The projection loses least of the outputs of the neck's first convolutions on some photos (a truncated singular value
decomposition, weighted by the feature's covariance). After more training the bundled model was as accurate as before.

python -m research.boir_lite.squeeze_neck MODEL OUT PHOTO [PHOTO ...] [--channels 32]
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from everypose.backbones.normalization import normalize
from everypose.data.images import read_image
from everypose.errors import exit_on_user_error
from everypose.inference.resize import resize
from everypose.methods.boir.network import BoIR
from everypose.methods.single_stage.settings import SingleStageInference
from everypose.models.build import build_network
from everypose.models.config import ModelConfig
from everypose.models.storage import load_model, save_model


def main() -> None:
    """Read, narrow, write, and print the share of the neck's input kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--channels", type=int, default=32)
    arguments = parser.parse_args()
    network, config = load_model(arguments.model)
    if not isinstance(network, BoIR) or network.neck.squeeze.state_dict():
        parser.error(f"{arguments.model} is not a BoIR with a neck on all channels")
    if not 0 < arguments.channels <= network.backbone.channels:
        parser.error(f"--channels {arguments.channels}: the feature has {network.backbone.channels}")
    covariance = covariance_of(network, arguments.photos, config.on_images)
    squeezed, settings, kept = squeeze(network, config, covariance, arguments.channels)
    save_model(squeezed.half(), settings, arguments.out)
    print(f"{arguments.channels} of {len(covariance)} channels keep {100 * kept:.2f} %")


@torch.inference_mode()
def covariance_of(network: BoIR, photos: Sequence[Path], settings: SingleStageInference) -> Tensor:
    """(D, D) of the feature's channels, about 0, over all pixels of some photos."""
    total, pixels = torch.zeros(1, dtype=torch.float64), 0
    for photo in photos:
        canvas, _ = resize(read_image(photo), settings.size, settings.step)
        values = (
            network.features(normalize(torch.from_numpy(canvas)[None], network.normalization))[0].flatten(1).double()
        )
        total = total + values @ values.T
        pixels += values.shape[1]
    covariance = total / pixels
    # For channels that never vary.
    return covariance + 1e-6 * covariance.diagonal().mean() * torch.eye(len(covariance))


def squeeze(
    network: BoIR, config: ModelConfig, covariance: Tensor, channels: int
) -> tuple[nn.Module, ModelConfig, float]:
    """The squeezed network, its configuration, and the share of the first convolutions' variance that it keeps."""
    root = torch.linalg.cholesky(covariance)
    rows = torch.cat([_scaled(branch).permute(0, 2, 3, 1).flatten(0, 2) for branch in network.neck.convs]).double()
    _, strength, directions = torch.linalg.svd(rows @ root, full_matrices=False)
    mixtures = directions[:channels] @ torch.linalg.inv(root)
    back = root @ directions[:channels].T
    settings = config.model_copy(update={"network": config.network.model_copy(update={"neck_squeeze": channels})})
    squeezed = build_network(settings.network, len(config.skeleton))
    state, own = network.state_dict(), squeezed.state_dict()
    for name, value in own.items():
        if name == "neck.squeeze.weight":
            own[name] = mixtures.float()[..., None, None]
        elif name.startswith("neck.convs.") and value.ndim == 4:
            own[name] = torch.einsum("odhw,dc->ochw", state[name].double(), back).float()
        else:
            own[name] = state[name]
    squeezed.load_state_dict(own)
    return squeezed, settings, float((strength[:channels] ** 2).sum() / (strength**2).sum())


def _scaled(branch: nn.Module) -> Tensor:
    """The weights (outputs, D, h, w) of a branch's convolution, as its BatchNorm scales them."""
    convolution = next(module for module in branch.modules() if isinstance(module, nn.Conv2d))
    norm = next(module for module in branch.modules() if isinstance(module, nn.BatchNorm2d))
    assert norm.running_var is not None
    return convolution.weight.detach() * (norm.weight / (norm.running_var + norm.eps).sqrt())[:, None, None, None]


if __name__ == "__main__":
    with torch.no_grad(), exit_on_user_error("squeeze_neck"):
        main()
