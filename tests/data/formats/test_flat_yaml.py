"""The YAML of Ultralytics data sets: what is written is read, other YAML is one line."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everypose.data.formats import flat_yaml
from everypose.errors import EveryposeError

scalars = st.one_of(
    st.integers(-99, 99),
    st.booleans(),
    st.none(),
    st.text("abc_ #:,'-./0[]{}", min_size=1).filter(lambda t: "'" not in t),
)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_]{1,8}", fullmatch=True),
        st.one_of(
            scalars,
            st.lists(scalars, max_size=4),
            st.dictionaries(
                st.integers(0, 9), st.one_of(scalars, st.lists(scalars, max_size=3)), min_size=1, max_size=4
            ),
        ),
        max_size=5,
    )
)
def test_yaml_round_trip(values: dict) -> None:
    text = flat_yaml.dump(values)
    assert flat_yaml.parse(text, "test") == values


@pytest.mark.parametrize("word", [".0", "nan", "Infinity", "1e5", "Yes", "~", "plain.word/x"])
def test_words_that_would_be_numbers_are_quoted(word: str) -> None:
    assert flat_yaml.parse(flat_yaml.dump({"key": word}), "test") == {"key": word}


@pytest.mark.parametrize("name", ['5" pipe', "M\u00e4nnchen", "\U0001f42d", "C:\\new", "two\nlines", 'a" # b', "\\"])
def test_names_that_are_written_with_escapes_come_back(name: str) -> None:
    values = {"train": name, "names": {0: name, 1: "cat"}, "kpt_names": {0: [name, "b"]}}
    assert flat_yaml.parse(flat_yaml.dump(values), "test") == values


def test_a_path_in_double_quotes_that_has_no_escape_stays() -> None:
    assert flat_yaml.parse('path: "C:\\data\\mice"  # there\n', "test") == {"path": "C:\\data\\mice"}


def test_yaml_forms() -> None:
    text = """
# a comment
path: ../datasets/tiger # where
train: "images # 1"
names:
  0: 'a tiger'
  1: lion
kpt_shape:
  - 12
  - 3
flip_idx: [0, 2,
  1]
kpt_names:
  0:
    - nose
    - left ear
more: {a: 1, b: [x, y]}
empty:
"""
    assert flat_yaml.parse(text, "test") == {
        "path": "../datasets/tiger",
        "train": "images # 1",
        "names": {0: "a tiger", 1: "lion"},
        "kpt_shape": [12, 3],
        "flip_idx": [0, 2, 1],
        "kpt_names": {0: ["nose", "left ear"]},
        "more": {"a": 1, "b": ["x", "y"]},
        "empty": None,
    }


@pytest.mark.parametrize("text", ["just words", "a: [1, 2", "  indented: 1", "a:\n  ???", "a: [b, c}>d]", "a: {b: c]}"])
def test_other_yaml_is_one_line(text: str) -> None:
    with pytest.raises(EveryposeError, match="data set YAML"):
        flat_yaml.parse(text, "data.yaml")


@settings(max_examples=500, deadline=5000, derandomize=True)
@given(st.text("ab:,[]{}'\"#- \n", max_size=30))
def test_reading_ends_whatever_the_brackets(value: str) -> None:
    with contextlib.suppress(EveryposeError):
        flat_yaml.parse(f"a: [{value}", "data.yaml")
