import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from everypose.cli.main import app
from everypose.errors import UsageError

runner = CliRunner()


def invoke(*arguments):
    return runner.invoke(app, ["train", *map(str, arguments)])


def test_the_recipes_are_listed():
    result = invoke("--list")
    assert result.exit_code == 0
    assert "boir-w32-coco" in result.output
    assert "cid-small" in result.output


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "which recipe"),
        (("boir-w32-cocoo",), "boir-w32-coco"),
        (("boir-small", "--resume", "runs/x"), "leave out the recipe"),
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


def test_data_that_is_not_there_is_one_line(tmp_path):
    command = [sys.executable, "-m", "everypose", "train", "boir-small", "--data", str(tmp_path), "-o", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("everypose: ")
    assert str(tmp_path) in last
    assert "Traceback" not in done.stderr


def test_options_reach_the_recipe(tmp_path, monkeypatch):
    seen = {}

    def fake(recipe, folder, machines, resume, quiet):
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
