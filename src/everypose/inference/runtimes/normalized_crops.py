"""Crops for networks in ONNX files of other projects: RGB, normalized by ImageNet's mean and standard deviation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from everypose.core.arrays import Float32
from everypose.inference.runtimes.onnx import run_session
from everypose.inference.runtimes.protocols import Session

MEAN = np.array([123.675, 116.28, 103.53], np.float32)
"""Of the RGB values from 0 to 255 that RTMPose and ViTPose take."""
STD = np.array([58.395, 57.12, 57.375], np.float32)


def takes_batches(session: Any) -> bool:
    """Return whether an open file of ONNX Runtime leaves the number of images in its input open.

    >>> from everypose.inference.runtimes.onnx import open_session
    >>> from everypose.models.locate import bundled
    >>> takes_batches(open_session(bundled("mipnet-lite.onnx"), 1))
    True
    """
    return not isinstance(session.get_inputs()[0].shape[0], int)


def run_normalized(
    session: Session, path: Path, crops: npt.NDArray[np.uint8], *, outputs: Sequence[str], batches: bool
) -> list[Float32]:
    """Run a file on normalized crops.

    Args:
        session: the open file; it has one input.
        path: the file, for messages.
        crops: (B, H, W, 3) uint8 RGB.
        outputs: names of the outputs.
        batches: whether the file takes several crops at once (:func:`takes_batches`).

    Returns:
        Each output, (B, ...).

    Example:
        >>> from everypose.inference.runtimes.onnx import open_session
        >>> path, crops = Path("vitpose-b-coco.onnx"), np.zeros((2, 256, 192, 3), np.uint8)
        >>> session = open_session(path)  # doctest: +SKIP
        >>> run_normalized(session, path, crops, outputs=["output_0"], batches=True)[0].shape  # doctest: +SKIP
        (2, 17, 64, 48)
    """
    pixels = crops.astype(np.float32)
    pixels -= MEAN
    pixels /= STD
    planes = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    parts = [planes] if batches else [planes[index : index + 1] for index in range(len(planes))]
    name = session.get_inputs()[0].name
    found = [run_session(session, path, {name: part}, outputs) for part in parts]
    return [np.concatenate(of_one) for of_one in zip(*found, strict=True)]
