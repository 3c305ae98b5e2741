"""What the Hugging Face hub says about a repository; it is checked before it is used."""

import os
import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, Field, ValidationError
from pydantic_core import from_json

from everypose.errors import EveryposeError, UsageError
from everypose.models.catalog import HubSource, require_safe_path
from everypose.models.downloads.client import read_small

_MOST_BYTES = 8 * 2**20


@dataclass(frozen=True)
class Remote:
    """One file that can be downloaded.

    Attributes:
        address: where it is.
        size: in bytes; None if unknown.
        sha256: of its content; None if unknown.

    >>> Remote("https://example.org/model.onnx", size=1000).sha256 is None
    True
    """

    address: str
    size: int | None = None
    sha256: str | None = None


class _Large(BaseModel):
    sha256: str | None = None
    size: int | None = None


class _Sibling(BaseModel):
    rfilename: str
    size: int | None = None
    lfs: _Large | None = None


class _Info(BaseModel):
    sha: str = Field(pattern=r"^[0-9a-f]{40}$")
    siblings: list[_Sibling] = []


def endpoint() -> str:
    """Return the hub's address: ``HF_ENDPOINT``, or that of the Hugging Face hub.

    Raises:
        UsageError: if ``HF_ENDPOINT`` is not an http(s) address.

    >>> from unittest.mock import patch
    >>> with patch.dict(os.environ, {"HF_ENDPOINT": "https://hub.example.org/"}):
    ...     endpoint()
    'https://hub.example.org'
    """
    address = os.environ.get("HF_ENDPOINT", "").strip().rstrip("/") or "https://huggingface.co"
    if urlsplit(address).scheme not in ("http", "https"):
        raise UsageError(f"HF_ENDPOINT={address} is not an http:// or https:// address")
    return address


def authorization() -> dict[str, str]:
    """Return the header with the token of ``HF_TOKEN``; it is sent to the hub only, not to where it redirects.

    >>> from unittest.mock import patch
    >>> with patch.dict(os.environ, {"HF_TOKEN": "hf_abc"}):
    ...     authorization()
    {'Authorization': 'Bearer hf_abc'}
    """
    token = os.environ.get("HF_TOKEN", "").strip()
    return {"Authorization": f"Bearer {token}"} if re.fullmatch(r"[\x21-\x7e]+", token) else {}


def list_repository(source: HubSource, revision: str | None) -> tuple[str, dict[str, Remote]]:
    """Ask the hub for the files of a repository.

    Args:
        source: the repository.
        revision: the commit that is wanted; None for the newest.

    Returns:
        The commit, and the accepted files by path.

    Raises:
        UnreachableError: if the hub cannot be reached.
        EveryposeError: if there is no such repository or commit, or the answer is not the hub's.

    >>> from unittest.mock import patch
    >>> with patch.dict(os.environ, {"HF_ENDPOINT": "ftp://hub.example.org"}):
    ...     list_repository(HubSource(repository="owner/name"), revision=None)
    Traceback (most recent call last):
        ...
    everypose.errors.UsageError: HF_ENDPOINT=ftp://hub.example.org is not an http:// or https:// address
    """
    base = f"{endpoint()}/api/models/{source.repository}"
    address = f"{base}/revision/{revision or 'main'}?blobs=true"
    content = read_small(address, _MOST_BYTES, authorization())
    try:
        info = _Info.model_validate(from_json(content))
    except (ValidationError, ValueError) as error:
        raise EveryposeError(f"{address} does not answer as the hub does: is it a web page of a proxy?") from error
    if revision is not None and info.sha != revision:
        raise EveryposeError(f"{source.repository}: the hub gives commit {info.sha[:12]} instead of {revision[:12]}")
    files = {}
    for sibling in info.siblings:
        try:
            require_safe_path(sibling.rfilename)
        except ValueError:
            continue
        large = sibling.lfs or _Large()
        files[sibling.rfilename] = Remote(
            f"{endpoint()}/{source.repository}/resolve/{info.sha}/{quote(sibling.rfilename)}",
            large.size or sibling.size,
            large.sha256,
        )
    return info.sha, files
