"""Video jobs: the result is that of the frames offline; progress, cancelling, refusals, expiry."""

import io
import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

import everypose
from everypose.people import People
from everypose.serving.jobs import Job, Jobs
from everypose.serving.rendering import MODEL_HEADER
from everypose.serving.video_worker import is_video
from inference.stand_in import crowd

av = pytest.importorskip("av")
pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="videos are kept in memory, which needs Linux")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A lossless clip: a person who moves by a block, and a second one who comes later."""
    path = tmp_path_factory.mktemp("clip") / "clip.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 128, 64, "bgr0"
        for index in range(12):
            image = crowd([(0, 0, 200)] + [(2, 1, 190)] * (index >= 4), width=128)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def finished(client, job_id, state="done"):
    deadline = time.monotonic() + 60
    while (job := client.get(f"/v1/video/{job_id}").json())["state"] in ("queued", "running"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert job["state"] == state, job
    return job


def start(client, content, media_type="video/x-matroska", **options):
    return client.post("/v1/video", content=content, headers={"content-type": media_type}, params=options)


def test_the_result_is_that_of_the_frames_offline(client, model, clip):
    answer = start(client, clip.read_bytes(), track=False)
    assert answer.status_code == 202
    job = finished(client, answer.json()["id"])
    assert (job["frames"], job["total"]) == (12, 12)
    result = client.get(job["result"]).json()
    offline = list(everypose.load(model).stream(str(clip)))
    assert [frame["time"] for frame in result["frames"]] == [frame.time for frame in offline]
    for found, frame in zip(result["frames"], offline, strict=True):
        people = People.from_json(everypose_json(result["skeleton"], found["people"]))
        assert np.array_equal(people.keypoints, frame.people.keypoints)
    assert [len(frame["people"]) for frame in result["frames"]] == [1] * 4 + [2] * 8


def everypose_json(skeleton, people):
    return json.dumps({"skeleton": skeleton, "people": people})


def test_tracked_people_keep_their_ids(client, clip):
    job = finished(client, client.post("/v1/video", files={"video": clip.read_bytes()}).json()["id"])
    frames = client.get(job["result"]).json()["frames"]
    ids = [{person["id"] for person in frame["people"]} for frame in frames]
    assert len(ids[-1]) == 2
    assert ids[-1] == ids[-2]


def test_csv_and_coco(client, clip):
    for output, media_type in (("csv", "text/csv; charset=utf-8"), ("coco", "application/json")):
        job = finished(client, start(client, clip.read_bytes(), format=output).json()["id"])
        answer = client.get(job["result"])
        assert answer.headers["content-type"] == media_type
        described = client.get("/v1/models").json()["models"][0]
        assert json.loads(answer.headers[MODEL_HEADER]) == described["weights"]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 415),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", 415),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", 415),
        (b"<?xml version='1.0'?><MPD/>", 415),
        (b"RIFF\0\0\0\0WAVE" + bytes(200), 415),
        (bytes(300), 415),
    ],
)
def test_what_is_no_video_is_refused_at_once(client, content, status):
    assert start(client, content).status_code == status
    assert not is_video(content)


def test_a_damaged_video_fails_with_one_line(client):
    job = finished(client, start(client, b"\0\0\0\x18ftypisom" + bytes(500)).json()["id"], "failed")
    assert "/proc" not in job["detail"]
    assert "\n" not in job["detail"]
    assert client.get(f"/v1/video/{job['id']}/result").status_code == 422


def test_messages_do_not_reveal_where_a_video_is(client, clip):
    sound = io.BytesIO()
    with av.open(sound, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    content = clip.read_bytes()
    without_frames = content[: content.index(b"\x1f\x43\xb6\x75") + 60]  # the first is cut off
    for video, problem in ((sound.getvalue(), "contains no video stream"), (without_frames, "contains no video frame")):
        job = finished(client, start(client, video).json()["id"], "failed")
        assert job["detail"].startswith(f"the video of the request {problem}")


def test_options_that_cannot_be(client, clip):
    content = clip.read_bytes()
    assert start(client, content, format="png").status_code == 422
    assert start(client, content, model="other").status_code == 404
    assert start(client, content, media_type="image/png").status_code == 415
    assert client.post("/v1/video", files={"video": content}, data={"track": "false"}).status_code == 422


def test_unknown_jobs(client):
    assert client.get(f"/v1/video/{'0' * 32}").status_code == 404
    assert client.delete(f"/v1/video/{'0' * 32}").status_code == 404
    assert client.get("/v1/video/../../etc").status_code == 404
    assert client.get("/v1/video/zz").status_code == 422


def test_cancelling_and_a_killed_process(service, client, clip):
    stopped = start(client, clip.read_bytes()).json()["id"]
    worker = video_process(service)
    os.kill(worker, signal.SIGSTOP)
    waiting = start(client, clip.read_bytes()).json()["id"]
    assert client.get(f"/v1/video/{stopped}/result").status_code == 409
    assert client.delete(f"/v1/video/{waiting}").json()["state"] == "cancelled"
    assert client.delete(f"/v1/video/{stopped}").json()["state"] == "cancelled"
    killed = start(client, clip.read_bytes()).json()["id"]
    os.kill(video_process(service, other_than=worker), signal.SIGKILL)
    assert "ended" in finished(client, killed, "failed")["detail"]
    finished(client, start(client, clip.read_bytes()).json()["id"])


def video_process(service, other_than=None):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for pid in service.workers():
            if pid != other_than and b"video_worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        time.sleep(0.02)
    raise AssertionError("no process for the video")


def test_too_many_videos_wait(client, clip):
    answers = [start(client, clip.read_bytes()) for _ in range(7)]
    assert {answer.status_code for answer in answers} == {202, 429}
    for answer in answers:
        if answer.status_code == 202:
            client.delete(f"/v1/video/{answer.json()['id']}")


def test_ended_jobs_expire_and_large_results_go_first():
    jobs = Jobs(limit=1, keep_seconds=60, largest=10)
    old, new = (Job(state="done", result=b"123456", finished=time.monotonic() - age) for age in (30, 10))
    expired = Job(state="done", finished=time.monotonic() - 100)
    jobs._jobs = {job.id: job for job in (old, new, expired)}
    assert jobs.get(new.id) is new
    assert set(jobs._jobs) == {new.id}
