"""Types of numpy arrays, one alias each; shapes are in the docstrings of what takes or returns them."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Float32: TypeAlias = npt.NDArray[np.float32]
Float64: TypeAlias = npt.NDArray[np.float64]
Int64: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]
Image: TypeAlias = npt.NDArray[np.uint8]
"""(H, W, 3) uint8 RGB."""
Numbers: TypeAlias = npt.NDArray[np.floating] | npt.NDArray[np.integer]
"""Real numbers of any precision."""
