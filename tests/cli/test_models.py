"""``everypose models``."""

import json

import pytest


def test_filters(everypose):
    names = [row["name"] for row in json.loads(everypose("models", "list", "--family", "dfine", "--json").out)]
    assert names == ["dfine-m", "dfine-l"]
    rows = json.loads(everypose("models", "list", "--kind", "detector", "--ready", "--json").out)
    assert {row["kind"] for row in rows} == {"detector"}
    assert rows[0]["name"] == "picodet-s"
    assert rows[0]["bundled"]
    whole = json.loads(everypose("models", "list", "--skeleton", "coco_wholebody", "RTMW", "--json").out)
    assert [row["name"] for row in whole] == ["rtmw-m", "rtmw-l", "rtmw-l-384"]
    assert everypose("models", "list", "--kind", "dog").code == 2


def test_the_list_states_protocols_and_aliases(everypose):
    done = everypose("models", "list", "--family", "vitpose")
    assert "AP 77.0, coco val, boxes: detector, 56 AP" in done.out
    assert "best = vitpose-plus-h" in done.out
    assert "crowd" not in done.out


def test_show(everypose):
    done = everypose("models", "show", "rtmpose-l")
    assert done.code == 0
    for words in (
        "rtmpose-l",
        "end2end.onnx",
        "AP 76.7",
        "boxes: not stated",
        "AI Challenger",
        "code: Apache-2.0",
        "not stated",
    ):
        assert words in done.out
    values = json.loads(everypose("models", "show", "best", "--json").out)
    assert values["alias"] == "best"
    assert values["name"] == "vitpose-plus-h"
    assert "highest published AP" in values["reason"]
    assert values["published"][0]["numbers"]["AP"] == 79.4


@pytest.mark.parametrize("name", ["best", "fast", "crowd"])
def test_an_alias_comes_with_its_reason(everypose, name):
    assert everypose("models", "show", name).out.startswith(f"alias        {name}: ")


def test_an_unknown_name(everypose):
    done = everypose("models", "show", "rtmpose-xl")
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "did you mean rtmpose-" in done.err
