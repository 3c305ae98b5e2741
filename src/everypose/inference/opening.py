"""From a model's file or folder to a runtime that executes it, and the model's configuration."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from everypose.core.decoder_names import Decoder
from everypose.core.process_setup import available_threads
from everypose.errors import MissingDependencyError, UsageError
from everypose.inference.foreign import find_foreign, require_no_flip_test
from everypose.inference.opened import CropModel, ImageModel
from everypose.inference.runtimes.onnx import (
    OPENVINO,
    OnnxCropRuntime,
    OnnxFixedInputRuntime,
    OnnxRuntime,
    is_everypose_model,
    open_session,
    read_metadata,
)
from everypose.inference.runtimes.parallel_crops import LARGEST_FILE, ParallelCropRuntime
from everypose.inference.runtimes.parallel_images import ParallelImageRuntime
from everypose.inference.runtimes.protocols import Session
from everypose.inference.single_stage import MOST_RUNS
from everypose.models.config import ModelConfig
from everypose.models.locate import ModelFile


@dataclass(frozen=True)
class OpenRequest:
    """How a model is to be opened.

    Attributes:
        name: what the user called it, for messages.
        device: as in :func:`everypose.inference.loading.load`, except "auto".
        threads: CPU threads; None leaves the choice to the runtime.
        flip: whether to use test-time flip augmentation.
        skeleton: which one of a model with several.
        family: of an ONNX file of another project.
        decoder: of a top-down model in torch, see :func:`everypose.methods.top_down.decoding.decode`.

    >>> OpenRequest("boir-lite", "cpu", threads=2).flip
    False
    """

    name: str | Path
    device: str
    threads: int | None
    flip: bool = False
    skeleton: str | None = None
    family: str | None = None
    decoder: Decoder | None = None


def open_model(file: ModelFile, request: OpenRequest) -> ImageModel | CropModel:
    """Open a model's file or folder.

    Args:
        file: where the model is.
        request: how it is to be opened.

    Raises:
        EveryposeError: if the model is damaged or not a model of everypose.
        UsageError: if it has no such skeleton, family or decoder, or the device cannot be used here.

    >>> from everypose.models.locate import resolve
    >>> opened = open_model(resolve("boir-lite"), OpenRequest("boir-lite", "cpu", threads=1))
    >>> type(opened).__name__, opened.config.name
    ('ImageModel', 'boir-lite')
    """
    if file.kind != "onnx":
        return _open_torch(file, request)
    if request.decoder is not None:
        raise UsageError(f"{request.name} is exported, which fixes its decoder: give the model's folder")
    return open_onnx(open_session(file.path, request.threads, request.device), file.path, request)


def open_onnx(session: Session, path: Path, request: OpenRequest) -> ImageModel | CropModel:
    """Make a model of an open ONNX file.

    Args:
        session: the open file, on the device of ``request``.
        path: the file.
        request: how the model is to be opened.

    Raises:
        EveryposeError: if the file is not a pose model.
        UsageError: if it has no such skeleton or family, or no flip test.

    >>> from everypose.models.locate import bundled
    >>> path = bundled("mipnet-lite.onnx")
    >>> type(open_onnx(open_session(path, 1), path, OpenRequest(path, "cpu", threads=1))).__name__
    'CropModel'
    """
    if not is_everypose_model(session):
        # OpenVINO does not say the shapes that the file declares.
        declared = open_session(path, 1) if request.device in OPENVINO else session
        return find_foreign(session, declared, path, request.family).open(request.skeleton, flip=request.flip)
    _require_no_family(request)
    config = read_metadata(session, path)
    config.require_finds_people()
    config.require_only(request.skeleton)
    if config.is_top_down:
        return CropModel(_crop_runtime(session, path, request), config)
    if config.has_fixed_input:
        require_no_flip_test(config, flip=request.flip)
        return ImageModel(OnnxFixedInputRuntime(session, path), config)
    return ImageModel(_image_runtime(session, path, request), config)


def _crop_runtime(session: Session, path: Path, request: OpenRequest) -> OnnxCropRuntime:
    """A top-down model of everypose; a small one runs several crops at the same time on a CPU."""
    threads = request.threads or available_threads()
    if request.device != "cpu" or threads == 1 or path.stat().st_size > LARGEST_FILE:
        return OnnxCropRuntime(session, path, flip=request.flip)
    return ParallelCropRuntime(session, open_session(path, 1), path, threads=threads, flip=request.flip)


def _image_runtime(session: Session, path: Path, request: OpenRequest) -> OnnxRuntime:
    """A single-stage model of everypose; runs of a small one have a thread each where they fill the CPU."""
    fill_the_cpu = request.device == "cpu" and request.threads is None and available_threads() == MOST_RUNS
    if not fill_the_cpu or path.stat().st_size > LARGEST_FILE:
        return OnnxRuntime(session, path, flip=request.flip)
    return ParallelImageRuntime(session, partial(open_session, path, 1), path, flip=request.flip)


def _require_no_family(request: OpenRequest) -> None:
    """Refuse a family for a model that states its own."""
    if request.family is not None:
        raise UsageError(f"{request.name} states its family itself: --family is for ONNX files of other projects")


def _open_torch(file: ModelFile, request: OpenRequest) -> ImageModel | CropModel:
    device = request.device
    _require_no_family(request)
    if device in OPENVINO:
        raise UsageError(f"OpenVINO runs ONNX files, not {request.name}: export it first, with 'everypose export'")
    try:
        from everypose.inference.runtimes.torch import TorchCropRuntime, TorchRuntime, read_network
    except ImportError as error:
        raise MissingDependencyError(f"running {request.name}, which is not an ONNX file,", "train") from error
    network, config = read_network(file, request.skeleton)
    config.require_finds_people()
    flip, threads = request.flip, request.threads
    if request.decoder is not None:
        config = _with_decoder(config, request.decoder)
    if config.is_top_down:
        return CropModel(TorchCropRuntime(network, config, device=device, flip=flip, threads=threads), config)
    return ImageModel(TorchRuntime(network, config, device=device, flip=flip, threads=threads), config)


def _with_decoder(config: ModelConfig, decoder: Decoder) -> ModelConfig:
    """The configuration of a top-down model with another decoder."""
    if not config.is_top_down:
        raise UsageError(f"{config.name} finds people by itself: a decoder is for models that take boxes")
    return config.model_copy(update={"inference": config.on_crops.with_decoder(decoder)})
