"""Detectors in the ONNX files of MMDeploy: YOLOX and RTMDet, with boxes after suppression of duplicates."""

from dataclasses import dataclass

import numpy as np

from everypose.core.arrays import Image
from everypose.errors import EveryposeError
from everypose.inference.boxes import Boxes
from everypose.inference.detector_input import PERSON, corner_ratio, in_corner, planes
from everypose.inference.runtimes.protocols import Arrays

RTMDET_MEAN = (103.53, 116.28, 123.675)
"""Of the BGR values from 0 to 255 that RTMDet takes."""
RTMDET_STD = (57.375, 57.12, 58.395)


@dataclass(frozen=True)
class MMDeployDetector:
    """YOLOX or RTMDet as MMDeploy exports them: boxes with scores (1, N, 5) in input pixels, and classes (1, N).

    The image is BGR, scaled into the input's top left corner; the rest is gray. YOLOX takes values from 0 to 255.

    >>> layout = MMDeployDetector("input", size=(640, 640))
    >>> outputs = {"dets": np.array([[[0, 0, 100, 200, 0.9], [0, 0, 10, 20, 0.8]]]), "labels": np.array([[0, 2]])}
    >>> layout.boxes(outputs, (320, 320), threshold=0.3).boxes.tolist()  # the image is half as large as the input
    [[0.0, 0.0, 50.0, 100.0]]
    """

    input: str
    size: tuple[int, int]
    """(width, height) of the input."""
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def feed(self, image: Image) -> Arrays:  # noqa: D102
        canvas, _ = in_corner(image, self.size)
        pixels = canvas[..., ::-1].astype(np.float32)
        pixels -= np.array(self.mean, np.float32)
        pixels /= np.array(self.std, np.float32)
        return {self.input: planes(pixels)}

    def boxes(self, outputs: Arrays, image_size: tuple[int, int], threshold: float) -> Boxes:
        """The boxes of people, in image pixels."""
        table, labels = outputs["dets"][0].astype(np.float64), outputs["labels"][0]
        if table.ndim != 2 or table.shape[1] != 5 or labels.shape != table.shape[:1]:
            raise EveryposeError(
                f"its dets and labels have the shapes {outputs['dets'].shape} and {outputs['labels'].shape}, not "
                "(images, boxes, 5) and (images, boxes)"
            )
        kept = (labels == PERSON) & (table[:, 4] >= threshold)
        return Boxes(table[kept, :4] / corner_ratio(image_size, self.size), table[kept, 4])
