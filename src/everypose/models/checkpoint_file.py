"""Reading and writing torch checkpoint files: the only places that call ``torch.load`` and ``torch.save``."""

import pickle
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import torch

from everypose.core.files import written_whole
from everypose.errors import EveryposeError, plain_reason

_TEXT_KINDS = (
    (b"version https://git-lfs", "a Git LFS pointer: fetch the file itself with 'git lfs pull'"),
    (b"<!doctype html", "an HTML page: download it again, from the address of the file itself"),
    (b"<html", "an HTML page: download it again, from the address of the file itself"),
    (b"<?xml", "an XML page: download it again, from the address of the file itself"),
    (b"{", "a JSON file"),
)
_START = 512
_PICKLE_STARTS = (b"PK", b"\x80")
"""The beginnings of files of ``torch.save``: a zip archive, and a pickle of protocol 2 or later."""


def read_checkpoint(path: Path) -> Any:
    """Read a file of ``torch.save`` on the CPU; nothing in it is run.

    Any error of torch on a damaged file becomes one line, because its types cannot be listed: flipped bits in a pickle
    have raised KeyError, TypeError, AssertionError and others.

    Args:
        path: the file.

    Returns:
        Its content: tensors, numbers, texts, lists and dictionaries.

    Raises:
        EveryposeError: if the file is missing, text, damaged, or holds more than plain data; the message names it.

    >>> import torch
    >>> torch.save({"weight": torch.ones(2)}, "model.pth")
    >>> read_checkpoint(Path("model.pth"))["weight"]
    tensor([1., 1.])
    """
    try:
        with Path(path).open("rb") as file:
            start = file.read(_START)
    except OSError as error:
        raise EveryposeError(f"cannot read the checkpoint {path}: {error.strerror or error}") from error
    kind = _text_kind(start)
    if kind is not None:
        raise EveryposeError(f"{path} is not a checkpoint: it is {kind}")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "Unsupported" in str(error) and start.startswith(_PICKLE_STARTS):
            raise EveryposeError(f"{path} holds more than tensors and is refused; nothing in it was run") from error
        raise _damaged(path, error) from error
    except Exception as error:
        raise _damaged(path, error) from error


def write_checkpoint(content: Any, path: Path) -> None:
    """Write ``content`` by ``torch.save``, atomically.

    Raises:
        EveryposeError: if the file cannot be written, for example because the disk is full.

    >>> import torch
    >>> write_checkpoint({"weight": torch.ones(2)}, Path("model.pth"))
    >>> read_checkpoint(Path("model.pth"))
    {'weight': tensor([1., 1.])}
    """
    with written_whole(path) as part, part.open("wb") as stream:
        watched = _WatchedStream(stream)
        try:
            torch.save(content, cast(IO[bytes], watched))
        except RuntimeError:
            # torch's zip writer raises its own error at the end and loses the system's.
            if watched.error is not None:
                raise watched.error from None
            raise


class _WatchedStream:
    """A binary stream that remembers the system's error of a failed write."""

    def __init__(self, stream: BinaryIO) -> None:
        self.error: OSError | None = None
        self._stream = stream

    def write(self, content: bytes) -> int:
        try:
            return self._stream.write(content)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self.error = error
            raise


def _text_kind(start: bytes) -> str | None:
    """What a file is that begins like text; None for a binary one."""
    if not start:
        return "empty (0 bytes)"
    lowered = start.lstrip().lower()
    for beginning, kind in _TEXT_KINDS:
        if lowered.startswith(beginning):
            return kind
    printable = all(byte >= 32 or byte in b"\t\n\r" for byte in start)
    return "a text file" if printable and b"\x7f" not in start and start.isascii() else None


def _damaged(path: Path, error: Exception) -> EveryposeError:
    return EveryposeError(
        f"{path} is not a checkpoint that torch can read: it is damaged or cut short ({plain_reason(error)[:120]})"
    )
