"""Networks themselves, for the studies that look into them; these need torch."""

from everypose.errors import UsageError
from everypose.inference.runtimes.torch import read_network
from everypose.methods.mipnet.network import MIPNet
from everypose.models.build import PoseNetwork
from everypose.models.config import ModelConfig
from everypose.models.locate import ModelFile, resolve


def read_top_down(model: str) -> tuple[PoseNetwork, ModelConfig, ModelFile]:
    """A top-down network, its configuration and where it lies.

    Raises:
        EveryposeError: when it cannot be read.
        UsageError: when it is another family's, or in a file that holds no network any more.
    """
    file = resolve(model)
    if file.kind == "onnx":
        raise UsageError(f"{file.path} is exported, which fixes selectors and decoder: give the model's folder")
    network, config = read_network(file)
    if not config.is_top_down:
        raise UsageError(f"{config.name} finds people by itself: this study is of models that look at boxes")
    return network, config, file


def read_mipnet(model: str) -> tuple[MIPNet, ModelConfig]:
    """A MIPNet and its configuration; errors as `read_top_down`."""
    network, config, _ = read_top_down(model)
    if not isinstance(network, MIPNet):
        raise UsageError(f"{config.name} is no MIPNet: it has no selector")
    return network, config
