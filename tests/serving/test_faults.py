"""What clients see when workers end or hang, models vanish, disks fill, and the service is asked to stop."""

import json
import os
import shutil
import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from everypose.people import People
from serving.running import photo, running

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds and signals workers through /proc")


def ask(service, timeout=20, **options):
    with service.client() as client:
        return client.post(
            "/v1/poses", content=photo(), headers={"content-type": "image/png"}, params=options, timeout=timeout
        )


def wait_until(condition, seconds=15):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def is_ready(service):
    with service.client() as client:
        return client.get("/ready").status_code == 200


@pytest.fixture
def own_model(model, tmp_path):
    return shutil.copy(model, tmp_path / "own.onnx")


def test_a_worker_that_is_killed_is_replaced(own_model):
    with running("-m", own_model, "--threads", 1) as service, ThreadPoolExecutor(4) as pool:
        (worker,) = service.workers()
        os.kill(worker, signal.SIGSTOP)
        waiting = [pool.submit(ask, service) for _ in range(8)]
        with service.client() as client:
            wait_until(lambda: "everypose_queue_images" in client.get("/metrics").text)
        time.sleep(0.3)
        os.kill(worker, signal.SIGKILL)
        answers = [one.result() for one in waiting]
        lost = [one for one in answers if one.status_code == 503]
        assert {one.status_code for one in answers} == {200, 503}  # what waited in the queue is answered
        assert all(one.json()["detail"] == "the worker ended while it was processing this image" for one in lost)
        assert all(one.headers["retry-after"] == "1" for one in lost)
        assert len(People.from_json(ask(service).text)) == 1
        assert any('"worker ended"' in line for line in service.log)


def test_a_worker_that_hangs_is_replaced(own_model):
    with running("-m", own_model, "--threads", 1, "--timeout", 1) as service:
        (worker,) = service.workers()
        os.kill(worker, signal.SIGSTOP)
        late = ask(service)
        assert (late.status_code, late.json()["detail"]) == (504, "no answer within 1 seconds")
        wait_until(lambda: service.workers() not in ([], [worker]) and is_ready(service))
        assert ask(service).status_code == 200


def test_a_full_queue_refuses_at_once_and_recovers(own_model):
    with running("-m", own_model, "--threads", 1, "--queue", 2) as service, ThreadPoolExecutor(16) as pool:
        (worker,) = service.workers()
        os.kill(worker, signal.SIGSTOP)
        waiting = [pool.submit(ask, service) for _ in range(16)]
        wait_until(lambda: sum(one.done() for one in waiting) >= 10)
        refused = [one.result() for one in waiting if one.done()]
        assert {one.status_code for one in refused} == {429}
        assert {one.headers["retry-after"] for one in refused} == {"1"}
        os.kill(worker, signal.SIGCONT)
        answers = [one.result().status_code for one in waiting]
        assert answers.count(200) == 16 - len(refused)


def test_clients_that_go_away_leave_the_queue(own_model):
    with running("-m", own_model, "--threads", 1, "--queue", 3) as service:
        (worker,) = service.workers()
        os.kill(worker, signal.SIGSTOP)
        content = photo()
        head = f"POST /v1/poses HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n".encode()
        for _ in range(12):
            with socket.create_connection(("127.0.0.1", service.port)) as one:
                one.sendall(head + content)
                time.sleep(0.05)
        with service.client() as client:
            wait_until(lambda: 'everypose_queue_images{model="stand-in"} 0.0' in client.get("/metrics").text)
        os.kill(worker, signal.SIGCONT)
        assert ask(service).status_code == 200


def test_a_model_file_that_is_removed(own_model):
    with running("-m", own_model, "--threads", 1) as service:
        (worker,) = service.workers()
        own_model.unlink()
        assert ask(service).status_code == 200  # it is loaded
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: "no model" in json.dumps(get(service, "/ready").json()))
        assert get(service, "/ready").status_code == 503
        assert get(service, "/health").status_code == 200
        refused = ask(service)
        assert refused.status_code == 503
        assert "the model cannot be loaded" in refused.json()["detail"]


def get(service, path):
    with service.client() as client:
        return client.get(path)


def test_stopping_finishes_what_has_arrived(own_model):
    with running("-m", own_model, "--threads", 1) as service, ThreadPoolExecutor(8) as pool:
        (worker,) = service.workers()
        os.kill(worker, signal.SIGSTOP)
        waiting = [pool.submit(ask, service) for _ in range(8)]
        time.sleep(1)
        service.process.terminate()
        time.sleep(0.5)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", service.port))
        os.kill(worker, signal.SIGCONT)
        assert [one.result().status_code for one in waiting] == [200] * 8
        assert service.process.wait(10) == 0
        wait_until(lambda: not Path(f"/proc/{worker}").exists())


def test_stopping_does_not_wait_for_ever(own_model):
    with running("-m", own_model, "--threads", 1, "--grace", 1) as service, ThreadPoolExecutor(1) as pool:
        (worker,) = service.workers()
        os.kill(worker, signal.SIGSTOP)
        waiting = pool.submit(ask, service)
        time.sleep(0.5)
        begin = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - begin < 12
        assert waiting.result().status_code == 503


def test_a_service_that_is_killed_leaves_no_worker(own_model):
    with running("-m", own_model, "--threads", 1) as service:
        (worker,) = service.workers()
        service.process.kill()
        wait_until(lambda: state(worker) in (None, "Z"))


def state(pid):
    """The state of a process as Linux abbreviates it; None when there is no such process."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.read_text().rpartition(")")[2].split()[0] if stat.exists() else None


def test_a_full_disk_does_not_matter(own_model, tmp_path):
    """Uploads stay in memory: forms are read although no temporary file can be written."""
    env = {**os.environ, "TMPDIR": str(tmp_path / "missing"), "TEMP": "/proc/nowhere", "TMP": "/proc/nowhere"}
    large = photo(suffix=".bmp", height=1024, width=1024)  # 3 MB: web frameworks write such files to disk
    with running("-m", own_model, "--threads", 1, env=env) as service, service.client() as client:
        before = files_of(service.process.pid)
        answer = client.post("/v1/poses", files={"image": ("large.bmp", large)})
        assert (answer.status_code, files_of(service.process.pid)) == (200, before)


def files_of(pid):
    """The regular files that a process has open."""
    targets = (str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir())
    return {target for target in targets if target.startswith("/")}
