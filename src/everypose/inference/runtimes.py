"""What runs a model's graph: uint8 images in; keypoints, scores and image indices out."""

import json
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from everypose.errors import EveryposeError, UsageError
from everypose.geometry import SIZE_STEP
from everypose.models import METADATA_KEY, parse_config

INPUTS = {"images", "mirrored"}
OUTPUTS = ["keypoints", "scores", "image_index"]

RawPoses = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int64]]


class Runtime(Protocol):
    """A loaded model."""

    def run(self, images: npt.NDArray[np.uint8]) -> RawPoses:
        """Find the people in a batch.

        Args:
            images: (B, H, W, 3) uint8 RGB; H and W are multiples of 64.

        Returns:
            Keypoints (P, K, 3) float32 as x, y in input pixels and score; person scores (P,) float32; and for each
            person the image of the batch that it was found in, (P,) int64, ascending.
        """
        ...


class OnnxRuntime:
    """A model in one ``.onnx`` file, run by ONNX Runtime.

    Attributes:
        config: the model's configuration, from the file's metadata.
    """

    def __init__(self, path: str | Path, threads: int | None = None, device: str = "cpu", flip: bool = False) -> None:
        """Load the file.

        Args:
            path: the ``.onnx`` file, as ``everypose export`` writes it.
            threads: CPU threads for one image; by default ONNX Runtime chooses.
            device: "cpu", "cuda" or "cuda:N".
            flip: whether to look at the mirrored image, too: better keypoints at twice the time.

        Raises:
            EveryposeError: when the file is missing, damaged, or not a model of everypose.
            UsageError: when ONNX Runtime here cannot use the device.
        """
        import onnxruntime

        self.path = Path(path)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # its own messages on standard error would double ours
        if threads is not None:
            options.intra_op_num_threads = threads
        providers = _providers(device, onnxruntime.get_available_providers())
        if not self.path.is_file():
            raise EveryposeError(f"cannot read model {self.path}: no such file")
        try:
            self._session = onnxruntime.InferenceSession(self.path, options, providers=providers)
            metadata = self._session.get_modelmeta().custom_metadata_map
        except Exception as error:  # ONNX Runtime's errors share no base class of their own
            raise EveryposeError(
                f"{self.path} is not an ONNX file that can be run ({_first_line(error)}): is it complete?"
            ) from error
        inputs = {node.name for node in self._session.get_inputs()}
        outputs = {node.name for node in self._session.get_outputs()}
        if METADATA_KEY not in metadata or inputs != INPUTS or not outputs.issuperset(OUTPUTS):
            raise EveryposeError(
                f"{self.path} is an ONNX file, but not a model of everypose: make one by 'everypose export'"
            )
        try:
            values = json.loads(metadata[METADATA_KEY])
        except json.JSONDecodeError as error:
            raise EveryposeError(f"{self.path}: its configuration is not JSON; export the model again") from error
        self.config = parse_config(values, self.path)
        # The graph mirrors as many times as this is long.
        self._mirrored = np.zeros(int(flip), np.float32)

    def run(self, images: npt.NDArray[np.uint8]) -> RawPoses:
        """Find the people in a batch; see `Runtime.run`.

        Raises:
            EveryposeError: when the images have the wrong type or shape, or the model fails (out of memory).
        """
        check_batch(images)
        try:
            feed = {"images": np.ascontiguousarray(images), "mirrored": self._mirrored}
            keypoints, scores, image_index = self._session.run(OUTPUTS, feed)
        except Exception as error:
            raise EveryposeError(
                f"{self.path} failed on images of shape {images.shape}: {_first_line(error)}"
            ) from error
        return keypoints, scores, image_index


def check_batch(images: npt.NDArray[Any]) -> None:
    """Refuse what is not a (B, H, W, 3) uint8 batch with H and W multiples of 64."""
    shaped = images.ndim == 4 and images.shape[3] == 3 and min(images.shape[:3]) > 0
    if images.dtype != np.uint8 or not shaped or images.shape[1] % SIZE_STEP or images.shape[2] % SIZE_STEP:
        raise EveryposeError(
            f"a model takes (B, H, W, 3) uint8 images whose height and width are multiples of {SIZE_STEP}, "
            f"not {images.dtype} of shape {images.shape}"
        )


def _providers(device: str, available: list[str]) -> list[Any]:
    """ONNX Runtime's execution providers for a device name."""
    kind, _, number = device.partition(":")
    if kind not in ("cpu", "cuda") or (number and (kind == "cpu" or not number.isdecimal())):
        raise UsageError(f"unknown device {device!r}: use cpu, cuda or cuda:N")
    if kind == "cpu":
        return ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" not in available:
        raise UsageError(f"this ONNX Runtime cannot use {device}: install onnxruntime-gpu in place of onnxruntime")
    return [("CUDAExecutionProvider", {"device_id": int(number or 0)}), "CPUExecutionProvider"]


def _first_line(error: Exception) -> str:
    """The first line of an error's message, without a final full stop."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
