"""Reading networks for the studies that use more than an estimator; these need torch."""

from torch import nn

from everypose.errors import UsageError
from everypose.inference.runtimes.torch import read_network
from everypose.methods.mipnet.network import MIPNet
from everypose.models.config import ModelConfig
from everypose.models.locate import ModelFile, resolve


def read_top_down(model: str) -> tuple[nn.Module, ModelConfig, ModelFile]:
    """Read a top-down network, its configuration and its file.

    Raises:
        EveryposeError: if it cannot be read.
        UsageError: if it is of another family, or exported.
    """
    file = resolve(model)
    if file.kind == "onnx":
        raise UsageError(f"{file.path} is exported, which fixes selectors and decoder: give the model's folder")
    network, config = read_network(file)
    if not config.is_top_down:
        raise UsageError(f"{config.name} finds people by itself: this study needs a top-down model")
    return network, config, file


def read_mipnet(model: str) -> tuple[MIPNet, ModelConfig]:
    """Read a MIPNet and its configuration; errors as ``read_top_down``."""
    network, config, _ = read_top_down(model)
    if not isinstance(network, MIPNet):
        raise UsageError(f"{config.name} is no MIPNet: it has no selector")
    return network, config
