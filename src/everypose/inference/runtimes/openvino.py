"""ONNX files run by OpenVINO on CPUs, by sessions that are used as those of ONNX Runtime are."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from openvino import Core
from openvino.frontend import FrontEndManager


@dataclass(frozen=True)
class Node:
    """An input or output.

    >>> Node("images").name
    'images'
    """

    name: str


@dataclass(frozen=True)
class ModelMeta:
    """Metadata of a model file, apart from its graph.

    >>> ModelMeta({"everypose": "{}"}).custom_metadata_map["everypose"]
    '{}'
    """

    custom_metadata_map: dict[str, str]


class OpenVinoSession:
    """An open file, with the methods of ``onnxruntime.InferenceSession`` that everypose uses.

    >>> OpenVinoSession("missing.onnx")
    Traceback (most recent call last):
        ...
    openvino._pyopenvino.GeneralFailure: Check 'model_file && model_file.is_open()' failed at ...
    """

    def __init__(self, path: str | Path, threads: int | None = None, precision: str = "f32") -> None:
        """Read and compile the file, for images and crops of any size.

        Args:
            path: the ``.onnx`` file.
            threads: CPU threads; by default OpenVINO chooses.
            precision: "f32" or "bf16", of what is not in 8 bits.

        Raises:
            RuntimeError: if the file cannot be read or compiled; one line.
        """
        self._path = path
        self._properties = {
            "PERFORMANCE_HINT": "LATENCY",
            # Left alone, OpenVINO computes in bf16 wherever the CPU can.
            "INFERENCE_PRECISION_HINT": precision,
            # Pinned threads of two processes could share a core while others are idle.
            "ENABLE_CPU_PINNING": False,
        }
        if threads is not None:
            self._properties["INFERENCE_NUM_THREADS"] = threads
        with _in_one_line():
            model = _read(path)
            self._meta = _metadata_of(model)
            self._inputs, self._outputs = _nodes(model.inputs), _nodes(model.outputs)
            self._request = _compile(model, self._properties)
        self._alone = threading.Lock()

    def get_modelmeta(self) -> ModelMeta:
        """The file's metadata."""
        return self._meta

    def get_inputs(self) -> list[Node]:
        """The inputs' names."""
        return self._inputs

    def get_outputs(self) -> list[Node]:
        """The outputs' names."""
        return self._outputs

    def get_overridable_initializers(self) -> list[Node]:
        """Optional inputs: none, OpenVINO reads them as constants."""
        return []

    def run(self, outputs: Sequence[str], feed: dict[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """The outputs of one run; threads take turns.

        Raises:
            RuntimeError: if the model fails, as when out of memory; one line.
        """
        with self._alone, _in_one_line():
            request = self._request or _compile(_read(self._path), self._properties)
            # After a failure the request keeps the shapes of that run: the next run gets a new request.
            self._request = None
            # Not infer(): with one thread it hides failures and returns the results of the previous run.
            request.start_async(feed)
            request.wait()
            found = [np.array(request.get_tensor(name).data) for name in outputs]
            self._request = request
            return found


def computes_in(precision: str) -> bool:
    """Whether this CPU computes in "f32" or "bf16" itself.

    >>> computes_in("f32")
    True
    """
    return precision == "f32" or precision.upper() in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@cache
def _core() -> Core:
    """The only OpenVINO core of the process; it is never freed.

    A core replaces the alternate signal stack when it first uses the CPU, and restores the previous one when it is
    freed. Two cores that are freed in the order of their creation leave a stack whose memory is gone: the next signal
    with a handler, such as that of torch's data loader for the end of a child process, is then a segmentation fault.
    """
    return Core()


def _read(path: str | Path) -> Any:
    """Read a model by the ONNX front end; `Core.read_model` tries a damaged file with all, which write to stderr."""
    reader = FrontEndManager().load_by_framework("onnx")
    return reader.convert(reader.load(str(path)))


def _compile(model: Any, properties: dict[str, Any]) -> Any:
    """Compile a model for the CPU; the request runs one batch at a time."""
    return _core().compile_model(model, "CPU", properties).create_infer_request()


def _metadata_of(model: Any) -> ModelMeta:
    """The metadata of the ONNX file, which OpenVINO stores as those of the framework."""
    about = model.get_rt_info()
    carried = about["framework"] if "framework" in about else {}  # noqa: SIM401  # it has no get
    return ModelMeta({key: str(text.value) for key, text in carried.items()})


def _nodes(ports: Sequence[Any]) -> list[Node]:
    return [Node(port.get_any_name()) for port in ports]


@contextmanager
def _in_one_line() -> Iterator[None]:
    """Shorten errors of OpenVINO to the last line; the lines before it name OpenVINO's source files."""
    try:
        yield
    except RuntimeError as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise RuntimeError(lines[-1].strip()) from error
