"""One name for each kind of array, so that a type always states the dtype."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Float32: TypeAlias = npt.NDArray[np.float32]
"""Network inputs and outputs."""
Float64: TypeAlias = npt.NDArray[np.float64]
"""Keypoints, boxes and scores outside the network."""
Int64: TypeAlias = npt.NDArray[np.int64]
"""Indices and counts."""
Bool: TypeAlias = npt.NDArray[np.bool_]
"""Masks over rows or keypoints."""
Image: TypeAlias = npt.NDArray[np.uint8]
"""An image (H, W, 3), uint8, RGB."""
