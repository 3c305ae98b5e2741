"""Messages between the service and its worker processes: a JSON header and raw bytes, preceded by their lengths.

Nothing is unpickled: a worker that is compromised by a malicious image cannot make the service run code.
"""

import asyncio
import json
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO

LENGTHS = struct.Struct(">II")
Header = dict[str, Any]
NO_MESSAGE = (ValueError, LookupError, TypeError)
"""What reading a message that no worker sends can raise: such a worker is ended as one that has failed."""


def pack(header: Mapping[str, Any], content: bytes = b"") -> bytes:
    """Encode one message.

    >>> unpack_header(pack({"id": 1}, b"image")[LENGTHS.size :][:9])
    {'id': 1}
    """
    text = json.dumps(header, allow_nan=False).encode()
    return LENGTHS.pack(len(text), len(content)) + text + content


def unpack_header(text: bytes) -> Header:
    """Decode the header of a message.

    >>> unpack_header(b'{"id": 1}')
    {'id': 1}

    Raises:
        ValueError: if it is not a JSON object.
    """
    header = json.loads(text)
    if not isinstance(header, dict):
        raise ValueError("the header of a message is a JSON object")
    return header


def read_message(stream: BinaryIO) -> tuple[Header, bytes] | None:
    """Read one message; None at the end of the stream.

    >>> import io
    >>> read_message(io.BytesIO(pack({"id": 1}, b"image")))
    ({'id': 1}, b'image')
    """
    start = stream.read(LENGTHS.size)
    if len(start) < LENGTHS.size:
        return None
    header_length, content_length = LENGTHS.unpack(start)
    text, content = stream.read(header_length), stream.read(content_length)
    if len(text) < header_length or len(content) < content_length:
        return None
    return unpack_header(text), content


async def receive_message(stream: asyncio.StreamReader) -> tuple[Header, bytes] | None:
    """Read one message without blocking the event loop; None at the end of the stream.

    >>> async def receive():
    ...     stream = asyncio.StreamReader()
    ...     stream.feed_data(pack({"id": 1}, b"image"))
    ...     return await receive_message(stream)
    >>> asyncio.run(receive())
    ({'id': 1}, b'image')
    """
    try:
        header_length, content_length = LENGTHS.unpack(await stream.readexactly(LENGTHS.size))
        text = await stream.readexactly(header_length)
        return unpack_header(text), await stream.readexactly(content_length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
