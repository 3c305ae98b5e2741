"""Any value is written so that a TOML reader reads it again."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everypose.core.toml_values import toml_value

TEXT = st.text(st.characters(exclude_categories=("Cs",)))


@given(st.one_of(TEXT, st.booleans(), st.integers(-(2**60), 2**60), st.floats(allow_nan=False, allow_infinity=False)))
def test_values_are_read_again(value):
    assert tomllib.loads(f"value = {toml_value(value)}")["value"] == value


@given(st.lists(TEXT))
def test_lists_of_texts_are_read_again(value):
    assert tomllib.loads(f"value = {toml_value(value)}")["value"] == value


@pytest.mark.parametrize("value", ["\x7f", "\U0001f642", "\x00\n\t\\\"'", [["a", "b"], []], 1e-9, 1e300])
def test_values_that_json_writes_otherwise(value):
    assert tomllib.loads(f"value = {toml_value(value)}")["value"] == value
