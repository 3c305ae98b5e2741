"""The filters against loops over samples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everypose.tracking.smoothing.filters import apply_filter, butterworth, fill_gaps, outliers, savitzky_golay


def literal_outliers(curve, window, deviations, smallest):
    half = window // 2
    found = []
    for i, value in enumerate(curve):
        around = [v for v in curve[max(0, i - half) : i + half + 1] if not np.isnan(v)]
        if np.isnan(value) or not around:
            found.append(False)
            continue
        median = np.median(around)
        spread = 1.4826 * np.median([abs(v - median) for v in around])
        found.append(abs(value - median) > max(deviations * spread, smallest))
    return found


@given(st.integers(0, 1000), st.sampled_from([1, 3, 7]), st.floats(0, 0.5))
@settings(max_examples=30, deadline=None)
def test_outliers_are_those_of_a_loop(seed, window, missing):
    rng = np.random.default_rng(seed)
    curves = rng.normal(0, 1, (20, 2)) ** 3
    curves[rng.uniform(size=curves.shape) < missing] = np.nan
    found = outliers(curves, window=window, deviations=2.0, smallest=0.3)
    for column in range(2):
        assert found[:, column].tolist() == literal_outliers(curves[:, column], window, 2.0, 0.3)


def test_gaps_are_filled_up_to_a_length():
    times = np.array([0.0, 0.1, 0.2, 0.5, 0.6, 2.0, 3.0])
    curve = np.array([np.nan, 1.0, np.nan, 5.0, np.nan, np.nan, 7.0])[:, None]
    filled = fill_gaps(times, curve, 0.4).ravel()
    np.testing.assert_allclose(filled, [np.nan, 1, 2, 5, np.nan, np.nan, 7])
    np.testing.assert_allclose(fill_gaps(times, curve, 10)[4:6, 0], [5 + 2 * 0.1 / 2.5, 5 + 2 * 1.5 / 2.5])
    assert np.isnan(fill_gaps(times, np.full((7, 1), np.nan), 10)).all()


def literal_butterworth(curve, cutoff, rate):
    """Order 2 forwards and backwards, by the bilinear transform, with odd extension and settled initial conditions."""
    corrected = cutoff / (np.sqrt(2) - 1) ** 0.25
    c = 1 / np.tan(np.pi * corrected / rate)
    gain = 1 / (1 + np.sqrt(2) * c + c * c)
    b = [gain, 2 * gain, gain]
    a = [2 * gain * (1 - c * c), gain * (1 - np.sqrt(2) * c + c * c)]

    def once(samples):
        # The state in which a constant input has been there for ever.
        state1, state2 = (1 - b[0]) * samples[0], (b[2] - a[1]) * samples[0]
        done = []
        for value in samples:
            out = b[0] * value + state1
            state1, state2 = b[1] * value - a[0] * out + state2, b[2] * value - a[1] * out
            done.append(out)
        return done

    pad = min(9, len(curve) - 1)
    before = [2 * curve[0] - curve[i] for i in range(pad, 0, -1)]
    after = [2 * curve[-1] - curve[-1 - i] for i in range(1, pad + 1)]
    forwards = once([*before, *curve, *after])
    return once(forwards[::-1])[::-1][pad : pad + len(curve)]


@pytest.mark.parametrize("length", [5, 8, 60])
def test_butterworth_is_that_of_a_loop(length):
    curve = np.cumsum(np.random.default_rng(0).normal(0, 1, length))
    found = butterworth(cutoff=6.0, order=4)(curve[:, None], 30.0).ravel()
    np.testing.assert_allclose(found, literal_butterworth(curve, 6.0, 30.0), atol=1e-9)


def test_butterworth_halves_the_power_at_the_cutoff_without_lag():
    times = np.arange(2000) / 200
    for frequency, gain in ((0.5, 1.0), (6.0, np.sqrt(0.5)), (40.0, 0.0)):
        wave = np.sin(2 * np.pi * frequency * times)
        found = butterworth(cutoff=6.0, order=4)(wave[:, None], 200.0).ravel()[500:1500]
        np.testing.assert_allclose(found, gain * wave[500:1500], atol=0.01)


def literal_savitzky_golay(curve, samples, degree):
    half = samples // 2
    done = []
    for i in range(len(curve)):
        middle = min(max(i, half), len(curve) - 1 - half)
        rows = np.arange(middle - half, middle + half + 1)
        done.append(np.polyval(np.polyfit(rows - i, curve[rows], degree), 0))
    return done


def test_savitzky_golay_is_that_of_a_loop():
    curve = np.cumsum(np.random.default_rng(1).normal(0, 1, 40))
    found = savitzky_golay(window=0.35, degree=2)(curve[:, None], 30.0).ravel()
    np.testing.assert_allclose(found, literal_savitzky_golay(curve, 11, 2), atol=1e-9)


@pytest.mark.parametrize("chosen", [butterworth(cutoff=6.0, order=4), savitzky_golay(window=0.35, degree=2)])
def test_slowly_sampled_and_short_curves_stay_as_they_are(chosen):
    curve = np.array([[0.0], [5.0], [1.0]])
    np.testing.assert_array_equal(apply_filter(np.arange(3.0) / 30, curve, chosen), curve)
    wave = np.sin(np.arange(30))[:, None]
    np.testing.assert_array_equal(butterworth(cutoff=6.0, order=4)(wave, 10.0), wave)


def test_each_stretch_is_filtered_alone():
    times = np.arange(40) / 30
    rng = np.random.default_rng(2)
    curves = rng.normal(0, 1, (40, 2))
    curves[18:22, 0] = np.nan
    chosen = butterworth(cutoff=6.0, order=4)
    found = apply_filter(times, curves, chosen)
    np.testing.assert_allclose(found[:18, 0], chosen(curves[:18, :1], 30).ravel())
    np.testing.assert_allclose(found[22:, 0], chosen(curves[22:, :1], 30).ravel())
    np.testing.assert_allclose(found[:, 1], chosen(curves[:, 1:], 30).ravel())
    assert np.isnan(found[18:22, 0]).all()


def test_uneven_times_give_the_curve_of_even_ones():
    rng = np.random.default_rng(3)
    even = np.arange(0, 6, 1 / 60)
    uneven = np.sort(rng.choice(even, 150, replace=False))

    def curve(times):
        return np.sin(2 * np.pi * 0.7 * times)[:, None]

    chosen = butterworth(cutoff=6.0, order=4)
    found = apply_filter(uneven, curve(uneven), chosen)
    np.testing.assert_allclose(found[5:-5], curve(uneven)[5:-5], atol=0.03)


@given(st.integers(0, 1000), st.floats(-100, 100), st.floats(-10, 10))
@settings(max_examples=20, deadline=None)
def test_filters_keep_straight_lines(seed, start, slope):
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.02, 0.05, 30))
    line = (start + slope * times)[:, None]
    for chosen in (butterworth(cutoff=6.0, order=4), savitzky_golay(window=0.35, degree=2)):
        np.testing.assert_allclose(apply_filter(times, line, chosen), line, atol=0.02 * (1 + abs(slope)))
