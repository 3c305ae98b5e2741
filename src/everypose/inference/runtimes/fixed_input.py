"""RTMO and DETRPose in the ONNX files of their authors."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from everypose.core.arrays import Float32
from everypose.core.geometry import Size
from everypose.errors import EveryposeError, UsageError
from everypose.inference.runtimes.onnx import run_session
from everypose.inference.runtimes.protocols import Arrays, RawPoses, Session
from everypose.methods.fixed_input import detrpose, rtmo
from everypose.methods.fixed_input.settings import DetrPoseSettings, FixedInputNetworkSettings, RtmoSettings
from everypose.models.config import ModelConfig
from everypose.skeleton.skeleton import Skeleton

RTMO_OUTPUTS = ("dets", "keypoints")
DETRPOSE_INPUTS = ("images", "orig_target_sizes")
DETRPOSE_OUTPUTS = ("scores", "labels", "keypoints")
DEFAULT_SIZE = Size(640, 640)
"""Input size of a file that leaves it open."""
SKELETONS = {14: "crowdpose", 17: "coco"}
"""The skeletons of the released files, by their number of keypoints."""


class FixedInputRuntime(ABC):
    """A model of another project in an ``.onnx`` file that takes whole images at one size.

    Attributes:
        path: the file.
        config: the model's configuration, from the shapes of the file's inputs and outputs.

    >>> issubclass(RtmoRuntime, FixedInputRuntime), RtmoRuntime.outputs
    (True, ('dets', 'keypoints'))
    """

    outputs: ClassVar[tuple[str, ...]]

    def __init__(self, session: Session, config: ModelConfig, path: Path, *, batches: bool = True) -> None:
        """Take an open file and its configuration.

        Args:
            session: from :func:`everypose.inference.runtimes.onnx.open_session`.
            config: from the file's description.
            path: the file, for messages.
            batches: whether the file takes several images at once.
        """
        self.path = path
        self.config = config
        self._session = session
        self._takes_batches = batches

    def run(self, images: npt.NDArray[np.uint8], min_score: float = 0.0) -> RawPoses:
        """Find the people in a batch; see :class:`everypose.inference.runtimes.protocols.Runtime`.

        Raises:
            EveryposeError: if the model fails, or its outputs are not those of its family.
        """
        step = len(images) if self._takes_batches else 1
        found: list[tuple[Float32, Float32]] = []
        for start in range(0, len(images), step):
            batch = images[start : start + step]
            outputs = run_session(self._session, self.path, self._feed(batch), self.outputs)
            self._check(outputs, len(batch))
            found += [self._decode([output[index] for output in outputs], min_score) for index in range(len(batch))]
        counts = [len(scores) for _, scores in found]
        keypoints = np.concatenate([points for points, _ in found])
        return keypoints, np.concatenate([scores for _, scores in found]), np.repeat(np.arange(len(found)), counts)

    def _check(self, outputs: Sequence[npt.NDArray[Any]], images: int) -> None:
        """Refuse outputs of other shapes than their family's."""
        shapes = [output.shape for output in outputs]
        ranks = [2, 2, 4] if len(shapes) == 3 else [3, 4]
        counts = {shape[:2] for shape in shapes}
        if [len(shape) for shape in shapes] != ranks or len(counts) != 1 or shapes[0][0] != images:
            raise EveryposeError(
                f"{self.path} gives outputs of shape {', '.join(map(str, shapes))} for {images} images"
            )

    @abstractmethod
    def _feed(self, images: npt.NDArray[np.uint8]) -> Arrays:
        """The file's inputs for a batch (B, H, W, 3) uint8 RGB."""

    @abstractmethod
    def _decode(self, outputs: Sequence[npt.NDArray[Any]], min_score: float) -> tuple[Float32, Float32]:
        """Keypoints (M, K, 3) and scores (M,) of one image."""


class RtmoRuntime(FixedInputRuntime):
    """RTMO in an ``.onnx`` file: BGR images from 0 to 255 in, boxes with scores and keypoints out.

    >>> from types import SimpleNamespace as Node
    >>> outputs = [np.array([[[0.0, 0, 40, 90, 0.9]]], np.float32), np.ones((1, 1, 17, 3), np.float32)]
    >>> image = Node(name="input", shape=[1, 3, 640, 640], type="tensor(float)")
    >>> nodes = [Node(name="dets", shape=[1, 1, 5]), Node(name="keypoints", shape=[1, 1, 17, 3])]
    >>> session = Node(get_inputs=lambda: [image], get_outputs=lambda: nodes, run=lambda names, feed: outputs)
    >>> runtime = RtmoRuntime(session, rtmo_config(session, Path("rtmo.onnx")), Path("rtmo.onnx"))
    >>> keypoints, scores, image_index = runtime.run(np.zeros((1, 640, 640, 3), np.uint8))
    >>> keypoints.shape, scores.shape
    ((1, 17, 3), (1,))
    """

    outputs = RTMO_OUTPUTS

    def __init__(self, session: Session, config: ModelConfig, path: Path, *, batches: bool = True) -> None:
        """Take an open file and its configuration; see :class:`FixedInputRuntime`."""
        super().__init__(session, config, path, batches=batches)
        self._input = session.get_inputs()[0].name

    def _feed(self, images: npt.NDArray[np.uint8]) -> Arrays:
        return {self._input: np.ascontiguousarray(images[..., ::-1].transpose(0, 3, 1, 2), np.float32)}

    def _decode(self, outputs: Sequence[npt.NDArray[Any]], min_score: float) -> tuple[Float32, Float32]:
        return rtmo.decode(outputs[0], outputs[1], min_score=min_score, nms=self.config.on_fixed_input.nms)


class DetrPoseRuntime(FixedInputRuntime):
    """DETRPose in an ``.onnx`` file: RGB images from 0 to 1 in, scores, classes and keypoints out.

    >>> DetrPoseRuntime.outputs
    ('scores', 'labels', 'keypoints')
    """

    outputs = DETRPOSE_OUTPUTS

    def _feed(self, images: npt.NDArray[np.uint8]) -> Arrays:
        planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32)
        planes /= 255
        height, width = images.shape[1:3]
        return {"images": planes, "orig_target_sizes": np.tile(np.array([[width, height]], np.int64), (len(images), 1))}

    def _decode(self, outputs: Sequence[npt.NDArray[Any]], min_score: float) -> tuple[Float32, Float32]:
        scores, labels, points = outputs
        return detrpose.decode(scores, labels, points, min_score=min_score)


def is_rtmo(session: Any) -> bool:
    """Return whether an open file of ONNX Runtime is an RTMO: one image to dets and keypoints.

    >>> from types import SimpleNamespace as Node
    >>> outputs = [Node(name="dets"), Node(name="keypoints")]
    >>> is_rtmo(Node(get_inputs=lambda: [Node(name="input")], get_outputs=lambda: outputs))
    True
    """
    return len(session.get_inputs()) == 1 and {node.name for node in session.get_outputs()} == set(RTMO_OUTPUTS)


def is_detrpose(session: Any) -> bool:
    """Return whether an open file of ONNX Runtime is a DETRPose: image and its size to scores, labels, keypoints.

    >>> from types import SimpleNamespace as Node
    >>> inputs = [Node(name=name) for name in DETRPOSE_INPUTS]
    >>> is_detrpose(Node(get_inputs=lambda: inputs, get_outputs=lambda: [Node(name="keypoints")]))  # no scores
    False
    """
    inputs = {node.name for node in session.get_inputs()}
    return inputs == set(DETRPOSE_INPUTS) and {node.name for node in session.get_outputs()}.issuperset(DETRPOSE_OUTPUTS)


def rtmo_config(session: Any, path: Path, skeleton: str | None = None) -> ModelConfig:
    """Read the configuration of an RTMO from its file's input and outputs; see :func:`_fixed_input_config`.

    >>> from types import SimpleNamespace as Node
    >>> nodes = [Node(name="dets", shape=[1, 1, 5]), Node(name="keypoints", shape=[1, 1, 17, 3])]
    >>> image = Node(name="input", shape=[1, 3, 416, 416])
    >>> config = rtmo_config(Node(get_inputs=lambda: [image], get_outputs=lambda: nodes), Path("rtmo-t.onnx"))
    >>> config.skeleton.name, config.on_fixed_input.input_size
    ('coco', Size(width=416, height=416))
    """
    return _fixed_input_config(session, path, RtmoSettings(), skeleton)


def detrpose_config(session: Any, path: Path, skeleton: str | None = None) -> ModelConfig:
    """Read the configuration of a DETRPose from its file's inputs and outputs; see :func:`_fixed_input_config`.

    >>> from types import SimpleNamespace as Node
    >>> inputs = [Node(name="images", shape=[1, 3, 640, 640]), Node(name="orig_target_sizes", shape=[1, 2])]
    >>> keypoints = Node(name="keypoints", shape=[1, 60, 14, 2])
    >>> file = Node(get_inputs=lambda: inputs, get_outputs=lambda: [keypoints])
    >>> config = detrpose_config(file, Path("detrpose.onnx"))
    >>> config.skeleton.name  # 14 keypoints
    'crowdpose'
    """
    return _fixed_input_config(session, path, DetrPoseSettings(), skeleton)


def _fixed_input_config(
    session: Any, path: Path, network: FixedInputNetworkSettings, skeleton: str | None = None
) -> ModelConfig:
    """Read a configuration from a file's inputs and outputs.

    Args:
        session: of ONNX Runtime.
        path: the file.
        network: settings of the family.
        skeleton: name of the skeleton; by default the released files' own, by the number of keypoints.

    Raises:
        UsageError: if the skeleton does not fit, or must be named.
        EveryposeError: if the input is no image.
    """
    image: list[Any] = next((node.shape for node in session.get_inputs() if node.name != DETRPOSE_INPUTS[1]), [])
    if len(image) != 4:
        raise EveryposeError(f"{path}: its input of shape {image} is no batch of images")
    keypoints = next(node.shape for node in session.get_outputs() if node.name == "keypoints")
    count = keypoints[2] if len(keypoints) == 4 and isinstance(keypoints[2], int) else None
    if skeleton is None and count not in SKELETONS:
        what = f"has {count} keypoints" if count else "does not say the number of its keypoints"
        raise UsageError(f"{path} {what}: say whose they are with --skeleton NAME")
    own = Skeleton.named(skeleton or SKELETONS[count or 0])
    if count not in (None, len(own)):
        raise UsageError(f"{path} has {count} keypoints, but the skeleton {own.name} has {len(own)}")
    height, width = (
        side if isinstance(side, int) else default for side, default in zip(image[2:], DEFAULT_SIZE, strict=True)
    )
    released = rtmo.released_inference if isinstance(network, RtmoSettings) else detrpose.released_inference
    return ModelConfig(
        name=path.stem,
        network=network,
        skeleton=own,
        inference=released(Size(width, height)),
        provenance={"imported_from": path.name},
    )
