"""Atomic writing of files."""

import pytest

from everypose.core.files import write_text, written_whole
from everypose.errors import EveryposeError


def write_until(error, path):
    """Begin to write a file, and fail."""
    with written_whole(path) as part:
        part.write_text("a part")
        raise error


def test_a_failed_write_leaves_no_folders_that_it_made(tmp_path):
    with pytest.raises(EveryposeError, match="No space left"):
        write_until(OSError(28, "No space left on device"), tmp_path / "a" / "b" / "c.txt")
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_folders_that_were_there(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(KeyError):
        write_until(KeyError(), tmp_path / "a" / "b" / "c.txt")
    assert [path.name for path in tmp_path.rglob("*")] == ["a"]


def test_an_impossible_name_leaves_no_folder(tmp_path):
    with pytest.raises(EveryposeError, match="cannot write"):
        write_text(tmp_path / "a" / ("n" * 300 + ".txt"), "text")
    write_text(tmp_path / "a" / "possible.txt", "text")
    assert [path.name for path in tmp_path.rglob("*.txt")] == ["possible.txt"]
