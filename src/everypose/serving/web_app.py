"""A static web application that finds people in the browser: a page, an exported model, and onnxruntime-web.

Any static web server can serve it; no image leaves the browser. Poses are those of Python: the page resizes images and
removes duplicates by the same arithmetic.
"""

import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import cv2

from everypose.core.files import write_bytes, write_json
from everypose.data.images import read_image
from everypose.errors import EveryposeError, UsageError, first_line
from everypose.inference.loading import load
from everypose.inference.runtimes.onnx import open_session, read_metadata
from everypose.models.config import ModelConfig
from everypose.models.locate import resolve

RUNTIME = "onnxruntime-web@1.30.0"
ON_CPU = {
    "ort.wasm.min.mjs": "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
    "ort-wasm-simd-threaded.mjs": "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
"""SHA-256 of the files of `RUNTIME` that the page needs."""
ON_GPU = {
    "ort.webgpu.min.mjs": "3dffff71811bc13a3a3d9591c57ca5ee5735b8f5f3eaf789510b02bb040ae3a0",
    "ort-wasm-simd-threaded.asyncify.mjs": "3d1c85995364bb643302fc6fd877a0c3ba5ae72401815e0f24828a53d9191e28",
    "ort-wasm-simd-threaded.asyncify.wasm": "39f9f0894d478800487ed9f7dbe92618498db320cf55c8e3d89adff8dce658da",
}
"""The same for WebGPU."""
CHECK_PICTURE = "group.jpg"
"""The example in which the page compares WebGPU's people with Python's."""
SHARED = ("draw.js", "results.js", "save.js", "style.css", "icon.svg")
"""Files that the service's page has, too."""


def write_web_app(
    out: Path, model: str | Path, *, float_model: Path | None = None, runtime: Path | None = None
) -> ModelConfig:
    """Write the application to a folder.

    Args:
        out: the folder; files in it are overwritten.
        model: a single-stage model that is an ONNX file, as in :func:`everypose.load`.
        float_model: the same model with float weights, for browsers with WebGPU; they use it if it finds there the
            people that it finds here.
        runtime: the npm package `RUNTIME` as a .tgz file or a folder; fetched with npm when None.

    Returns:
        The model's configuration.

    Raises:
        UsageError: if the model is none that a browser can run, or npm is missing.
        EveryposeError: if the runtime is another version, or damaged; a file cannot be read or written.

    >>> write_web_app(Path("web"), "mipnet-lite")  # it needs boxes, which the page does not have
    Traceback (most recent call last):
        ...
    everypose.errors.UsageError: mipnet-lite is a top-down model, which needs a detector: choose a ...
    """
    path, config = _exported(model)
    files = _read_runtime(runtime, ON_CPU if float_model is None else {**ON_CPU, **ON_GPU})
    contents = {f"ort/{name}": content for name, content in files.items()}
    contents["model.onnx"] = path.read_bytes()
    described = _describe(config)
    if float_model is not None:
        float_path, float_config = _exported(float_model)
        if float_config.skeleton != config.skeleton or float_config.on_images != config.on_images:
            raise UsageError(f"{float_model} and {model} are different models: skeletons or input settings differ")
        contents["model-float.onnx"] = float_path.read_bytes()
        contents["check.png"], described["float"] = _check_of(float_path)
    package = resources.files("everypose.serving")
    contents |= {name: (package / "page" / name).read_bytes() for name in SHARED}
    contents |= {file.name: file.read_bytes() for file in (package / "browser").iterdir()}
    for name, content in contents.items():
        write_bytes(out / name, content)
    write_json(out / "model.json", described)
    return config


def _exported(model: str | Path) -> tuple[Path, ModelConfig]:
    """The ONNX file of a single-stage model and its configuration."""
    file = resolve(model)
    if file.kind != "onnx":
        raise UsageError(f"a browser runs ONNX files, not {model}: export it first, with 'everypose export'")
    config = read_metadata(open_session(file.path), file.path)
    if config.is_top_down:
        raise UsageError(f"{config.name} is a top-down model, which needs a detector: choose a single-stage model")
    if config.has_fixed_input:
        raise UsageError(f"{config.name} takes images of one size, which the page does not make: choose another model")
    config.skeleton.require_sigmas()
    return file.path, config


def _check_of(float_path: Path) -> tuple[bytes, dict[str, object]]:
    """Return the self-check of the float model: a picture as PNG, and what the page reads, with its people."""
    image = read_image(Path(str(resources.files("everypose") / "examples" / CHECK_PICTURE)))
    people = load(float_path)(image)
    if not len(people):
        raise UsageError(f"{float_path} finds no people in the picture of the self-check: leave the float model out")
    _, png = cv2.imencode(".png", image[..., ::-1])
    found = json.loads(people.to_json())["people"]
    return png.tobytes(), {"file": "model-float.onnx", "picture": "check.png", "people": found}


def _describe(config: ModelConfig) -> dict[str, object]:
    """Return the properties of the model that the page reads."""
    settings = config.on_images
    return {
        "name": config.name,
        "file": "model.onnx",
        "float": None,
        "size": settings.size,
        "step": settings.step,
        "min_score": settings.min_score,
        "nms": settings.nms,
        "skeleton": config.skeleton.to_dict(),
    }


def _read_runtime(source: Path | None, digests: Mapping[str, str]) -> dict[str, bytes]:
    """The runtime's files, each with the digest that it must have."""
    if source is None:
        with tempfile.TemporaryDirectory() as temporary:
            return _checked(_read_archive(_fetch(Path(temporary)), digests), digests)
    if source.is_dir():
        folder = source / "dist" if (source / "dist").is_dir() else source
        missing = [name for name in digests if not (folder / name).is_file()]
        if missing:
            raise EveryposeError(f"{source} has no {missing[0]}: give the folder of the npm package {RUNTIME}")
        return _checked({name: (folder / name).read_bytes() for name in digests}, digests)
    return _checked(_read_archive(source, digests), digests)


def _fetch(folder: Path) -> Path:
    """Fetch the npm package into ``folder``."""
    npm = shutil.which("npm")
    if npm is None:
        raise UsageError(
            f"npm, which fetches {RUNTIME}, is not installed: give the package's .tgz file or folder with --runtime"
        )
    done = subprocess.run([npm, "pack", RUNTIME, "--silent"], cwd=folder, capture_output=True, text=True, check=False)
    archives = sorted(folder.glob("*.tgz"))
    if done.returncode or not archives:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise EveryposeError(f"npm cannot fetch {RUNTIME}: {reason}")
    return archives[0]


def _read_archive(path: Path, names: Mapping[str, str]) -> dict[str, bytes]:
    """Files of the npm package, read without unpacking anything else."""
    found = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = member.name.removeprefix("package/dist/")
                if name in names and member.isfile() and (stream := archive.extractfile(member)):
                    found[name] = stream.read()
    except (OSError, tarfile.TarError) as error:
        raise EveryposeError(f"cannot read the npm package {path}: {first_line(error)}") from error
    return found


def _checked(files: dict[str, bytes], digests: Mapping[str, str]) -> dict[str, bytes]:
    """The files, if all are there and have the digests that they must have."""
    for name, digest in digests.items():
        if hashlib.sha256(files.get(name, b"")).hexdigest() != digest:
            raise EveryposeError(f"{name} is missing or not that of {RUNTIME}: get that version of the npm package")
    return files
