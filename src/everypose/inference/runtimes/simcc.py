"""RTMPose, RTMW and other SimCC models in the ONNX files of their authors."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from everypose.core.arrays import Float32, Mask
from everypose.core.geometry import Size
from everypose.errors import EveryposeError, UsageError
from everypose.inference.runtimes.input_checks import check_crops
from everypose.inference.runtimes.normalized_crops import NormalizedCropRuntime
from everypose.methods.simcc.decoding import decode
from everypose.methods.simcc.settings import SimCCSettings
from everypose.methods.top_down.settings import TopDownInference
from everypose.models.config import ModelConfig
from everypose.skeleton.skeleton import Skeleton

OUTPUTS = ("simcc_x", "simcc_y")
SKELETONS = {14: "crowdpose", 17: "coco", 26: "halpe26", 133: "coco_wholebody"}
"""The skeletons of the released files, by their number of keypoints."""


class SimCCRuntime(NormalizedCropRuntime):
    """A SimCC model in an ``.onnx`` file.

    Attributes:
        path: the file.
        config: the model's configuration, from the shapes of the file's input and outputs.

    >>> from types import SimpleNamespace as Node
    >>> outputs = [np.ones((1, 17, 96), np.float32), np.ones((1, 17, 128), np.float32)]
    >>> image, nodes = Node(name="input", shape=[1, 3, 64, 48]), [Node(name="simcc_x", shape=[1, 17, 96])]
    >>> session = Node(get_inputs=lambda: [image], get_outputs=lambda: nodes, run=lambda names, feed: outputs)
    >>> path = Path("rtmpose.onnx")
    >>> runtime = SimCCRuntime(session, simcc_config(session, path), path, batches=False)
    >>> runtime.run(np.zeros((2, 64, 48, 3), np.uint8)).shape
    (2, 1, 17, 3)
    """

    def run(self, crops: npt.NDArray[np.uint8], with_others: Mask | None = None) -> Float32:  # noqa: ARG002
        """Find the one person of each crop; see :class:`everypose.inference.runtimes.protocols.CropRuntime`.

        Raises:
            EveryposeError: if the crops have the wrong type or shape, or the model fails.
        """
        check_crops(crops)
        x_scores, y_scores = self._scores(crops)
        if self.flip_index is not None:
            mirrored_x, mirrored_y = self._scores(crops[:, :, ::-1])
            x_scores = np.asarray((x_scores + mirrored_x[:, self.flip_index, ::-1]) / 2, np.float32)
            y_scores = np.asarray((y_scores + mirrored_y[:, self.flip_index]) / 2, np.float32)
        keypoints = decode(x_scores, y_scores, Size(crops.shape[2], crops.shape[1]))
        return keypoints[:, None]

    def _scores(self, crops: npt.NDArray[np.uint8]) -> tuple[Float32, Float32]:
        """The scores of x (B, K, X) and of y (B, K, Y)."""
        x_scores, y_scores = self.outputs_of(crops, OUTPUTS)
        expected = (len(crops), len(self.config.skeleton))
        if x_scores.shape[:2] != expected or y_scores.shape[:2] != expected:
            raise EveryposeError(f"{self.path} gives scores of shape {x_scores.shape} and {y_scores.shape}")
        return x_scores, y_scores


def is_simcc(session: Any) -> bool:
    """Return whether an open file of ONNX Runtime is a SimCC model: one image to simcc_x and simcc_y.

    >>> from types import SimpleNamespace as Node
    >>> outputs = [Node(name="simcc_x"), Node(name="simcc_y")]
    >>> is_simcc(Node(get_inputs=lambda: [Node(name="input")], get_outputs=lambda: outputs))
    True
    """
    outputs = {node.name for node in session.get_outputs()}
    return len(session.get_inputs()) == 1 and outputs.issuperset(OUTPUTS)


def simcc_config(session: Any, path: Path, skeleton: str | None = None) -> ModelConfig:
    """Read the configuration of a SimCC model from its file's input and outputs.

    Args:
        session: of ONNX Runtime.
        path: the file.
        skeleton: name of the skeleton; by default the released files' own, by the number of keypoints.

    Raises:
        UsageError: if the skeleton does not fit, or must be named.
        EveryposeError: if the file leaves the size of its crops or the number of keypoints open.

    >>> from types import SimpleNamespace as Node
    >>> image, nodes = Node(name="input", shape=[1, 3, 256, 192]), [Node(name="simcc_x", shape=[1, 133, 384])]
    >>> config = simcc_config(Node(get_inputs=lambda: [image], get_outputs=lambda: nodes), Path("rtmw.onnx"))
    >>> config.skeleton.name, config.on_crops.crop_size
    ('coco_wholebody', Size(width=192, height=256))
    """
    shapes = {node.name: node.shape for node in (*session.get_inputs(), *session.get_outputs())}
    image, x_scores = shapes[session.get_inputs()[0].name], shapes["simcc_x"]
    if (len(image), len(x_scores)) != (4, 3) or not all(isinstance(size, int) for size in (*image[2:], x_scores[1])):
        raise EveryposeError(f"{path} does not say the size of its crops and the number of its keypoints")
    keypoints = x_scores[1]
    if skeleton is None and keypoints not in SKELETONS:
        raise UsageError(f"{path} has {keypoints} keypoints: say whose they are with --skeleton NAME")
    own = Skeleton.named(skeleton or SKELETONS[keypoints])
    if len(own) != keypoints:
        raise UsageError(f"{path} has {keypoints} keypoints, but the skeleton {own.name} has {len(own)}")
    height, width = image[2:]
    inference = TopDownInference(
        crop_size=Size(width, height), decoder="simcc", nms=None if own.sigmas is None else 0.9
    )
    return ModelConfig(
        name=path.stem,
        network=SimCCSettings(),
        skeleton=own,
        inference=inference,
        provenance={"imported_from": path.name},
    )
