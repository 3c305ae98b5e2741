"""Commands killed at random moments: what they leave is complete or absent, and they can be run again.

``EVERYPOSE_KILLS=50 python -m pytest tests/test_killed.py`` kills each of them so many times.
"""

import json
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from everypose.core.files import read_json
from everypose.data.images import read_image
from painted_people import painted_scene, write_set
from prepared_process import Server, prepared_process

KILLS = int(os.environ.get("EVERYPOSE_KILLS", "2"))
SIGNALS = (signal.SIGKILL, signal.SIGTERM)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos") / "set"
    people = [[(80, 20, 180), (230, 60, 150)], [(90, 40, 170)], [(160, 30, 180)]] * 2
    labels = write_set(folder, [painted_scene(seed, each) for seed, each in enumerate(people, start=1)])
    return labels, folder / "images"


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    """Starts commands whose packages are imported already, so that a signal reaches their work."""
    with prepared_process(
        tmp_path_factory.mktemp("commands"), "everypose.training.run", "everypose.export.onnx"
    ) as made:
        yield made


def killed(commands: Server, arguments: list[object], seconds: float, rng: random.Random) -> int:
    """Kill the command at a random moment of its work; its exit code, negative after SIGKILL."""
    command = commands.start(*arguments)
    time.sleep(rng.uniform(0, seconds))
    command.send_signal(rng.choice(SIGNALS))
    return command.finish()


def duration(commands: Server, arguments: list[object]) -> float:
    """Seconds of the command's work when nothing disturbs it; it must succeed."""
    begin = time.monotonic()
    command = commands.start(*arguments)
    assert command.finish(300) == 0, command.errors
    return time.monotonic() - begin


def check_whole(folder: Path) -> None:
    """Every file that is not hidden must be whole."""
    for path in folder.rglob("*"):
        if not path.is_file() or any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if path.suffix == ".json":
            read_json(path)
        elif path.suffix in (".jpg", ".png"):
            read_image(path)
        elif path.suffix == ".onnx":
            import onnx

            onnx.load(path)
        elif path.suffix == ".safetensors":
            from safetensors.torch import load_file

            load_file(path)
        elif path.suffix == ".ckpt":
            from everypose.training.checkpoints import Checkpoint

            Checkpoint.load(path)


def hidden(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*") if path.is_file()]


def check_kills(
    commands: Server, name: str, make: Callable[[Path], list[object]], tmp_path: Path, *, last: str | None = None
) -> None:
    """Kill a command ``KILLS`` times; what it leaves must be whole, and its last output only there when it is done.

    Args:
        commands: starts it.
        name: seeds the moments.
        make: the command's arguments for an output folder.
        tmp_path: where the output folders are made.
        last: the output that says that all others are there.
    """
    whole = tmp_path / "whole"
    seconds = duration(commands, make(whole))
    files = {path.relative_to(whole) for path in whole.rglob("*") if path.is_file() and "tfevents" not in path.name}
    rng = random.Random(name)
    for number in range(KILLS):
        out = tmp_path / str(number)
        code = killed(commands, make(out), seconds, rng)
        if not out.exists():
            continue
        check_whole(out)
        if code == 128 + signal.SIGTERM:
            assert [path for path in hidden(out) if path.name != ".unfinished"] == []
        if last is not None and (out / last).exists():
            assert files <= {path.relative_to(out) for path in out.rglob("*")}
    # What is left does not stand in the way of another run.
    assert duration(commands, make(tmp_path / "0")) > 0
    check_whole(tmp_path / "0")


def test_predict(commands, photos, tmp_path: Path) -> None:
    _, images = photos
    make = lambda out: ["predict", images, "-m", "boir-lite", "-o", out, "--size", 64, "-q"]  # noqa: E731
    check_kills(commands, "predict", make, tmp_path)


@pytest.mark.parametrize("to", ["coco", "yolo"])
def test_convert(commands, photos, tmp_path: Path, to: str) -> None:
    labels, images = photos
    last = "data.yaml" if to == "yolo" else None
    make = lambda out: ["data", "convert", labels, "--images", images, "--to", to, "--copy", "-o", out]  # noqa: E731
    check_kills(commands, f"convert {to}", make, tmp_path, last=last)


def test_crowd(commands, photos, tmp_path: Path) -> None:
    labels, images = photos

    def make(out: Path) -> list[object]:
        out = out / "again" if (out / "annotations.json").exists() else out  # a finished set is never replaced
        return ["data", "crowd", labels, images, "-o", out, "--count", 4, "-q"]

    check_kills(commands, "crowd", make, tmp_path, last="annotations.json")


def test_export(commands, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from everypose.methods.cid.settings import CIDSettings
    from everypose.models.build import build_network
    from everypose.models.config import ModelConfig
    from everypose.models.storage import save_model
    from everypose.skeleton.skeleton import Skeleton

    settings = CIDSettings.model_validate({"backbone": {"kind": "lite"}, "instance": 4})
    values = {"name": "small", "network": settings, "skeleton": Skeleton.named("coco").to_dict()}
    save_model(build_network(settings, 17), ModelConfig.model_validate(values), tmp_path / "model")
    make = lambda out: ["export", tmp_path / "model", "-o", out / "m.onnx"]  # noqa: E731
    check_kills(commands, "export", make, tmp_path, last="m.onnx")


@pytest.mark.slow
def test_train(commands, photos, tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    labels, images = photos
    source = f"data.train=[{{annotations={json.dumps(str(labels))}, images={json.dumps(str(images))}}}]"
    small = ["data.size=64", "inference.size=64", "data.workers=0", "trainer.batch=2", "trainer.checkpoint_steps=1"]
    settings = [source, 'data.val_split=""', "schedule.steps=4", *small]

    def make(out: Path) -> list[object]:
        if (out / "checkpoints" / "last.ckpt").exists():
            from everypose.training.checkpoints import Checkpoint

            if Checkpoint.load(out / "checkpoints" / "last.ckpt").step < 4:
                return ["train", "--resume", out, "-q"]
            out = out / "again"
        return ["train", "boir-tiny", "-o", out, "-q", *[part for each in settings for part in ("--set", each)]]

    check_kills(commands, "train", make, tmp_path, last="models/final/config.json")


def test_sigterm_lets_a_training_save_its_checkpoint(commands, photos, tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    from everypose.training.checkpoints import Checkpoint

    labels, images = photos
    source = f"data.train=[{{annotations={json.dumps(str(labels))}, images={json.dumps(str(images))}}}]"
    small = ["data.size=64", "inference.size=64", "data.workers=1", "trainer.batch=2", "trainer.log_steps=1"]
    settings = [source, 'data.val_split=""', "schedule.steps=100000", *small]
    sets = [part for each in settings for part in ("--set", each)]
    for number in (signal.SIGTERM, signal.SIGUSR1):
        out = tmp_path / number.name
        process = commands.start("train", "boir-tiny", "-o", out, *sets)
        log = out / "metrics.jsonl"
        while not log.exists() or not log.read_text():
            assert process.is_running(), process.errors
            time.sleep(0.1)
        process.send_signal(number)
        if number == signal.SIGUSR1:
            while not (out / "checkpoints" / "last.ckpt").exists():
                assert process.is_running()
                time.sleep(0.1)
            assert process.is_running()
            process.send_signal(signal.SIGTERM)
        assert process.finish() == 128 + signal.SIGTERM, process.errors
        assert "go on with --resume" in process.errors
        assert Checkpoint.load(out / "checkpoints" / "last.ckpt").step > 0


def test_max_time_ends_a_training_with_a_checkpoint(commands, photos, tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    labels, images = photos
    source = f"data.train=[{{annotations={json.dumps(str(labels))}, images={json.dumps(str(images))}}}]"
    small = ["data.size=64", "inference.size=64", "data.workers=0", "trainer.batch=2", "schedule.steps=100000"]
    sets = [part for each in [source, 'data.val_split=""', *small] for part in ("--set", each)]
    process = commands.start("train", "boir-tiny", "-o", tmp_path / "run", "--max-time", 0.05, *sets)
    assert process.finish(120) == 0, process.errors
    assert "go on with --resume" in process.errors
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").exists()


def test_pictures_are_readable_by_others(photos) -> None:
    """The painted photos themselves."""
    assert all(cv2.imread(str(path)) is not None for path in photos[1].iterdir())
