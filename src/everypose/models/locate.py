"""From a model's name, path or hub id to its file. Nothing here needs torch."""

import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

from everypose.core.files import exists, read_json
from everypose.errors import EveryposeError, UsageError
from everypose.models.catalog import find_entry, name_hint
from everypose.models.config import CONFIG_FILE, WEIGHTS_FILE
from everypose.models.downloads.store import fetch, hub_entry

CHECKPOINT_SUFFIXES = (".pth", ".pt", ".tar", ".pkl", ".bin", ".ckpt", ".safetensors")
DETECTOR_FAMILIES = ("yolox", "rtmdet")
"""The families of detectors in ONNX files that inputs and outputs cannot distinguish."""
TRANSFORMERS_VITPOSE = "vitpose"
"""What ``config.json`` names as the model type of ViTPose and ViTPose++ in Hugging Face transformers."""


@dataclass(frozen=True)
class ModelFile:
    """Where a model is stored: an ``onnx`` file, an everypose ``folder``, or an authors' ``checkpoint`` to import.

    >>> resolve("boir-lite").kind
    'onnx'
    """

    kind: Literal["onnx", "folder", "checkpoint"]
    path: Path


def split_family(detector: str) -> tuple[str | None, str]:
    """Return the family and the file of a detector that is named ``FAMILY:FILE``.

    >>> split_family("yolox:people.onnx"), split_family("boir-lite")
    (('yolox', 'people.onnx'), (None, 'boir-lite'))
    """
    family, _, file = detector.partition(":")
    return (family, file) if family in DETECTOR_FAMILIES and file else (None, detector)


def bundled(name: str) -> Path:
    """The path of a weights file that comes with the package.

    >>> bundled("boir-lite.onnx").name
    'boir-lite.onnx'
    """
    return Path(str(resources.files("everypose.models") / "weights" / name))


def resolve(source: str | Path, *, download: bool = True) -> ModelFile:
    """Find a model or detector by a name of the catalog, a folder, a file or a hub id.

    Args:
        source: a name or alias, a path, or ``owner/name`` or ``owner/name@revision`` on the Hugging Face hub.
        download: whether a model of the catalog may be downloaded if it is not stored yet.

    Raises:
        UsageError: if a name is unknown, or its weights are not part of the package.
        EveryposeError: if a path contains no model.

    >>> resolve("boir-lite").path.name
    'boir-lite.onnx'
    """
    path = Path(source)
    if exists(path):
        return _at(path)
    name = str(source)
    if (entry := find_entry(name)) is not None:
        if entry.bundled is not None:
            return ModelFile("onnx", bundled(entry.bundled))
        if entry.downloads and download:
            return _at(fetch(entry))
        if entry.obtain is not None:
            raise UsageError(f"the weights of {name} do not come with everypose: {entry.obtain}")
        raise UsageError(
            f"the weights of {name} do not come with everypose: import the authors' checkpoint "
            f"(everypose import FILE -o {name}) or train it (everypose train {name}), then give the folder"
        )
    if path.suffix in (".onnx", *CHECKPOINT_SUFFIXES) or name.startswith((".", "/", "~")):
        raise UsageError(f"there is no model at {source}")
    if re.fullmatch(r"[\w.-]+/[\w.-]+(@\w+)?", name):
        return _at(_from_hub(name))
    raise UsageError(f"there is no model named {name!r}, nor a file or folder of that name; {name_hint(name)}")


def _at(path: Path) -> ModelFile:
    """The model that lies at an existing path."""
    if path.is_dir():
        if (path / CONFIG_FILE).exists() and (path / WEIGHTS_FILE).exists():
            return _folder(path)
        graphs = sorted(path.glob("*.onnx"))
        if len(graphs) == 1:
            return ModelFile("onnx", graphs[0])
        checkpoints = sorted(path.glob("*.pth"))
        if not graphs and len(checkpoints) == 1:
            return ModelFile("checkpoint", checkpoints[0])
        raise EveryposeError(
            f"{path} is not a model: it needs {CONFIG_FILE} and {WEIGHTS_FILE}, or one .onnx or .pth file"
        )
    if path.suffix == ".onnx":
        return ModelFile("onnx", path)
    if path.name == WEIGHTS_FILE and (path.parent / CONFIG_FILE).exists():
        return _folder(path.parent)
    if path.suffix in CHECKPOINT_SUFFIXES:
        return ModelFile("checkpoint", path)
    raise EveryposeError(f"{path} is not a model: give a folder, an .onnx file or an authors' checkpoint (.pth)")


def _folder(path: Path) -> ModelFile:
    """A folder with a configuration and weights: everypose's, or a ViTPose of Hugging Face transformers."""
    values = read_json(path / CONFIG_FILE)
    if not isinstance(values, dict) or "model_type" not in values:
        return ModelFile("folder", path)
    if values["model_type"] != TRANSFORMERS_VITPOSE:
        raise EveryposeError(
            f"{path} is a {values['model_type']} of transformers: of pose models in that form, only ViTPose and "
            "ViTPose++ (model_type vitpose) can be read; export others to ONNX"
        )
    return ModelFile("checkpoint", path / WEIGHTS_FILE)


def _from_hub(name: str) -> Path:
    """Download a model from the Hugging Face hub."""
    try:
        return fetch(hub_entry(name))
    except UsageError:
        raise
    except EveryposeError as error:
        raise EveryposeError(f"there is no folder {name}, and as a hub id it cannot be used: {error}") from error
