"""Every format of ``--save`` is listed once, is opened where its scope says, and is named in the commands' help."""

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import fake_rerun
from everypose.cli.main import app
from everypose.errors import UsageError
from everypose.inference.results.writing import (
    FORMATS,
    Scope,
    format_names,
    frame_writers,
    parse_formats,
    recording_writers,
    run_writers,
    video_writers,
)
from inference.results.made import video


@pytest.mark.parametrize("name", format_names())
def test_a_format_writes_where_its_scope_says(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, "rerun", fake_rerun.module())
    writers = [
        *run_writers(tmp_path, "results", [name], wide=False, live=False),
        *frame_writers(tmp_path, "clip", [name], in_folders=False),
        *video_writers(tmp_path, "clip", [name]),
        *recording_writers(tmp_path / "rerun", "clip", [name]),
    ]
    assert len(writers) == 2  # the COCO results list, and this format
    for writer in writers:
        with writer:
            for result in video():
                writer.add(result)
    in_one_file = name in format_names(Scope.RUN)
    written = [tmp_path / f"results.{name}"] if in_one_file else list((tmp_path / name).iterdir())
    assert any(file.stat().st_size for file in written)


def test_names_are_unique():
    assert len(set(format_names())) == len(FORMATS)


@pytest.mark.parametrize("command", ["predict", "track"])
def test_the_help_names_every_format(command):
    output = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "300"}).output
    words = output.replace(",", " ").replace(".", " ").replace(";", " ").split()
    for each in FORMATS:
        if command == "predict" or not each.needs_image_size:
            assert each.name in words


def test_the_guide_names_every_format():
    guide = Path(__file__).parents[3] / "docs" / "guides" / "predict.md"
    table = guide.read_text(encoding="utf-8").partition("| `--save` | files |")[2].partition("\n\n")[0]
    assert [each.name for each in FORMATS if f"`{each.name}`" not in table] == []


def test_unknown_format():
    with pytest.raises(UsageError, match="choose from csv, parquet"):
        parse_formats("xlsx", format_names())
