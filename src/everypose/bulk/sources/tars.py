"""The images of tar files, such as WebDataset's shards, as a stream: nothing is extracted to the disk.

A tar is untrusted: sizes are bounded, names are used as keys only, and damage ends the tar with an error that says so.
"""

import tarfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO

from everypose.core.files import text_name
from everypose.data.image_header import IMAGE_SUFFIXES
from everypose.data.web_images import MOST_BYTES
from everypose.errors import EveryposeError, as_user_error

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
MOST_HEADER_BYTES = 1 << 20
"""Bytes of a long name or of extended attributes; tarfile reads them into memory at once."""
MOST_MEMBER_BYTES = 1 << 36
"""Largest size of a member that is skipped; a larger one is damage, and reading past it would take hours."""
_BLOCK_BYTES = 1 << 20
_HEADER_TYPES = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


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
    hidden = any(part.startswith(".") and part not in (".", "..") for part in path.parts)
    return path.suffix.lower() in IMAGE_SUFFIXES and not hidden and "__MACOSX" not in path.parts


def printable(name: str) -> str:
    r"""Return an untrusted name with control characters and invalid bytes as escapes, so that it can be printed.

    >>> printable("a\x1b[2J.jpg")
    'a\\x1b[2J.jpg'
    """
    text = text_name(name)
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
