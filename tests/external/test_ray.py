"""Bulk runs on local Ray clusters of several machines, also with one lost and one added; actors in pipelines.

They need Ray: `make test-ray` installs it in an environment of its own. Without it these tests are skipped.
"""

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from pyarrow import parquet

import everypose
from doc_pages import blocks_of
from everypose.bulk import PoseActor
from everypose.bulk.check import find_problems
from everypose.bulk.merge import merge
from everypose.bulk.shards import Shard
from everypose.errors import EveryposeError, UsageError
from inference.stand_in import crowd, write_model

ray = pytest.importorskip("ray")

from ray.cluster_utils import Cluster  # noqa: E402

from everypose.bulk.ray_run import ActorPool, run_shards  # noqa: E402
from external.ray_work import loader, process  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ROOT = Path(__file__).parents[2]
EXAMPLES = Path(everypose.__file__).parent / "examples"
SHARDS = [Shard(index, 16) for index in range(16)]


@pytest.fixture
def cluster(monkeypatch):
    """Makes a cluster of machines with one CPU each, and connects to it."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_worker_register_timeout_seconds", "600")  # on a machine with much other work
    paths = [str(ROOT / "src"), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    started = []

    def make(machines):
        small = {"object_store_memory": 80 << 20}
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **small})
        started.append(made)
        nodes = [made.add_node(num_cpus=1, **small) for _ in range(machines)]
        ray.init(address=made.address, logging_level="error", log_to_driver=False)
        made.wait_for_nodes()
        return made, nodes

    yield make
    ray.shutdown()
    for made in started:
        made.shutdown()


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(60):
        people = [(0, 0, 50 + number)] if number % 3 else []
        assert cv2.imwrite(str(folder / f"{number:02}.png"), crowd(people)[..., ::-1])
    (folder / "broken.png").write_bytes(b"no image")
    return folder


def rows(table):
    return sorted(parquet.read_table(table).to_pylist(), key=lambda row: (row["file"], row["person"], row["keypoint"]))


def in_one_process(photos, model, out):
    estimator = loader(model)()
    for shard in SHARDS:
        process(estimator, shard, photos=photos, out=out)
    merge(out, out.parent / "one.parquet")
    return rows(out.parent / "one.parquet")


@pytest.mark.parametrize("machines", [2, 4])
def test_a_cluster_has_the_parts_of_one_process(cluster, photos, tmp_path, machines):
    model = write_model(tmp_path / "stand_in.onnx")
    expected = in_one_process(photos, model, tmp_path / "one")
    before = len(set((tmp_path / "processes").read_text().split()))
    cluster(machines)
    out = tmp_path / "out"
    work = partial(process, photos=photos, out=out, pause=0.3)
    summary = run_shards(loader(model), work, SHARDS, pool=ActorPool(), quiet=True)
    assert (summary.images, list(summary.failed)) == (60, [str(photos / "broken.png")])
    assert len(set((tmp_path / "processes").read_text().split())) - before == machines
    assert find_problems(out) == []
    merge(out, tmp_path / "all.parquet")
    assert rows(tmp_path / "all.parquet") == expected
    for path in (tmp_path / "one").rglob("part-*.parquet"):
        assert rows(out / path.relative_to(tmp_path / "one")) == rows(path)
    again = run_shards(loader(model), work, SHARDS, pool=ActorPool(), quiet=True)
    assert (again.images, again.done_before) == (0, 61)


def test_a_machine_lost_and_another_added_change_nothing(cluster, photos, tmp_path):
    model = write_model(tmp_path / "stand_in.onnx")
    expected = in_one_process(photos, model, tmp_path / "one")
    made, nodes = cluster(2)
    out = tmp_path / "out"
    work = partial(process, photos=photos, out=out, pause=0.8)
    with ThreadPoolExecutor(1) as thread:  # machines can only be added in the main thread
        running = thread.submit(run_shards, loader(model), work, SHARDS, pool=ActorPool(), quiet=True)
        while not running.done() and len(list(out.glob("*/part-*.json"))) < 4:
            time.sleep(0.05)
        made.remove_node(nodes[0], allow_graceful=False)
        made.add_node(num_cpus=1, object_store_memory=80 << 20)
        before = len(list(out.glob("*/part-*.json")))
        running.result()
    assert 4 <= before < len(list(out.glob("*/part-*.json")))
    assert find_problems(out) == []
    merge(out, tmp_path / "all.parquet")
    assert rows(tmp_path / "all.parquet") == expected


def test_the_actor_in_a_pipeline_of_ray_data(cluster, photos, tmp_path):
    model = write_model(tmp_path / "stand_in.onnx")
    cluster(2)
    files = [{"path": str(path)} for path in sorted(photos.iterdir())]
    found = (
        ray.data.from_items(files)
        .map_batches(
            PoseActor,
            batch_size=16,
            compute=ray.data.ActorPoolStrategy(size=2),
            num_cpus=1,
            fn_constructor_kwargs={"model": str(model), "threads": 1, "rows": "people"},
        )
        .take_all()
    )
    assert sorted(row["file"] for row in found if not row["problem"]) == [
        str(photos / f"{n:02}.png") for n in range(60) if n % 3
    ]
    assert [row["file"] for row in found if row["problem"]] == [str(photos / "broken.png")]


def test_the_pipeline_of_the_guide(cluster, tmp_path):
    """As it stands there, with other folders."""
    (block,) = (block for block in blocks_of(ROOT / "docs/guides/bulk.md") if "read_binary_files" in block.text)
    (tmp_path / "photos").mkdir()
    for name in ("group", "pedestrians"):
        shutil.copy(EXAMPLES / f"{name}.jpg", tmp_path / "photos")
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no image")
    cluster(3)  # reading, the actor and writing take one CPU each
    text = block.text.replace("s3://bucket/photos", str(tmp_path / "photos")).replace(
        "/data/poses", str(tmp_path / "out")
    )
    exec(compile(text, "guide", "exec"), {})
    paths = sorted(str(path) for path in (tmp_path / "photos").iterdir())
    expected = PoseActor(rows="people", threads=1)({"path": paths})
    found = parquet.read_table(tmp_path / "out").to_pandas().sort_values(["file", "person"])
    assert found["file"].tolist() == sorted(expected["file"].tolist())
    for name in ("person_score", "nose_x", "left_ankle_y"):
        np.testing.assert_allclose(found[name], expected[name], atol=1e-4, err_msg=name)


def test_failures_are_one_line(cluster, photos, tmp_path):
    cluster(1)
    work = partial(process, photos=photos, out=tmp_path / "out")
    with pytest.raises(UsageError, match="no machine of the Ray cluster has the 3 CPUs"):
        run_shards(loader(tmp_path), work, SHARDS, pool=ActorPool(cpus=3), quiet=True)
    with pytest.raises(EveryposeError, match=r"nothing\.onnx") as caught:
        run_shards(loader(tmp_path / "nothing.onnx"), work, SHARDS[:1], pool=ActorPool(), quiet=True)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("photos")
def test_the_command(tmp_path):
    """With relative paths, and Ray started for the run; one image cannot be read."""
    write_model(tmp_path / "stand_in.onnx")
    command = [sys.executable, "-m", "everypose", "bulk", "run", "photos", "-m", "stand_in.onnx", "--out"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    for out, options in {"one": [], "ray": ["--ray", "local", "--shards", "4"]}.items():
        done = subprocess.run(
            [*command, out, *options], cwd=tmp_path, env=environment, check=False, capture_output=True, text=True
        )
        assert done.returncode == 1, done.stderr
        assert done.stdout.startswith("40 people in 60 images of"), done.stdout
        assert "INFO" not in done.stderr
        assert done.stderr.splitlines()[0] == "everypose: 1 input failed:"
        assert "broken.png" in done.stderr
        assert find_problems(tmp_path / out) == []
        merge(tmp_path / out, tmp_path / f"{out}.parquet")
    assert len(list((tmp_path / "ray").glob("shard-*-of-00004"))) == 4
    assert rows(tmp_path / "ray.parquet") == rows(tmp_path / "one.parquet")
