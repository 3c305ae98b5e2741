"""The logs of a run: ``metrics.jsonl``, and Lightning's loggers for TensorBoard, CSV, Weights & Biases and MLflow."""

import json
import os
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from everypose.core.arrays import Image
from everypose.core.files import write_text
from everypose.errors import MissingDependencyError
from everypose.training.recipe import Recipe
from everypose.training.sections import LoggerName

METRICS_FILE = "metrics.jsonl"
PACKAGES = {"wandb": "wandb", "mlflow": "mlflow"}
"""The packages of loggers that are not installed with everypose."""


class RunLogs:
    r"""Writes a run's numbers and pictures to all logs of its recipe; in the first process only.

    ``metrics.jsonl`` holds one JSON object a line, ``{"step": 10, "loss/total": 0.5, ...}``, and is always written.

    Args:
        folder: the run's folder.
        recipe: names the logs.
        first_step: the step that the run starts or resumes after.
        writes: whether this process writes.

    Raises:
        MissingDependencyError: if a logger's package is not installed.

    >>> from everypose.training.recipe import parse_recipe
    >>> table = {"model": {"family": "cid"}, "schedule": {"epochs": 2}, "logs": {"loggers": ["csv"]}}
    >>> Path("run").mkdir()
    >>> logs = RunLogs(Path("run"), parse_recipe(table), first_step=0, writes=True)
    >>> logs.write(10, {"loss/total": 0.5})
    >>> logs.close()
    >>> Path("run/metrics.jsonl").read_text()
    '{"step": 10, "loss/total": 0.5}\n'
    """

    def __init__(self, folder: Path, recipe: Recipe, *, first_step: int, writes: bool) -> None:
        self._path = folder / METRICS_FILE
        self._writes = writes
        self._loggers: list[Logger] = []
        if writes:
            _keep_lines(self._path, first_step)
            self._loggers = [_open_logger(name, folder, recipe, first_step=first_step) for name in recipe.logs.loggers]
            for logger in self._loggers:
                logger.log_hyperparams(recipe.model_dump(mode="json"))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Log numbers by name at a step."""
        if not self._writes:
            return
        with self._path.open("a") as lines:
            lines.write(json.dumps({"step": step, **values}) + "\n")
        for logger in self._loggers:
            logger.log_metrics(dict(values), step)

    def show(self, step: int, pictures: Mapping[str, Image]) -> None:
        """Log pictures by name; CSV has none."""
        for logger in self._loggers:
            if isinstance(logger, TensorBoardLogger):
                for name, picture in pictures.items():
                    logger.experiment.add_image(f"predictions/{name}", picture, step, dataformats="HWC")
            elif isinstance(logger, WandbLogger) and pictures:
                logger.log_image("predictions", list(pictures.values()), step, caption=list(pictures))
            elif isinstance(logger, MLFlowLogger):
                for name, picture in pictures.items():
                    logger.experiment.log_image(logger.run_id, picture, f"predictions/{step}/{name}")
            logger.save()

    def close(self, status: Literal["success", "failed"] = "success") -> None:
        """Write everything that loggers still hold back, and how the run ended."""
        for logger in self._loggers:
            logger.save()
            logger.finalize(status)


def require_loggers(recipe: Recipe) -> None:
    """Check that the packages of a recipe's loggers are installed.

    Raises:
        MissingDependencyError: if one is not.

    >>> from everypose.training.recipe import parse_recipe
    >>> table = {"model": {"family": "cid"}, "schedule": {"epochs": 2}, "logs": {"loggers": ["csv"]}}
    >>> require_loggers(parse_recipe(table))  # CSV needs no package
    """
    for name in recipe.logs.loggers:
        if name in PACKAGES and find_spec(PACKAGES[name]) is None:
            raise MissingDependencyError(f"the log {name}", name)


def _open_logger(name: LoggerName, folder: Path, recipe: Recipe, *, first_step: int) -> Logger:
    """Open one of Lightning's loggers.

    TensorBoard writes into ``tensorboard/``, CSV into ``csv/`` (``csv-STEP/`` if resumed), Weights & Biases into
    ``wandb/`` and to its server (``WANDB_MODE=offline`` for none), MLflow to ``MLFLOW_TRACKING_URI`` or ``mlflow/``.

    Args:
        name: which one.
        folder: the run's folder.
        recipe: names the run and its project.
        first_step: the step that the run starts or resumes after.
    """
    title = recipe.name or folder.name
    openers: Mapping[LoggerName, Callable[[], Logger]] = {
        "tensorboard": lambda: TensorBoardLogger(folder, name="", version="tensorboard", purge_step=first_step + 1),
        "csv": lambda: CSVLogger(folder, name="", version=f"csv-{first_step}" if first_step else "csv"),
        "wandb": lambda: WandbLogger(name=title, save_dir=folder, project=recipe.logs.project),
        "mlflow": lambda: MLFlowLogger(
            experiment_name=recipe.logs.project,
            run_name=title,
            tracking_uri=os.environ.get("MLFLOW_TRACKING_URI", f"file:{(folder / 'mlflow').resolve()}"),
        ),
    }
    return openers[name]()


def _keep_lines(path: Path, last_step: int) -> None:
    """Drop the lines after a step, which a resumed run writes again, and a line that a killed run left incomplete."""
    kept = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            if json.loads(line)["step"] <= last_step:
                kept.append(line + "\n")
        except ValueError:
            continue
    write_text(path, "".join(kept))
