"""The warm part of a run and the table of ``benchmarks.bulk.ray_efficiency``."""

import os

import pytest
from benchmarks.bulk.ray_efficiency import EACH_CORE, ONE_CORE, RAY_TWO, Measured, _warm_part, summary


def test_the_warm_part_is_that_in_which_all_workers_compute():
    # Two workers: one begins at 10 and ends at 40, the other begins at 14 and ends at 34.
    parts = [(10.0, 20.0, 8), (20.0, 30.0, 8), (30.0, 40.0, 8), (14.0, 24.0, 8), (24.0, 34.0, 8)]
    warm = _warm_part(RAY_TWO, parts, 2, begin=3.0, end=41.0)
    assert (warm.start_seconds, warm.seconds, warm.end_seconds) == (11.0, 20.0, 7.0)
    assert warm.images == pytest.approx(0.6 * 8 + 8 + 0.4 * 8 + 8 + 8)
    assert warm.throughput == pytest.approx(1.6)
    with pytest.raises(SystemExit, match="never had a part each"):
        _warm_part(RAY_TWO, parts[:2], 2, begin=3.0, end=41.0)


def test_ratios_are_taken_within_rounds(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})

    def runs(way, *throughputs):
        return [Measured(way, 2, each * 10, 10.0, 1.0, 0.0) for each in throughputs]

    lines = summary([*runs(ONE_CORE, 4, 5, 6), *runs(EACH_CORE, 8, 10, 10), *runs(RAY_TWO, 8, 9, 10)])
    assert lines[-1] == (
        "| two Ray machines | 3 | 2 | 9.00 | 90.0% (83.3% to 100.0%) | 100.0% (90.0% to 100.0%) | 1.0 s |"
    )
