"""Messages, settings, metrics and the worker's batches, each by itself."""

import io
import os
import threading
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everypose.data.image_header import parse_header
from everypose.errors import EveryposeError
from everypose.inference.single_stage import SingleStageEstimator
from everypose.models.config import ModelConfig
from everypose.serving.messages import pack, read_message
from everypose.serving.settings import ServerSettings
from everypose.serving.worker import Worker
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
