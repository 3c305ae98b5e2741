"""Convert Lightweight OpenPose's published weights to a context block with ReLUs instead of ELUs.

Each ELU becomes a ReLU with a shift and a scale per channel, fitted to its inputs on some photos; shifts and
scales are folded into the convolutions around it. Then each pointwise convolution, and the last one, is fitted by least
squares to its former outputs. This loses a tenth of a point of AP of the bundled model, without any training.

python -m research.boir_lite.lighten_trunk WEIGHTS.npz OUT.safetensors PHOTO [PHOTO ...]
"""

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from everypose.backbones.normalization import normalize
from everypose.backbones.openpose_light import OpenPoseLight, Trunk
from everypose.backbones.pretrained.trunks import read_trunk
from everypose.data.images import read_image
from everypose.errors import exit_on_user_error
from everypose.inference.resize import resize

Weights = dict[str, Tensor]
SIZE, STEP = 384, 16
# Stride of the pixels that are sampled for the distribution of an activation's inputs.
PIXELS = 7
# Shifts tried for a ReLU: up to where ELU is -0.95.
MOVES = torch.arange(0, 3.01, 0.1)
# Separable convolutions of the context, each with an ELU after its depthwise and its pointwise convolution.
SEPARABLES = 3


def main() -> None:
    """Read, fit, write, and print the share of variance kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("photos", type=Path, nargs="+")
    arguments = parser.parse_args()
    read = read_trunk(arguments.weights)
    if not set(read) >= {f"trunk.{name}" for name in Trunk().state_dict()}:
        parser.error(f"{arguments.weights} is not Lightweight OpenPose as published")
    if arguments.out.suffix != ".safetensors":
        parser.error(f"{arguments.out} is to be a .safetensors file")
    published = {name.removeprefix("trunk."): value for name, value in read.items()}
    images = [
        normalize(torch.from_numpy(resize(read_image(photo), SIZE, STEP)[0])[None], OpenPoseLight.normalization)
        for photo in arguments.photos
    ]
    trunk, kept = lighten(published, images)
    save_file({f"trunk.{name}": value.contiguous() for name, value in trunk.items()}, arguments.out)
    print(f"the context keeps {100 * kept:.1f} % of what it gave on these photos")


@torch.no_grad()
def lighten(published: Mapping[str, Tensor], images: Sequence[Tensor]) -> tuple[Weights, float]:
    """The backbone's weights with ReLUs in the context, and the share of the output variance they keep.

    Args:
        published: the weights with ELUs, under their published names.
        images: normalized, (1, 3, H, W).
    """
    trunk = Trunk().eval()
    trunk.load_state_dict(published)
    seen = [_of_mobilenet(trunk, image) for image in images]
    wanted = [_context(published, x, F.elu) for x in seen]
    own = dict(published)
    fits = _replace_elus(own, wanted)
    for number in range(SEPARABLES + 1):
        name = f"context.pw.{number}"
        layer = list(fits).index(name)
        scale, move, _ = (value[:, None] for value in fits[name])
        given = (F.relu(_context(own, x, F.relu)[layer - 1]) for x in seen)
        pairs = zip(given, wanted, strict=True)
        _fit(own, name, ((x[0].flatten(1), scale * (y[layer][0].flatten(1) + move)) for x, y in pairs))
    given = (_context(own, x, F.relu)[-1] for x in seen)
    pairs = zip(given, wanted, strict=True)
    last = ((F.unfold(x, 3, padding=1)[0], _conv(published, "context.out", y[-1])[0].flatten(1)) for x, y in pairs)
    return own, _fit(own, "context.out", last)


def _of_mobilenet(trunk: Trunk, image: Tensor) -> Tensor:
    x = F.relu(trunk.conv1(image))
    for block in trunk.mobilenet.values():
        x = block(x)
    return x


def _conv(weights: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    weight = weights[f"{name}.weight"]
    return F.conv2d(
        x, weight, weights[f"{name}.bias"], padding=weight.shape[-1] // 2, groups=x.shape[1] // weight.shape[1]
    )


def _context_layers() -> Iterator[str]:
    """The convolutions followed by an ELU, in order."""
    yield "context.al"
    yield "context.pw.0"
    for number in range(SEPARABLES):
        yield f"context.dw.{number}"
        yield f"context.pw.{number + 1}"


def _context(weights: Mapping[str, Tensor], x: Tensor, activate: Callable[[Tensor], Tensor]) -> list[Tensor]:
    """The outputs of the context's convolutions before their activations, then the input of the last."""
    before = []
    for name in _context_layers():
        before.append(_conv(weights, name, x))
        x = activate(before[-1])
    return [*before, activate(before[0]) + x]


def _replace_elus(own: Weights, wanted: Sequence[Sequence[Tensor]]) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """Change ``own``: ELU(x) is about a ReLU(x + c) - d, so that a and c go into the layer before, d into the next.

    Args:
        own: the weights.
        wanted: of :func:`_context` with ELUs, for each photo.

    Returns:
        a, c and d of each layer.
    """
    samples = zip(*([x[0].flatten(1)[:, ::PIXELS] for x in photo[:-1]] for photo in wanted), strict=True)
    fits = {name: fit_elu(torch.cat(layer, dim=1)) for name, layer in zip(_context_layers(), samples, strict=True)}
    for name, (scale, move, _) in fits.items():
        own[f"{name}.bias"] = scale * (own[f"{name}.bias"] + move)
        own[f"{name}.weight"] = scale[:, None, None, None] * own[f"{name}.weight"]
    for name, after in pairwise(fits):
        weight, drop = own[f"{after}.weight"], fits[name][2]
        lost = (weight.sum((2, 3)) * (drop[:, None] if weight.shape[1] == 1 else drop)).sum(1)
        own[f"{after}.bias"] = own[f"{after}.bias"] - lost
    return fits


def fit_elu(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Fit ``scale * relu(x + move) - drop`` (each (C,)) to an ELU of the inputs (C, N), by least squares."""
    elu = F.elu(x)
    target = elu - elu.mean(1, keepdim=True)
    best = torch.full((len(x),), torch.inf)
    found = torch.zeros(3, len(x))
    for move in MOVES:
        relu = F.relu(x + move)
        centered = relu - relu.mean(1, keepdim=True)
        # Only a positive scale goes through a ReLU.
        scale = ((centered * target).mean(1) / centered.square().mean(1).clamp(min=1e-9)).clamp(min=1e-3)
        error = (scale[:, None] * centered - target).square().mean(1)
        drop = scale * relu.mean(1) - elu.mean(1)
        better = error < best
        best = torch.where(better, error, best)
        found = torch.where(better, torch.stack([scale, move.expand(len(x)), drop]), found)
    scale, move, drop = found
    return scale, move, drop


def _fit(own: Weights, name: str, pairs: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Change ``own``: a convolution by least squares from its unfolded inputs (C, N) to outputs (O, N).

    Returns:
        How much of the outputs' variance is kept.
    """
    squares = products = energy = total = torch.zeros((), dtype=torch.float64)
    count = 0
    for inputs, outputs in pairs:
        x, y = F.pad(inputs, (0, 0, 0, 1), value=1.0).double(), outputs.double()
        squares, products = squares + x @ x.T, products + x @ y.T
        energy, total, count = energy + y.square().sum(1), total + y.sum(1), count + x.shape[1]
    ridge = 1e-5 * squares.diagonal().mean() * torch.eye(len(squares), dtype=torch.float64)
    solution = torch.linalg.solve(squares + ridge, products)
    own[f"{name}.weight"] = solution[:-1].T.float().reshape(own[f"{name}.weight"].shape)
    own[f"{name}.bias"] = solution[-1].float()
    left = energy - 2 * (solution * products).sum(0) + (solution * (squares @ solution)).sum(0)
    return float(1 - left.sum() / (energy - total.square() / count).sum())


if __name__ == "__main__":
    with exit_on_user_error("lighten_trunk"):
        main()
