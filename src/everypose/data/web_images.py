"""Images on the web, by their address."""

import urllib.error
import urllib.request
from http.client import HTTPException, HTTPResponse
from pathlib import PurePosixPath
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from everypose.core.arrays import Image
from everypose.data.image_header import IMAGE_SUFFIXES
from everypose.data.images import decode_image
from everypose.errors import EveryposeError, UsageError, first_line

SCHEMES = ("http://", "https://")
SECONDS = 20.0
"""How long a server may take to answer, and between two pieces of an answer."""
MOST_BYTES = 256 * 1024 * 1024
_ANIMATED = ".gif"


def is_web_address(source: str) -> bool:
    """Whether a source is an ``http://`` or ``https://`` address.

    >>> is_web_address("https://example.org/crowd.jpg"), is_web_address("crowd.jpg")
    (True, False)
    """
    return source.lower().startswith(SCHEMES)


def is_web_image(address: str) -> bool:
    """Whether a web address is that of one image: by its suffix, or else by what the server says.

    >>> is_web_image("https://example.org/crowd.jpg?size=large")
    True

    Raises:
        UsageError: if the address is malformed.
    """
    suffix = PurePosixPath(_split(address).path).suffix.lower()
    if suffix:
        return suffix in IMAGE_SUFFIXES and suffix != _ANIMATED
    try:
        with _open(address) as answer:
            return answer.headers.get_content_maintype() == "image"
    except EveryposeError:
        return False


def fetch_image(address: str) -> Image:
    """Download and decode an image.

    Args:
        address: ``http://`` or ``https://``.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        EveryposeError: if it cannot be downloaded, is larger than `MOST_BYTES`, or is not an image.

    >>> fetch_image("http://127.0.0.1:9/crowd.jpg")
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: cannot download http://127.0.0.1:9/crowd.jpg: [Errno 111] Connection refused
    """
    name = without_password(address)
    with _open(address) as answer:
        try:
            content = answer.read(MOST_BYTES + 1)
        except (OSError, HTTPException) as error:
            raise EveryposeError(f"cannot download {name}: {error}") from error
    if len(content) > MOST_BYTES:
        raise EveryposeError(f"cannot download {name}: it has more than {MOST_BYTES // 2**20} MB")
    return decode_image(content, name)


def without_password(address: str) -> str:
    """Return an address without user and password, for messages and tables.

    >>> without_password("rtsp://me:secret@camera.local:554/stream?x=1")
    'rtsp://camera.local:554/stream?x=1'

    Raises:
        UsageError: if the address is malformed.
    """
    parts = _split(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def name_of_address(address: str) -> str:
    """Return what output files of an address are called: its file's stem, or its host.

    >>> name_of_address("https://example.org/a/crowd%201.jpg"), name_of_address("rtsp://10.0.0.7:554/")
    ('crowd 1', '10.0.0.7')
    """
    parts = _split(address)
    stem = PurePosixPath(unquote(parts.path)).stem
    safe = "".join(char if char.isprintable() and char not in '/\\:*?"<>|' else "_" for char in stem)
    return safe.strip(". ") or parts.hostname or "stream"


def file_of_address(address: str) -> str:
    """Return the file name of an image on the web.

    >>> file_of_address("https://example.org/a/crowd.png?size=9"), file_of_address("https://example.org/snapshot")
    ('crowd.png', 'snapshot.jpg')
    """
    return name_of_address(address) + (PurePosixPath(_split(address).path).suffix or ".jpg")


def _split(address: str) -> SplitResult:
    """Split an address into its parts.

    Raises:
        UsageError: if it is malformed, such as an IPv6 address without its closing bracket.
    """
    try:
        return urlsplit(address)
    except ValueError as error:
        raise UsageError(f"{address.rpartition('@')[2]} is not an address: {first_line(error)}") from error


def _open(address: str) -> HTTPResponse:
    """Ask for an address.

    Raises:
        EveryposeError: if the server cannot be reached or does not have it.
    """
    if not is_web_address(address):
        raise EveryposeError(f"{address} is not a web address")
    try:
        request = urllib.request.Request(address, headers={"User-Agent": "everypose"})
        answer: HTTPResponse = urllib.request.urlopen(request, timeout=SECONDS)
    except urllib.error.URLError as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it is the server's answer
        raise EveryposeError(f"cannot download {without_password(address)}: {error.reason}") from error
    except (OSError, HTTPException, ValueError) as error:
        raise EveryposeError(f"cannot download {without_password(address)}: {error}") from error
    return answer
