import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest
from pyarrow import parquet

from everypose.bulk.check import merge, problems, states
from everypose.bulk.run import run_shard
from everypose.bulk.shards import Shard, keys_of_shard, parse_shard, shard_of_job
from everypose.errors import EveryposeError, UsageError
from everypose.inference.inputs import Source
from everypose.inference.single_stage import SingleStageEstimator
from everypose.models.config import ModelConfig
from inference.stand_in import StandIn, config, crowd, write_model


@pytest.fixture
def images(tmp_path, monkeypatch):
    found = {}
    for number in range(12):
        path = tmp_path / "photos" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        assert cv2.imwrite(str(path), crowd([(0, 0, 50 + number)] if number % 3 else [])[..., ::-1])
        found[path.name] = path
    monkeypatch.chdir(tmp_path / "photos")
    return found


def run(images, out, shard="0/1", **options):
    estimator = SingleStageEstimator(StandIn(), ModelConfig.model_validate(config()), batch_size=2)
    options = {"model": {"model": "stand-in"}, "part_items": 2, "quiet": True, **options}
    sources = [Source(Path(name), name, number) for number, name in enumerate(images, 1)]
    return run_shard(estimator, sources, out, shard=parse_shard(shard), **options)


def rows(table):
    return sorted(parquet.read_table(table).to_pylist(), key=lambda row: (row["file"], row["person"], row["keypoint"]))


def test_shards_have_the_rows_of_one_run(images, tmp_path):
    run(images, tmp_path / "one")
    for index in range(3):
        run(images, tmp_path / "three", f"{index}/3")
    for name in ("one", "three"):
        assert problems(tmp_path / name) == []
        assert merge(tmp_path / name, tmp_path / f"{name}.parquet") > 0
    assert rows(tmp_path / "one.parquet") == rows(tmp_path / "three.parquet")
    assert {row["file"] for row in rows(tmp_path / "one.parquet")} == {f"{n}.png" for n in range(12) if n % 3}


def test_a_finished_shard_is_skipped_and_a_lost_part_is_found_and_made_again(images, tmp_path):
    assert run(images, tmp_path / "out").images == 12
    assert run(images, tmp_path / "out").images == 0
    part = tmp_path / "out" / "shard-00000-of-00001" / "part-000002.parquet"
    part.write_bytes(b"damaged")
    assert problems(tmp_path / "out") == [f"{part} is not as it was written: its SHA-256 differs"]
    part.with_suffix(".json").unlink()
    assert "not the images of its manifest: 10 of 12" in problems(tmp_path / "out")[0]
    with pytest.raises(EveryposeError, match="10 of 12"):
        merge(tmp_path / "out", tmp_path / "all.parquet")
    assert run(images, tmp_path / "out").images == 2
    assert problems(tmp_path / "out")[:1] == []


def test_failing_images_are_recorded_and_the_others_processed(images, tmp_path):
    images["5.png"].write_bytes(b"no image")
    summary = run(images, tmp_path / "out")
    assert (summary.images, list(summary.failed)) == (11, ["5.png"])
    assert [(one.done, one.failed, one.finished) for one in states(tmp_path / "out")] == [(11, 1, True)]
    assert problems(tmp_path / "out") == []


def test_a_shard_that_has_not_begun_and_duplicates_are_problems(images, tmp_path):
    run(images, tmp_path / "out", "0/2")
    assert [one.finished for one in states(tmp_path / "out")] == [True, False]
    assert "is not finished" in problems(tmp_path / "out")[0]
    run(images, tmp_path / "out", "1/2")
    first = tmp_path / "out" / "shard-00000-of-00002" / "part-000000"
    for suffix in (".json", ".parquet"):
        first.with_name(f"part-000099{suffix}").write_bytes(first.with_suffix(suffix).read_bytes())
    assert any("2 times" in problem for problem in problems(tmp_path / "out"))


def test_another_model_or_number_of_shards_is_refused(images, tmp_path):
    run(images, tmp_path / "out")
    with pytest.raises(UsageError, match="another model"):
        run(images, tmp_path / "out", model={"model": "other"})
    with pytest.raises(UsageError, match="1 shards, not 2"):
        run(images, tmp_path / "out", "0/2")


def test_shards_of_jobs():
    assert shard_of_job({}) == Shard(0, 1)
    assert shard_of_job({"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "4"}) == Shard(3, 4)
    assert shard_of_job({"JOB_COMPLETION_INDEX": "1"}, 4) == Shard(1, 4)
    for wrong in ({"JOB_COMPLETION_INDEX": "1"}, {"SLURM_ARRAY_TASK_ID": "4", "SLURM_ARRAY_TASK_COUNT": "4"}):
        with pytest.raises(UsageError):
            shard_of_job(wrong)
    for text in ("4/4", "a/2", "1", "-1/2"):
        with pytest.raises(UsageError):
            parse_shard(text)
    names = [f"{n}.jpg" for n in range(1000)]
    sizes = [len(keys_of_shard(names, Shard(index, 4))) for index in range(4)]
    assert sum(sizes) == 1000
    assert min(sizes) > 200


@pytest.mark.usefixtures("images")
def test_nothing_is_lost_or_duplicated_by_kills(tmp_path):
    model = write_model(tmp_path / "stand_in.onnx")
    command = [sys.executable, "-m", "everypose", "bulk", "run", str(tmp_path / "photos"), "-m", str(model), "-q"]
    command += ["--part", "1", "--out"]
    subprocess.run([*command, str(tmp_path / "whole")], check=True)
    out = tmp_path / "killed"
    for number in range(2):
        process = subprocess.Popen([*command, str(out)])
        while process.poll() is None and len(list(out.glob("*/part-*.json"))) < 3 * (number + 1):
            time.sleep(0.001)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run([*command, str(out)], check=True)
    assert problems(out) == []
    for name in ("whole", "killed"):
        merge(tmp_path / name, tmp_path / f"{name}.parquet")
    assert rows(tmp_path / "whole.parquet") == rows(tmp_path / "killed.parquet")


def test_files_that_are_no_parts_are_not_read(images, tmp_path):
    run(images, tmp_path / "out")
    (tmp_path / "out" / "shard-00000-of-00001" / "part-notes.json").write_text("{}")
    assert problems(tmp_path / "out") == []
    assert run(images, tmp_path / "out").images == 0
