"""ViTPose in the ONNX files of easy_ViTPose: crops in, heatmaps out."""

from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from everypose.core.arrays import Float32, Mask
from everypose.core.geometry import Size
from everypose.errors import EveryposeError, UsageError
from everypose.inference.runtimes.input_checks import check_crops
from everypose.inference.runtimes.normalized_crops import NormalizedCropRuntime
from everypose.methods.vitpose.heatmap_decoding import decode
from everypose.methods.vitpose.released import crop_inference, skeleton_in_name
from everypose.methods.vitpose.settings import EasyViTPoseSettings
from everypose.models.config import ModelConfig
from everypose.skeleton.skeleton import Skeleton

INPUT = "input_0"
OUTPUT = "output_0"
SKELETONS = {14: "aic", 16: "mpii", 25: "coco_25", 133: "coco_wholebody"}
"""The skeletons of the published files, by their number of keypoints; with 17 there are three."""
OF_17 = ("coco", "ap10k", "apt36k")


class HeatmapRuntime(NormalizedCropRuntime):
    """A model in an ``.onnx`` file whose outputs are heatmaps.

    Attributes:
        path: the file.
        config: the model's configuration, from the shapes of the file's input and output.

    Example:
        >>> from everypose.inference.runtimes.onnx import open_session
        >>> path = Path("vitpose-b-coco.onnx")
        >>> session = open_session(path)  # doctest: +SKIP
        >>> HeatmapRuntime(session, heatmap_config(session, path), path, batches=True)  # doctest: +SKIP
    """

    def run(self, crops: npt.NDArray[np.uint8], with_others: Mask | None = None) -> Float32:  # noqa: ARG002
        """Find the one person of each crop; see :class:`everypose.inference.runtimes.protocols.CropRuntime`.

        Raises:
            EveryposeError: if the crops have the wrong type or shape, or the model fails.
        """
        check_crops(crops)
        decoder = cast(Literal["quarter", "udp"], self.config.on_crops.decoder)
        maps = self._maps(crops)
        if self.flip_index is not None:
            back = self._maps(crops[:, :, ::-1])[:, self.flip_index, :, ::-1]
            if decoder == "quarter":
                # Mirrored heatmaps of classic crops are one cell too far to the left, as in the release.
                back = np.concatenate([back[..., :1], back[..., :-1]], axis=3)
            maps = np.asarray((maps + back) / 2, np.float32)
        return decode(maps, decoder, Size(crops.shape[2], crops.shape[1]))[:, None]

    def _maps(self, crops: npt.NDArray[np.uint8]) -> Float32:
        """The heatmaps (B, K, h, w)."""
        (maps,) = self.outputs_of(crops, [OUTPUT])
        if maps.ndim != 4 or maps.shape[:2] != (len(crops), len(self.config.skeleton)):
            raise EveryposeError(f"{self.path} gives heatmaps of shape {maps.shape}")
        return maps


def is_heatmaps(session: Any) -> bool:
    """Return whether an open file of ONNX Runtime has the input and output of easy_ViTPose's files.

    >>> from everypose.inference.runtimes.onnx import open_session
    >>> from everypose.models.locate import bundled
    >>> is_heatmaps(open_session(bundled("picodet-s.onnx"), 1))
    False
    """
    inputs, outputs = session.get_inputs(), session.get_outputs()
    names = [node.name for node in (*inputs, *outputs)]
    return names == [INPUT, OUTPUT] and len(inputs[0].shape) == len(outputs[0].shape) == 4


def heatmap_config(session: Any, path: Path, skeleton: str | None = None) -> ModelConfig:
    """Read the configuration of a model with heatmaps from its file's input, output and name.

    Args:
        session: of ONNX Runtime.
        path: the file; names such as ``vitpose-b-ap10k.onnx`` state the skeleton.
        skeleton: name of the skeleton; by default that of the file's name, or else of the published files with as many
            keypoints.

    Raises:
        UsageError: if the skeleton does not fit, or must be named.
        EveryposeError: if the file leaves the size of its crops or the number of keypoints open.

    Example:
        >>> from everypose.inference.runtimes.onnx import open_session
        >>> path = Path("vitpose-b-aic.onnx")
        >>> heatmap_config(open_session(path), path).skeleton.name  # doctest: +SKIP
        'aic'
    """
    height, width = session.get_inputs()[0].shape[2:]
    keypoints = session.get_outputs()[0].shape[1]
    if not all(isinstance(number, int) for number in (height, width, keypoints)):
        raise EveryposeError(f"{path} does not say the size of its crops and the number of its keypoints")
    name = skeleton or skeleton_in_name(path, keypoints) or SKELETONS.get(keypoints)
    if name is None:
        choice = f" ({', '.join(OF_17)})" if keypoints == len(Skeleton.named(OF_17[0])) else ""
        raise UsageError(f"{path} has {keypoints} keypoints: say whose they are with --skeleton NAME{choice}")
    own = Skeleton.named(name)
    if len(own) != keypoints:
        raise UsageError(f"{path} has {keypoints} keypoints, but the skeleton {own.name} has {len(own)}")
    return ModelConfig(
        name=path.stem,
        network=EasyViTPoseSettings(),
        skeleton=own,
        inference=crop_inference(own, Size(width, height)),
        provenance={"imported_from": path.name},
    )
