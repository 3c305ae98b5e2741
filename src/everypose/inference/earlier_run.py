"""Removing what an earlier run into the same folder wrote, and this one does not write again.

Results of two runs next to each other would be read as those of one: the frames of a longer video, the people of
another tracking, a table without its list.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from everypose.inference.results.writing import Scope, format_names
from everypose.inference.run_files import RUN_FILE


def remove_other_files(folder: Path, written: frozenset[str], candidates: frozenset[str]) -> None:
    """Remove the files of a whole run that this run does not write.

    Only from a folder that everypose wrote: one with its ``run.json``.

    Args:
        folder: the output folder.
        written: names of the files that this run writes.
        candidates: names that runs give to such files.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "results.csv").write_text("my own")
        >>> remove_other_files(folder, frozenset(), frozenset({"results.csv"}))
        >>> (folder / "results.csv").exists()
        True
    """
    if not _is_of_a_run(folder):
        return
    for name in candidates - written:
        if (folder / name).is_file():
            (folder / name).unlink()


def remove_files_of_video(folder: Path, name: str) -> None:
    """Remove the files that an earlier run wrote for a video: of its frames, and of its people.

    Args:
        folder: the output folder.
        name: output name of the video.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "trc").mkdir()
        >>> _ = (folder / "trc" / "clip_person3.trc").write_text("")
        >>> remove_files_of_video(folder, "clip")
        >>> list((folder / "trc").iterdir())
        []
    """
    own = re.escape(name)
    for kind in format_names(Scope.FRAME):
        _remove(folder / kind / name, rf"{own}_\d+(_keypoints\.json|\.txt)")
    _remove(folder / "trc", rf"{own}_person\d+\.trc")
    _remove(folder / "crops" / name, rf"{own}_\d+_person\d+\.jpg")


def _remove(folder: Path, pattern: str) -> None:
    """Remove the files of a folder whose whole name fits a pattern."""
    for file in _files(folder):
        if re.fullmatch(pattern, file.name):
            file.unlink(missing_ok=True)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if path.is_file()) if folder.is_dir() else iter(())


def _is_of_a_run(folder: Path) -> bool:
    """Whether a folder has the ``run.json`` of everypose."""
    try:
        content = json.loads((folder / RUN_FILE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and "everypose" in content
