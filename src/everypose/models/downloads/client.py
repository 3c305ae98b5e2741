"""HTTP downloads that resume, follow only safe redirections and know their size before they begin."""

import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO, TypeVar
from urllib.parse import urlsplit

import everypose
from everypose.errors import EveryposeError, first_line

SECONDS = 30.0
"""How long a server may take to answer, and between two pieces of an answer."""
TRIES = 5
"""Connections for one file; each resumes where the last one was cut."""
PAUSE = 0.5
"""Seconds before the second connection; doubled before each further one."""
MOST_BYTES = 16 * 2**30
_PIECE = 2**20
Result = TypeVar("Result")
_LATER = (408, 429, 500, 502, 503, 504)
"""HTTP codes that mean: try again."""


class UnreachableError(EveryposeError):
    """A server could not be reached, or the connection was cut each time; what was received is kept.

    >>> raise UnreachableError("cannot reach example.org: timed out")
    Traceback (most recent call last):
        ...
    everypose.models.downloads.client.UnreachableError: cannot reach example.org: timed out
    """


class _CutError(Exception):
    """A connection ended early."""


class _BeyondEndError(_CutError):
    """The rest of a file was asked for from its end on; the text is the answer's ``Content-Range``."""


class _SafeRedirections(urllib.request.HTTPRedirectHandler):
    """Follows redirections to http(s) addresses, never from https to http; the token stays with its host."""

    max_redirections = 5

    def redirect_request(
        self,
        request: urllib.request.Request,
        file: IO[bytes],
        code: int,
        message: str,
        headers: HTTPMessage,
        address: str,
    ) -> urllib.request.Request | None:
        old, new = urlsplit(request.full_url), urlsplit(address)
        if new.scheme not in ("http", "https") or (old.scheme == "https" and new.scheme != "https"):
            file.close()
            raise EveryposeError(
                f"{old.hostname} redirects to a {new.scheme} address, which is not safe: nothing was downloaded"
            )
        redirected = super().redirect_request(request, file, code, message, headers, address)
        if redirected is not None and (new.scheme, new.netloc) != (old.scheme, old.netloc):
            redirected.remove_header("Authorization")
        return redirected


def open_address(address: str, headers: Mapping[str, str] | None = None) -> HTTPResponse:
    """Ask for an ``http(s)://`` address; proxies are those of the environment.

    Raises:
        UnreachableError: if there is no connection.
        EveryposeError: if the server refuses, or redirects to an address that is not safe.

    >>> open_address("ftp://example.org/model.onnx")
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: ftp://example.org/model.onnx is not an http:// or https:// address
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise EveryposeError(f"{address} is not an http:// or https:// address")
    sent = {"User-Agent": f"everypose/{everypose.__version__}", "Accept-Encoding": "identity", **(headers or {})}
    request = urllib.request.Request(address, headers=sent)  # the scheme was checked
    try:
        answer: HTTPResponse = urllib.request.build_opener(_SafeRedirections).open(request, timeout=SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:
            raise _BeyondEndError(error.headers.get("Content-Range", "")) from error
        if error.code in _LATER:
            raise _CutError(f"HTTP {error.code}") from error
        raise EveryposeError(_refusal(address, error.code)) from error
    except urllib.error.URLError as error:
        raise UnreachableError(f"cannot reach {parts.hostname}: {first_line(OSError(error.reason))}") from error
    except (OSError, HTTPException, ValueError) as error:
        raise _CutError(first_line(error)) from error
    return answer


def _refusal(address: str, code: int) -> str:
    """One line for an HTTP code."""
    if code in (401, 403):
        return (
            f"{address} needs permission (HTTP {code}): if the model's page asks for it, accept its terms there and "
            "set HF_TOKEN"
        )
    if code == 404:
        return f"{address} does not exist (HTTP 404)"
    if 300 <= code < 400:
        return f"{address} redirects too often, or to an address that is not safe (HTTP {code})"
    return f"{address} cannot be downloaded (HTTP {code})"


def read_small(address: str, most: int, headers: Mapping[str, str] | None = None) -> bytes:
    """Return the content of an address.

    Raises:
        UnreachableError: if there is no connection, or it is cut each time.
        EveryposeError: if the server refuses, or the content has more than ``most`` bytes.

    >>> read_small("file:///etc/hostname", most=1000)
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: file:///etc/hostname is not an http:// or https:// address
    """

    def read() -> bytes:
        with open_address(address, headers) as answer:
            try:
                content = answer.read(most + 1)
            except (OSError, HTTPException) as error:
                raise _CutError(first_line(error)) from error
            missing = answer.length or 0
        if len(content) > most:
            raise EveryposeError(f"{address} has more than {most} bytes, which is too much")
        if missing:  # read() with a limit does not report that the connection ended early
            raise _CutError(f"{missing} bytes are missing")
        return content

    return _repeat(read, address)


def download(
    address: str,
    part: Path,
    *,
    size: int | None = None,
    headers: Mapping[str, str] | None = None,
    on_size: Callable[[int, int], None] = lambda *_: None,
) -> None:
    """Download an address into ``part``, from the end of what ``part`` has.

    Args:
        address: ``http://`` or ``https://``.
        part: the file; what an earlier call received is continued if the server can.
        size: expected size in bytes; None for any.
        headers: of the request.
        on_size: called with the received and the total number of bytes after each piece.

    Raises:
        UnreachableError: if there is no connection, or it is cut each time; ``part`` keeps what was received.
        EveryposeError: if the server refuses, sends a web page or another size, or the disk is full.

    >>> download("ftp://example.org/model.onnx", Path("model.onnx.part"))
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: ftp://example.org/model.onnx is not an http:// or https:// address
    """
    _repeat(lambda: _receive(address, part, size, headers or {}, on_size), address)


def _repeat(request: Callable[[], Result], address: str) -> Result:
    """Call ``request`` again while connections are cut, with pauses."""
    for attempt in range(TRIES):
        try:
            return request()
        except _CutError as error:
            reason = str(error)
        if attempt + 1 < TRIES:
            time.sleep(PAUSE * 2**attempt)
    raise UnreachableError(f"the connection to {urlsplit(address).hostname} was cut {TRIES} times: {reason}")


def _receive(
    address: str, part: Path, size: int | None, headers: Mapping[str, str], on_size: Callable[[int, int], None]
) -> None:
    """Receive the rest of a file over one connection."""
    tag = part.with_suffix(".etag")
    have = part.stat().st_size if part.exists() and tag.exists() else 0
    if have and have == size:
        return
    asked = {"Range": f"bytes={have}-", "If-Range": tag.read_text()} if have else {}
    try:
        answer = open_address(address, {**headers, **asked})
    except _BeyondEndError as error:
        if size is None and str(error) == f"bytes */{have}":
            return  # an earlier call, which did not know the size, received all
        tag.unlink(missing_ok=True)
        raise
    with answer:
        begin, total = _extent(answer, have, address)
        _require_weights(answer, address, size, total)
        free = shutil.disk_usage(part.parent).free
        if free < total - begin:
            raise EveryposeError(
                f"{address} has {total / 1e6:.0f} MB, but {part.parent} has space for {free / 1e6:.0f} MB only"
            )
        with part.open("r+b" if begin else "wb") as file:
            _write_tag(tag, answer)  # after the old content is removed, which it would call the new version's
            file.seek(begin)
            done = begin
            while piece := _read(answer):
                done += len(piece)
                file.write(piece)
                on_size(done, total)
    if done < total:
        raise _CutError(f"{done} of {total} bytes were received")


def _read(answer: HTTPResponse) -> bytes:
    try:
        return answer.read(_PIECE)
    except (OSError, HTTPException) as error:
        raise _CutError(first_line(error)) from error


def _write_tag(tag: Path, answer: HTTPResponse) -> None:
    """Remember what identifies this version of the file; without a strong ETag a cut download cannot resume."""
    etag = answer.headers.get("ETag", "")
    if re.fullmatch(r'"[^"\r\n]{1,200}"', etag):
        tag.write_text(etag)
    else:
        tag.unlink(missing_ok=True)


def _extent(answer: HTTPResponse, have: int, address: str) -> tuple[int, int]:
    """Where the answer begins in the file, and the file's size in bytes."""
    if answer.status == 206:
        match = re.fullmatch(r"bytes (\d{1,15})-\d{1,15}/(\d{1,15})", answer.headers.get("Content-Range", ""))
        if match is None or int(match[1]) != have:
            raise EveryposeError(f"{address} answers with another part of the file than was asked for")
        return have, int(match[2])
    length = answer.headers.get("Content-Length", "")
    if not re.fullmatch(r"\d{1,15}", length):
        raise EveryposeError(f"{address} does not state its size, so it is not downloaded")
    return 0, int(length)


def _require_weights(answer: HTTPResponse, address: str, size: int | None, total: int) -> None:
    """Check what the headers say about the content."""
    if answer.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
        raise EveryposeError(f"{address} answers with a web page instead of a file: a login page, or a proxy's?")
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        raise EveryposeError(f"{address} answers with compressed content, which was not asked for")
    if size is not None and total != size:
        raise EveryposeError(f"{address} has {total} bytes instead of {size}: it is not the file that is expected")
    if total > MOST_BYTES:
        raise EveryposeError(f"{address} has {total / 2**30:.0f} GB, which is too much")


def is_offline() -> bool:
    """Whether the environment forbids connections, by ``HF_HUB_OFFLINE``.

    >>> from unittest.mock import patch
    >>> with patch.dict(os.environ, {"HF_HUB_OFFLINE": "1"}):
    ...     is_offline()
    True
    """
    return os.environ.get("HF_HUB_OFFLINE", "").strip().lower() in ("1", "true", "yes", "on")
