"""The requests of a load test, and the expected answers."""

import asyncio
import json
import struct
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

import everypose
from everypose.data.images import decode_image
from everypose.inference.estimator import Estimator

EXAMPLES = Path(everypose.__file__).parent / "examples"
SCALES = (0.4, 0.7, 1.0, 1.6)
DROPPED = 0
"""The status of a request whose connection the client half-closes: it gets no answer."""


@dataclass(frozen=True)
class Case:
    """One kind of request.

    Attributes:
        name: the kind.
        body: the bytes that are sent.
        statuses: the statuses that are right; `DROPPED` for none at all.
        people: the people of the right answer, as JSON; None where none is expected.
        label: its media type.
        seconds_per_byte: pause after each byte; None to send all at once.
        half_close: whether the client closes its side before the body is complete.
    """

    name: str
    body: bytes
    statuses: tuple[int, ...] = (200,)
    people: object = None
    label: str = "image/jpeg"
    seconds_per_byte: float | None = None
    half_close: bool = False


def good_cases(pose: Estimator) -> list[Case]:
    """Photos of several sizes and formats, with the offline results."""
    cases = []
    for path in sorted(EXAMPLES.glob("*.jpg")):
        image = cv2.imread(str(path))
        for number, scale in enumerate(SCALES):
            suffix = (".jpg", ".png", ".webp", ".jpg")[number]
            body = cv2.imencode(suffix, cv2.resize(image, None, fx=scale, fy=scale))[1].tobytes()
            people = json.loads(pose(decode_image(body, path.name)).to_json())
            cases.append(Case(f"{path.stem}{suffix} x{scale}", body, people=people))
    return cases


def bad_cases(good: list[Case]) -> list[Case]:
    """Requests that must be refused, dropped, or answered although they are mislabeled."""
    whole = good[0]
    rng = np.random.default_rng(0)
    scrambled = bytearray(good[2].body)
    for place in rng.integers(600, len(scrambled) - 600, 40):
        scrambled[place] ^= 0xFF
    return [
        Case("truncated", whole.body[: len(whole.body) // 2], (422,)),
        Case("scrambled", bytes(scrambled), (200, 422)),
        Case("text", b"no image at all", (415,)),
        Case("empty", b"", (422,)),
        Case("too many bytes", bytes(21 * 2**20), (413,)),
        Case("too many pixels", bomb(30_000, 30_000), (413,)),
        Case("mislabeled", whole.body, people=whole.people, label="image/png"),
        Case("wrong type", whole.body, (415,), label="application/json"),
        Case("one byte a second", whole.body, (408,), seconds_per_byte=1.0),
        Case("half-closed", whole.body, (DROPPED,), half_close=True),
    ]


def bomb(width: int, height: int) -> bytes:
    """A PNG of few bytes and many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = zlib.compress(b"\0" * ((width + 7) // 8 + 1) * height, 9)
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


async def send(port: int, case: Case, path: str = "/v1/poses") -> tuple[int, bytes]:
    """Send one request on a connection of its own; its status and body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {case.label}\r\n"
            f"Content-Length: {len(case.body)}\r\nConnection: close\r\n\r\n"
        )
        writer.write(head.encode())
        answer = asyncio.ensure_future(reader.read(-1))
        with suppress(ConnectionError):  # it may be refused before the body is complete
            await _send_body(writer, case, answer)
        return parse(await answer)
    finally:
        writer.close()


async def _send_body(writer: asyncio.StreamWriter, case: Case, answer: "asyncio.Future[bytes]") -> None:
    if case.half_close:
        writer.write(case.body[: len(case.body) // 2])
        writer.write_eof()
        return
    if case.seconds_per_byte is None:
        writer.write(case.body)
        await writer.drain()
        return
    for byte in case.body:
        writer.write(bytes([byte]))
        await asyncio.wait({answer}, timeout=case.seconds_per_byte)
        if answer.done():
            return


def parse(answer: bytes) -> tuple[int, bytes]:
    """Status and body of an HTTP answer; `DROPPED` for none."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return (int(head.split()[1]), body) if head else (DROPPED, b"")


def is_right(case: Case, status: int, body: bytes) -> bool:
    """Whether an answer is the expected one; a model's name and an image's size may be in it, too."""
    if status not in case.statuses:
        return False
    if case.people is None or status != 200:
        return True
    content = json.loads(body)
    return {"skeleton": content["skeleton"], "people": content["people"]} == case.people
