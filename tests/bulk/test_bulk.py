import json
import os
import shutil
import signal
import subprocess
import sys
import time

import cv2
import pytest
from pyarrow import parquet

from bulk.tar_files import png, tar_of
from everypose.bulk import run as bulk_run
from everypose.bulk.check import find_problems, shard_states
from everypose.bulk.items import Item
from everypose.bulk.merge import merge
from everypose.bulk.process import process_items
from everypose.bulk.records import read_parts
from everypose.bulk.run import run_shard
from everypose.bulk.shards import Shard, keys_of_shard, parse_shard, shard_of_job
from everypose.bulk.sources import Archive, Sources
from everypose.core.files import sha256
from everypose.errors import EveryposeError, UsageError
from everypose.inference.single_stage import SingleStageEstimator
from everypose.models.config import ModelConfig
from everypose.models.locate import resolve
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
    return run_sources(Sources({name: name for name in images}), out, shard, **options)


def run_sources(sources, out, shard="0/1", **options):
    estimator = SingleStageEstimator(StandIn(), ModelConfig.model_validate(config()), batch_size=2)
    options = {"model": {"model": "stand-in"}, "part_items": 2, "quiet": True, **options}
    return run_shard(estimator, sources, out, shard=parse_shard(shard), **options)


def rows(table):
    return sorted(parquet.read_table(table).to_pylist(), key=lambda row: (row["file"], row["person"], row["keypoint"]))


def test_shards_have_the_rows_of_one_run(images, tmp_path):
    run(images, tmp_path / "one")
    for index in range(3):
        run(images, tmp_path / "three", f"{index}/3")
    for name in ("one", "three"):
        assert find_problems(tmp_path / name) == []
        assert merge(tmp_path / name, tmp_path / f"{name}.parquet") > 0
    assert rows(tmp_path / "one.parquet") == rows(tmp_path / "three.parquet")
    assert {row["file"] for row in rows(tmp_path / "one.parquet")} == {f"{n}.png" for n in range(12) if n % 3}


def test_a_finished_shard_is_skipped_and_a_lost_part_is_found_and_made_again(images, tmp_path):
    assert run(images, tmp_path / "out").images == 12
    assert run(images, tmp_path / "out").images == 0
    part = tmp_path / "out" / "shard-00000-of-00001" / "part-000002.parquet"
    part.write_bytes(b"damaged")
    assert find_problems(tmp_path / "out") == [f"{part} is not as it was written: its SHA-256 differs"]
    part.with_suffix(".json").unlink()
    assert "not the images of its manifest: 10 of 12" in find_problems(tmp_path / "out")[0]
    with pytest.raises(EveryposeError, match="10 of 12"):
        merge(tmp_path / "out", tmp_path / "all.parquet")
    assert run(images, tmp_path / "out").images == 2
    assert find_problems(tmp_path / "out")[:1] == []


def test_failing_images_are_recorded_and_the_others_processed(images, tmp_path):
    images["5.png"].write_bytes(b"no image")
    summary = run(images, tmp_path / "out")
    assert (summary.images, list(summary.failed)) == (11, ["5.png"])
    assert [(one.done, one.failed, one.finished) for one in shard_states(tmp_path / "out")] == [(11, 1, True)]
    assert find_problems(tmp_path / "out") == []


def test_failures_keep_their_place_among_the_images(images, tmp_path):
    """Whatever the size of a batch; so a part has the images that follow one another, failed ones included."""
    for name in ("0.png", "5.png", "6.png", "9.png"):
        images[name].write_bytes(b"")
    paths = sorted(images.values())
    for batch_size in (1, 2, 5, 20):
        estimator = SingleStageEstimator(StandIn(), ModelConfig.model_validate(config()), batch_size=batch_size)
        results = list(process_items(estimator, [Item(path.name, path) for path in paths]))
        assert [result.key for result in results] == [path.name for path in paths]
        assert [result.key for result in results if result.people is None] == ["0.png", "5.png", "6.png", "9.png"]
    run(images, tmp_path / "out", part_items=3)
    parts = read_parts(tmp_path / "out" / "shard-00000-of-00001").values()
    assert [sorted(record.processed) for record in parts] == [
        [path.name for path in paths[start : start + 3]] for start in range(0, 12, 3)
    ]


def test_one_failure_is_one_input(images, tmp_path, everypose):
    model = write_model(tmp_path / "stand_in.onnx")
    images["5.png"].write_bytes(b"")
    done = everypose("bulk", "run", ".", "-m", model, "-o", tmp_path / "out")
    assert done.code == 1
    assert done.err.splitlines()[0] == "everypose: 1 input failed:"


def test_a_shard_that_has_not_begun_and_duplicates_are_problems(images, tmp_path):
    run(images, tmp_path / "out", "0/2")
    assert [one.finished for one in shard_states(tmp_path / "out")] == [True, False]
    assert "is not finished" in find_problems(tmp_path / "out")[0]
    run(images, tmp_path / "out", "1/2")
    first = tmp_path / "out" / "shard-00000-of-00002" / "part-000000"
    for suffix in (".json", ".parquet"):
        first.with_name(f"part-000099{suffix}").write_bytes(first.with_suffix(suffix).read_bytes())
    assert any("2 times" in problem for problem in find_problems(tmp_path / "out"))


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
    assert find_problems(out) == []
    for name in ("whole", "killed"):
        merge(tmp_path / name, tmp_path / f"{name}.parquet")
    assert rows(tmp_path / "whole.parquet") == rows(tmp_path / "killed.parquet")


def test_files_that_are_no_parts_are_not_read(images, tmp_path):
    run(images, tmp_path / "out")
    (tmp_path / "out" / "shard-00000-of-00001" / "part-notes.json").write_text("{}")
    assert find_problems(tmp_path / "out") == []
    assert run(images, tmp_path / "out").images == 0


def archive_sources(tmp_path, tars=3, images=5):
    """Image files and tars, of which the last has an image that cannot be read."""
    found = []
    for number in range(tars):
        path = tmp_path / f"set-{number}.tar"
        bad = [("bad.png", b"no image")] if number == tars - 1 else []
        path.write_bytes(tar_of([(f"{each}.png", png(10 * number + each)) for each in range(images)] + bad))
        found.append(Archive(path.name, str(path)))
    return Sources({}, found)


def test_archives_in_shards_have_the_rows_of_one_run(tmp_path):
    sources = archive_sources(tmp_path)
    run_sources(sources, tmp_path / "one")
    for index in range(2):
        run_sources(sources, tmp_path / "two", f"{index}/2")
    assert [(one.items, one.done, one.failed) for one in shard_states(tmp_path / "two")] == [(11, 10, 1), (5, 5, 0)]
    for name in ("one", "two"):
        assert find_problems(tmp_path / name) == []
        assert merge(tmp_path / name, tmp_path / f"{name}.parquet") == 17 * 14  # one image has no one
    assert rows(tmp_path / "one.parquet") == rows(tmp_path / "two.parquet")


def test_an_interrupted_shard_of_archives_resumes(tmp_path, monkeypatch):
    sources = archive_sources(tmp_path)
    written = 0

    def write_three(*arguments):
        nonlocal written
        written += 1
        if written > 3:
            raise KeyboardInterrupt
        return original(*arguments)

    original = bulk_run._write_part
    with monkeypatch.context() as patch:
        patch.setattr(bulk_run, "_write_part", write_three)
        with pytest.raises(KeyboardInterrupt):
            run_sources(sources, tmp_path / "out")
    assert [(one.items, one.done) for one in shard_states(tmp_path / "out")] == [(None, 6)]
    assert find_problems(tmp_path / "out")[0].endswith("is not finished: 6 images so far")
    assert run_sources(sources, tmp_path / "out").images == 9
    assert find_problems(tmp_path / "out") == []
    for path in tmp_path.glob("*.tar"):
        path.unlink()  # a finished shard does not read them again
    assert run_sources(sources, tmp_path / "out").done_before == 16


def test_failed_images_are_tried_again_when_asked_for(images, tmp_path):
    whole = images["5.png"].read_bytes()
    images["5.png"].write_bytes(b"no image")
    run(images, tmp_path / "out")
    images["5.png"].write_bytes(whole)
    assert run(images, tmp_path / "out").images == 0
    assert run(images, tmp_path / "out", retry_failed=True).images == 1
    run(images, tmp_path / "whole")
    for name in ("out", "whole"):
        assert find_problems(tmp_path / name) == []
        merge(tmp_path / name, tmp_path / f"{name}.parquet")
    assert rows(tmp_path / "out.parquet") == rows(tmp_path / "whole.parquet")


def test_an_image_in_two_shards_is_a_problem(images, tmp_path):
    run(images, tmp_path / "out", "0/2")
    run(images, tmp_path / "out", "1/2")
    first, second = (tmp_path / "out" / Shard(index, 2).folder for index in range(2))
    for suffix in (".json", ".parquet"):
        (second / f"part-000099{suffix}").write_bytes((first / f"part-000000{suffix}").read_bytes())
    assert any("which shard 0 has, too" in problem for problem in find_problems(tmp_path / "out"))


JOBS = (
    {"SLURM_ARRAY_TASK_ID": "{}", "SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_COUNT": "2"},
    {"JOB_COMPLETION_INDEX": "{}"},
)


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize("job", JOBS, ids=["slurm", "kubernetes"])
def test_jobs_choose_their_shards(tmp_path, everypose, monkeypatch, job):
    model = write_model(tmp_path / "stand_in.onnx")
    command = ["bulk", "run", tmp_path / "photos", "-m", model, "-o", tmp_path / "out"]
    for index in range(2):
        for name, value in job.items():
            monkeypatch.setenv(name, value.format(index))
        shards = [] if "SLURM_ARRAY_TASK_ID" in job else ["--shards", 2]
        assert everypose(*command, *shards).code == 0
    assert [(one.shard.index, one.finished) for one in shard_states(tmp_path / "out")] == [(0, True), (1, True)]
    assert find_problems(tmp_path / "out") == []
    refused = everypose(*command, *shards, "--flip")
    assert refused.code == 2
    assert "other options" in refused.err


@pytest.mark.usefixtures("images")
def test_size_and_flip_are_those_of_predict(tmp_path, everypose):
    model = write_model(tmp_path / "stand_in.onnx")
    options = ["-m", model, "--size", 128, "--flip"]
    assert everypose("bulk", "run", ".", *options, "-o", tmp_path / "bulk").code == 0
    assert everypose("predict", ".", *options, "--save", "parquet", "-o", tmp_path / "predict").code == 0
    merge(tmp_path / "bulk", tmp_path / "bulk.parquet")
    assert rows(tmp_path / "bulk.parquet") == rows(tmp_path / "predict" / "results.parquet")
    refused = everypose("bulk", "run", ".", "-m", model, "--tiles", 2, "-o", tmp_path / "tiles")
    assert refused.code == 2
    assert "takes no detector" in refused.err


@pytest.mark.usefixtures("images")
def test_the_weights_of_each_of_several_detectors_are_recorded(tmp_path, everypose):
    own = tmp_path / "own.onnx"
    shutil.copy(resolve("picodet-s").path, own)
    command = ["bulk", "run", ".", "-m", "mipnet-lite", "--detector", f"{own},picodet-s", "-o", tmp_path / "out"]
    assert everypose(*command).code == 0
    (manifest,) = (tmp_path / "out").rglob("manifest.json")
    hashes = json.loads(manifest.read_text())["model"]["detector sha256"].split()
    assert hashes == [sha256(own)] * 2
