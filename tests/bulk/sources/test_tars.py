import io
import tarfile
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulk.tar_files import tar_of
from everypose.bulk.sources import tars
from everypose.bulk.sources.tars import read_tar
from everypose.errors import EveryposeError

MEMBERS = [("a/1.jpg", b"x" * 3000), ("a/1.json", b"{}"), ("2.PNG", b"y")]
NAMES = ["a/1.jpg", "2.PNG"]


def names_of(content):
    """The names that are read, and the error or None."""
    names = []
    try:
        for name, _ in read_tar(io.BytesIO(content), "set.tar"):
            names.append(name)
    except EveryposeError as error:
        return names, str(error)
    return names, None


@pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz"])
def test_images_of_a_tar(compression):
    found = list(read_tar(io.BytesIO(tar_of(MEMBERS, compression)), "set.tar"))
    assert found == [("a/1.jpg", b"x" * 3000), ("2.PNG", b"y")]


def test_hidden_files_links_and_folders_are_passed_over():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, kind in (("l.jpg", tarfile.SYMTYPE), ("h.jpg", tarfile.LNKTYPE), ("d.jpg", tarfile.DIRTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
        for name in ("./._1.jpg", ".cache/1.jpg", "__MACOSX/1.jpg", "./1.jpg"):
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    assert names_of(buffer.getvalue()) == (["1.jpg"], None)


def test_names_are_printable_and_differ():
    content = tar_of([("1.jpg", b""), ("1.jpg", b""), ("../\x1b[2J\n.jpg", b""), ("\udcff.jpg", b"")])
    assert names_of(content) == (["1.jpg", "1.jpg#2", "../\\x1b[2J\\n.jpg", "\\xff.jpg"], None)


@pytest.mark.parametrize("cut", [0, 100, 512, 700, 3500, 4608, 4700])
def test_a_truncated_tar_is_an_error(cut):
    names, problem = names_of(tar_of(MEMBERS)[:cut])
    assert names == NAMES[: cut // 4000]
    assert problem is not None
    assert problem.startswith("set.tar is damaged, or not a tar")


def test_a_damaged_header_is_not_taken_for_the_end():
    content = bytearray(tar_of(MEMBERS))
    content[512 + 3072 + 148] ^= 0xFF  # the checksum of the second header
    names, problem = names_of(bytes(content))
    assert names == NAMES[:1]
    assert "where the next image or the end of the tar should be" in str(problem)


def with_size(field):
    """A tar whose first member states this size."""
    header = bytearray(tar_of(MEMBERS))
    header[124:136] = field
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:512])
    return bytes(header)


@pytest.mark.parametrize("field", [b"77777777777\0", b"\x80" + b"\xff" * 11, b"\xff" * 12])
def test_impossible_sizes_are_refused_at_once(field):
    begin = time.monotonic()
    _, problem = names_of(with_size(field))
    assert problem is not None
    assert time.monotonic() - begin < 5


def test_large_members_are_recorded_and_the_next_is_read(monkeypatch):
    monkeypatch.setattr(tars, "MOST_BYTES", 2000)
    found = dict(read_tar(io.BytesIO(tar_of(MEMBERS)), "set.tar"))
    assert "set.tar/a/1.jpg is too large: 3000 bytes" in str(found["a/1.jpg"])
    assert found["2.PNG"] == b"y"


def test_long_extended_attributes_are_refused(monkeypatch):
    monkeypatch.setattr(tars, "MOST_HEADER_BYTES", 1000)
    assert names_of(tar_of([(f"{'n' * 500}.jpg", b"")])) == ([f"{'n' * 500}.jpg"], None)
    names, problem = names_of(tar_of([(f"{'n' * 2000}.jpg", b"")]))
    assert names == []
    assert "a header with a size of" in str(problem)


@settings(max_examples=100, deadline=None)
@given(position=st.integers(0, 9999), value=st.integers(0, 255), content=st.binary(max_size=64))
def test_any_damage_gives_names_or_one_error(position, value, content):
    damaged = bytearray(tar_of(MEMBERS))
    damaged[position] = value
    damaged[position : position + len(content)] = content
    names_of(bytes(damaged))
