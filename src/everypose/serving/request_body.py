"""Bodies of requests: received within limits of size and time, and kept in memory, never on disk."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from everypose.serving.failures import (
    BadRequestError,
    BodyTimeoutError,
    ClientGoneError,
    TooLargeError,
    UnavailableError,
    UnsupportedMediaError,
)

MOST_FIELDS = 16
LONGEST_FIELD = 1000
"""Bytes of a form field that is no file."""
MULTIPART = "multipart/form-data"


@dataclass
class HeldBytes:
    """Bytes of request bodies in memory, counted over all requests.

    Attributes:
        limit: the most that may be held.
        held: what is held now.

    >>> HeldBytes(limit=512 * 2**20).held
    0
    """

    limit: int
    held: int = 0


@dataclass(frozen=True)
class Upload:
    """The content of a request's body.

    Attributes:
        content: the uploaded file.
        fields: the other fields of a form.

    >>> Upload(b"image", {"format": "csv"}).fields["format"]
    'csv'
    """

    content: bytes
    fields: Mapping[str, str] = field(default_factory=dict)


@asynccontextmanager
async def received(
    request: Request, name: str, kinds: tuple[str, ...], *, limit: int, seconds: float, memory: HeldBytes
) -> AsyncIterator[Upload]:
    """Yield the file of a request, which is the body itself or a field of a multipart form.

    The body counts towards ``memory`` until the block ends.

    Args:
        request: the request.
        name: the field that holds the file.
        kinds: media types that a body which is the file itself may have, such as ``image/``.
        limit: the most bytes of the body.
        seconds: time within which the body must arrive.
        memory: the count of bytes held by all requests.

    Raises:
        UnsupportedMediaError: if the media type is none of these.
        TooLargeError: if the body is larger than ``limit``.
        BodyTimeoutError: if it did not arrive in time.
        UnavailableError: if all requests together hold too many bytes.
        BadRequestError: if the form is damaged, or lacks the file.
        ClientGoneError: if the connection was closed.

    >>> async def receive():
    ...     return {"type": "http.request", "body": b"image", "more_body": False}
    >>> async def upload():
    ...     request = Request({"type": "http", "headers": [(b"content-type", b"image/png")]}, receive)
    ...     memory = HeldBytes(limit=1000)
    ...     async with received(request, "image", ("image/",), limit=100, seconds=1, memory=memory) as file:
    ...         return file.content
    >>> asyncio.run(upload())
    b'image'
    """
    media_type = request.headers.get("content-type", "application/octet-stream").partition(";")[0].strip().lower()
    is_form = media_type == MULTIPART
    if not is_form and media_type != "application/octet-stream" and not media_type.startswith(kinds):
        raise UnsupportedMediaError(
            f"the body is {media_type!r}: send the file itself ({', '.join(f'{kind}*' for kind in kinds)} or "
            f"application/octet-stream) or {MULTIPART} with a field {name!r}"
        )
    body = bytearray()
    try:
        await _receive(request, body, limit, seconds, memory)
        yield await _read_form(request, bytes(body), name) if is_form else Upload(bytes(body))
    finally:
        memory.held -= len(body)


async def _receive(request: Request, body: bytearray, limit: int, seconds: float, memory: HeldBytes) -> None:
    """Append the body of a request to ``body``, within limits."""
    too_large = TooLargeError(f"the body has more than {limit:,} bytes")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
        raise too_large
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                body += chunk
                memory.held += len(chunk)
                if len(body) > limit:
                    raise too_large
                if memory.held > memory.limit:
                    raise UnavailableError("too much is being uploaded at once: try again later", retry_after=2)
    except TimeoutError:
        raise BodyTimeoutError(f"the body did not arrive within {seconds:g} seconds") from None
    except ClientDisconnect:
        raise ClientGoneError from None


async def _read_form(request: Request, body: bytes, name: str) -> Upload:
    """The file and the fields of a multipart form."""

    async def once() -> AsyncGenerator[bytes, None]:
        yield body

    parser = MultiPartParser(request.headers, once(), max_files=1, max_fields=MOST_FIELDS, max_part_size=LONGEST_FIELD)
    parser.spool_max_size = len(body) + 1  # larger files would be written to disk
    try:
        form = await parser.parse()
        file = form.get(name)
        if not isinstance(file, UploadFile):
            raise BadRequestError(f"the form has no file in a field {name!r}")
        content = await file.read()
    except MultiPartException as error:
        raise BadRequestError(f"the form is damaged: {error.message}") from error
    except UnicodeError as error:  # its charset
        raise BadRequestError("the form is damaged: its text is not in the charset that it names") from error
    finally:
        # The parser's own list: a form that ends within a file, or has it in another field, does not give it.
        for opened in parser._files_to_close_on_error:
            opened.close()
    return Upload(content, {key: value for key, value in form.items() if isinstance(value, str)})
