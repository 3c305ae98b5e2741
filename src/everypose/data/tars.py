"""The images of tar files, such as WebDataset's shards: as a stream, or one by one; nothing is extracted to the disk.

A tar is untrusted: sizes are bounded, names are used as keys only, and damage ends the tar with an error that says so.
"""

import itertools
import math
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from everypose.core.files import text_name
from everypose.data.image_header import IMAGE_SUFFIXES
from everypose.data.web_images import MOST_BYTES
from everypose.errors import EveryposeError, UsageError, as_user_error

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
MOST_HEADER_BYTES = 1 << 20
"""Bytes of a long name or of extended attributes; tarfile reads them into memory at once."""
MOST_MEMBER_BYTES = 1 << 36
"""Largest size of a member that is skipped; a larger one is damage, and reading past it would take hours."""
MOST_EXPANDED = 1_000_000
_BLOCK_BYTES = 1 << 20
_RANGE = re.compile(r"\{(\d{1,18})\.\.(\d{1,18})\}")
_HEADER_TYPES = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


@dataclass(frozen=True)
class TarMember:
    """A file in a tar that is not compressed; it is read without the rest of the tar.

    Attributes:
        tar: the tar.
        name: of the file in it.
        offset: of its first byte.
        size: bytes.

    >>> import tarfile
    >>> _ = Path("a.json").write_text("[]")
    >>> with tarfile.open("set.tar", "w") as tar:
    ...     tar.add("a.json")
    >>> [member] = list_members(Path("set.tar"))
    >>> member.name, member.read()
    ('a.json', b'[]')
    """

    tar: Path
    name: str
    offset: int
    size: int

    def read(self) -> bytes:
        """Return its content.

        Raises:
            EveryposeError: if the tar cannot be read, or has become shorter.
        """
        try:
            with self.tar.open("rb") as file:
                file.seek(self.offset)
                content = file.read(self.size)
        except OSError as error:
            raise EveryposeError(f"cannot read {self.tar}: {error.strerror or error}") from error
        if len(content) < self.size:
            raise EveryposeError(f"cannot read {self.tar}/{self.name}: the tar is truncated, or was written again")
        return content


class _Header(tarfile.TarInfo):
    """A header whose damage is an error, where `tarfile` takes it for the end of the tar, and whose size is bounded."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> "_Header":
        try:
            return super().fromtarfile(tar)
        except tarfile.HeaderError as error:
            if type(error).__name__ == "EOFHeaderError":  # the end marker
                raise
            raise tarfile.ReadError(f"{error}, where the next image or the end of the tar should be") from error

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        """Process the header; `tarfile` documents this method as the one to override."""
        if self.size < 0 or (self.type in _HEADER_TYPES and self.size > MOST_HEADER_BYTES):
            raise tarfile.ReadError(f"a header with a size of {self.size} bytes")
        member: tarfile.TarInfo = super()._proc_member(tar)  # type: ignore[misc]  # typeshed lacks it
        if not 0 <= member.size <= MOST_MEMBER_BYTES:
            raise tarfile.ReadError(f"a member with a size of {member.size} bytes")
        return member


def read_tar(file: BinaryIO, name: str) -> Iterator[tuple[str, bytes | EveryposeError]]:
    """Yield the name of each image of a tar and its bytes, or why it cannot be read, in the order of the tar.

    Only one image is in memory. Folders, links, hidden files and files without an image's suffix are skipped. A name
    that occurs again gets ``#2``, ``#3`` and so on.

    Args:
        file: the tar, also a compressed one; read from its start to its end.
        name: the tar's name in messages.

    Raises:
        EveryposeError: if it is damaged or truncated; the images before that place were yielded.

    >>> import tarfile
    >>> _ = Path("a.jpg").write_bytes(b"an image")
    >>> with tarfile.open("set.tar", "w") as tar:
    ...     tar.add("a.jpg")
    >>> with open("set.tar", "rb") as file:
    ...     print(list(read_tar(file, "set.tar")))
    [('a.jpg', b'an image')]
    """
    times: dict[str, int] = {}
    with (
        as_user_error(f"{name} is damaged, or not a tar"),
        tarfile.open(fileobj=file, mode="r|*", bufsize=_BLOCK_BYTES, tarinfo=_Header) as tar,
    ):
        while (member := tar.next()) is not None:
            tar.members = []  # type: ignore[attr-defined]  # tarfile keeps all, which would grow with the tar
            if not member.isreg() or not is_image_name(member.name):
                continue
            key = printable(member.name.removeprefix("./"))
            times[key] = times.get(key, 0) + 1
            if times[key] > 1:
                key += f"#{times[key]}"
            yield key, _content(tar, member, f"{name}/{key}")


def list_members(path: Path) -> Iterator[TarMember]:
    """Yield the files of a tar in its order; only headers are read. Folders, links and hidden files are passed over.

    Args:
        path: the tar, not compressed.

    Raises:
        UsageError: if it is compressed by its suffix.
        EveryposeError: if it is damaged or truncated, or a file is larger than `MOST_BYTES`.

    >>> import tarfile
    >>> _ = Path("a.json").write_text("[]")
    >>> with tarfile.open("set.tar", "w") as tar:
    ...     tar.add("a.json")
    >>> [(member.name, member.size) for member in list_members(Path("set.tar"))]
    [('a.json', 2)]
    """
    if not path.name.lower().endswith(".tar"):
        raise UsageError(f"{path} is compressed, so that its files cannot be read one by one: decompress it first")
    damaged = f"{path} is damaged, or not a tar"
    try:
        file = path.open("rb")
    except OSError as error:
        raise EveryposeError(f"cannot read {path}: {error.strerror or error}") from error
    with file, as_user_error(damaged), tarfile.open(fileobj=file, mode="r:", tarinfo=_Header) as tar:
        end = path.stat().st_size
        while (member := tar.next()) is not None:
            tar.members = []  # type: ignore[attr-defined]  # tarfile keeps all, which would grow with the tar
            if not member.isreg() or _is_hidden(PurePosixPath(member.name)):
                continue
            name = printable(member.name.removeprefix("./"))
            if member.size > MOST_BYTES or member.sparse is not None:
                raise EveryposeError(f"{path}/{name} is too large: {MOST_BYTES // 2**20} MB are the most")
            if member.offset_data + member.size > end:
                raise EveryposeError(f"{damaged}: it ends within {name}")
            yield TarMember(path, name, member.offset_data, member.size)


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo, name: str) -> bytes | EveryposeError:
    """Return the bytes of a member, or an error if it is too large."""
    if member.size > MOST_BYTES:
        return EveryposeError(f"{name} is too large: {member.size} bytes, and {MOST_BYTES // 2**20} MB are the most")
    file = tar.extractfile(member)
    content = b"" if file is None else file.read()
    if len(content) < member.size:
        raise tarfile.ReadError("it is truncated")
    return content


def is_image_name(name: str) -> bool:
    """Whether a member is an image by its suffix, and neither it nor a folder on the way is hidden.

    >>> is_image_name("a/0001.jpg"), is_image_name("a/._0001.jpg"), is_image_name("0001.json")
    (True, False, False)
    """
    path = PurePosixPath(name)
    return path.suffix.lower() in IMAGE_SUFFIXES and not _is_hidden(path)


def _is_hidden(path: PurePosixPath) -> bool:
    """Whether a file or a folder on the way to it is hidden, or is one of macOS's own."""
    return "__MACOSX" in path.parts or any(part.startswith(".") and part not in (".", "..") for part in path.parts)


def printable(name: str) -> str:
    r"""Return an untrusted name with control characters and invalid bytes as escapes, so that it can be printed.

    >>> printable("a\x1b[2J.jpg")
    'a\\x1b[2J.jpg'
    """
    text = text_name(name)
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def expand_range(source: str) -> list[str]:
    """Return the names that number ranges in braces stand for, as in WebDataset.

    >>> expand_range("set-{08..11}.tar")
    ['set-08.tar', 'set-09.tar', 'set-10.tar', 'set-11.tar']

    Raises:
        UsageError: if there are more than `MOST_EXPANDED` names, or a range goes down.
    """
    texts, firsts, lasts = (_RANGE.split(source)[part::3] for part in range(3))
    ranges = [range(int(first), int(last) + 1) for first, last in zip(firsts, lasts, strict=True)]
    if not all(ranges) or math.prod(map(len, ranges)) > MOST_EXPANDED:
        raise UsageError(f"{source}: ranges go from a number to a larger one, at most {MOST_EXPANDED} names in all")
    rest = list(zip(map(len, firsts), texts[1:], strict=True))
    return [
        texts[0] + "".join(f"{number:0{digits}d}{text}" for number, (digits, text) in zip(chosen, rest, strict=True))
        for chosen in itertools.product(*ranges)
    ]
