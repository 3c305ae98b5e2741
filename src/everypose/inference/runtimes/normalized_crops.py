"""Crops for networks in ONNX files of other projects: RGB, normalized by ImageNet's mean and standard deviation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from everypose.core.arrays import Float32
from everypose.inference.runtimes.onnx import run_session
from everypose.inference.runtimes.protocols import Session
from everypose.models.config import ModelConfig

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
    return not any(isinstance(count, int) for count in session.get_inputs()[0].shape[:1])


class NormalizedCropRuntime:
    """A top-down model in an ``.onnx`` file with one input: normalized crops.

    Attributes:
        path: the file.
        config: the model's configuration, from the shapes of the file's input and outputs.

    Example:
        >>> from everypose.inference.runtimes.heatmaps import heatmap_config
        >>> from everypose.inference.runtimes.onnx import open_session
        >>> path, crops = Path("vitpose-b-coco.onnx"), np.zeros((2, 256, 192, 3), np.uint8)
        >>> session = open_session(path)  # doctest: +SKIP
        >>> runtime = NormalizedCropRuntime(session, heatmap_config(session, path), path)  # doctest: +SKIP
        >>> runtime.outputs_of(crops, ["output_0"])[0].shape  # doctest: +SKIP
        (2, 17, 64, 48)
    """

    def __init__(
        self, session: Session, config: ModelConfig, path: Path, *, batches: bool = True, flip: bool = False
    ) -> None:
        """Take an open file and its configuration.

        Args:
            session: from :func:`everypose.inference.runtimes.onnx.open_session`.
            config: from the file's description.
            path: the file, for messages.
            batches: whether the file takes several crops at once (:func:`takes_batches`).
            flip: whether to use test-time flip augmentation.
        """
        self.path = path
        self.config = config
        self.flip_index = config.skeleton.flip_index if flip else None
        self._session = session
        self._takes_batches = batches

    def outputs_of(self, crops: npt.NDArray[np.uint8], names: Sequence[str]) -> list[Float32]:
        """Run the file on crops.

        Args:
            crops: (B, H, W, 3) uint8 RGB.
            names: of the outputs.

        Returns:
            Each output, (B, ...).

        Raises:
            EveryposeError: if the model fails.
        """
        pixels = crops.astype(np.float32)
        pixels -= MEAN
        pixels /= STD
        planes = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
        parts = [planes] if self._takes_batches else [planes[index : index + 1] for index in range(len(planes))]
        name = self._session.get_inputs()[0].name
        found = [run_session(self._session, self.path, {name: part}, names) for part in parts]
        return [np.concatenate(of_one) for of_one in zip(*found, strict=True)]
