"""Where a top-down model's boxes come from when it is measured, in a form that a record can name."""

from dataclasses import dataclass
from pathlib import Path

from everypose.core.files import sha256
from everypose.errors import EveryposeError, UsageError
from everypose.evaluation.annotated_set import LabelledSet
from everypose.inference.box_sources import AnnotatedBoxes, DetectionsFile
from everypose.inference.boxes import Detector
from everypose.models.config import WEIGHTS_FILE
from everypose.models.locate import resolve

TRUTH = "truth"


@dataclass(frozen=True)
class BoxSource:
    """What was asked for; nothing is the detector that ``predict`` takes by default.

    Attributes:
        boxes: ``truth``, the annotated boxes, or a file of detections.
        detector: instead: a single-stage model, or a YOLOX, RT-DETR or PicoDet in an ``.onnx`` file.
        threshold: lowest score of a box; by default the detector's own, and 0 for a file.

    Raises:
        UsageError: when these contradict each other.
    """

    boxes: str | None = None
    detector: str | None = None
    threshold: float | None = None

    def __post_init__(self) -> None:
        if self.boxes is not None and self.detector is not None:
            raise UsageError("--detector and --boxes both say where the people are: give one of them")
        if self.detector is not None and self.detector.endswith(".json"):
            raise UsageError(f"{self.detector} holds boxes, it is no detector: give it as --boxes {self.detector}")
        if self.is_truth and self.threshold is not None:
            raise UsageError("annotated boxes (--boxes truth) have no scores that a threshold could look at")

    @property
    def is_truth(self) -> bool:
        """Whether the boxes are the annotated ones."""
        return self.boxes == TRUTH

    @property
    def detector_threshold(self) -> float | None:
        """The threshold that is left to a detector that is still to be loaded; a file has applied it."""
        return None if self.boxes is not None else self.threshold

    def open(self, labelled: LabelledSet) -> Detector | str | None:
        """The boxes of the images of a split, or the name of the detector; None for the default one.

        Raises:
            EveryposeError: when the file cannot be used or has boxes for none of the images, or when two images are
                one file, of which nobody could say whose boxes are meant.
        """
        if self.boxes is None:
            return self.detector
        images = {path: identity for identity, path in labelled.paths.items()}
        if len(images) < len(labelled.paths):
            doubled = len(labelled.paths) - len(images)
            raise EveryposeError(
                f"{doubled} images of {labelled.layout.annotation_file} are the same file as another one:"
                " boxes cannot be told apart; 'everypose data doctor' finds them"
            )
        if self.is_truth:
            return AnnotatedBoxes({path: labelled.boxes_of(identity) for path, identity in images.items()})
        file = DetectionsFile(Path(self.boxes), images, self.threshold or 0.0)
        if images and not file.count_images():
            raise EveryposeError(f"{self.boxes} has boxes for none of the {len(images)} images: of another split?")
        return file

    def describe(self, default: str) -> str:
        """In the words of a record: the ground truth, or a name with its file's hash; ``default`` is the detector."""
        if self.is_truth:
            return "ground truth"
        name = self.boxes or self.detector or default
        path = Path(name) if self.boxes else resolve(name).path
        words = f"{Path(name).name}, sha256 {model_sha256(path)[:12]}"
        return words if self.threshold is None else f"{words}, score {self.threshold:g} or more"


def model_sha256(path: Path) -> str:
    """Of the file; of a model's folder, that of its weights."""
    return sha256(path / WEIGHTS_FILE if path.is_dir() else path)
