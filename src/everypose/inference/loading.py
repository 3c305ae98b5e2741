"""From a model's name, folder, file or hub id to an estimator."""

from dataclasses import replace
from pathlib import Path

from everypose.core.decoder_names import Decoder
from everypose.core.files import exists, sha256
from everypose.errors import UsageError
from everypose.inference.boxes import Detector
from everypose.inference.detectors import find_detector
from everypose.inference.device_check import boxes_of
from everypose.inference.device_choice import AUTO, DeviceChoice, choose
from everypose.inference.estimator import Estimator
from everypose.inference.foreign import FAMILIES
from everypose.inference.opened import CropModel, ImageModel
from everypose.inference.opening import OpenRequest, open_model
from everypose.inference.runtimes.parallel_crops import ParallelCropRuntime
from everypose.inference.single_stage import (
    TOGETHER,
    images_at_once,
    runs_at_once,
)
from everypose.inference.tiled_detector import TiledDetector
from everypose.inference.top_down import TopDownEstimator
from everypose.methods.top_down.scoring import default_box_threshold
from everypose.models.catalog import find_entry
from everypose.models.default_names import DEFAULT_DETECTOR, DEFAULT_MODEL
from everypose.models.locate import resolve
from everypose.skeleton.skeleton import Skeleton

MOST_THREADS = 1024
NOT_OF_PEOPLE = {"ap10k": "animals", "apt36k": "animals", "interhand2d": "hands", "interhand3d": "hands"}
"""Known skeletons of animals and hands, which the default detector does not find."""


def load(
    model: str | Path = DEFAULT_MODEL,
    *,
    device: str = "cpu",
    flip: bool = False,
    min_score: float | None = None,
    size: int | None = None,
    batch_size: int | None = None,
    threads: int | None = None,
    detector: str | Path | Detector | None = None,
    box_threshold: float | None = None,
    skeleton: str | None = None,
    tiles: int | None = None,
    family: str | None = None,
    decoder: Decoder | None = None,
) -> Estimator:
    """Load a model, ready to find people.

    Args:
        model: a name of ``everypose models``, a folder, a file (.onnx, or a released checkpoint) or a hub id.
        device: "cpu", "cuda" or "cuda:N"; for an ``.onnx`` file also "openvino", which runs it by OpenVINO on the CPU,
            or "openvino:bf16", which is faster and less exact, on CPUs that compute in bfloat16. "auto" is what
            :func:`choose_device` chooses.
        flip: test-time flip augmentation (flip test): better keypoints in twice the time.
        min_score: lowest person score to report; the model's own by default.
        size: short side of a single-stage model's input in pixels, a multiple of its step (16 for boir-lite) from 64
            to 1280; the model's own by default. A larger one finds smaller people, in more time and memory.
        batch_size: the most images that go through the network at once; by default what is fastest: 4, but 1 for a
            single-stage model on a CPU.
        threads: CPU threads; by default the runtime chooses.
        detector: finds the boxes of people for a top-down model, see
            :func:`everypose.inference.detectors.find_detector`. By default picodet-s.
        box_threshold: lowest score of a box; by default the model's, or else the detector's own. That of mipnet-lite
            follows ``min_score``: boxes whose people cannot reach it are not cropped.
        skeleton: of a model of several data sets (PoseBH, ViTPose++), the data set whose keypoints are wanted, or
            "all" for those of all sets in one pass; by default its first data set.
        tiles: run a top-down model's detector on this many overlapping tiles along the image's longer side, too, from
            2 to 8: it finds smaller people in more time.
        family: of an ``.onnx`` file of another project whose inputs and outputs have unknown names:
            rtmpose, rtmw, rtmo, detrpose or easy-vitpose.
        decoder: how a top-down model's heatmaps become keypoints, see
            :func:`everypose.methods.top_down.decoding.decode`; crops are cut by the convention of the decoder, classic
            or UDP. By default the model's own; an exported file has no other.

    Raises:
        EveryposeError: if the model is damaged or not a model of everypose.
        UsageError: if there is no such model, skeleton or device, a package that it needs is missing, a detector is
            given to a model that finds people by itself, or none to one that finds animals or hands; or when a decoder
            is given to a model that finds people by itself, or to an exported one.

    >>> pose = load("boir-lite", min_score=0.1)
    >>> pose.config.name, pose.min_score
    ('boir-lite', 0.1)
    """
    if threads is not None and not 1 <= threads <= MOST_THREADS:
        raise UsageError(f"threads={threads}: give a number from 1 to {MOST_THREADS}, or leave it out")
    if batch_size is not None and batch_size < 1:
        raise UsageError(f"batch_size={batch_size}: give a number from 1 on, or leave it out")
    if device == AUTO:
        device = choose_device(model, flip=flip, size=size, threads=threads, skeleton=skeleton, family=family).device
    family = family or _catalog_family(model)
    request = OpenRequest(model, device, threads, flip=flip, skeleton=skeleton, family=family, decoder=decoder)
    opened = open_model(resolve(model), request)
    config = opened.config
    if isinstance(opened, ImageModel):
        if detector is not None or box_threshold is not None or tiles is not None:
            raise UsageError(
                f"{config.name} finds people by itself: it takes no detector, boxes, threshold of boxes or tiles"
            )
        if size is not None:
            opened = opened.at_size(size)
        runs = runs_at_once(opened.runtime, device, threads)
        return opened.estimator(min_score, batch_size or images_at_once(device), runs)
    if size is not None:
        raise UsageError(
            f"{config.name} takes crops of one size: size is for single-stage models, which take whole images"
        )
    if detector is None:
        _require_skeleton_of_people(config.skeleton)
        if box_threshold is None:
            box_threshold = default_box_threshold(config.on_crops, min_score)
    # Threads that still spin after the detector's run would take the CPUs from crops that run in parallel.
    spinning = False if isinstance(opened.runtime, ParallelCropRuntime) else None
    finds_boxes = find_detector(
        detector or DEFAULT_DETECTOR, box_threshold, device=device, threads=threads, spinning=spinning
    )
    if tiles is not None:
        finds_boxes = TiledDetector(finds_boxes, tiles)
    # A detector that is given as an object may not be made for several threads.
    loaded = detector is None or isinstance(detector, str | Path)
    runs = runs_at_once(opened.runtime, device, threads) if loaded else 1
    return TopDownEstimator(opened.runtime, config, finds_boxes, min_score, batch_size or TOGETHER, runs_at_once=runs)


def _require_skeleton_of_people(skeleton: Skeleton) -> None:
    """Refuse keypoints of animals and hands, which the default detector does not find.

    Raises:
        UsageError: if they are.
    """
    if (found := NOT_OF_PEOPLE.get(skeleton.name)) is not None:
        raise UsageError(
            f"the keypoints of {skeleton.name} are those of {found}, and {DEFAULT_DETECTOR} finds people: say "
            "where they are with --boxes"
        )


def choose_device(
    model: str | Path = DEFAULT_MODEL,
    *,
    flip: bool = False,
    size: int | None = None,
    threads: int | None = None,
    skeleton: str | None = None,
    family: str | None = None,
) -> DeviceChoice:
    """Choose the device of a model for ``device="auto"``.

    An ONNX file runs on the fastest of the usable devices (ONNX Runtime, its CUDA, OpenVINO, OpenVINO in bfloat16)
    whose people agree with those of ONNX Runtime's CPU on two built-in pictures. The check takes seconds, once for each
    model, set of options and machine. Other models run in torch: on the first GPU, where there is one.

    Args:
        model: as in :func:`load`, like the other arguments.
        flip: whether to use test-time flip augmentation.
        size: the short side of a single-stage model's input.
        threads: CPU threads; by default the runtime chooses.
        skeleton: which one of a model with several.
        family: of an ``.onnx`` file of another project that is not recognized.

    Raises:
        EveryposeError: if the model is damaged or no model of everypose.
        UsageError: if there is no such model, skeleton or size.

    Example:
        >>> choose_device("boir-lite", threads=1).device  # doctest: +SKIP
        'cpu'
    """
    file = resolve(model)
    request = OpenRequest(model, AUTO, threads, flip=flip, skeleton=skeleton, family=family or _catalog_family(model))
    if file.kind != "onnx":
        return DeviceChoice(device=_torch_device(), reason="the model runs in torch, on a GPU where there is one")

    def open_on(device: str) -> Estimator:
        opened = open_model(file, replace(request, device=device))
        if isinstance(opened, CropModel):
            return TopDownEstimator(opened.runtime, opened.config, boxes_of)
        return (opened if size is None else opened.at_size(size)).estimator()

    settings = {"model": sha256(file.path), "flip": flip, "size": size, "threads": threads, "skeleton": skeleton}
    return choose(open_on, settings | {"family": request.family})


def _catalog_family(model: str | Path) -> str | None:
    """The family of a model of the catalog in a file of another project; None for others."""
    entry = None if exists(model) else find_entry(str(model))
    return entry.family if entry is not None and entry.family in FAMILIES else None


def _torch_device() -> str:
    """The first GPU that torch can use, or the CPU; without torch the latter, whose error then names the package."""
    try:
        from everypose.inference.runtimes.torch import fastest_device
    except ImportError:
        return "cpu"
    return fastest_device()
