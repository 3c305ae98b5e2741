"""Person detectors in ONNX files of other projects: YOLOX, RT-DETR and PicoDet, recognised by inputs and outputs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from everypose.core.arrays import Float32, Float64, Image
from everypose.core.files import read_json
from everypose.errors import EveryposeError
from everypose.inference.boxes import Boxes, Photo, box_nms
from everypose.inference.runtimes.onnx import Arrays, run_session

PERSON = 0
"""The class of people in COCO's 80 classes, which both kinds of detector number from 0."""
THRESHOLD = 0.3
SIZE = 640
"""Side of the input of a detector whose file leaves it open."""
PREPROCESSOR = "preprocessor_config.json"
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Layout(Protocol):
    """How a kind of detector wants its image, and how it says where people are."""

    def feed(self, image: Image) -> Arrays:
        """The detector's inputs by name; the image comes first."""
        ...

    def boxes(self, outputs: Arrays, image_size: tuple[int, int], threshold: float) -> Boxes:
        """The people in its outputs, in pixels of an image of (width, height)."""
        ...


class OnnxDetector:
    """A YOLOX, RT-DETR or PicoDet in an ``.onnx`` file; its first class must be people, as in COCO."""

    def __init__(self, session: Any, path: str | Path, threshold: float = THRESHOLD) -> None:
        """Take an open file.

        Args:
            session: as :func:`everypose.inference.runtimes.onnx.open_session` gives it.
            path: the file, for messages and to find a configuration in the same folder.
            threshold: boxes that score less are left out.

        Raises:
            EveryposeError: when the file is of no layout that is known.
        """
        self.path = Path(path)
        self.threshold = threshold
        self._session = session
        self._outputs = [node.name for node in self._session.get_outputs()]
        self._layout = recognise(self._session, self.path)

    def __call__(self, photo: Photo) -> Boxes:
        """The boxes of one image's people.

        Raises:
            EveryposeError: when the model fails, or its outputs are not those of its layout after all.
        """
        height, width = photo.image.shape[:2]
        found = run_session(self._session, self.path, self._layout.feed(photo.image), self._outputs)
        try:
            return self._layout.boxes(dict(zip(self._outputs, found, strict=True)), (width, height), self.threshold)
        except EveryposeError as error:
            raise EveryposeError(f"the detector {self.path} cannot be used: {error}") from error


def recognise(session: Any, path: Path) -> Layout:
    """Determine the layout of an open file.

    Raises:
        EveryposeError: when it is none of those known.
    """
    inputs = {node.name: node.shape for node in session.get_inputs()}
    outputs = {node.name: node.shape for node in session.get_outputs()}
    image = next(iter(inputs), "")
    if all(node.type == "tensor(float)" for node in session.get_inputs() if node.name == image):
        if set(inputs) == {"pixel_values"} and {"logits", "pred_boxes"} <= set(outputs):
            return HuggingFaceRtDetr.read(inputs[image], path)
        if set(inputs) == {"images", "orig_target_sizes"} and {"labels", "boxes", "scores"} <= set(outputs):
            return RtDetr(_input_size(inputs["images"]))
        if len(inputs) == 1 and set(outputs) == {"boxes", "scores"} and len(outputs["scores"]) == 3:
            return PicoDet(image, _input_size(inputs[image]))
        if len(inputs) == len(outputs) == 1 and _ranks(inputs, outputs) == (4, 3):
            return Yolox(image, next(iter(outputs)), _input_size(inputs[image]))
    raise EveryposeError(
        f"{path} is not a detector that is known: its inputs {', '.join(inputs)} and outputs {', '.join(outputs)} are"
        " neither YOLOX's (one image, one table of boxes) nor RT-DETR's (pixel_values to logits, pred_boxes; or images,"
        " orig_target_sizes to labels, boxes, scores) nor PicoDet's (one image to boxes, scores), in 32-bit floating"
        " point"
    )


@dataclass(frozen=True)
class Yolox:
    """YOLOX (Ge et al., 2021): for each cell of three grids x, y, width, height, objectness and class scores.

    The image is BGR from 0 to 255, fitted into the input's top left corner; the rest is grey. Boxes may come in pixels
    (decoded), or as the network gives them: offsets in cells and logarithms.
    """

    input: str
    output: str
    size: tuple[int, int]
    """(width, height) of the input."""

    STRIDES = (8, 16, 32)
    GREY = 114
    NMS = 0.65

    def feed(self, image: Image) -> Arrays:  # noqa: D102
        height, width = image.shape[:2]
        ratio = self._ratio((width, height))
        fitted = max(1, int(width * ratio)), max(1, int(height * ratio))
        canvas = np.full((self.size[1], self.size[0], 3), self.GREY, np.uint8)
        canvas[: fitted[1], : fitted[0]] = cv2.resize(image, fitted, interpolation=cv2.INTER_LINEAR)[..., ::-1]
        return {self.input: _planes(canvas.astype(np.float32))}

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
        corners = np.concatenate([middles - sizes / 2, middles + sizes / 2], axis=1) / self._ratio(image_size)
        return box_nms(Boxes(corners[sure], scores[sure]), self.NMS)

    def _ratio(self, image_size: tuple[int, int]) -> float:
        """Input pixels for each image pixel."""
        return min(self.size[0] / image_size[0], self.size[1] / image_size[1])

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
class RtDetr:
    """RT-DETR (Zhao et al., CVPR 2024) as its authors export it: labels, boxes in image pixels and scores."""

    size: tuple[int, int]
    """(width, height) of the input."""

    def feed(self, image: Image) -> Arrays:  # noqa: D102
        sizes = np.array([[image.shape[1], image.shape[0]]], np.int64)
        return {"images": _planes(_stretched(image, self.size)), "orig_target_sizes": sizes}

    def boxes(
        self,
        outputs: Arrays,
        image_size: tuple[int, int],  # noqa: ARG002
        threshold: float,
    ) -> Boxes:
        """Those that are people, as they are."""
        scores = outputs["scores"][0].astype(np.float64)
        sure = (outputs["labels"][0] == PERSON) & (scores >= threshold)
        return Boxes(outputs["boxes"][0].astype(np.float64)[sure], scores[sure])


@dataclass(frozen=True)
class HuggingFaceRtDetr:
    """RT-DETR and its kin (D-FINE) as Hugging Face exports them: class logits, and boxes in parts of the image.

    Whether the image is normalised, and its size where the file leaves it open, ``preprocessor_config.json`` says, in
    the file's folder or the one above; without it the image is not normalised, as RT-DETR's own.
    """

    size: tuple[int, int]
    """(width, height) of the input."""
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    WITH_PERSON_ELSEWHERE = (91, 92)

    @classmethod
    def read(cls, input_shape: list[Any], path: Path) -> "HuggingFaceRtDetr":
        """Read the configuration in the file's folder.

        Raises:
            EveryposeError: when the configuration cannot be understood.
        """
        for config in (path.parent / PREPROCESSOR, path.parent.parent / PREPROCESSOR):
            if config.is_file():
                try:
                    return cls._configured(read_json(config), input_shape)
                except (AttributeError, KeyError, TypeError, ValueError) as error:
                    raise EveryposeError(f"{config} does not say how images are prepared: {error!r}") from error
        return cls(_input_size(input_shape))

    @classmethod
    def _configured(cls, values: dict[str, Any], input_shape: list[Any]) -> "HuggingFaceRtDetr":
        sides = values.get("size", {})
        size = _input_size(input_shape, (int(sides.get("width", SIZE)), int(sides.get("height", SIZE))))
        if not values.get("do_normalize", False):
            return cls(size)
        (red, green, blue), (red_std, green_std, blue_std) = values["image_mean"], values["image_std"]
        return cls(size, (float(red), float(green), float(blue)), (float(red_std), float(green_std), float(blue_std)))

    def feed(self, image: Image) -> Arrays:  # noqa: D102
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        return {"pixel_values": _planes((_stretched(image, self.size) - mean) / std)}

    def boxes(self, outputs: Arrays, image_size: tuple[int, int], threshold: float) -> Boxes:
        """Scores by the sigmoid, boxes from x, y of the middle, width and height."""
        logits = outputs["logits"][0].astype(np.float64)
        if logits.shape[1] in self.WITH_PERSON_ELSEWHERE:
            raise EveryposeError(
                f"it has {logits.shape[1]} classes, DETR's numbering in which people are not the first; RT-DETR has 80"
            )
        scores = 1 / (1 + np.exp(-logits[:, PERSON]))
        sure = scores >= threshold
        middles, sizes = np.split(outputs["pred_boxes"][0].astype(np.float64)[sure], 2, axis=1)
        corners = np.concatenate([middles - sizes / 2, middles + sizes / 2], axis=1)
        return Boxes(corners * (image_size + image_size), scores[sure])


@dataclass(frozen=True)
class PicoDet:
    """PicoDet (Yu et al., 2021): corners in input pixels (1, N, 4) and class scores (1, C, N) after the sigmoid.

    The image is stretched to the input, RGB, normalised by ImageNet's mean and standard deviation.
    """

    input: str
    size: tuple[int, int]
    """(width, height) of the input."""

    NMS = 0.6
    MOST = 100

    def feed(self, image: Image) -> Arrays:  # noqa: D102
        resized = cv2.resize(image, self.size, interpolation=cv2.INTER_CUBIC).astype(np.float32)
        mean, std = np.array(IMAGENET_MEAN, np.float32), np.array(IMAGENET_STD, np.float32)
        return {self.input: _planes((resized / np.float32(255) - mean) / std)}

    def boxes(self, outputs: Arrays, image_size: tuple[int, int], threshold: float) -> Boxes:
        """Scale the corners to the image, then suppress boxes of the same person; the best 100 stay."""
        scores = outputs["scores"][0, PERSON].astype(np.float64)
        detected = scores > threshold
        corners = outputs["boxes"][0].astype(np.float64)[detected] * (np.divide(image_size, self.size).tolist() * 2)
        kept = box_nms(Boxes(corners, scores[detected]), self.NMS)
        return kept[np.arange(min(len(kept), self.MOST))]


def _input_size(shape: list[Any], default: tuple[int, int] = (SIZE, SIZE)) -> tuple[int, int]:
    """(width, height) of an input (B, 3, H, W); the default's where the file leaves a side open."""
    height, width = shape[2:]
    return width if isinstance(width, int) else default[0], height if isinstance(height, int) else default[1]


def _ranks(inputs: dict[str, list[Any]], outputs: dict[str, list[Any]]) -> tuple[int, int]:
    return len(next(iter(inputs.values()))), len(next(iter(outputs.values())))


def _stretched(image: Image, size: tuple[int, int]) -> Float32:
    """The whole image at (width, height), RGB from 0 to 1; shrunk by averaging, as the detectors learned it."""
    shrinks = size[0] * size[1] < image.shape[0] * image.shape[1]
    resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized, np.float32) / np.float32(255)


def _planes(pixels: Float32) -> Float32:
    """(H, W, 3) as a batch (1, 3, H, W)."""
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])
