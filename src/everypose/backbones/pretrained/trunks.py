"""Trunks of small published networks, as NumPy archives, to start a small backbone from."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from everypose.backbones.pretrained import movenet, openpose_light
from everypose.errors import as_user_error


def read_trunk(path: Path) -> dict[str, Tensor]:
    """Read the tensors of MoveNet or Lightweight OpenPose under the names of everypose's backbones.

    Args:
        path: a NumPy archive of the weights, with batch normalization folded in.

    Raises:
        EveryposeError: if the file is not such an archive.

    >>> np.savez("movenet.npz", **{"backbone.block1.weight": np.zeros(3), "kpt_offset.weight": np.zeros(1)})
    >>> {name: tuple(value.shape) for name, value in read_trunk(Path("movenet.npz")).items()}
    {'blocks.1.weight': (3,)}
    """
    with (
        as_user_error(f"cannot read {path} as a NumPy archive of weights"),
        path.open("rb") as file,
        np.load(file, allow_pickle=False) as arrays,
    ):
        released = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    return openpose_light.to_everypose(released) if openpose_light.MARK in released else movenet.to_everypose(released)
