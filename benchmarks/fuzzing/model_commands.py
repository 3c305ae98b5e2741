"""Commands on models and recipes as targets of fuzzing."""

import functools
import hashlib
import io
import json
import os
import tarfile
from importlib import resources
from pathlib import Path

from benchmarks.fuzzing.commands import call, stand_in
from benchmarks.fuzzing.model_readers import checkpoint_seeds, model_folder
from benchmarks.fuzzing.mutations import mutate_bytes, mutate_text
from benchmarks.fuzzing.result_readers import record
from benchmarks.fuzzing.seeds import yolo_folder
from benchmarks.fuzzing.stand_ins import single_stage_model
from benchmarks.fuzzing.target import Target, both
from benchmarks.fuzzing.watching import put

WEIGHTS = b'{"not": "weights"}'


def model_command_targets() -> list[Target]:
    """``export``, ``import``, ``push``, ``models check``, ``prototypes``, ``recipes``, ``train``, ``web-app``."""
    import everypose.training.run  # noqa: F401  # its packages take seconds, which no mutation should pay
    from everypose.models.catalog import require_entry
    from everypose.training import estimate

    recipe = (resources.files("everypose.training") / "recipes" / "boir" / "boir-tiny.toml").read_bytes()
    entry = require_entry("vitpose-plus-s")
    assert entry.hub is not None
    names = [Path(file.path).name for file in entry.hub.files]
    stored_file = {"sha256": hashlib.sha256(WEIGHTS).hexdigest(), "size": len(WEIGHTS), "mtime_ns": 1}
    stored = {
        "format": "everypose download 1", "name": entry.name, "source": entry.hub.repository,
        "revision": "0123456789abcdef0123456789abcdef01234567", "files": dict.fromkeys(names, stored_file),
    }  # fmt: skip

    def export(content: bytes, folder: Path) -> None:
        call("export", put(folder / "m.onnx", content), "--half", "-o", folder / "out" / "half.onnx")

    def import_(content: bytes, folder: Path) -> None:
        call("import", put(folder / "x.pth", content), "-o", folder / "out" / "model")

    def back(content: bytes, folder: Path) -> None:
        put(folder / "model" / "config.json", content)
        put(folder / "model" / "model.safetensors", model_folder()["model.safetensors"])
        call("import", "--back", folder / "model", "-o", folder / "out" / "released.pth")

    def push(content: bytes, folder: Path) -> None:
        for name in ("config.json", "model.safetensors"):
            put(folder / "model" / name, content if name == "config.json" else model_folder()[name])
        call("push", folder / "model", "me/mine", "--license", "apache-2.0", "--dry-run")

    def pushed_record(content: bytes, folder: Path) -> None:
        for name in ("config.json", "model.safetensors"):
            put(folder / "model" / name, model_folder()[name])
        given = ("--record", put(folder / "record.json", content))
        call("push", folder / "model", "me/mine", "--license", "apache-2.0", "--dry-run", *given)

    def check(content: bytes, folder: Path) -> None:
        from everypose.models.downloads.records import folder_of, record_path

        os.environ["EVERYPOSE_HOME"] = str(folder / "out")  # times of checks are written back
        put(record_path(entry), content)
        for name in names:
            put(folder_of(entry) / name, WEIGHTS)
        call("models", "check", entry.name)

    def prototypes(content: bytes, folder: Path) -> None:
        call("prototypes", put(folder / "x.pth", content), "-o", folder / "out" / "p.png")

    estimate.measure_flops = functools.cache(estimate.measure_flops)  # the same for every recipe
    weights = hashlib.sha256(model_folder()["model.safetensors"]).hexdigest()
    own_record = json.dumps(json.loads(record()) | {"model": "tiny", "model_sha256": weights}).encode()

    def checked(content: bytes, folder: Path) -> None:
        call("recipes", "check", put(folder / "recipe.toml", content))

    def shown(content: bytes, folder: Path) -> None:
        call("recipes", "show", put(folder / "recipe.toml", content))

    def train(content: bytes, folder: Path) -> None:
        yolo_folder(folder / "data")
        recipe = put(folder / "recipe.toml", content)
        call("train", recipe, "--data", folder / "data", "-o", folder / "out" / "run", "-q")

    def web_app(content: bytes, folder: Path) -> None:
        runtime = ("--runtime", put(folder / "runtime.tgz", content))
        call("web-app", folder / "out" / "page", "-m", stand_in(folder), *runtime)

    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        member = tarfile.TarInfo("package/dist/ort.wasm.min.mjs")
        member.size = 9
        tar.addfile(member, io.BytesIO(b"// script"))
    return [
        Target("export", (single_stage_model(),), mutate_bytes, export),
        Target("import (command)", (model_folder()["released.pth"],), mutate_bytes, import_),
        Target("import --back", (model_folder()["config.json"],), both, back),
        Target("push", (model_folder()["config.json"],), both, push),
        Target("push --record", (own_record,), both, pushed_record),
        Target("models check", (json.dumps(stored).encode(),), both, check),
        Target("prototypes", checkpoint_seeds(), mutate_bytes, prototypes, accepts=False),
        Target("recipes check", (recipe,), mutate_text, checked),
        Target("recipes show", (recipe,), mutate_text, shown),
        Target("train", (recipe,), mutate_text, train, accepts=False),
        Target("web-app", (archive.getvalue(),), mutate_bytes, web_app, accepts=False),
    ]
