"""``everypose bulk run --ray ADDRESS`` on machines with addresses of their own (``make test-ray``, as root).

One machine is lost in the middle of the run, with its network, and another is added.
"""

import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import pytest
from pyarrow import parquet

import everypose
from everypose.bulk.check import find_problems, shard_states
from everypose.bulk.merge import merge
from external.machines import PORT, separate_machines, wait_for

pytest.importorskip("ray", reason="needs the environment of make test-ray")

ROOT = Path(__file__).parents[2]
EXAMPLES = Path(everypose.__file__).parent / "examples"
IMAGES = 24
SHARDS = 12
ENVIRONMENT = {
    "PYTHONPATH": str(ROOT / "src"),
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_register_timeout_seconds": "600",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_failure_threshold": "5",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "OMP_NUM_THREADS": "1",
}


PAUSES_BEFORE_EACH_SHARD = """
import time
from everypose.bulk import run
from everypose.cli.main import main

def slow(*arguments, **named):
    time.sleep(4)
    return run_shard(*arguments, **named)

run_shard = run.run_shard
run.run_shard = slow
main()
"""


@pytest.fixture
def machines():
    with separate_machines(3, ENVIRONMENT) as found:
        if found is None:
            pytest.skip("network namespaces are not permitted here")
        yield found


@pytest.fixture
def tmp_path():
    """A folder on the disk, since each machine has memory (``/dev/shm``) of its own."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture
def photos(tmp_path):
    """Windows of a photo of many people, each at another place, and a file that is no image."""
    image = cv2.imread(str(EXAMPLES / "group.jpg"))
    assert image is not None
    folder = tmp_path / "photos"
    folder.mkdir()
    height, width = image.shape[:2]
    for number in range(IMAGES):
        left = number * width // (4 * IMAGES)
        assert cv2.imwrite(str(folder / f"{number:02}.jpg"), image[: height - number, left : left + 3 * width // 4])
    (folder / "broken.jpg").write_bytes(b"no image")
    return folder


def rows(out):
    table = out.with_suffix(".parquet")
    merge(out, table)
    return sorted(parquet.read_table(table).to_pylist(), key=lambda row: (row["file"], row["person"], row["keypoint"]))


@pytest.mark.usefixtures("photos")
def test_a_machine_lost_and_another_added(machines, tmp_path):
    (tmp_path / "slow.py").write_text(PAUSES_BEFORE_EACH_SHARD)
    arguments = ["bulk", "run", "photos", "--part", "2", "-q", "-o"]
    one = [sys.executable, "-m", "everypose", *arguments, "one"]
    environment = {**os.environ, **ENVIRONMENT}
    done = subprocess.run(one, cwd=tmp_path, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr  # of the file that is no image
    head, lost, added = machines
    head.start_ray(tmp_path / "head")
    lost.start_ray(tmp_path / "lost", head=head.address)
    out = tmp_path / "ray"
    words = [*arguments, "ray", "--ray", f"{head.address}:{PORT}", "--shards", SHARDS]
    run = head.command([sys.executable, "slow.py", *words], tmp_path)

    def parts():
        return len(list(out.glob("*/part-*.json")))

    wait_for(lambda: run.poll() is not None or (parts() >= 4 and lost.runs("ShardActor")))
    assert run.poll() is None, run.communicate()
    lost.fail()
    finished = parts()
    added.start_ray(tmp_path / "added", head=head.address)
    wait_for(lambda: run.poll() is not None or added.runs("ShardActor"))
    assert run.poll() is None, run.communicate()
    _, message = run.communicate(timeout=900)
    assert run.returncode == 1, message
    assert message.splitlines()[0] == "everypose: 1 input failed:"
    assert "broken.jpg" in message
    assert 4 <= finished < parts()
    assert find_problems(out) == []
    assert sum(state.done for state in shard_states(out)) == IMAGES
    assert rows(out) == rows(tmp_path / "one")
