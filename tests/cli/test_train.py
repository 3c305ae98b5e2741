import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from everypose.cli.main import app
from everypose.errors import EveryposeError, MissingDependencyError, UsageError
from everypose.skeleton.skeleton import Skeleton

runner = CliRunner()


def invoke(*arguments):
    return runner.invoke(app, ["train", *map(str, arguments)])


def test_the_recipes_are_listed():
    result = invoke("--list")
    assert result.exit_code == 0
    assert "boir-w32-coco" in result.output
    assert "cid-small" in result.output


@pytest.mark.parametrize(
    "arguments", [["--list"], ["boir-small", "--set", "optim.lrr=1"], ["boir-smal"], ["missing.toml"]]
)
def test_the_list_and_wrong_recipes_need_no_torch(arguments):
    code = (
        "import sys; from everypose.cli.main import app\n"
        f"try: app(['train', *{arguments}], standalone_mode=False)\n"
        "except Exception as error: print(type(error).__name__)\n"
        "print('torch' in sys.modules, 'lightning' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[-1] == "False False"
    assert (lines[-2] == "UsageError") == (arguments != ["--list"])


def test_without_the_training_packages_it_says_what_to_install(monkeypatch):
    import everypose.training

    monkeypatch.delitem(sys.modules, "everypose.training.run", raising=False)
    monkeypatch.delattr(everypose.training, "run", raising=False)
    monkeypatch.setitem(sys.modules, "lightning.pytorch", None)
    result = invoke("boir-small")
    assert isinstance(result.exception, MissingDependencyError)
    assert str(result.exception) == ("training needs packages that are not installed: pip install 'everypose[train]'")


NOT_COCO = {
    "a list": ([], "not a COCO annotation file"),
    "something else": ({"a": 1}, "has no list 'images'"),
    "no keypoints": (
        {"images": [], "annotations": [], "categories": [{"id": 1, "name": "person"}]},
        "does not say what its keypoints",
    ),
    "too few numbers": (
        {
            "images": [{"id": 1, "file_name": "a.jpg", "width": 9, "height": 9}],
            "annotations": [{"id": 5, "image_id": 1, "category_id": 1, "keypoints": [1, 1, 2], "bbox": [0, 0, 9, 9]}],
            "categories": [{"id": 1, "name": "person", "keypoints": list(Skeleton.named("coco").keypoints)}],
        },
        "annotation 5 has 1 keypoints, but the skeleton 'coco' has 17",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("content", "expected"), NOT_COCO.values(), ids=NOT_COCO)
def test_annotations_that_cannot_be_used_are_one_line(tmp_path, content, expected):
    (tmp_path / "labels.json").write_text(json.dumps(content))
    source = '[{annotations="labels.json", images="."}]'
    result = invoke("boir-small", "--data", tmp_path, "--set", f"data.train={source}", "-o", tmp_path / "run", "-q")
    assert isinstance(result.exception, EveryposeError), result.output
    assert expected in str(result.exception)
    assert "labels.json" in str(result.exception)
    assert "\n" not in str(result.exception)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "which recipe"),
        (("boir-w32-cocoo",), "boir-w32-coco"),
        (("boir-small", "--resume", "runs/x"), "leave out RECIPE"),
        (("--resume", "runs/x", "--seed", "3"), "leave out RECIPE, -o and --seed"),
        (("boir-small", "--set", "optim.rate"), "section.field=value"),
        (("boir-small", "--set", "optim.lrr=1"), "did you mean optim.lr?"),
        (("--resume", "no/such/run"), "cannot read the recipe no/such/run/recipe.toml"),
    ],
)
def test_wrong_calls_are_one_line(arguments, expected):
    result = invoke(*arguments)
    assert isinstance(result.exception, UsageError)
    assert expected in str(result.exception)
    assert "\n" not in str(result.exception)


def test_data_that_is_not_there_is_one_line(everypose, tmp_path):
    done = everypose("train", "boir-small", "--data", tmp_path, "-o", tmp_path)
    assert done.code == 1
    last = done.err.strip().splitlines()[-1]
    assert last.startswith("everypose: ")
    assert str(tmp_path) in last
    assert "Traceback" not in done.err


def test_options_reach_the_recipe(tmp_path, monkeypatch):
    seen = {}

    def fake(recipe, folder, machines, *, resume, quiet, max_minutes):  # noqa: ARG001
        seen.update(recipe=recipe, folder=folder, machines=machines, resume=resume, quiet=quiet)

    monkeypatch.setattr("everypose.training.run.train", fake)
    result = invoke(
        "boir-small",
        "--data",
        tmp_path / 'a "b"',
        "--set",
        "optim.lr=1e-5",
        "--seed",
        4,
        "--devices",
        2,
        "--nodes",
        3,
        "-q",
    )
    assert result.exit_code == 0, result.output
    assert seen["recipe"].data.root == str(tmp_path / 'a "b"')
    assert seen["recipe"].optim.lr == 1e-5
    assert seen["recipe"].trainer.seed == 4
    assert seen["folder"] == Path("runs/boir-small")
    assert (seen["machines"].devices, seen["machines"].nodes) == (2, 3)
    assert not seen["resume"]
    (tmp_path / "run").mkdir()
    (tmp_path / "run/recipe.toml").write_text(seen["recipe"].to_toml())
    result = invoke("--resume", tmp_path / "run", "--set", "schedule.epochs=9")
    assert result.exit_code == 0, result.output
    assert seen["resume"]
    assert seen["folder"] == tmp_path / "run"
    assert seen["recipe"].trainer.seed == 4
    assert seen["recipe"].schedule.epochs == 9
    assert json.dumps(seen["recipe"].model_dump())
