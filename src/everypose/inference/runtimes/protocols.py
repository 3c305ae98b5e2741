"""What open files and loaded models offer, whatever runs them."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from everypose.core.arrays import Float32, Int64, Mask

Arrays = dict[str, npt.NDArray[Any]]
RawPoses = tuple[Float32, Float32, Int64]


class Node(Protocol):
    """An input or output of a session.

    >>> from types import SimpleNamespace
    >>> node: Node = SimpleNamespace(name="images")
    >>> node.name
    'images'
    """

    @property
    def name(self) -> str: ...  # noqa: D102


class ModelMeta(Protocol):
    """A file's metadata.

    >>> from types import SimpleNamespace
    >>> meta: ModelMeta = SimpleNamespace(custom_metadata_map={"everypose": "{}"})
    >>> list(meta.custom_metadata_map)
    ['everypose']
    """

    @property
    def custom_metadata_map(self) -> dict[str, str]: ...  # noqa: D102


class Session(Protocol):
    """An open file: the methods of ``onnxruntime.InferenceSession`` that everypose uses.

    >>> from everypose.inference.runtimes.onnx import open_session
    >>> from everypose.models.locate import bundled
    >>> session: Session = open_session(bundled("boir-lite.onnx"), 1)
    >>> [node.name for node in session.get_inputs()]
    ['images', 'mirrored', 'min_score']
    """

    def get_inputs(self) -> Sequence[Node]: ...  # noqa: D102

    def get_outputs(self) -> Sequence[Node]: ...  # noqa: D102

    def get_overridable_initializers(self) -> Sequence[Node]: ...  # noqa: D102

    def get_modelmeta(self) -> ModelMeta: ...  # noqa: D102

    def run(self, outputs: Sequence[str], feed: Arrays) -> list[npt.NDArray[Any]]: ...  # noqa: D102


class Runtime(Protocol):
    """A loaded model.

    >>> from everypose.inference.runtimes.onnx import OnnxRuntime
    >>> from everypose.models.locate import bundled
    >>> runtime: Runtime = OnnxRuntime.open(bundled("boir-lite.onnx"), threads=1)
    >>> [found.shape for found in runtime.run(np.zeros((2, 64, 64, 3), np.uint8), 0.5)]  # black images: no people
    [(0, 17, 3), (0,), (0,)]
    """

    def run(self, images: npt.NDArray[np.uint8], min_score: float = 0.0) -> RawPoses:
        """Find the people in a batch.

        Args:
            images: (B, H, W, 3) uint8 RGB; H and W are 64 or more and multiples of the configuration's ``step``.
            min_score: all people with a higher score are returned; others may be skipped, which saves time.

        Returns:
            Keypoints (P, K, 3) float32 as x, y in input pixels and score; person scores (P,) float32; and for each
            person the image of the batch that it was found in, (P,) int64, ascending.
        """
        ...


class CropRuntime(Protocol):
    """A loaded top-down model.

    >>> class Middle:
    ...     def run(self, crops, with_others=None):  # one keypoint, in the middle of each crop
    ...         _, height, width, _ = crops.shape
    ...         return np.full((len(crops), 1, 1, 3), (width / 2, height / 2, 1.0), np.float32)
    >>> runtime: CropRuntime = Middle()
    >>> runtime.run(np.zeros((3, 256, 192, 3), np.uint8))[0].tolist()
    [[[96.0, 128.0, 1.0]]]
    """

    def run(self, crops: npt.NDArray[np.uint8], with_others: Mask | None = None, /) -> Float32:
        """Find the people of a batch of crops.

        Args:
            crops: (B, H, W, 3) uint8 RGB, of the model's crop size.
            with_others: (B,) bool, whether the other people of a crop than the primary one are needed; by default of
                all crops. Keypoints that are not needed may be 0, which saves time.

        Returns:
            Keypoints (B, N, K, 3) as x, y in crop pixels and confidence: N people for each crop, first the primary one,
            whose box was cropped.
        """
        ...


class RefinementRuntime(Protocol):
    """A loaded refinement model.

    >>> class Unchanged:
    ...     def run(self, crops, poses):
    ...         return poses[..., :2]
    >>> runtime: RefinementRuntime = Unchanged()
    >>> runtime.run(np.zeros((1, 256, 192, 3), np.uint8), np.ones((1, 17, 3), np.float32)).shape
    (1, 17, 2)
    """

    def run(self, crops: npt.NDArray[np.uint8], poses: Float32) -> Float32:
        """Refine one pose in each crop.

        Args:
            crops: (B, H, W, 3) uint8 RGB, of the model's crop size.
            poses: (B, K, 3) float32 x, y in crop pixels and whether given (> 0).

        Returns:
            (B, K, 2) float32 x, y in crop pixels.
        """
        ...
