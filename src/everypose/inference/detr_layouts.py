"""The RT-DETR family in ONNX files: RT-DETR, RT-DETRv2, D-FINE, DEIM, DEIMv2 and RF-DETR."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from everypose.core.arrays import Float64, Image
from everypose.core.files import read_json
from everypose.errors import EveryposeError, plain_reason
from everypose.inference.boxes import Boxes
from everypose.inference.detector_input import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    PERSON,
    SIZE,
    input_size,
    planes,
    stretched,
)
from everypose.inference.runtimes.protocols import Arrays

PREPROCESSOR = "preprocessor_config.json"
MODEL_CONFIG = "config.json"
SIGMOID_MODELS = {"rt_detr", "rt_detr_v2", "d_fine", "deim", "deimv2", "rf_detr", "lw_detr"}
"""Model types of transformers whose class scores are sigmoids; DETR's are a softmax with a class for no object."""


@dataclass(frozen=True)
class RtDetr:
    """RT-DETR (Zhao et al., CVPR 2024) as its authors export it: labels, boxes in image pixels and scores.

    >>> layout = RtDetr(size=(640, 640))
    >>> outputs = {
    ...     "labels": np.array([[0, 2]]), "scores": np.array([[0.9, 0.8]]), "boxes": np.array([[[0, 0, 10, 20]] * 2]),
    ... }
    >>> layout.boxes(outputs, (320, 240), threshold=0.3).boxes.tolist()  # class 2 is a car
    [[0.0, 0.0, 10.0, 20.0]]
    """

    size: tuple[int, int]
    """(width, height) of the input."""

    def feed(self, image: Image) -> Arrays:  # noqa: D102
        sizes = np.array([[image.shape[1], image.shape[0]]], np.int64)
        return {"images": planes(stretched(image, self.size)), "orig_target_sizes": sizes}

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
    """RT-DETR and D-FINE as Hugging Face exports them: class logits, and boxes as shares of the image.

    Whether the image is normalized, and its size where the file leaves it open, ``preprocessor_config.json`` says, in
    the file's folder or the one above; without it the image is not normalized, as RT-DETR's own.

    >>> layout = HuggingFaceRtDetr(size=(640, 640))
    >>> logits = np.full((1, 1, 80), -9.0)
    >>> logits[0, 0, 0] = 2.0
    >>> outputs = {"logits": logits, "pred_boxes": np.array([[[0.5, 0.5, 0.2, 0.4]]])}
    >>> layout.boxes(outputs, (100, 200), threshold=0.3).boxes.round(1).tolist()
    [[40.0, 60.0, 60.0, 140.0]]
    """

    size: tuple[int, int]
    """(width, height) of the input."""
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    person: int | None = None
    """The class of people; None if no configuration says it, then the first of COCO's 80."""

    WITH_PERSON_ELSEWHERE = (91, 92)

    @classmethod
    def read(cls, input_shape: list[Any], path: Path) -> "HuggingFaceRtDetr":
        """Read the configuration in the file's folder.

        Raises:
            EveryposeError: if the configuration cannot be understood.
        """
        person = _person_of_config(path)
        for config in (path.parent / PREPROCESSOR, path.parent.parent / PREPROCESSOR):
            if config.is_file():
                try:
                    return replace(cls._configured(read_json(config), input_shape), person=person)
                except (AttributeError, LookupError, TypeError, ValueError, ArithmeticError) as error:
                    reason = plain_reason(error)
                    raise EveryposeError(f"{config} does not say how images are prepared: {reason}") from error
        return cls(input_size(input_shape), person=person)

    @classmethod
    def _configured(cls, values: dict[str, Any], input_shape: list[Any]) -> "HuggingFaceRtDetr":
        sides = values.get("size", {})
        size = input_size(input_shape, (int(sides.get("width", SIZE)), int(sides.get("height", SIZE))))
        if not values.get("do_normalize", False):
            return cls(size)
        (red, green, blue), (red_std, green_std, blue_std) = values["image_mean"], values["image_std"]
        return cls(size, (float(red), float(green), float(blue)), (float(red_std), float(green_std), float(blue_std)))

    def feed(self, image: Image) -> Arrays:  # noqa: D102
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        return {"pixel_values": planes((stretched(image, self.size) - mean) / std)}

    def boxes(self, outputs: Arrays, image_size: tuple[int, int], threshold: float) -> Boxes:
        """Scores by the sigmoid, boxes from x, y of the middle, width and height."""
        logits = outputs["logits"][0].astype(np.float64)
        if self.person is None and logits.shape[1] in self.WITH_PERSON_ELSEWHERE:
            raise EveryposeError(
                f"it has {logits.shape[1]} classes, DETR's numbering in which people are not the first; RT-DETR has 80"
            )
        person = PERSON if self.person is None else self.person
        if person >= logits.shape[1]:
            raise EveryposeError(f"its configuration says that people are class {person} of {logits.shape[1]}")
        return _person_boxes(logits[:, person], outputs["pred_boxes"][0], image_size, threshold)


@dataclass(frozen=True)
class RfDetr:
    """RF-DETR (Robinson et al., 2025) as its authors export it: boxes as shares of the image, and class logits.

    Classes have COCO's numbers, from 1: people are class 1, and class 0 is unused. The image is stretched to the input
    and normalized by ImageNet's mean and standard deviation.

    >>> layout = RfDetr("input", size=(560, 560))
    >>> layout.feed(np.zeros((240, 320, 3), np.uint8))["input"].shape
    (1, 3, 560, 560)
    """

    input: str
    size: tuple[int, int]
    """(width, height) of the input."""

    PERSON = 1

    def feed(self, image: Image) -> Arrays:  # noqa: D102
        mean, std = np.array(IMAGENET_MEAN, np.float32), np.array(IMAGENET_STD, np.float32)
        return {self.input: planes((stretched(image, self.size) - mean) / std)}

    def boxes(self, outputs: Arrays, image_size: tuple[int, int], threshold: float) -> Boxes:
        """Scores by the sigmoid, boxes from x, y of the middle, width and height."""
        logits = outputs["labels"][0]
        if logits.ndim != 2 or logits.shape[1] <= self.PERSON:
            raise EveryposeError(f"its labels have the shape {outputs['labels'].shape}, not (images, boxes, classes)")
        return _person_boxes(logits[:, self.PERSON].astype(np.float64), outputs["dets"][0], image_size, threshold)


def _person_boxes(logits: Float64, boxes: npt.NDArray[Any], image_size: tuple[int, int], threshold: float) -> Boxes:
    """The boxes (N, 4) of centers and sizes in parts of the image, with the sigmoid of logits (N,) as scores."""
    scores = 1 / (1 + np.exp(-logits))
    sure = scores >= threshold
    middles, sizes = np.split(boxes.astype(np.float64)[sure], 2, axis=1)
    corners = np.concatenate([middles - sizes / 2, middles + sizes / 2], axis=1)
    return Boxes(corners * (image_size + image_size), scores[sure])


def _person_of_config(path: Path) -> int | None:
    """The class named person in transformers' configuration near the file; None without one that names it."""
    for config in (path.parent / MODEL_CONFIG, path.parent.parent / MODEL_CONFIG):
        if not config.is_file():
            continue
        values = read_json(config)
        if not isinstance(values, dict) or values.get("model_type") not in SIGMOID_MODELS:
            continue
        labels = values.get("id2label")
        if isinstance(labels, dict):
            found = [key for key, label in labels.items() if str(label).lower() == "person" and str(key).isdecimal()]
            if found:
                return int(found[0])
    return None
