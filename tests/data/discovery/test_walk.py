"""One walk for all commands: it ends, opens nothing that blocks, and reports what it cannot use."""

import os
import socket
from pathlib import Path

import pytest

from everypose.data.discovery.walk import problem_of, walk
from everypose.data.formats.yolo import read_yolo
from everypose.errors import EveryposeError


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def test_files_in_order_without_hidden_ones(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.jfif", "sub/c.png", ".hidden.jpg", ".cache/d.jpg", "notes.txt"):
        touch(tmp_path / name)
    found = walk(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in found.files] == ["a.jfif", "b.JPG", "sub/c.png"]
    assert found.skipped == []


def test_links_in_a_circle_end_and_linked_folders_are_entered_once(tmp_path: Path) -> None:
    touch(tmp_path / "set" / "a.jpg")
    touch(tmp_path / "elsewhere" / "b.jpg")
    (tmp_path / "set" / "circle").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "linked again").symlink_to(tmp_path / "elsewhere")
    found = walk(tmp_path / "set")
    assert [path.name for path in found.files] == ["a.jpg", "b.jpg"]
    assert found.skipped == []


def test_what_is_no_regular_file_is_reported_and_not_opened(tmp_path: Path) -> None:
    touch(tmp_path / "good.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "dangling.jpg").symlink_to("nothing.jpg")
    (tmp_path / "null.jpg").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "socket.jpg"))
        found = walk(tmp_path)
    assert [path.name for path in found.files] == ["good.jpg"]
    reasons = {skipped.path.name: skipped.reason for skipped in found.skipped}
    assert set(reasons) == {"pipe.jpg", "loop.jpg", "dangling.jpg", "null.jpg", "socket.jpg"}
    assert "named pipe" in reasons["pipe.jpg"]
    assert "link to nothing" in reasons["dangling.jpg"]
    assert "device" in reasons["null.jpg"]
    assert "socket" in reasons["socket.jpg"]
    assert all(name in reason and "\n" not in reason for name, reason in reasons.items())


def test_a_folder_that_cannot_be_entered_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permissions do not bind root, which tests may run as: the system's refusal stands in."""
    touch(tmp_path / "a.jpg")
    touch(tmp_path / "closed" / "b.jpg")
    scandir = os.scandir

    def refusing(folder):
        if Path(folder).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    found = walk(tmp_path)
    assert [path.name for path in found.files] == ["a.jpg"]
    (skipped,) = found.skipped
    assert skipped.reason == f"cannot read the folder {tmp_path / 'closed'}: Permission denied"
    (tmp_path / "data.yaml").write_text("train: .\nkpt_shape: [1, 3]\nkpt_names: {0: [nose]}\nnames: [person]\n")
    with pytest.raises(EveryposeError, match="closed: Permission denied"):
        read_yolo(tmp_path / "data.yaml")


def test_deep_nesting(tmp_path: Path) -> None:
    folder = tmp_path
    for _ in range(300):
        folder = folder / "d"
    touch(folder / "a.jpg")
    assert [path.name for path in walk(tmp_path).files] == ["a.jpg"]
    assert walk(tmp_path, depth=299).files == []


def test_names_that_the_system_does_not_take_are_problems() -> None:
    assert "cannot read" in (problem_of(Path("a" * 5000)) or "")
    assert "cannot read" in (problem_of(Path("a\0b")) or "")
