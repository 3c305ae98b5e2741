"""Annotation tools' own formats, which are refused with how to export COCO instead: Label Studio's JSON, CVAT's XML."""

from itertools import islice
from pathlib import Path
from typing import Any

from everypose.core.files import read_json
from everypose.data.discovery.walk import walk
from everypose.errors import EveryposeError

_HEAD = 4096
_DEPTH = 3
_FILES_TRIED = 50
_CVAT = "in CVAT, export the task as 'COCO Keypoints 1.0' and give that file"
_LABEL_STUDIO = "in Label Studio, export the project as COCO (as YOLO if images have several people) and give that file"


def read_annotations(path: Path) -> Any:
    """Read an annotation file's JSON.

    Raises:
        EveryposeError: if it is XML or Label Studio's own JSON, which the message says how to export as COCO, or is
            no JSON.

    >>> _ = Path("annotations.xml").write_text("<?xml version='1.0'?><annotations></annotations>")
    >>> read_annotations(Path("annotations.xml"))
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: annotations.xml is a CVAT XML file, not COCO JSON; in CVAT, export ...
    """
    if (head := _xml_head(path)) is not None:
        raise EveryposeError(
            f"{path} is {'a CVAT' if b'<annotations' in head else 'an'} XML file, not COCO JSON; {_CVAT}"
        )
    content = read_json(path)
    if _is_label_studio_project(content):
        raise EveryposeError(f"{path} is Label Studio's own JSON, not COCO; {_LABEL_STUDIO}")
    return content


def refuse_tool_files(folder: Path) -> None:
    """Check that a folder without COCO files has no files of an annotation tool.

    Raises:
        EveryposeError: if there is such a file among the first 50 JSON and XML files; the message says how to export.

    >>> Path("photos").mkdir()
    >>> refuse_tool_files(Path("photos"))  # nothing to refuse
    """
    for path in islice(sorted(walk(folder, (".json", ".xml"), depth=_DEPTH).files), _FILES_TRIED):
        if path.suffix.lower() == ".xml":
            unfit = b"<annotations" in (_xml_head(path) or b"")
        else:
            try:
                unfit = _is_label_studio_project(read_json(path))
            except EveryposeError:
                continue
        if unfit:
            read_annotations(path)


def _xml_head(path: Path) -> bytes | None:
    """The start of a file if it is XML."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(_HEAD).removeprefix(b"\xef\xbb\xbf").lstrip()
    except OSError:
        return None
    return head if head.startswith(b"<") else None


def _is_label_studio_project(content: Any) -> bool:
    """Whether JSON is a list of Label Studio's tasks (JSON or JSON-MIN), or one task."""
    task = content[0] if isinstance(content, list) and content else content
    if not isinstance(task, dict):
        return False
    is_task = isinstance(task.get("data"), dict) and isinstance(task.get("annotations"), list)
    return is_task or {"annotator", "lead_time"} <= task.keys()
