"""The comparison of speed with the last record, the script for a GPU, and models in 8 bits as float32."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks import gpu, regression
from benchmarks.performance.float_models import in_float32
from benchmarks.performance.timing import Timings
from benchmarks.regression import REFERENCES, Measured, changes, ratios, report

from everypose.inference.device_check import agreement, pictures
from everypose.inference.loading import load
from everypose.models.locate import bundled

NAME = "boir-lite"
TINY = gpu.tiny_sizes()


def record(*values: float, machine: str = "a machine") -> Measured:
    return Measured("command", "2026-01-01", machine, "versions", 0.0, {NAME: list(values)})


@pytest.mark.parametrize(
    ("now", "verdict", "code"),
    [
        ((1.0, 1.1, 1.2), "", 0),
        ((1.3, 1.4, 1.5), "slower", 1),
        ((1.2, 1.21, 1.22), "", 0),  # apart, but by less than is flagged
        ((0.7, 1.5, 2.3), "", 0),  # much more, but within the noise
        ((0.6, 0.7, 0.8), "faster", 0),
    ],
)
def test_changes_beyond_noise_are_flagged(
    now: tuple[float, ...], verdict: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    before = record(1.0, 1.1, 1.2)
    (change,) = changes(before, record(*now))
    assert change.verdict == verdict
    assert report(before, record(*now)) == code
    assert f"| {verdict} |" in capsys.readouterr().out


def test_another_machine_never_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(record(1.0, 1.0, 1.0), record(9.0, 9.0, 9.0, machine="another")) == 0
    assert "another machine or other versions: a machine; versions" in capsys.readouterr().out


def test_a_measurement_next_to_much_other_work_never_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(record(1.0, 1.0, 1.0), replace(record(9.0, 9.0, 9.0), others=1.7)) == 0
    assert "Other processes used 1.7 cores meanwhile" in capsys.readouterr().out
    assert report(record(1.0, 1.0, 1.0), replace(record(9.0, 9.0, 9.0), others=0.5)) == 1


def test_a_new_measurement_is_not_compared() -> None:
    now = Measured("", "", "", "", 0.0, {NAME: [1.0], "a new one": [2.0]})
    assert [change.name for change in changes(record(1.0), now)] == [NAME]


def test_ratios_are_taken_in_each_round_and_the_record_is_read_as_written(tmp_path: Path) -> None:
    found = ratios(Timings({"part": [2.0, 9.0], "reference": [1.0, 3.0]}), {"part": "reference"})
    assert found == {"part": [2.0, 3.0]}
    written = record(*found["part"])
    (tmp_path / "record.json").write_text(json.dumps(asdict(written)))
    assert Measured.read(tmp_path / "record.json") == written


def test_the_committed_record_has_every_measurement() -> None:
    committed = Measured.read(Path(__file__).parents[1] / regression.RECORD)
    assert committed.ratios.keys() == REFERENCES.keys()
    assert all(len(values) >= 3 for values in committed.ratios.values())


def test_the_script_for_a_gpu_runs_on_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "tiny_sizes", lambda: {"ViTPose-B": TINY["ViTPose-B"]})
    assert gpu.main(["--tiny", "--minutes", "1.5", "--out", str(tmp_path / "gpu.jsonl")]) == 0
    about, parity, *rest = [json.loads(line) for line in (tmp_path / "gpu.jsonl").read_text().splitlines()]
    assert about.keys() == {"machine", "versions"}
    assert parity["% of keypoints within 1 px"] > 90
    assert [(line.get("form"), line.get("batch")) for line in rest if "form" in line] == [
        ("eager", 1), ("eager", 2), (gpu.ONNX, 1), (gpu.ONNX, 2), ("compiled", None)
    ]  # fmt: skip
    assert any(line.get("measured") == "training step" for line in rest)


def test_without_a_gpu_the_script_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--out", str(tmp_path / "gpu.jsonl")]) == 2
    assert "there is no GPU: --tiny checks" in capsys.readouterr().err


def test_a_model_in_8_bits_as_float32_finds_nearly_the_same(tmp_path: Path) -> None:
    rounded = load("boir-lite", threads=1)
    exact = load(in_float32(bundled("boir-lite.onnx"), tmp_path / "float32.onnx"), threads=1)
    picture = pictures()[0]
    found = agreement([rounded(picture)], [exact(picture)], rounded.min_score)
    assert found is not None
    assert 0.95 < found < 1
    assert not np.array_equal(rounded(picture).scores, exact(picture).scores)
