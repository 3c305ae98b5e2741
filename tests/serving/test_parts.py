"""Messages, settings, metrics and the worker's batches, each by itself."""

import asyncio
import errno
import io
import os
import threading
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from everypose.data.image_header import parse_header
from everypose.errors import EveryposeError
from everypose.inference.single_stage import SingleStageEstimator
from everypose.models.config import ModelConfig
from everypose.serving.failures import BadRequestError, UnavailableError
from everypose.serving.jobs import Jobs
from everypose.serving.messages import pack, read_message
from everypose.serving.request_body import HeldBytes, received
from everypose.serving.settings import ModelOptions, ServerSettings
from everypose.serving.worker import Worker
from everypose.serving.worker_process import Task, Ticket, WorkerProcess
from inference.stand_in import StandIn, config
from serving.running import photo

calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no failure."""


@calm
@given(st.dictionaries(st.text(), st.integers() | st.text()), st.binary())
def test_messages_are_read_as_they_were_written(header, content):
    stream = io.BytesIO(pack(header, content) + pack({"last": 1}))
    assert read_message(stream) == (header, content)
    assert read_message(stream) == ({"last": 1}, b"")
    assert read_message(stream) is None


@calm
@given(st.integers(0, 30))
def test_a_cut_message_is_the_end(length):
    message = pack({"id": 1}, b"content of 22 bytes...")
    assert read_message(io.BytesIO(message[:length])) is None


@calm
@given(st.binary(max_size=200))
def test_headers_of_anything_are_sizes_or_one_error(content):
    for start in (b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBPVP8 ", b"BM", b"II*\0", b"MM\0*"):
        with suppress(EveryposeError):
            header = parse_header(start + content, "the image")
            assert header is None or (header.width > 0 and header.height > 0)


def test_a_loopback_address_accepts_local_names_only():
    assert ServerSettings().accepted_hosts == {"127.0.0.1", "localhost", "::1"}
    assert ServerSettings(host="0.0.0.0").accepted_hosts == set()
    assert ServerSettings(hosts=("poses.example",)).accepted_hosts == {"poses.example"}


class Broken(StandIn):
    """A model that fails on bright images, alone or in a batch."""

    def run(self, images, min_score=0.0):
        if images.max() > 250:
            raise MemoryError("not enough")
        return super().run(images, min_score)


def answers(runtime, contents, batch_size=4, **header):
    """What a worker answers to images that are all there before it begins."""
    estimator = SingleStageEstimator(runtime, ModelConfig.model_validate(config()), batch_size=batch_size)
    sent = []
    done = threading.Semaphore(0)

    def send(message, content):
        sent.append((message, content))
        done.release()

    worker = Worker(estimator, send, batch_wait=0.01)
    fields = {"format": "json", "min_score": None, "skeleton": None, "image_id": 1} | header
    messages = [pack({"id": index, **fields}, content) for index, content in enumerate(contents)]
    reader, writer = stream_pair()
    thread = threading.Thread(target=worker.run, args=(reader,))
    thread.start()
    writer.write(b"".join(messages))
    writer.flush()
    for _ in contents:
        assert done.acquire(timeout=10)
    writer.close()
    thread.join(10)
    assert not thread.is_alive()
    reader.close()
    return {message["id"]: message for message, _ in sent}


def stream_pair():
    read, write = os.pipe()
    return os.fdopen(read, "rb"), os.fdopen(write, "wb")


def test_images_that_wait_go_through_the_network_together():
    runtime = StandIn()
    found = answers(runtime, [photo() for _ in range(16)])
    assert [found[index]["people"] for index in range(16)] == [1] * 16
    assert sum(shape[0] for shape in runtime.batches) == 16
    assert max(shape[0] for shape in runtime.batches) == max(message["batch"] for message in found.values()) > 1


def test_a_single_image_does_not_wait():
    runtime = StandIn()
    assert answers(runtime, [photo()])[0]["batch"] == 1


def test_one_image_that_fails_does_not_fail_its_batch(capfd):
    dark, bright = photo([(0, 0, 100)], brightness=200), photo([(0, 0, 100)], brightness=255)
    found = answers(Broken(), [dark, bright, dark, b"no image"])
    assert [found[index].get("people") for index in range(4)] == [1, None, 1, None]
    assert (found[1]["failed"], found[1]["detail"]) == ("model", "the model could not be processed")
    assert found[3]["failed"] == "image"
    assert "MemoryError" in capfd.readouterr().err


@pytest.mark.parametrize(("header", "failed"), [({"skeleton": "interhand2d"}, "request"), ({"skeleton": None}, None)])
def test_what_the_worker_refuses(header, failed):
    assert answers(StandIn(), [photo()], **header)[0].get("failed") == failed


def test_a_threshold_is_inclusive():
    score = float(np.float32(200) / np.float32(255))
    assert answers(StandIn(), [photo()], min_score=score)[0]["people"] == 1
    assert answers(StandIn(), [photo()], min_score=score + 1e-6)[0]["people"] == 0


@pytest.fixture
def no_processes(monkeypatch):
    """A system that starts no more processes."""

    async def refuse(*_, **__):
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", refuse)


@pytest.mark.usefixtures("no_processes")
def test_a_worker_that_the_system_does_not_start_is_tried_again_later():
    """Only an `EveryposeError` is: any other ended the task that restarts workers."""
    starting = WorkerProcess.start(ModelOptions(model="m"), lambda: None, max_pixels=100, batch_wait=0.0)
    with pytest.raises(EveryposeError, match="no process can be started for m: Resource temporarily unavailable"):
        asyncio.run(starting)


@pytest.mark.usefixtures("no_processes")
def test_a_video_for_which_no_process_starts_does_not_stop_the_others():
    async def run():
        jobs = Jobs(limit=4, keep_seconds=600, largest=1000)
        added = [jobs.add({}, b"video") for _ in range(2)]
        await jobs._runner
        return added

    for job in asyncio.run(run()):
        assert job.state == "failed"
        assert job.detail == "no process can be started for the video: Resource temporarily unavailable"


class StandInProcess:
    """A process that has sent some bytes and ended."""

    def __init__(self, sent):
        self.sent, self.returncode, self.pid = sent, None, 1
        self.stdin = SimpleNamespace(write=lambda _: None, drain=self.wait)

    @property
    def stdout(self):
        stream = asyncio.StreamReader()
        stream.feed_data(self.sent)
        stream.feed_eof()
        return stream

    def kill(self):
        self.returncode = -9

    async def wait(self):
        return self.returncode


NO_MESSAGES = [b"\0\0\0\2\0\0\0\0[]", b"\0\0\0\1\0\0\0\0{", pack({"nothing": 1}), pack({"id": []}), pack({"frames": 1})]


@pytest.mark.parametrize("sent", NO_MESSAGES)
def test_a_worker_that_sends_no_answers_is_ended(sent):
    async def run():
        process = StandInProcess(sent)
        worker = WorkerProcess(process, {}, on_answer=lambda: None)
        ticket = worker.in_flight[1] = Ticket(Task(b"image", pixels=1))
        await worker.run()
        return process.returncode, ticket.answer.exception()

    code, failure = asyncio.run(run())
    assert (code, type(failure)) == (-9, UnavailableError)


@pytest.mark.parametrize("sent", NO_MESSAGES)
def test_a_video_whose_process_sends_no_answers_fails(sent, monkeypatch):
    async def start(*_, **__):
        return StandInProcess(sent)

    async def run():
        jobs = Jobs(limit=4, keep_seconds=600, largest=1000)
        added = [jobs.add({}, b"video") for _ in range(2)]
        await jobs._runner
        return added

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
    assert {(job.state, job.detail) for job in asyncio.run(run())} == {
        ("failed", "the process that worked on the video ended")
    }


@pytest.mark.parametrize("charset", ["undefined", "idna", "no-such", "utf-16"])
def test_charsets_of_forms_are_not_trusted(charset):
    body = b'--B\r\nContent-Disposition: form-data; name="caf\xe9"; filename="a"\r\n\r\nx\r\n--B--\r\n'

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def run():
        content_type = f"multipart/form-data; charset={charset}; boundary=B".encode()
        request = Request({"type": "http", "headers": [(b"content-type", content_type)]}, receive)
        async with received(request, "image", ("image/",), limit=1000, seconds=1, memory=HeldBytes(1000)) as upload:
            return upload

    with pytest.raises(BadRequestError, match="form"):
        asyncio.run(run())
