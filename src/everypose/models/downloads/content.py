"""What a downloaded file is by its first bytes, and the one member of a zip archive that is used."""

import shutil
import zipfile
from pathlib import Path, PurePosixPath

from everypose.core.files import read_json
from everypose.errors import EveryposeError, as_user_error

_MOST_MEMBERS = 10_000
_MOST_UNPACKED = 8 * 2**30
_MOST_RATIO = 50
"""Weights hardly compress: a member that is larger by this factor than in the archive is refused."""
_LARGEST_HEADER = 100 * 2**20
"""Of a safetensors file, in bytes."""


def require_kind(path: Path, suffix: str) -> None:
    """Check that a file begins as one of its kind does; nothing is parsed further or run.

    Args:
        path: the file.
        suffix: its kind: .safetensors, .onnx, .json, .pth or .zip.

    Raises:
        EveryposeError: if it is another kind of file, such as a web page.

    >>> _ = Path("model.onnx").write_text("<!doctype html><title>Sign in</title>")
    >>> require_kind(Path("model.onnx"), ".onnx")
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: a web page was received instead of a .onnx file
    """
    with path.open("rb") as file:
        start = file.read(512)
    text = start.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise EveryposeError(f"a web page was received instead of a {suffix} file")
    if text.startswith(b"version https://git-lfs"):
        raise EveryposeError(f"a Git LFS pointer was received instead of the {suffix} file itself")
    if suffix == ".json":
        read_json(path)
    elif suffix == ".zip" and not zipfile.is_zipfile(path):
        raise EveryposeError("what was received is not a zip archive")
    elif suffix == ".safetensors":
        length = int.from_bytes(start[:8], "little")
        if len(start) < 10 or not 2 <= length <= min(_LARGEST_HEADER, path.stat().st_size - 8) or start[8:9] != b"{":
            raise EveryposeError("what was received is not a safetensors file")
    elif suffix == ".onnx" and (len(start) < 2 or start[0] not in (0x08, 0x12, 0x1A, 0x22, 0x3A, 0x42)):
        # The first byte of a serialized ModelProto is the key of one of its fields.
        raise EveryposeError("what was received is not an ONNX file")


def extract_member(archive: Path, member: str, to: Path) -> None:
    """Write the one file of an archive that has the base name ``member`` to ``to``.

    Raises:
        EveryposeError: if a path in the archive leaves it, there is not exactly one such file, or it unpacks to more
            than is plausible.

    >>> with zipfile.ZipFile("model.zip", "w") as archive:
    ...     archive.writestr("release/end2end.onnx", b"graph")
    >>> extract_member(Path("model.zip"), "end2end.onnx", to=Path("model.onnx"))
    >>> Path("model.onnx").read_bytes()
    b'graph'
    """
    with as_user_error(f"the archive with {member} is damaged"), zipfile.ZipFile(archive) as opened:
        infos = opened.infolist()
        if len(infos) > _MOST_MEMBERS:
            raise EveryposeError(f"the archive has {len(infos)} files, which is too much")
        for info in infos:
            parts = PurePosixPath(info.filename).parts
            if ".." in parts or info.filename.startswith("/") or "\\" in info.filename or ":" in info.filename:
                raise EveryposeError(f"the archive contains the path {info.filename!r}, which leaves it: refused")
        chosen = [info for info in infos if PurePosixPath(info.filename).name == member and not info.is_dir()]
        if len(chosen) != 1:
            raise EveryposeError(f"the archive has {len(chosen)} files named {member} instead of one")
        info = chosen[0]
        if info.file_size > min(_MOST_UNPACKED, _MOST_RATIO * max(info.compress_size, 2**16)):
            raise EveryposeError(f"{member} unpacks to {info.file_size / 1e6:.0f} MB, which is not plausible: refused")
        with opened.open(info) as packed, to.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked, 2**20)
