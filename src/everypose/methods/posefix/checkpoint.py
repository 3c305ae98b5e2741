"""TensorFlow variable names of the released PoseFix networks.

The released checkpoints are TensorFlow 1 files, which no well-kept package reads without TensorFlow: export their
variables to a file of arrays with TensorFlow first; this module renames and transposes those.
"""

import re
from collections.abc import Mapping

from everypose.core.arrays import Float32

_UNIT = re.compile(r"resnet_v1_\d+/block(\d)/unit_(\d+)/bottleneck_v1/(conv\d|shortcut)/")
_BATCH_NORM = {
    "BatchNorm/beta": "bias",
    "BatchNorm/gamma": "weight",
    "BatchNorm/moving_mean": "running_mean",
    "BatchNorm/moving_variance": "running_var",
}


def parameter_name(variable: str) -> str:
    """The parameter of :class:`everypose.methods.posefix.network.PoseFix` that a TensorFlow variable holds.

    Example:
        >>> parameter_name("resnet_v1_50/block2/unit_1/bottleneck_v1/shortcut/BatchNorm/gamma")
        'backbone.layer2.0.downsample.1.weight'

    Raises:
        ValueError: if the network has no such variable.
    """
    if match := _UNIT.match(variable):
        block, unit, layer = match.groups()
        prefix = f"backbone.layer{block}.{int(unit) - 1}."
        names = ("downsample.0", "downsample.1") if layer == "shortcut" else (layer, layer.replace("conv", "bn"))
        convolution, norm = (prefix + name for name in names)
    elif match := re.match(r"resnet_v1_\d+/conv1/", variable):
        convolution, norm = "backbone.conv1", "backbone.bn1"
    elif match := re.match(r"up([123])/", variable):
        first = 3 * (int(match[1]) - 1)
        convolution, norm = f"head.deconv.{first}", f"head.deconv.{first + 1}"
    elif match := re.match(r"out/", variable):
        convolution, norm = "head.final", ""
    else:
        raise ValueError(f"{variable} is not a variable of PoseFix")
    kind = variable[match.end() :]
    if kind in _BATCH_NORM and norm:
        return f"{norm}.{_BATCH_NORM[kind]}"
    if kind in ("weights", "biases"):
        return f"{convolution}.{'weight' if kind == 'weights' else 'bias'}"
    raise ValueError(f"{variable} is not a variable of PoseFix")


def to_everypose(variables: Mapping[str, Float32]) -> dict[str, Float32]:
    """TensorFlow variables by name to arrays under everypose's names, in torch's order of dimensions.

    Convolutions are (h, w, in, out) and transposed convolutions (h, w, out, in) in TensorFlow; both become what torch
    stores: (out, in, h, w) and (in, out, h, w).

    Raises:
        ValueError: if a variable is not PoseFix's.

    >>> import numpy as np
    >>> kernel = np.zeros((7, 7, 20, 64), np.float32)  # TensorFlow's order
    >>> [(name, value.shape) for name, value in to_everypose({"resnet_v1_50/conv1/weights": kernel}).items()]
    [('backbone.conv1.weight', (64, 20, 7, 7))]
    """
    return {
        parameter_name(name): value.transpose(3, 2, 0, 1) if value.ndim == 4 else value
        for name, value in variables.items()
    }
