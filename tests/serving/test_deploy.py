"""The container files: their options exist, and what they promise about rights and torch is in them."""

import re
import tomllib
from pathlib import Path

import pytest
from typer.main import get_command

from everypose.cli.main import app

DEPLOY = Path(__file__).parent.parent.parent / "deploy"


@pytest.mark.parametrize("name", ["Dockerfile", "compose.yaml", "kubernetes.yaml"])
def test_options_exist(name):
    command = get_command(app).commands["serve"]  # type: ignore[attr-defined]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    used = set(re.findall(r'"(--[a-z-]+)"', (DEPLOY / name).read_text()))
    assert used
    assert used <= known


def test_the_image_runs_without_root_rights_and_without_torch():
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    (extras,) = re.findall(r"\[([a-z,]+)\]\"", dockerfile)
    packages = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert not any("torch" in package for extra in extras.split(",") for package in packages[extra])
    assert re.search(r"^USER 10001$", dockerfile, re.MULTILINE)
    assert "HEALTHCHECK" in dockerfile
    assert "read_only: true" in (DEPLOY / "compose.yaml").read_text()
    assert "readOnlyRootFilesystem: true" in (DEPLOY / "kubernetes.yaml").read_text()
