"""The commands as targets of fuzzing: each is called in this process with damaged files among its arguments."""

import contextlib
import io
import json
import random
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from benchmarks.fuzzing.mutations import mutate_bytes, mutate_text
from benchmarks.fuzzing.targets import (
    LABELS,
    Target,
    annotations,
    as_json,
    both,
    data_folder,
    encoded,
    results,
    yolo_folder,
)
from everypose.errors import EveryposeError


def call(*arguments: object) -> None:
    """Call ``everypose`` with arguments; an error that it would print in one line is raised.

    Raises:
        EveryposeError: the command ended with one.
        AssertionError: it ended with another exit code than 0, 1 or 2.
    """
    from everypose.cli.main import app

    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            app([str(argument) for argument in arguments], prog_name="everypose")
        except SystemExit as end:
            code = end.code or 0
    assert code in (0, 1, 2), f"exit code {code}"
    if code:
        lines = err.getvalue().strip().splitlines()
        raise EveryposeError(lines[-1] if lines else f"exit code {code}")


def command_targets() -> list[Target]:
    """Every command that reads files of its user."""
    recipe = (resources.files("everypose.training") / "recipes" / "boir" / "boir-tiny.toml").read_bytes()
    coco = as_json(annotations())
    images = (encoded(".jpg"), encoded(".png"))

    def predict(content: bytes, folder: Path) -> None:
        (folder / "a.jpg").write_bytes(content)
        (folder / "b.jpg").write_bytes(encoded(".jpg"))
        call("predict", folder / "a.jpg", folder / "b.jpg", "-o", folder / "out", "-q", "--size", "64")

    def boxes(content: bytes, folder: Path) -> None:
        (folder / "boxes.json").write_bytes(content)
        (folder / "1.jpg").write_bytes(encoded(".jpg"))
        call("predict", folder / "1.jpg", "-m", "boir-lite", "--boxes", folder / "boxes.json", "-o", folder / "out")

    def on_data(*arguments: object) -> Callable[[bytes, Path], None]:
        def run(content: bytes, folder: Path) -> None:
            path = data_folder(folder, content)
            places = {"ANN": path, "IMAGES": folder / "images", "OUT": folder / "out" / "x", "FOLDER": folder}
            call(*(places.get(argument, argument) if isinstance(argument, str) else argument for argument in arguments))

        return run

    def yolo(content: bytes, folder: Path) -> None:
        call("data", "convert", yolo_folder(folder, labels=content), "-o", folder / "out" / "x")

    def join(content: bytes, folder: Path) -> None:
        path = data_folder(folder, content)
        (folder / "b.json").write_text(json.dumps(annotations()))
        call("data", "join", path, folder / "b.json", "-o", folder / "out" / "joined.json")

    def sigmas(content: bytes, folder: Path) -> None:
        path = data_folder(folder, content)
        (folder / "b.json").write_text(json.dumps(annotations()))
        call("data", "sigmas", path, folder / "b.json")

    def evaluate(content: bytes, folder: Path) -> None:
        path = data_folder(folder)
        (folder / "results.json").write_bytes(content)
        call("evaluate", "--predictions", folder / "results.json", "--annotations", path, "--json")

    import everypose.training.run  # noqa: F401  # its packages take seconds, which no mutation should pay

    def train(content: bytes, folder: Path) -> None:
        (folder / "recipe.toml").write_bytes(content)
        call("train", folder / "recipe.toml", "--data", folder / "nowhere", "-o", folder / "out" / "run", "-q")

    def import_(content: bytes, folder: Path) -> None:
        (folder / "x.pth").write_bytes(content)
        call("import", folder / "x.pth", "-o", folder / "out" / "model")

    def list_(content: bytes, rng: random.Random) -> bytes:
        return both(content, rng)

    return [
        Target("predict", images, mutate_bytes, predict),
        Target("predict --boxes", as_json(results()), both, boxes),
        Target("data doctor", coco, both, on_data("data", "doctor", "ANN", "--fix", "OUT")),
        Target("data convert", coco, both, on_data("data", "convert", "ANN", "--images", "IMAGES", "-o", "OUT")),
        Target("data convert --to yolo", coco, both, on_data("data", "convert", "FOLDER", "--to", "yolo", "-o", "OUT")),
        Target("data convert YOLO", (LABELS.encode(),), mutate_text, yolo),
        Target("data crowd", coco, both, on_data("data", "crowd", "ANN", "IMAGES", "-o", "OUT", "--count", 1, "-q")),
        Target("data join", coco, both, join),
        Target("data sigmas", coco, both, sigmas),
        Target("data overlap", coco, list_, on_data("data", "overlap", "ANN", "IMAGES", "-q")),
        Target("evaluate", as_json(results()), both, evaluate),
        Target("train", (recipe,), mutate_text, train),
        Target("import (command)", images, mutate_bytes, import_),
    ]
