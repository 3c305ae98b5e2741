"""From a detector's name or file to the detector that gives a top-down model its boxes."""

from functools import partial
from pathlib import Path

from everypose.core.files import exists
from everypose.errors import UsageError
from everypose.inference.box_fusion import FusedDetectors
from everypose.inference.box_sources import DetectionsFile, PeopleBoxes
from everypose.inference.boxes import Detector
from everypose.inference.device_choice import AUTO
from everypose.inference.foreign import recognize
from everypose.inference.onnx_detectors import THRESHOLD, OnnxDetector
from everypose.inference.opened import CropModel, ImageModel
from everypose.inference.opening import OpenRequest, open_model, open_onnx
from everypose.inference.runtimes.onnx import is_everypose_model, onnx_can_use, open_session
from everypose.models.catalog import find_entry
from everypose.models.locate import ModelFile, resolve, split_family


def find_detector(
    source: str | Path | Detector,
    threshold: float | None = None,
    *,
    device: str = "cpu",
    threads: int | None = None,
    spinning: bool | None = None,
) -> Detector:
    """Load the detector that gives a top-down model its boxes.

    Args:
        source: ``picodet-s``; a single-stage model, named as in :func:`everypose.load`; an ``.onnx`` file of YOLOX,
            PicoDet or the RT-DETR family; several of these joined by commas, whose boxes are fused
            (:class:`everypose.inference.box_fusion.FusedDetectors`); a ``.json`` file of detections
            (:class:`everypose.inference.box_sources.DetectionsFile`); or a detector, returned as it is. A file of
            MMDeploy is named with its family, ``yolox:FILE`` or ``rtmdet:FILE``.
        threshold: lowest score of a box; by default the single-stage model's lowest score of a person, 0.3 for other
            detectors, and 0 for a file.
        device: as in :func:`everypose.load`. ONNX files run on the CPU, in ONNX Runtime, where it cannot use the
            device: one that torch can use, OpenVINO or "auto".
        threads: CPU threads; by default the runtime chooses.
        spinning: of ONNX files, see :func:`everypose.inference.runtimes.onnx.open_session`.

    Raises:
        EveryposeError: if a file is damaged or not a detector.
        UsageError: if there is no such file or model, or it is a top-down model itself.

    >>> import numpy as np
    >>> from everypose.inference.boxes import Photo
    >>> detector = find_detector("boir-lite", threads=1)
    >>> len(detector(Photo(np.zeros((64, 64, 3), np.uint8))))  # a black image
    0
    """
    if not isinstance(source, str | Path):
        if threshold is not None:
            raise UsageError("a threshold of boxes belongs to a detector that is loaded: let your own apply it")
        return source
    if "," in str(source) and not exists(source):
        find = partial(find_detector, threshold=threshold, device=device, threads=threads, spinning=spinning)
        return FusedDetectors([find(part.strip()) for part in str(source).split(",")])
    family, name = (None, source) if exists(source) else split_family(str(source))
    if Path(name).suffix == ".json":
        return DetectionsFile(Path(name), threshold=threshold or 0.0)
    file = resolve(name)
    if file.kind != "onnx":
        request = OpenRequest(source, "cpu" if device == AUTO else device, threads)
        return _people_of(open_model(file, request), source, threshold)
    request = OpenRequest(source, device if onnx_can_use(device) else "cpu", threads)
    session = open_session(file.path, threads, request.device, spinning=spinning)
    if is_everypose_model(session) or recognize(session) is not None:
        return _people_of(open_onnx(session, file.path, request), source, threshold)
    lowest = THRESHOLD if threshold is None else threshold
    return OnnxDetector(session, file.path, lowest, family=family or _catalog_family(name, file))


def _catalog_family(name: str | Path, file: ModelFile) -> str | None:
    """The family that the catalog states for a detector; None for a file that is given by its path."""
    entry = None if Path(name) == file.path else find_entry(str(name))
    return None if entry is None else entry.family


def _people_of(opened: ImageModel | CropModel, source: str | Path, threshold: float | None) -> PeopleBoxes:
    """The boxes around the people that a single-stage model finds."""
    if isinstance(opened, CropModel):
        raise UsageError(f"{source} cannot give boxes, because it needs boxes itself: choose a single-stage model")
    return PeopleBoxes(opened.estimator(threshold))
