"""Person detectors in ONNX files of other projects, recognized by inputs and outputs.

YOLOX, PicoDet, and the RT-DETR family of :mod:`everypose.inference.detr_layouts`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from everypose.core.arrays import Float32, Float64, Image
from everypose.errors import EveryposeError
from everypose.inference.boxes import Boxes, Photo, box_nms
from everypose.inference.detector_input import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    PERSON,
    corner_ratio,
    in_corner,
    input_size,
    planes,
)
from everypose.inference.detr_layouts import HuggingFaceRtDetr, RfDetr, RtDetr
from everypose.inference.mmdeploy_layouts import RTMDET_MEAN, RTMDET_STD, MMDeployDetector
from everypose.inference.runtimes.onnx import run_session
from everypose.inference.runtimes.protocols import Arrays
from everypose.models.locate import DETECTOR_FAMILIES

THRESHOLD = 0.3


class Layout(Protocol):
    """Input and output format of a kind of detector.

    >>> layout: Layout = PicoDet("image", size=(416, 416))
    >>> layout.feed(np.zeros((240, 320, 3), np.uint8))["image"].shape
    (1, 3, 416, 416)
    """

    def feed(self, image: Image) -> Arrays:
        """The detector's inputs by name; the image comes first."""
        ...

    def boxes(self, outputs: Arrays, image_size: tuple[int, int], threshold: float) -> Boxes:
        """The people in its outputs, in pixels of an image of (width, height)."""
        ...


class OnnxDetector:
    """A detector in an ``.onnx`` file: YOLOX, PicoDet, or one of the RT-DETR family.

    The first class must be people, as in COCO, unless the configuration next to the file says which one is.

    >>> from everypose.inference.runtimes.onnx import open_session
    >>> from everypose.models.locate import bundled
    >>> path = bundled("picodet-s.onnx")
    >>> detector = OnnxDetector(open_session(path, 1), path)
    >>> detector(Photo(np.zeros((64, 64, 3), np.uint8))).boxes.shape[1]
    4
    """

    def __init__(
        self, session: Any, path: str | Path, threshold: float = THRESHOLD, *, family: str | None = None
    ) -> None:
        """Take an open file.

        Args:
            session: as :func:`everypose.inference.runtimes.onnx.open_session` gives it.
            path: the file, for messages and to find a configuration in the same folder.
            threshold: boxes that score less are left out.
            family: yolox or rtmdet, for a file that may be either.

        Raises:
            EveryposeError: if the file has no known layout.
        """
        self.path = Path(path)
        self.threshold = threshold
        self._session = session
        self._outputs = [node.name for node in self._session.get_outputs()]
        self._layout = recognize(self._session, self.path, family)
        self._takes_batches = all(
            node.shape and not isinstance(node.shape[0], int) for node in self._session.get_inputs()
        )

    def __call__(self, photo: Photo) -> Boxes:
        """The boxes of one image's people.

        Raises:
            EveryposeError: if the model fails, or its outputs do not have the expected shapes.
        """
        return self.detect_batch([photo])[0]

    def detect_batch(self, photos: Sequence[Photo]) -> list[Boxes]:
        """The boxes of several images' people, in one run if the file takes batches of any size.

        Raises:
            EveryposeError: as for one image.
        """
        feeds = [self._layout.feed(photo.image) for photo in photos]
        if self._takes_batches and len(feeds) > 1:
            batch = {name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]}
            together = run_session(self._session, self.path, batch, self._outputs)
            runs = [[output[index : index + 1] for output in together] for index in range(len(feeds))]
        else:
            runs = [run_session(self._session, self.path, feed, self._outputs) for feed in feeds]
        return [self._boxes(found, photo.image) for found, photo in zip(runs, photos, strict=True)]

    def _boxes(self, found: Sequence[npt.NDArray[Any]], image: Image) -> Boxes:
        """The boxes in one image's outputs."""
        height, width = image.shape[:2]
        outputs = dict(zip(self._outputs, found, strict=True))
        try:
            return self._layout.boxes(outputs, (width, height), self.threshold)
        except EveryposeError as error:
            raise EveryposeError(f"the detector {self.path} cannot be used: {error}") from error
        except (LookupError, ValueError) as error:  # what numpy raises on arrays of other shapes
            shapes = ", ".join(f"{name} {values.shape}" for name, values in outputs.items())
            raise EveryposeError(
                f"the detector {self.path} cannot be used: the shapes of its outputs do not belong together ({shapes})"
            ) from error


def recognize(session: Any, path: Path, family: str | None = None) -> Layout:
    """Determine the layout of an open file.

    Args:
        session: of ONNX Runtime.
        path: the file.
        family: yolox or rtmdet, for a file that may be either.

    Raises:
        EveryposeError: if the file has no known layout, or could have two of them.

    >>> from everypose.inference.runtimes.onnx import open_session
    >>> from everypose.models.locate import bundled
    >>> path = bundled("picodet-s.onnx")
    >>> type(recognize(open_session(path, 1), path)).__name__
    'PicoDet'
    """
    inputs = {node.name: node.shape for node in session.get_inputs()}
    outputs = {node.name: node.shape for node in session.get_outputs()}
    image = next(iter(inputs), "")
    if [(node.type, len(node.shape)) for node in session.get_inputs()][:1] == [("tensor(float)", 4)]:
        if set(inputs) == {"pixel_values"} and {"logits", "pred_boxes"} <= set(outputs):
            return HuggingFaceRtDetr.read(inputs[image], path)
        if set(inputs) == {"images", "orig_target_sizes"} and {"labels", "boxes", "scores"} <= set(outputs):
            return RtDetr(input_size(inputs["images"]))
        if len(inputs) == 1 and set(outputs) == {"dets", "labels"} and len(outputs["labels"]) == 2:
            return _exported_by_mmdeploy(image, input_size(inputs[image]), path, family)
        if len(inputs) == 1 and {"dets", "labels"} <= set(outputs):
            return RfDetr(image, input_size(inputs[image]))
        if len(inputs) == 1 and set(outputs) == {"boxes", "scores"} and len(outputs["scores"]) == 3:
            return PicoDet(image, input_size(inputs[image]))
        if len(inputs) == len(outputs) == 1 and len(next(iter(outputs.values()))) == 3:
            return Yolox(image, next(iter(outputs)), input_size(inputs[image]))
    raise EveryposeError(
        f"{path} is not a detector that is known: its inputs {', '.join(inputs)} and outputs {', '.join(outputs)} are"
        " neither YOLOX's (one image, one table of boxes) nor RT-DETR's (pixel_values to logits, pred_boxes; or images,"
        " orig_target_sizes to labels, boxes, scores) nor RF-DETR's (one image to dets, labels) nor PicoDet's (one"
        " image to boxes, scores) nor MMDeploy's (one image to dets with scores, labels), in 32-bit floating point"
    )


def _exported_by_mmdeploy(image: str, size: tuple[int, int], path: Path, family: str | None) -> MMDeployDetector:
    """The layout of a file of MMDeploy, whose normalization depends on the family."""
    if family is None:
        raise EveryposeError(
            f"{path} is a detector that MMDeploy exported, YOLOX or RTMDet, which take different colors: name the "
            f"family before the file, {' or '.join(f'{name}:{path}' for name in DETECTOR_FAMILIES)}"
        )
    if family == "rtmdet":
        return MMDeployDetector(image, size, RTMDET_MEAN, RTMDET_STD)
    return MMDeployDetector(image, size)


@dataclass(frozen=True)
class Yolox:
    """YOLOX (Ge et al., 2021): for each cell of three grids x, y, width, height, objectness and class scores.

    The image is BGR from 0 to 255, fitted into the input's top left corner; the rest is gray. Boxes may come in pixels
    (decoded), or as the network gives them: offsets in cells and logarithms.

    >>> layout = Yolox("images", "output", size=(64, 64))
    >>> table = np.zeros((1, 84, 85))  # 8 x 8, 4 x 4 and 2 x 2 cells
    >>> layout.boxes({"output": table}, (320, 240), threshold=0.3).scores.tolist()
    []
    """

    input: str
    output: str
    size: tuple[int, int]
    """(width, height) of the input."""

    STRIDES = (8, 16, 32)
    NMS = 0.65

    def feed(self, image: Image) -> Arrays:  # noqa: D102
        canvas, _ = in_corner(image, self.size)
        return {self.input: planes(canvas[..., ::-1].astype(np.float32))}

    def boxes(self, outputs: Arrays, image_size: tuple[int, int], threshold: float) -> Boxes:
        """Undo the grid and the fitting, then suppress boxes of the same person."""
        table = outputs[self.output][0].astype(np.float64)
        cells, strides = self._grid()
        if len(table) != len(cells) or table.shape[1] < 6:
            raise EveryposeError(
                f"it gives {' x '.join(map(str, table.shape))} numbers, where a YOLOX for an input of {self.size[0]} x"
                f" {self.size[1]} pixels gives {len(cells)} boxes of 6 or more"
            )
        middles, sizes = table[:, :2], table[:, 2:4]
        scores = table[:, 4] * table[:, 5 + PERSON]
        sure = scores >= threshold
        if not self._decoded(middles):
            middles = (middles + cells) * strides
            sizes = np.exp(sizes, where=sure[:, None], out=np.zeros_like(sizes)) * strides
        corners = np.concatenate([middles - sizes / 2, middles + sizes / 2], axis=1) / corner_ratio(
            image_size, self.size
        )
        return box_nms(Boxes(corners[sure], scores[sure]), self.NMS)

    def _grid(self) -> tuple[Float64, Float64]:
        """The cells (A, 2) that the rows belong to, as column and row of their grid, and the grids' strides (A, 1)."""
        cells, strides = [], []
        for stride in self.STRIDES:
            columns, rows = np.meshgrid(np.arange(self.size[0] // stride), np.arange(self.size[1] // stride))
            cells.append(np.stack([columns, rows], axis=-1).reshape(-1, 2).astype(np.float64))
            strides.append(np.full((len(cells[-1]), 1), float(stride)))
        return np.concatenate(cells), np.concatenate(strides)

    def _decoded(self, middles: Float64) -> bool:
        """Whether the middles are pixels: then they lie near their own cells, and offsets lie near 0."""
        cells, strides = self._grid()
        return bool(np.abs(middles - (cells + 0.5) * strides).mean() < np.abs(middles).mean())


@dataclass(frozen=True)
class PicoDet:
    """PicoDet (Yu et al., 2021): corners in input pixels (1, N, 4) and class scores (1, C, N) after the sigmoid.

    The image is stretched to the input, RGB, normalized by ImageNet's mean and standard deviation.

    >>> layout = PicoDet("image", size=(416, 416))
    >>> outputs = {"scores": np.full((1, 80, 1), 0.9), "boxes": np.array([[[0.0, 0, 208, 416]]])}
    >>> layout.boxes(outputs, (320, 240), threshold=0.3).boxes.round().tolist()
    [[0.0, 0.0, 160.0, 240.0]]
    """

    input: str
    size: tuple[int, int]
    """(width, height) of the input."""

    NMS = 0.6
    MOST = 100

    def feed(self, image: Image) -> Arrays:  # noqa: D102
        resized = cv2.resize(image, self.size, interpolation=cv2.INTER_CUBIC)
        return {self.input: planes(cv2.LUT(resized, _normalized_bytes()))}

    def boxes(self, outputs: Arrays, image_size: tuple[int, int], threshold: float) -> Boxes:
        """Scale the corners to the image, then suppress boxes of the same person; the best 100 stay."""
        scores = outputs["scores"][0, PERSON].astype(np.float64)
        detected = scores > threshold
        corners = outputs["boxes"][0].astype(np.float64)[detected] * (np.divide(image_size, self.size).tolist() * 2)
        kept = box_nms(Boxes(corners, scores[detected]), self.NMS)
        return kept[np.arange(min(len(kept), self.MOST))]


@cache
def _normalized_bytes() -> Float32:
    """The normalized value of every byte and channel, (1, 256, 3)."""
    mean, std = np.array(IMAGENET_MEAN, np.float32), np.array(IMAGENET_STD, np.float32)
    values = np.arange(256, dtype=np.float32)[None, :, None]
    return (values / np.float32(255) - mean) / std
