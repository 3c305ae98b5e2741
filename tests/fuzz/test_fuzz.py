"""Damaged inputs for every reader and command: read, or refused by one line; nothing written outside or executed.

The same mutations as ``python -m benchmarks.fuzzing``, which runs them by the thousand.
"""

import os
import random
import signal
import time
from pathlib import Path

import pytest
from benchmarks.fuzzing import children
from benchmarks.fuzzing.all_targets import all_targets
from benchmarks.fuzzing.children import in_child
from benchmarks.fuzzing.mutations import mutate_json
from benchmarks.fuzzing.running import attempt, run
from benchmarks.fuzzing.seeds import ANNOTATIONS, annotations
from benchmarks.fuzzing.target import Target
from benchmarks.fuzzing.watching import put, watched
from hypothesis import given, settings
from hypothesis import strategies as st

from everypose.data.formats.coco_entries import parse_entries
from everypose.errors import EveryposeError

MUTATIONS = 200
SLOW = {
    "WS /v1/stream": 60,
    "bulk plan": 60,
    "bulk run, tar": 60,
    "bulk run, video": 60,
    "compare --pictures": 10,
    "data crowd": 60,
    "data mine": 60,
    "evaluate MODEL": 100,
    "import": 60,
    "import (command)": 20,
    "model folder": 60,
    "predict": 100,
    "predict, video": 60,
    "recipes check": 20,
    "study heatmaps": 40,
    "study occlusion": 60,
    "study similarity": 8,
}
"""Targets that compute much for each mutation, and how many of them run here."""


@pytest.mark.parametrize("target", all_targets(), ids=lambda target: target.name)
def test_damaged_inputs(target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVERYPOSE_HOME", str(tmp_path))
    outcome, what = attempt(target, -1, tmp_path / "whole")
    assert outcome == ("accepted" if target.accepts else "refused"), what
    number = SLOW.get(target.name, MUTATIONS)
    report = run(target, range(number), tmp_path)
    assert report.faults == []
    assert report.accepted + report.refused == number


def test_the_same_number_gives_the_same_mutation() -> None:
    assert mutate_json(ANNOTATIONS, random.Random("a 1")) == mutate_json(ANNOTATIONS, random.Random("a 1"))
    assert mutate_json(ANNOTATIONS, random.Random("a 1")) != mutate_json(ANNOTATIONS, random.Random("a 2"))


def broken_target(kind: str) -> Target:
    """A reader that breaks a rule."""

    def read(content: bytes, folder: Path) -> None:
        if kind == "traceback":
            raise KeyError("id")
        if kind == "lines":
            error = EveryposeError("one")
            error.args = ("one\ntwo",)  # its constructor would escape the line break
            raise error
        if kind == "words":
            raise EveryposeError("a.json: Value error, Skeleton.__init__() missing 1 required positional argument")
        if kind == "outside":
            (folder.parent / "outside.txt").write_text("")
        if kind == "input":
            put(folder / "in.txt", content).write_text("changed")
        if kind == "connected":
            import socket

            with socket.socket() as connection:
                connection.connect_ex(("127.0.0.1", 9))
        if kind == "died":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "hung":
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
            time.sleep(60)

    return Target(kind, (b"content",), lambda content, _: content, read)


@pytest.mark.parametrize("kind", ["traceback", "lines", "words", "outside", "input", "connected"])
def test_a_reader_that_breaks_a_rule_is_noticed(kind: str, tmp_path: Path) -> None:
    """The fuzzing itself: a traceback, two lines, a library's words, a file outside, a changed input, a connection."""
    outcome, what = attempt(broken_target(kind), 0, tmp_path / "case")
    assert outcome == "fault", kind
    assert what


def test_a_mutation_that_ends_its_process_is_named_and_the_next_one_runs() -> None:
    target = broken_target("died")
    report, following = in_child(target, 0, 2, seconds=60)
    assert report.faults == ["died no. 0: ended its process, status 9"]
    assert following == 1
    report, following = in_child(broken_target("fine"), 3, 7, seconds=60)
    assert (report.accepted, report.faults, following) == (4, [], 7)


def test_a_mutation_that_hangs_in_native_code_is_ended_with_its_stacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "_HUNG_SECONDS", 3.0)
    report, following = in_child(broken_target("hung"), 0, 2, seconds=60)
    assert following == 1
    assert report.faults[0].startswith("hung no. 0: ended its process, status 6")
    assert "in read" in report.faults[0]


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
