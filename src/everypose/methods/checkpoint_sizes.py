"""Network sizes read from the tensor shapes of a released checkpoint."""

from collections.abc import Mapping

from torch import Tensor

from everypose.backbones.settings import HRNetSettings


def count_parts(state: Mapping[str, Tensor], prefix: str) -> int:
    """How many numbered parts follow ``prefix``.

    >>> count_parts({"stage.0.conv1": None, "stage.0.conv2": None, "stage.1.conv1": None}, "stage.")
    2
    """
    return len({name[len(prefix) :].split(".")[0] for name in state if name.startswith(prefix)})


def hrnet_settings(state: Mapping[str, Tensor], prefix: str = "") -> HRNetSettings:
    """Read the sizes of the HRNet whose tensor names begin with ``prefix``.

    Raises:
        KeyError: if a tensor whose shape determines a size is missing; the argument is its name.

    >>> from everypose.backbones.hrnet import HRNet
    >>> hrnet_settings(HRNet(width=4, modules=(1, 2, 1), blocks=1, stem_blocks=1).state_dict()).modules
    (1, 2, 1)
    """
    modules = tuple(count_parts(state, f"{prefix}stage{stage}.") for stage in (2, 3, 4))
    return HRNetSettings(
        width=len(state[f"{prefix}stage2.0.branches.0.0.conv1.weight"]),
        modules=(modules[0], modules[1], modules[2]),
        blocks=count_parts(state, f"{prefix}stage2.0.branches.0."),
        stem_blocks=count_parts(state, f"{prefix}layer1."),
    )
