"""ONNX Runtime: runs a model's graph from uint8 images to keypoints, scores and image indices."""

import json
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from everypose.core.arrays import Float32, Mask
from everypose.core.process_setup import available_threads
from everypose.errors import EveryposeError, MissingDependencyError, UsageError, as_user_error, first_line, plain_reason
from everypose.inference.runtimes.input_checks import check_batch, check_crops
from everypose.inference.runtimes.protocols import Arrays, RawPoses, Session
from everypose.models.config import METADATA_KEY, ModelConfig, parse_config

INPUTS = {"images", "mirrored", "min_score"}
FIXED_INPUTS = {"images", "min_score"}
CROP_INPUTS = {"images", "mirrored"}
OTHERS = "others"
"""Optional input (B,) of models of several people: 0 where only the primary person of a crop is computed."""
OUTPUTS = ["keypoints", "scores", "image_index"]
CROP_OUTPUTS = ["keypoints"]
POSE_INPUTS = {"images", "poses", "mirrored"}
CUDA = "CUDAExecutionProvider"
OPENVINO = {"openvino": "f32", "openvino:bf16": "bf16"}
"""The devices that are OpenVINO on the CPU, and the precision of what is not in 8 bits."""
SPINNING = "session.intra_op.allow_spinning"
EXACT_8_BITS = "session.x64quantprecision"
CPU_FLAGS = Path("/proc/cpuinfo")


class OnnxModel:
    """A model in one ``.onnx`` file, run by ONNX Runtime or OpenVINO: what both kinds of model share.

    Attributes:
        path: the file.
        config: the model's configuration, from the file's metadata.

    >>> from everypose.models.locate import bundled
    >>> OnnxRuntime.open(bundled("boir-lite.onnx"), threads=1).config.name
    'boir-lite'
    >>> OnnxCropRuntime.open(bundled("boir-lite.onnx"), threads=1)  # a single-stage model
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: boir-lite.onnx was exported by another version of everypose (its ...
    """

    inputs: ClassVar[set[str]]
    outputs: ClassVar[list[str]]

    def __init__(self, session: Session, path: str | Path, *, flip: bool = False) -> None:
        """Take an open file; :meth:`open` opens one.

        Args:
            session: from `open_session`.
            path: the file, for messages.
            flip: whether to use test-time flip augmentation: better keypoints at twice the time.

        Raises:
            EveryposeError: if the file is not a model of everypose, or one of the other kind.
        """
        self.path = Path(path)
        self.config = read_metadata(session, path)
        self._session = session
        inputs = {node.name for node in session.get_inputs()}
        outputs = {node.name for node in session.get_outputs()}
        if not outputs.issuperset(self.outputs):
            raise _no_everypose_model(path)
        if inputs != self.inputs:
            raise EveryposeError(
                f"{path} was exported by another version of everypose (its inputs are {', '.join(sorted(inputs))}): "
                "export the model again with 'everypose export'"
            )
        # The graph mirrors as many times as this is long.
        self._mirrored = np.zeros(int(flip), np.float32)

    @classmethod
    def open(cls, path: str | Path, *, threads: int | None = None, device: str = "cpu", flip: bool = False) -> Self:
        """Load a file.

        Args:
            path: the ``.onnx`` file, as ``everypose export`` writes it.
            threads: CPU threads for one image; by default the runtime chooses.
            device: as in `open_session`.
            flip: whether to use test-time flip augmentation.

        Raises:
            EveryposeError: if the file is missing, damaged, or not a model of everypose.
            UsageError: if the device cannot be used here.
        """
        return cls(open_session(path, threads, device), path, flip=flip)

    def _run(self, images: npt.NDArray[np.uint8], **more: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        feed: Arrays = {"images": np.ascontiguousarray(images), **more}
        if "mirrored" in self.inputs:
            feed["mirrored"] = self._mirrored
        return run_session(self._session, self.path, feed, self.outputs)


class OnnxRuntime(OnnxModel):
    """A single-stage model in one ``.onnx`` file.

    >>> from everypose.models.locate import bundled
    >>> path = bundled("boir-lite.onnx")
    >>> runtime = OnnxRuntime(open_session(path), path)
    >>> keypoints, scores, image_index = runtime.run(np.zeros((1, 64, 64, 3), np.uint8), 0.5)
    >>> keypoints.shape, scores.shape
    ((0, 17, 3), (0,))
    """

    inputs = INPUTS
    outputs = OUTPUTS

    def run(self, images: npt.NDArray[np.uint8], min_score: float = 0.0) -> RawPoses:
        """Find the people in a batch; see :class:`everypose.inference.runtimes.protocols.Runtime`.

        Raises:
            EveryposeError: if the images have the wrong type or shape, or the model fails (out of memory).
        """
        check_batch(images, self.config.on_images.step)
        keypoints, scores, image_index = self._run(images, min_score=np.asarray(min_score, np.float32))
        return keypoints, scores, image_index


class OnnxFixedInputRuntime(OnnxModel):
    """A model that takes whole images at one size, in one ``.onnx`` file of everypose.

    >>> from everypose.models.locate import bundled
    >>> OnnxFixedInputRuntime.open(bundled("boir-lite.onnx"), threads=1)  # it takes images of any size
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: boir-lite.onnx was exported by another version of everypose (its ...
    """

    inputs = FIXED_INPUTS
    outputs = OUTPUTS

    def run(self, images: npt.NDArray[np.uint8], min_score: float = 0.0) -> RawPoses:
        """Find the people in a batch. The images of people may come in any order.

        See :class:`everypose.inference.runtimes.protocols.Runtime`.

        Raises:
            EveryposeError: if the model fails (out of memory).
        """
        keypoints, scores, image_index = self._run(images, min_score=np.asarray(min_score, np.float32))
        return keypoints, scores, image_index


class OnnxCropRuntime(OnnxModel):
    """A top-down model in one ``.onnx`` file.

    >>> from everypose.models.locate import bundled
    >>> runtime = OnnxCropRuntime.open(bundled("mipnet-lite.onnx"), threads=1)
    >>> runtime.config.network.people_per_crop
    2
    """

    inputs = CROP_INPUTS
    outputs = CROP_OUTPUTS

    def __init__(self, session: Session, path: str | Path, *, flip: bool = False) -> None:
        """Take an open file; see :class:`OnnxModel`."""
        super().__init__(session, path, flip=flip)
        self._can_leave_out_others = OTHERS in {node.name for node in session.get_overridable_initializers()}

    def run(self, crops: npt.NDArray[np.uint8], with_others: Mask | None = None) -> Float32:
        """Find the people of a batch of crops; see :class:`everypose.inference.runtimes.protocols.CropRuntime`.

        Raises:
            EveryposeError: if the crops have the wrong type or shape, or the model fails (out of memory).
        """
        check_crops(crops)
        if with_others is None or not self._can_leave_out_others:
            return self._run(crops)[0]
        return self._run(crops, **{OTHERS: with_others.astype(np.float32)})[0]


class OnnxRefinementRuntime(OnnxModel):
    """A refinement model in one ``.onnx`` file.

    >>> from everypose.models.locate import bundled
    >>> OnnxRefinementRuntime.open(bundled("boir-lite.onnx"), threads=1)  # it finds people itself
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: boir-lite.onnx was exported by another version of everypose (its ...
    """

    inputs = POSE_INPUTS
    outputs = CROP_OUTPUTS

    def run(self, crops: npt.NDArray[np.uint8], poses: Float32) -> Float32:
        """Refine one pose in each crop; see :class:`everypose.inference.runtimes.protocols.RefinementRuntime`.

        Raises:
            EveryposeError: if the crops have the wrong type or shape, or the model fails (out of memory).
        """
        check_crops(crops)
        return self._run(crops, poses=poses)[0]


def open_session(
    path: str | Path, threads: int | None = None, device: str = "cpu", *, spinning: bool | None = None
) -> Session:
    """Open any ``.onnx`` file.

    Args:
        path: the file.
        threads: CPU threads; by default the runtime chooses.
        device: of ONNX Runtime "cpu", "cuda" or "cuda:N"; "openvino" for OpenVINO on the CPU, which runs models of
            everypose, or "openvino:bf16" to let it compute in bfloat16 what is not in 8 bits.
        spinning: whether threads of ONNX Runtime that wait for each other, and for a moment after a run, use their CPU,
            which shortens runs if nothing else needs it; by default if ``threads`` is given.

    Raises:
        EveryposeError: if the file is missing or damaged.
        UsageError: if the device cannot be used here.

    >>> from everypose.models.locate import bundled
    >>> [node.name for node in open_session(bundled("boir-lite.onnx")).get_outputs()]
    ['keypoints', 'scores', 'image_index']
    """
    spinning = threads is not None if spinning is None else spinning
    open_file = _openvino(threads, device) if device in OPENVINO else _onnxruntime(threads, device, spinning)
    if not Path(path).is_file():
        raise EveryposeError(f"cannot read model {path}: no such file")
    try:
        session = open_file(path)
        _require_text(session)
    except Exception as error:  # ONNX Runtime's errors share no base class of their own
        raise EveryposeError(
            f"{path} is not an ONNX file that can be run ({plain_reason(error)}): is it complete?"
        ) from error
    return session


def _require_text(session: Session) -> None:
    """Read metadata and names, which raises UnicodeDecodeError where those of a damaged file are not UTF-8."""
    _ = session.get_modelmeta().custom_metadata_map
    for node in (*session.get_inputs(), *session.get_outputs(), *session.get_overridable_initializers()):
        _ = node.name


def _onnxruntime(threads: int | None, device: str, spinning: bool) -> Callable[[str | Path], Session]:
    """The session factory of ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # its own messages on standard error would duplicate everypose's
    if not adds_8_bits_exactly():
        options.add_session_config_entry(EXACT_8_BITS, "1")
    options.intra_op_num_threads = threads or available_threads()
    if not spinning:
        # Waiting threads that spin would take the CPUs of other runs on this machine.
        options.add_session_config_entry(SPINNING, "0")
    providers = _providers(device, onnxruntime.get_available_providers())
    # On a CPU there is nothing to fall back to; ONNX Runtime would print a banner and try again.
    fallback = int(device != "cpu")
    return lambda path: onnxruntime.InferenceSession(path, options, providers=providers, enable_fallback=fallback)


def _openvino(threads: int | None, device: str) -> Callable[[str | Path], Session]:
    """The session factory of OpenVINO."""
    try:
        from everypose.inference.runtimes.openvino import OpenVinoSession, computes_in
    except ImportError as error:
        raise MissingDependencyError(f"the device {device}", "openvino") from error
    if not computes_in(OPENVINO[device]):
        raise UsageError(f"this CPU does not compute in bfloat16, as {device} wants: use openvino")
    return lambda path: OpenVinoSession(path, threads, OPENVINO[device])


def adds_8_bits_exactly() -> bool:
    """Whether the fastest 8-bit kernels are exact: on x86 without VNNI (as Linux reports it) their sums saturate.

    ONNX Runtime's exact kernels for such CPUs would be slower on all others.

    >>> adds_8_bits_exactly() in (True, False)  # by the CPU
    True
    """
    return platform.machine() != "x86_64" or not CPU_FLAGS.exists() or "vnni" in CPU_FLAGS.read_text()


def run_session(session: Session, path: str | Path, feed: Arrays, outputs: Sequence[str]) -> list[npt.NDArray[Any]]:
    """The outputs of one run.

    Raises:
        EveryposeError: if the model fails; one line that names the file.

    >>> from everypose.models.locate import bundled
    >>> path = bundled("boir-lite.onnx")
    >>> run_session(open_session(path, 1), path, {"images": np.zeros((1, 8))}, OUTPUTS)
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: boir-lite.onnx failed on images of shape (1, 8): Required inputs ...
    """
    try:
        found: list[npt.NDArray[Any]] = session.run(outputs, feed)
    except Exception as error:
        shape = next(iter(feed.values())).shape
        raise EveryposeError(f"{path} failed on images of shape {shape}: {first_line(error)}") from error
    return found


def onnx_can_use(device: str) -> bool:
    """Whether ONNX Runtime here can use a device, "cpu", "cuda" or "cuda:N".

    >>> onnx_can_use("a device that does not exist")
    False
    """
    import onnxruntime

    return device == "cpu" or (device.startswith("cuda") and CUDA in onnxruntime.get_available_providers())


def is_everypose_model(session: Session) -> bool:
    """Return whether an open file carries a configuration of everypose.

    >>> from everypose.models.locate import bundled
    >>> is_everypose_model(open_session(bundled("boir-lite.onnx")))
    True
    """
    return METADATA_KEY in session.get_modelmeta().custom_metadata_map


def read_metadata(session: Session, path: str | Path) -> ModelConfig:
    """The configuration that an open file carries.

    Raises:
        EveryposeError: if the file has none, or it is invalid.

    >>> from everypose.models.locate import bundled
    >>> path = bundled("boir-lite.onnx")
    >>> read_metadata(open_session(path), path).name
    'boir-lite'
    """
    if not is_everypose_model(session):
        raise _no_everypose_model(path)
    with as_user_error(f"{path}: its configuration is not JSON; export the model again"):
        values = json.loads(session.get_modelmeta().custom_metadata_map[METADATA_KEY])
    return parse_config(values, Path(path))


def _no_everypose_model(path: str | Path) -> EveryposeError:
    return EveryposeError(f"{path} is an ONNX file, but not a model of everypose: make one by 'everypose export'")


def _providers(device: str, available: list[str]) -> list[Any]:
    """ONNX Runtime's execution providers for a device name."""
    kind, _, number = device.partition(":")
    if kind not in ("cpu", "cuda") or (number and (kind == "cpu" or not number.isdecimal())):
        raise UsageError(f"unknown device {device!r}: use auto, cpu, cuda, cuda:N, openvino or openvino:bf16")
    if kind == "cpu":
        return ["CPUExecutionProvider"]
    if CUDA not in available:
        raise UsageError(f"this ONNX Runtime cannot use {device}: install onnxruntime-gpu in place of onnxruntime")
    return [(CUDA, {"device_id": int(number or 0)}), "CPUExecutionProvider"]
