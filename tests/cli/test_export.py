from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from everypose.cli.main import app
from everypose.errors import UsageError
from everypose.methods.single_stage.settings import SingleStageInference
from everypose.models.config import ModelConfig
from everypose.models.storage import save_model
from everypose.skeleton.skeleton import Skeleton
from golden_vectors import TINY_BOIR, tiny_boir

runner = CliRunner()


def invoke(*arguments: Any) -> Any:
    return runner.invoke(app, ["export", *map(str, arguments)])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    skeleton = Skeleton.named("coco").to_dict()
    config = ModelConfig(name="tiny", network=TINY_BOIR, skeleton=skeleton, inference=SingleStageInference(size=64))
    save_model(tiny_boir(), config, folder)
    cv2.imwrite(str(folder / "photo.png"), np.full((64, 64, 3), 120, np.uint8))
    return folder


def test_int8_is_smaller(model: Path, tmp_path: Path) -> None:
    assert invoke(model, "-o", tmp_path / "float.onnx").exit_code == 0
    result = invoke(model, "-o", tmp_path / "int8.onnx", "--int8", "--calibrate", model / "photo.png")
    assert result.exit_code == 0, result.output
    assert "int8 by 1 photos" in result.output
    again = invoke(tmp_path / "float.onnx", "-o", tmp_path / "same.onnx", "--int8", "--calibrate", model / "photo.png")
    assert again.exit_code == 0
    assert (tmp_path / "int8.onnx").stat().st_size < (tmp_path / "float.onnx").stat().st_size


@pytest.mark.parametrize(("arguments", "words"), [
    (["-o", "out.onnx", "--int8"], "go together"),
    (["-o", "out.onnx", "--calibrate", "photos"], "go together"),
    (["-o", "out.bin"], "ends in .onnx"),
])  # fmt: skip
def test_wrong_usage(model: Path, arguments: list[str], words: str) -> None:
    result = invoke(model, *arguments)
    assert isinstance(result.exception, UsageError)
    assert words in str(result.exception)
