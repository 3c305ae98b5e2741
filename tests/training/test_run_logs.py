"""Logs of a run by Lightning's loggers."""

import csv
import json
import sys

import pytest
import torch

from everypose.errors import MissingDependencyError
from everypose.training.lightning_module import compile_network
from everypose.training.run import Machines, train
from everypose.training.run_logs import METRICS_FILE, require_loggers

ONE = Machines(1)


def test_logs_are_written_by_all_loggers_of_the_recipe(tiny, tmp_path):
    pytest.importorskip("tensorboard")
    train(tiny('logs.loggers=["csv", "tensorboard"]', "schedule.steps=2"), tmp_path / "run", ONE, quiet=True)
    lines = [json.loads(line) for line in (tmp_path / "run" / METRICS_FILE).read_text().splitlines()]
    with (tmp_path / "run/csv/metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [line["step"] for line in lines] == [1, 2]
    assert float(rows[1]["loss/total"]) == pytest.approx(lines[1]["loss/total"])
    assert list((tmp_path / "run/tensorboard").glob("events*"))


def test_a_run_that_is_ended_early_keeps_what_its_loggers_hold_back(tiny, tmp_path):
    pytest.importorskip("tensorboard")
    recipe = tiny('logs.loggers=["csv", "tensorboard"]', "schedule.steps=3")
    assert train(recipe, tmp_path / "run", ONE, quiet=True, max_minutes=0) is None
    with (tmp_path / "run/csv/metrics.csv").open() as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == [1]
    [events] = (tmp_path / "run/tensorboard").glob("events*")
    assert b"loss/total" in events.read_bytes()


def test_without_loggers_the_metrics_file_is_there(tiny, tmp_path):
    train(tiny("logs.loggers=[]", "schedule.steps=1"), tmp_path / "run", ONE, quiet=True)
    assert (tmp_path / "run" / METRICS_FILE).exists()
    assert not (tmp_path / "run/tensorboard").exists()


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_logger_that_is_not_installed_says_how_to_get_it(tiny, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr("everypose.training.run_logs.find_spec", lambda _: None)
    with pytest.raises(MissingDependencyError, match=rf"everypose\[{name}\]"):
        require_loggers(tiny(f'logs.loggers=["{name}"]'))


def test_a_compiled_network_keeps_its_names_and_its_numbers(crops, monkeypatch):
    from everypose.training.run import make_task

    compiled = []
    monkeypatch.setattr(torch, "compile", lambda function, **_: compiled.append(function) or function)
    network = make_task(crops()).make_network().eval()
    names = list(network.state_dict())
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        before = network.heatmaps(images)
        compile_network(network, "top-down")
        assert torch.equal(network.heatmaps(images), before)
    assert list(network.state_dict()) == names
    assert len(compiled) == 2
