"""A worker process: one loaded model that finds the people of encoded images, in batches where that is faster.

The service starts it as ``python -m everypose.serving.worker`` and exchanges :mod:`everypose.serving.messages`
with it over its standard input and output. Threads decode and resize the next images and render the last answers while
the network runs. The process ends when its standard input does.
"""

import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import BinaryIO

from everypose.core.process_setup import hide_native_messages
from everypose.data.images import decode_image
from everypose.errors import EveryposeError
from everypose.inference.estimator import Estimator, Prepared
from everypose.people import People
from everypose.serving.messages import Header, pack, read_message
from everypose.serving.rendering import Rendered, in_skeleton, render

THREADS = 2
"""Threads that decode images and render answers."""
Send = Callable[[Header, bytes], None]


@dataclass(frozen=True)
class Request:
    """A request for the people of one image.

    Attributes:
        header: header of the message: ``id``, ``format``, ``min_score``, ``skeleton``, ``image_id``.
        prepared: the decoded and resized image.

    >>> import numpy as np
    >>> from everypose.inference.boxes import Photo
    >>> Request({"id": 1, "format": "json"}, Photo(np.zeros((48, 64, 3), np.uint8))).header["format"]
    'json'
    """

    header: Header
    prepared: Prepared


class Worker:
    """Answers requests with one estimator; images of several requests go through the network as one batch.

    Args:
        estimator: the loaded model.
        send: sends one message to the service.
        batch_wait: seconds to wait for more images while others are being decoded.
        weights: name and hash of the weights (:func:`weights_of`), for answers in JSON.

    >>> import io
    >>> import numpy as np
    >>> from everypose import load
    >>> from everypose.drawing import encode
    >>> header = {"id": 1, "format": "coco", "min_score": None, "skeleton": None, "image_id": 1}
    >>> stream = io.BytesIO(pack(header, encode(np.zeros((64, 64, 3), np.uint8), ".png")))
    >>> answers: SimpleQueue[tuple[Header, bytes]] = SimpleQueue()
    >>> worker = Worker(load("boir-lite", threads=1), lambda header, content: answers.put((header, content)), 0.0)
    >>> worker.run(stream)
    >>> header, content = answers.get(timeout=60)
    >>> header["id"], header["people"], content
    (1, 0, b'[]')
    """

    def __init__(self, estimator: Estimator, send: Send, batch_wait: float, weights: Header | None = None) -> None:
        self._estimator = estimator
        self._weights = weights
        self._send = send
        self._batch_wait = batch_wait
        self._ready: SimpleQueue[Request | None] = SimpleQueue()
        self._pool = ThreadPoolExecutor(THREADS)
        self._expected = 0
        self._counting = threading.Lock()

    def run(self, stream: BinaryIO) -> None:
        """Answer the requests of ``stream`` until it ends."""
        threading.Thread(target=self._receive, args=(stream,), daemon=True).start()
        while (request := self._ready.get()) is not None:
            batch = self._fill_batch(request)
            for one, found in zip(batch, self._predict(batch), strict=True):
                self._pool.submit(self._answer, one, found, len(batch))

    def _receive(self, stream: BinaryIO) -> None:
        """Pass every message to the threads that decode; the end comes after the last decoded image."""
        decoding: deque[Future[None]] = deque()
        while (message := read_message(stream)) is not None:
            with self._counting:
                self._expected += 1
            decoding.append(self._pool.submit(self._prepare, *message))
            while decoding and decoding[0].done():
                decoding.popleft()
        wait(decoding)
        self._ready.put(None)

    def _prepare(self, header: Header, content: bytes) -> None:
        """Decode and resize one image."""
        try:
            prepared = self._estimator.prepare(decode_image(content, "of the request"))
        except Exception as error:
            self._no_longer_expected(1)
            self._refuse(header, "image", error)
        else:
            self._ready.put(Request(header, prepared))

    def _fill_batch(self, first: Request) -> list[Request]:
        """Collect up to a batch of requests; wait at most ``batch_wait``, and only while others are being decoded."""
        batch = [first]
        deadline = time.monotonic() + self._batch_wait
        while len(batch) < min(self._estimator.batch_size, self._expected):
            try:
                request = self._ready.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                break
            if request is None:
                self._ready.put(None)
                break
            batch.append(request)
        self._no_longer_expected(len(batch))
        return batch

    def _no_longer_expected(self, count: int) -> None:
        with self._counting:
            self._expected -= count

    def _predict(self, batch: Sequence[Request]) -> list[People | Exception]:
        """Return the people of each image or the error of the model; one failing image does not affect the others."""
        try:
            return list(self._estimator.predict([request.prepared for request in batch]))
        except Exception as error:
            if len(batch) == 1:
                return [error]
        return [found for request in batch for found in self._predict([request])]

    def _answer(self, request: Request, found: People | Exception, batch_size: int) -> None:
        """Render and send the answer to one request."""
        header = request.header
        if isinstance(found, Exception):
            self._refuse(header, "model", found)
            return
        try:
            people, rendered = self._render(header, found)
        except Exception as error:
            self._refuse(header, "request", error)
            return
        height, width = request.prepared.image.shape[:2]
        answer: Header = {"id": header["id"], "people": len(people), "media_type": rendered.media_type}
        self._send({**answer, "width": width, "height": height, "batch": batch_size}, rendered.content)

    def _render(self, header: Header, found: People) -> tuple[People, Rendered]:
        """Apply the options of the request to the people; return them and the encoded answer."""
        people = found
        if header["min_score"] is not None:
            people = people[people.scores >= header["min_score"]]
        if header["skeleton"] is not None:
            people = in_skeleton(people, header["skeleton"])
        name = self._estimator.config.name
        return people, render(people, header["format"], model=name, weights=self._weights, image_id=header["image_id"])

    def _refuse(self, header: Header, what: str, error: Exception) -> None:
        """Send the reason for a failure in one line; failures that the input did not cause are also logged."""
        if isinstance(error, EveryposeError):
            detail = str(error)
        else:
            detail = f"the {what} could not be processed"
            print(f"everypose worker: {type(error).__name__}: {error!r}", file=sys.stderr, flush=True)
        self._send({"id": header["id"], "failed": what, "detail": detail}, b"")


def describe(estimator: Estimator) -> Header:
    """Describe a model for clients: name, skeleton, input size, thresholds.

    >>> from everypose import load
    >>> describe(load("boir-lite"))["top_down"]
    False
    """
    settings = estimator.config.inference
    sizes = (getattr(settings, name, None) for name in ("size", "crop_size", "input_size"))
    size = next((size for size in sizes if size is not None), None)
    return {
        "name": estimator.config.name,
        "skeleton": estimator.skeleton.name,
        "keypoints": list(estimator.skeleton.keypoints),
        "links": [list(link) for link in estimator.skeleton.links],
        "sides": list(estimator.skeleton.sides),
        "top_down": estimator.config.is_top_down,
        "size": size,
        "min_score": estimator.min_score,
        "batch_size": estimator.batch_size,
    }


def weights_of(model: str) -> Header:
    """Return name, revision and SHA-256 of a model's weights, without their path.

    >>> sorted(weights_of("boir-lite"))
    ['name', 'revision', 'sha256']
    """
    from everypose.models.identity import identify_model

    return identify_model(model).model_dump(include={"name", "revision", "sha256"})


def main() -> None:
    """Load the model that the first message names, and answer requests until standard input ends."""
    with take_standard_streams() as (source, target):
        hide_native_messages()
        # Ctrl-C and service managers signal the whole process group; the service decides when its workers end.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _answer_messages(source, target)


def _answer_messages(source: BinaryIO, target: BinaryIO) -> None:
    """Load the model of the first message, and answer the others until the stream ends."""
    sending = threading.Lock()

    def send(header: Header, content: bytes = b"") -> None:
        with sending:
            target.write(pack(header, content))
            target.flush()

    message = read_message(source)
    if message is None:
        return
    start, _ = message
    try:
        from everypose.inference.loading import load

        estimator = load(start["model"], **start["options"])
    except EveryposeError as error:
        send({"error": str(error), "exit_code": error.exit_code})
        return
    weights = weights_of(start["model"])
    send({"ready": {**describe(estimator), "weights": weights}, "pid": os.getpid()})
    Worker(estimator, send, start["batch_wait"], weights).run(source)


@contextmanager
def take_standard_streams() -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Yield standard input and output as binary streams for messages; redirect other output to standard error.

    Both are closed at the end of the block.
    """
    source, target = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    messages, answers = os.fdopen(source, "rb"), os.fdopen(target, "wb")
    yield messages, answers
    messages.close()  # not after an exception: a thread that still reads would keep the process
    with suppress(OSError):  # the service has ended
        answers.close()


if __name__ == "__main__":
    main()
