"""The guide's pipelines of Daft and Spark, as they stand there (``make test-pipelines``)."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

import everypose
from doc_pages import ROOT, blocks_of
from everypose.bulk import PoseActor

parquet = pytest.importorskip("pyarrow.parquet")

EXAMPLES = Path(everypose.__file__).parent / "examples"
PAGE = ROOT / "docs/guides/bulk.md"


def run_recipe(title, folder):
    """Run a block of the page with an output folder of the test; the rows that it writes."""
    (block,) = (block for block in blocks_of(PAGE) if block.title == title)
    text = block.text.replace("/data/poses", str(folder / "out")).replace("repartition(64)", "repartition(2)")
    (folder / "recipe.py").write_text(text)
    files = [EXAMPLES / "group.jpg", EXAMPLES / "pedestrians.jpg", folder / "missing.jpg"]
    (folder / "paths.txt").write_text("".join(f"{path}\n" for path in files))
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "src"),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "DO_NOT_TRACK": "true",  # Daft
    }
    command = [sys.executable, "recipe.py"]
    done = subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = PoseActor(rows="people", threads=1)({"path": [str(path) for path in files]})
    names = ("file", "person", "person_score", "problem")
    expected = sorted(zip(*(found[name].tolist() for name in names), strict=True), key=lambda row: row[:2])
    return parquet.read_table(folder / "out").to_pylist(), expected


def assert_same(rows, expected):
    assert len(rows) == len(expected) > 5
    for row, other in zip(sorted(rows, key=lambda row: row[:2]), expected, strict=True):
        assert (*row[:2], row[3]) == (*other[:2], other[3])
        score = math.nan if row[2] is None else row[2]  # Spark makes an empty cell of what is no number
        assert score == pytest.approx(other[2], abs=1e-6, nan_ok=True)


def test_daft(tmp_path):
    pytest.importorskip("daft", reason="needs the environment of make test-pipelines")
    rows, expected = run_recipe("needs Daft", tmp_path)
    assert_same([(row["path"], *row["person"].values()) for row in rows], expected)


def test_spark(tmp_path):
    pytest.importorskip("pyspark", reason="needs the environment of make test-pipelines")
    rows, expected = run_recipe("needs Spark", tmp_path)
    assert_same([(row["file"], row["person"], row["person_score"], row["problem"]) for row in rows], expected)
