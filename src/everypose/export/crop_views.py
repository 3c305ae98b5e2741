"""The nodes that every crop model of another project gets: normalization before it, the flip test behind it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from everypose.core.arrays import Int64
from everypose.export.graph_writer import FLOAT, UINT8, GraphWriter
from everypose.inference.runtimes.normalized_crops import MEAN, STD
from everypose.models.config import ModelConfig


@dataclass(frozen=True)
class CropViews:
    """Names of tensors of the two views of each crop.

    Attributes:
        planes: ((1 + F) B, 3, H, W) float32 normalized crops, then mirrored crops; F is the length of ``mirrored``.
        crops: (1,) the number of crops, B.
        views: (1,) the number of views of each, 1 + F.

    Example:
        >>> from pathlib import Path
        >>> views = CropViews.write(GraphWriter(Path("rtmpose.onnx")))  # doctest: +SKIP
    """

    planes: str
    crops: str
    views: str

    @classmethod
    def write(cls, writer: GraphWriter) -> "CropViews":
        """Add the nodes before the inner graph."""
        crops, flips = writer.size_of("images", 0), writer.size_of("mirrored", 0)
        zero = writer.constant([0], np.int64)
        mirrored = writer.reversed(writer.slice("images", zero, writer.node("Mul", crops, flips), 0), 2)
        pixels = writer.node("Cast", writer.node("Concat", "images", mirrored, axis=0), to=FLOAT)
        centered = writer.node("Sub", pixels, writer.constant(MEAN, np.float32))
        scaled = writer.node("Div", centered, writer.constant(STD, np.float32))
        planes = writer.node("Transpose", scaled, perm=[0, 3, 1, 2])
        return cls(planes, crops, writer.node("Add", flips, writer.constant([1], np.int64)))

    def split(self, writer: GraphWriter, tensor: str, flip_index: Int64) -> tuple[str, str]:
        """Return an output (views, K, ...) of the crops, and that of the mirrored crops with left and right swapped."""
        last = writer.constant([np.iinfo(np.int64).max], np.int64)
        own = writer.slice(tensor, writer.constant([0], np.int64), self.crops, 0)
        other = writer.slice(tensor, self.crops, last, 0)
        return own, writer.node("Gather", other, writer.constant(flip_index, np.int64), axis=1)

    def mean(self, writer: GraphWriter, own: str, other: str, *, shape: str) -> str:
        """Average the output of the crops and that of the mirrored crops, which is empty without a flip test."""
        both = writer.node("Concat", own, other, axis=0)
        weight = writer.node("Div", writer.constant([1], np.float32), writer.node("Cast", self.views, to=FLOAT))
        share = writer.node("Expand", weight, writer.node("Concat", writer.constant([1], np.int64), self.views, axis=0))
        flat = writer.node("Concat", self.views, writer.constant([-1], np.int64), axis=0)
        return writer.node("Reshape", writer.node("MatMul", share, writer.node("Reshape", both, flat)), shape)


def finish(
    writer: GraphWriter, points: Sequence[str], *, score: str, config: ModelConfig, metadata: dict[str, str]
) -> onnx.ModelProto:
    """Write the output of x and y (``points``) and score, each (B, K, 1); a score that is not above 0 finds nothing.

    >>> finish(writer, ["x", "y"], score="score", config=config, metadata={})  # doctest: +SKIP
    """
    width, height = config.on_crops.crop_size
    keypoints = len(config.skeleton)
    is_found = writer.node("Greater", score, writer.constant(0, np.float32))
    found = [writer.node("Where", is_found, axis, writer.constant(0, np.float32)) for axis in points]
    table = writer.node("Concat", *found, score, axis=2)
    writer.node("Reshape", table, writer.constant([-1, 1, keypoints, 3], np.int64), output="keypoints")
    return writer.finish(
        {"images": (UINT8, ["batch", height, width, 3]), "mirrored": (FLOAT, ["flip"])},
        {"keypoints": (FLOAT, ["batch", 1, keypoints, 3])},
        metadata,
    )
