"""Resuming an interrupted prediction run, and cleaning up after an earlier one, by the JSON files of its images.

An image's JSON file is written last and atomically: if it exists, the image is done. It holds its people exactly.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from everypose.core.files import text_name
from everypose.errors import EveryposeError
from everypose.inference.inputs import Source
from everypose.inference.results import FrameResult
from everypose.people import People

Row: TypeAlias = dict[str, Any]
Settings: TypeAlias = Mapping[str, str | int | float | bool | None]
_OWN_KEYS = {"file_name", "path", "image_id", "width", "height", "skeleton", "people", "run"}


def run_digest(settings: Settings) -> str:
    """A short digest of what decides on the results, such as the model and its thresholds.

    Example:
        >>> run_digest({"model": "boir-lite", "size": None})
        'bf8f7159f36d'
    """
    return hashlib.sha256(json.dumps(dict(settings), sort_keys=True).encode()).hexdigest()[:12]


def finished_result(file: Path, source: Source, digest: str) -> FrameResult | None:
    """The result of an image that an interrupted run finished.

    Args:
        file: the image's JSON file.
        source: the image.
        digest: of the settings of this run.

    Returns:
        The result; None when the image is not done, changed since, was done with other settings, or the file is that of
        an image elsewhere with the same name.

    >>> source = Source(Path("a.jpg"), "a", 1)
    >>> finished_result(Path("out/json/a.json"), source, run_digest({"model": "boir-lite"})) is None  # not done
    True
    """
    content = _own_content(file)
    if content is None:
        return None
    if (content["run"], content["image_id"], content["path"]) != (digest, source.image_id, text_name(source.label)):
        return None
    try:
        if source.address is None and source.path.stat().st_mtime_ns > file.stat().st_mtime_ns:
            return None
        people = People.from_json(json.dumps({"skeleton": content["skeleton"], "people": content["people"]}))
        width, height = int(content["width"]), int(content["height"])
    except (OSError, EveryposeError, TypeError, ValueError, OverflowError):
        return None
    return FrameResult(source.label, people, width, height, image_id=source.image_id)


def remove_other_images(folder: Path, names: Collection[str]) -> None:
    """Remove the JSON files and pictures of an earlier run's images that this run does not write again.

    Only what everypose wrote is removed: a JSON file with its fields, and the picture of the same name.

    Args:
        folder: the output folder.
        names: output names of this run.

    >>> Path("out/json").mkdir(parents=True)
    >>> _ = Path("out/json/mine.json").write_text("{}")
    >>> remove_other_images(Path("out"), ["a"])
    >>> Path("out/json/mine.json").exists()  # not a file of everypose
    True
    """
    jsons = folder / "json"
    for file in sorted(jsons.glob("*.json")) if jsons.is_dir() else ():
        if file.stem not in names and _own_content(file) is not None:
            (folder / "pictures" / f"{file.stem}.jpg").unlink(missing_ok=True)
            file.unlink(missing_ok=True)


def _own_content(file: Path) -> Row | None:
    """The content of a JSON file that everypose wrote for an image; None for any other file."""
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) and content.keys() >= _OWN_KEYS else None
