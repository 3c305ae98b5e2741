"""The device for ``--device auto``: chosen once for each model and machine, by a self-check, and stored."""

import hashlib
import json
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from filelock import FileLock
from pydantic import ValidationError

from everypose.core.files import read_json, write_json
from everypose.core.process_setup import available_threads
from everypose.core.settings import Settings
from everypose.errors import EveryposeError
from everypose.inference.device_check import Candidate, Open, check
from everypose.inference.runtimes.onnx import CPU_FLAGS, adds_8_bits_exactly, onnx_can_use
from everypose.models.downloads.records import home

AUTO = "auto"
REFERENCE = "cpu"
"""The device that others must agree with: ONNX Runtime, in the precision of the file."""
LEAST_AGREEMENT = 0.99
"""Mean OKS with the reference's people below which a device is not chosen."""
LARGEST_TIME = 0.9
"""Share of the reference's time above which a device is not chosen: differences below are within noise."""
PACKAGES = ("everypose", "onnxruntime", "onnxruntime-gpu", "openvino")
"""Packages of another version may choose otherwise."""


class DeviceChoice(Settings):
    """A device that was chosen, and why.

    Attributes:
        format: of the file.
        device: as in :func:`everypose.load`.
        reason: in words.
        candidates: what the self-check found, the reference first.

    >>> DeviceChoice(device="cpu", reason="as given").candidates
    ()
    """

    format: Literal["everypose device 1"] = "everypose device 1"
    device: str
    reason: str
    candidates: tuple[Candidate, ...] = ()


def choose(open_on: Open, settings: Mapping[str, object]) -> DeviceChoice:
    """Choose the fastest device whose people agree with the reference's.

    The choice is stored in the folder of downloads, under a hash of the settings, the CPU and the versions of the
    runtimes. A stored choice that is damaged is made again.

    Args:
        open_on: opens the model on a device.
        settings: what decides on the results and their speed: the model's hash, the options of loading.

    Raises:
        EveryposeError: if the model cannot be opened or run on the reference device.

    >>> import os
    >>> from unittest.mock import patch
    >>> def open_on(device):
    ...     raise EveryposeError(f"no model for {device}")
    >>> with patch.dict(os.environ, {"EVERYPOSE_HOME": "models"}):
    ...     choose(open_on, {"model": "mine"})
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: no model for cpu
    """
    path = home() / "devices" / f"{_digest({**settings, **_machine()})}.json"
    with _alone(path):
        stored = _read(path)
        if stored is not None:
            return stored
        choice = decide(check(open_on, candidate_devices()))
        with suppress(EveryposeError):  # a folder that cannot be written: the next run checks again
            write_json(path, choice.model_dump(mode="json"), indent=1)
    return choice


def candidate_devices() -> list[str]:
    """The devices that this machine may run ONNX files on, the reference first.

    OpenVINO is left out on CPUs whose fast sums of 8-bit products can overflow, and its bfloat16 on CPUs without it.

    >>> candidate_devices()[0]
    'cpu'
    """
    devices = [REFERENCE]
    if onnx_can_use("cuda"):
        devices.append("cuda")
    if find_spec("openvino") is not None and adds_8_bits_exactly():
        from everypose.inference.runtimes.openvino import computes_in

        devices += ["openvino", *(["openvino:bf16"] if computes_in("bf16") else [])]
    return devices


def decide(candidates: Sequence[Candidate]) -> DeviceChoice:
    """Choose from checked devices: the fastest that agrees with the first and saves a tenth of its time.

    >>> slow = Candidate(device="cpu", seconds=1.0, agreement=1.0)
    >>> decide([slow, Candidate(device="openvino", seconds=0.5, agreement=0.999)]).device
    'openvino'
    """
    reference, *others = candidates
    assert reference.seconds is not None
    usable = [
        (one.seconds / reference.seconds, one)
        for one in others
        if one.seconds is not None and one.agreement is not None and one.agreement >= LEAST_AGREEMENT
    ]
    share, best = min(usable, key=lambda pair: pair[0], default=(1.0, reference))
    if reference.agreement is None:
        reason = "no confident people on the built-in pictures, by which devices could be compared"
    elif share > LARGEST_TIME:
        best, reason = reference, f"no other device agrees with {reference.device} and saves a tenth of its time"
    else:
        reason = f"{share:.0%} of the time of {reference.device}, agreement {best.agreement:.4f}"
    return DeviceChoice(device=best.device, reason=reason, candidates=tuple(candidates))


def _read(path: Path) -> DeviceChoice | None:
    """A stored choice; None if there is none, or it is damaged."""
    try:
        return DeviceChoice.model_validate(read_json(path)) if path.exists() else None
    except (EveryposeError, ValidationError, OSError):
        return None


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let one process check at a time, where the folder can be written; the others then read its choice."""
    lock = FileLock(path.with_suffix(".lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError:
        yield
        return
    try:
        yield
    finally:
        lock.release()


def _digest(values: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:32]


def _machine() -> dict[str, object]:
    """What the speed and the results of a runtime depend on, besides the model."""
    return {
        "cpu": _cpu(),
        "available threads": available_threads(),
        "versions": {package: _version(package) for package in PACKAGES},
    }


def _cpu() -> str:
    """The processor's name and features."""
    with suppress(OSError):
        described = re.findall(r"^(?:model name|flags|Features)\s*: (.+)$", CPU_FLAGS.read_text(), re.MULTILINE)
        if described:
            return "; ".join(dict.fromkeys(described))
    return f"{platform.machine()} {platform.processor()}"


def _version(package: str) -> str | None:
    with suppress(PackageNotFoundError):
        return version(package)
    return None
