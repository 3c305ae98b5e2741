"""MoveNet Lightning (Google, Apache-2.0) as the start of the small backbone."""

import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from everypose.errors import EveryposeError
from everypose.released.names import Renaming

RENAMING = Renaming((("backbone.block", "blocks."), ("backbone.", ""), ("fpn.", "")))


def read_trunk(path: Path) -> dict[str, Tensor]:
    """The tensors under the names of :class:`everypose.backbones.lite.Lite`.

    Args:
        path: a NumPy archive of MoveNet's weights, batch normalisation folded in. Its ``kpt_offset`` head is left out.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            names = [name for name in arrays.files if not name.startswith("kpt_offset.")]
            theirs = {name: torch.from_numpy(arrays[name]) for name in names}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise EveryposeError(f"cannot read {path} as a NumPy archive of weights: {error}") from error
    return RENAMING.to_ours(theirs)
