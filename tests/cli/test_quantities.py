import pytest
from hypothesis import given
from hypothesis import strategies as st

from everypose.cli.quantities import BYTES, COUNTS, DURATIONS, with_unit


@pytest.mark.parametrize("units", [COUNTS[:-1], BYTES, DURATIONS])
@given(value=st.floats(1e-9, 1e14))
def test_a_number_reads_back_within_six_percent(units, value):
    number, _, name = with_unit(value, units).partition(" ")
    size = next(size for size, known in units if known == f" {name}")
    assert float(number.replace(",", "")) * size == pytest.approx(value, rel=0.06)


def test_zero_and_numbers_without_unit():
    assert (with_unit(0, BYTES), with_unit(5, COUNTS), with_unit(999, COUNTS)) == ("0 bytes", "5", "999")
