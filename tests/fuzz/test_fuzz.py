"""Damaged inputs for every reader and command: read, or refused by one line; nothing written outside or executed.

The same mutations as ``python -m benchmarks.fuzzing``, which runs them by the thousand.
"""

import random
from pathlib import Path

import pytest
from benchmarks.fuzzing.commands import command_targets
from benchmarks.fuzzing.mutations import mutate_json
from benchmarks.fuzzing.running import attempt, run, watched
from benchmarks.fuzzing.targets import (
    Target,
    annotations,
    as_json,
    data_targets,
    image_targets,
    model_targets,
    onnx_targets,
    result_targets,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from everypose.data.formats.coco_entries import parse_entries
from everypose.errors import EveryposeError

MUTATIONS = 200
SLOW = {"ONNX model": 12, "predict": 20, "predict --boxes": 20, "data crowd": 40, "train": 40, "data overlap": 60}
"""Targets that load a model or decode much for each mutation."""
READERS = [*image_targets(), *data_targets(), *result_targets(), *model_targets(), *onnx_targets()]


@pytest.mark.parametrize("target", [*READERS, *command_targets()], ids=lambda target: target.name)
def test_damaged_inputs(target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    report = run(target, range(SLOW.get(target.name, MUTATIONS)), tmp_path)
    assert report.faults == []
    assert report.accepted + report.refused == SLOW.get(target.name, MUTATIONS)


def test_the_same_number_gives_the_same_mutation() -> None:
    seed = as_json(annotations())[0]
    assert mutate_json(seed, random.Random("a 1")) == mutate_json(seed, random.Random("a 1"))
    assert mutate_json(seed, random.Random("a 1")) != mutate_json(seed, random.Random("a 2"))


def test_a_reader_that_breaks_a_rule_is_noticed(tmp_path: Path) -> None:
    """The fuzzing itself: a traceback, two lines, and a file outside each count as a fault."""

    def broken(kind: str) -> Target:
        def read(_: bytes, folder: Path) -> None:
            if kind == "traceback":
                raise KeyError("id")
            if kind == "lines":
                raise EveryposeError("one\ntwo")
            (folder.parent / "outside.txt").write_text("")

        return Target(kind, (b"content",), lambda content, _: content, read)

    for number, kind in enumerate(("traceback", "lines", "outside")):
        outcome, what = attempt(broken(kind), 0, tmp_path / str(number))
        assert outcome == "fault", kind
        assert what


def test_the_watch_ends_with_its_block(tmp_path: Path) -> None:
    with watched(tmp_path / "inside") as found:
        pass
    (tmp_path / "later.txt").write_text("")
    assert found == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = ("id", "image_id", "category_id", "keypoints", "bbox", "area", "iscrowd", "num_keypoints", "segmentation")


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=5))
def test_any_json_in_any_field_of_an_annotation_is_normalized_or_one_line(fields: dict) -> None:
    content = annotations(1)
    content["annotations"][0] |= fields
    try:
        parsed = parse_entries(content, "train.json", finite=True)
    except EveryposeError as error:
        message = str(error)
    else:
        message = ""
        (entry,) = parsed["annotations"]
        assert all(type(entry[key]) is int for key in ("id", "image_id", "category_id", "iscrowd") if key in entry)
        assert len(entry.get("bbox", [0] * 4)) == 4
        assert len(entry.get("keypoints", [])) % 3 == 0
    assert "\n" not in message
    assert len(message) < 300
