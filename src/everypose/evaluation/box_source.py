"""Where a top-down model's boxes come from in an evaluation, in a form that a record can name."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from everypose.core.files import sha256
from everypose.errors import EveryposeError, UsageError
from everypose.evaluation.annotated_set import AnnotatedSet
from everypose.evaluation.coco_schema import JsonId
from everypose.inference.box_sources import AnnotatedBoxes, DetectionsFile
from everypose.inference.boxes import Detector
from everypose.models.config import WEIGHTS_FILE
from everypose.models.locate import resolve, split_family

GROUND_TRUTH = "truth"


@dataclass(frozen=True)
class BoxSource:
    """A source of person boxes; the default is the detector that ``predict`` uses by default.

    Attributes:
        boxes: ``truth`` for the annotated boxes, or a file of detections.
        detector: instead: a single-stage model, or a YOLOX, RT-DETR or PicoDet in an ``.onnx`` file.
        threshold: lowest score of a box; by default the detector's own, and 0 for a file.

    Raises:
        UsageError: if these contradict each other.

    >>> BoxSource(boxes="truth").describe(default="boir-lite")
    'ground truth'
    """

    boxes: str | None = None
    detector: str | None = None
    threshold: float | None = None

    def __post_init__(self) -> None:
        if self.boxes is not None and self.detector is not None:
            raise UsageError("--detector and --boxes both say where the people are: give one of them")
        if self.detector is not None and self.detector.endswith(".json"):
            raise UsageError(f"{self.detector} is a file of boxes, not a detector: give it as --boxes {self.detector}")
        if self.is_ground_truth and self.threshold is not None:
            raise UsageError("annotated boxes (--boxes truth) have no scores: leave out --box-threshold")

    @property
    def is_ground_truth(self) -> bool:
        """Whether the boxes are the annotated ones."""
        return self.boxes == GROUND_TRUTH

    @property
    def detector_threshold(self) -> float | None:
        """The threshold of a detector that is still to be loaded; a file applies its own."""
        return None if self.boxes is not None else self.threshold

    def open(self, annotated: AnnotatedSet) -> Detector | str | None:
        """The boxes of a set's images, or the name of the detector; None for the default detector.

        Raises:
            EveryposeError: if the file cannot be used or has boxes for none of the images, or if two images of the set
                are one file, so that boxes cannot be assigned to either.
        """
        if self.boxes is None:
            return self.detector
        if self.is_ground_truth:
            return annotated_boxes(annotated)
        images = _image_of_path(annotated)
        # A file of boxes has whole numbers as image ids: other ids of the set match none of its rows.
        file = DetectionsFile(Path(self.boxes), cast(dict[Path, int], images), self.threshold or 0.0)
        if images and not file.count_images():
            raise EveryposeError(f"{self.boxes} has boxes for none of the {len(images)} images: of another split?")
        return file

    def describe(self, default: str) -> str:
        """The source in the words of a record: "ground truth", or a file or detector with its hash.

        Args:
            default: name of the detector that is used by default.
        """
        if self.is_ground_truth:
            return "ground truth"
        if self.boxes is not None:
            words = _with_hash(Path(self.boxes), self.boxes)
        else:
            names = [split_family(name.strip())[1] for name in (self.detector or default).split(",")]
            words = " and ".join(_with_hash(resolve(name).path, name) for name in names)
        return words if self.threshold is None else f"{words}, score {self.threshold:g} or more"


def annotated_boxes(annotated: AnnotatedSet) -> AnnotatedBoxes:
    """The annotated boxes as a detector.

    Raises:
        EveryposeError: if two images of the set are one file, so that boxes cannot be assigned to either.

    >>> from everypose.data.discovery.layouts import Layout
    >>> layout = Layout((Path("mice.json"),), Path("images"), None, None, "the given annotation file")
    >>> mouse = {"id": 7, "image_id": 1, "category_id": 1, "keypoints": [4, 5, 2], "bbox": [0, 0, 20, 10]}
    >>> content = {
    ...     "images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [mouse],
    ...     "categories": [{"id": 1, "name": "mouse", "keypoints": ["nose"]}],
    ... }
    >>> type(annotated_boxes(AnnotatedSet.from_content(content, layout))).__name__
    'AnnotatedBoxes'
    """
    return AnnotatedBoxes({path: annotated.boxes_of(image_id) for path, image_id in _image_of_path(annotated).items()})


def _image_of_path(annotated: AnnotatedSet) -> dict[Path, JsonId]:
    images = {path: image_id for image_id, path in annotated.paths.items()}
    if repeated := len(annotated.paths) - len(images):
        raise EveryposeError(
            f"{repeated} images of {annotated.layout.annotation_file} are the same file as another one:"
            " boxes cannot be assigned to them; 'everypose data doctor' finds them"
        )
    return images


def _with_hash(path: Path, name: str) -> str:
    """The name of a file or detector and the start of its hash."""
    return f"{Path(name).name}, sha256 {model_sha256(path)[:12]}"


def model_sha256(path: Path) -> str:
    """SHA-256 of a model's file, or of the weights in a model's folder.

    >>> _ = Path("model.onnx").write_bytes(b"")
    >>> model_sha256(Path("model.onnx"))[:8]
    'e3b0c442'
    """
    return sha256(path / WEIGHTS_FILE if path.is_dir() else path)
