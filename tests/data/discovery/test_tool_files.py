"""Annotation tools' own formats, wherever annotations are read."""

import json
from pathlib import Path

import pytest

from everypose.data.discovery.layouts import Layout, find_data
from everypose.data.discovery.tool_files import read_annotations
from everypose.data.doctor import examine_all
from everypose.data.formats.convert import read_any
from everypose.errors import EveryposeError
from everypose.evaluation.annotated_set import AnnotatedSet

TASK = {"id": 1, "data": {"image": "/data/upload/1/a.jpg"}, "annotations": [{"id": 2, "result": []}]}
MIN = {"image": "/data/upload/1/a.jpg", "id": 1, "kp": [], "annotator": 1, "lead_time": 3.5}
CVAT = '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version><image id="0"/></annotations>'
FILES = {
    "tasks.json": (json.dumps([TASK]), "Label Studio's own JSON.* as COCO"),
    "task.json": (json.dumps(TASK), "Label Studio's own JSON.* as COCO"),
    "min.json": (json.dumps([MIN]), "Label Studio's own JSON.* as COCO"),
    "annotations.xml": ("\ufeff" + CVAT, "CVAT XML.*'COCO Keypoints 1.0'"),
    "renamed.json": (CVAT, "CVAT XML.*'COCO Keypoints 1.0'"),
}


def scored(path: Path) -> None:
    AnnotatedSet.read(Layout((path,), path.parent, None, None, "one file"))


@pytest.fixture(params=FILES)
def file(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Path, str]:
    text, message = FILES[request.param]
    path = tmp_path / request.param
    path.write_text(text, encoding="utf-8")
    return path, message


@pytest.mark.parametrize("reader", [read_annotations, read_any, lambda path: list(examine_all(path)), scored])
def test_a_tools_own_file_is_refused_with_its_export(file, reader) -> None:
    path, message = file
    with pytest.raises(EveryposeError, match=message) as raised:
        reader(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


# In a folder, a .json file that is not JSON is reported as such.
@pytest.mark.parametrize("file", [name for name in FILES if name != "renamed.json"], indirect=True)
@pytest.mark.parametrize(
    "reader", [read_any, lambda folder: list(examine_all(folder)), lambda folder: find_data(folder, "train")]
)
def test_a_folder_with_only_a_tools_own_file(file, reader) -> None:
    path, message = file
    with pytest.raises(EveryposeError, match=message):
        reader(path.parent)


@pytest.mark.parametrize("name", ["tasks.json", "min.json", "renamed.json"])
def test_a_tools_own_file_under_the_name_of_a_split(tmp_path: Path, name: str) -> None:
    text, message = FILES[name]
    (tmp_path / "train.json").write_text(text)
    with pytest.raises(EveryposeError, match=message):
        find_data(tmp_path, "train")


def test_other_content_is_no_tools_file(tmp_path: Path) -> None:
    for content in ([], {}, [{"image_id": 1, "annotation_id": 2}], [1], {"data": 1, "annotations": []}):
        (tmp_path / "a.json").write_text(json.dumps(content))
        assert read_annotations(tmp_path / "a.json") == content
