"""Filters of evenly or unevenly sampled curves: outliers, gaps, Butterworth, Savitzky-Golay.

Curves are arrays (M, C), one column each; NaN is a missing sample.
"""

import importlib
import warnings
from collections.abc import Callable
from types import ModuleType

import numpy as np

from everypose.core.arrays import Float64, Int64, Mask
from everypose.errors import MissingDependencyError

# Standard deviation of a normal distribution over its median absolute deviation.
MAD_TO_DEVIATION = 1.4826
UNEVEN = 0.01
"""Steps of time that differ by more than this share of the middle one are uneven."""
FEWEST_SAMPLES = 4
"""Shorter curves are not filtered."""

Filter = Callable[[Float64, float], Float64]
"""A filter of curves (M, C) at a sampling rate in hertz."""


def outliers(curves: Float64, *, window: int, deviations: float, smallest: float) -> Mask:
    """Samples (M, C) far from the median of those around them (Hampel's identifier).

    Args:
        curves: (M, C)
        window: samples around each one, itself included; odd.
        deviations: scaled median absolute deviations beyond which a sample is an outlier.
        smallest: a deviation that is never an outlier, for curves that hardly move.

    Example:
        >>> curve = np.array([[1.0], [1.1], [9.0], [1.2], [1.0]])
        >>> outliers(curve, window=5, deviations=3, smallest=0.5).ravel().tolist()
        [False, False, True, False, False]
    """
    half = window // 2
    padded = np.pad(curves, ((half, half), (0, 0)), constant_values=np.nan)
    around = np.lib.stride_tricks.sliding_window_view(padded, window, axis=0)
    with warnings.catch_warnings():
        # All missing: the median is NaN, and nothing is an outlier.
        warnings.simplefilter("ignore", RuntimeWarning)
        median = np.nanmedian(around, axis=2)
        spread = MAD_TO_DEVIATION * np.nanmedian(np.abs(around - median[..., None]), axis=2)
    far: Mask = np.abs(curves - median) > np.maximum(deviations * spread, smallest)
    return far


def fill_gaps(times: Float64, curves: Float64, longest: float) -> Float64:
    """Curves (M, C) with missing samples on a straight line where their neighbors are at most ``longest`` apart.

    Args:
        times: (M,) seconds, rising.
        curves: (M, C)
        longest: seconds.

    Example:
        >>> fill_gaps(np.arange(3.0), np.array([[1.0], [np.nan], [3.0]]), 2.0).ravel().tolist()
        [1.0, 2.0, 3.0]
    """
    filled = curves.copy()
    for column in filled.T:
        known = np.flatnonzero(np.isfinite(column))
        missing = np.flatnonzero(np.isnan(column))
        if not len(known) or not len(missing):
            continue
        after = np.searchsorted(known, missing)
        inside = (after > 0) & (after < len(known))
        missing, after = missing[inside], after[inside]
        short = times[known[after]] - times[known[after - 1]] <= longest
        column[missing[short]] = np.interp(times[missing[short]], times[known], column[known])
    return filled


def apply_filter(times: Float64, curves: Float64, chosen: Filter) -> Float64:
    """Filter every unbroken stretch of every curve (M, C), on even times where the given ones are uneven.

    Args:
        times: (M,) seconds, rising.
        curves: (M, C)
        chosen: the filter.

    Example:
        >>> times = np.arange(8) / 10
        >>> apply_filter(times, times[:, None], lambda curves, rate: curves * rate).ravel().round(6).tolist()
        [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    """
    filtered = curves.copy()
    patterns, which = np.unique(np.isfinite(curves), axis=1, return_inverse=True)
    for number, known in enumerate(patterns.T):
        columns = np.flatnonzero(which.ravel() == number)
        for rows in _stretches(known):
            if len(rows) >= FEWEST_SAMPLES:
                part = np.ix_(rows, columns)
                filtered[part] = _on_even_times(times[rows], curves[part], chosen)
    return filtered


def butterworth(*, cutoff: float, order: int) -> Filter:
    """A Butterworth low-pass filter without lag, run forwards and backwards.

    The two passes together have the order, and half the power at the cutoff: each has half the order and a higher
    cutoff (Winter 2009, section 2.4.4). Curves sampled too slowly to have such frequencies stay as they are.

    Args:
        cutoff: hertz.
        order: even.

    Raises:
        MissingDependencyError: if scipy is not installed.

    Example:
        >>> smooth = butterworth(cutoff=2.0, order=4)
        >>> noise = np.random.default_rng(0).normal(size=(100, 1))
        >>> bool(smooth(noise, 30.0).std() < 0.5 * noise.std())
        True
    """
    signal = _signal()
    each = order // 2
    corrected = cutoff / (np.sqrt(2) - 1) ** (1 / (2 * each))

    def run(curves: Float64, rate: float) -> Float64:
        if corrected >= rate / 2:
            return curves
        sections = signal.butter(each, corrected, fs=rate, output="sos")
        padding = min(3 * (2 * len(sections) + 1), len(curves) - 1)
        filtered: Float64 = signal.sosfiltfilt(sections, curves, axis=0, padlen=padding)
        return filtered

    return run


def savitzky_golay(*, window: float, degree: int) -> Filter:
    """The Savitzky-Golay filter: each sample on a polynomial through those around it.

    Args:
        window: seconds that a polynomial spans; where the samples are too few for the degree, more.
        degree: of the polynomial.

    Raises:
        MissingDependencyError: if scipy is not installed.

    Example:
        >>> line = np.arange(20.0)[:, None]
        >>> bool(np.allclose(savitzky_golay(window=0.5, degree=2)(line, 10.0), line))
        True
    """
    signal = _signal()

    def run(curves: Float64, rate: float) -> Float64:
        samples = max(2 * round(window * rate / 2) + 1, degree + 2 - degree % 2 + 1)
        if samples > len(curves):
            return curves
        filtered: Float64 = signal.savgol_filter(curves, samples, degree, axis=0)
        return filtered

    return run


def _on_even_times(times: Float64, curves: Float64, chosen: Filter) -> Float64:
    """Filter complete curves, by way of even times where needed."""
    steps = np.diff(times)
    step = float(np.median(steps))
    if np.abs(steps - step).max() <= UNEVEN * step:
        return chosen(curves, 1 / step)
    # As fine as the smallest step, so that nothing is lost; bounded, so that one odd step does not cost memory.
    count = min(round((times[-1] - times[0]) / float(steps.min())), 8 * len(times)) + 1
    even = np.linspace(times[0], times[-1], count)
    resampled = _interpolate(times, curves, even)
    return _interpolate(even, chosen(resampled, (count - 1) / (times[-1] - times[0])), times)


def _interpolate(times: Float64, curves: Float64, at: Float64) -> Float64:
    return np.stack([np.interp(at, times, column) for column in curves.T], axis=1)


def _stretches(known: Mask) -> list[Int64]:
    """Rows of each unbroken run of True."""
    rows = np.flatnonzero(known)
    return [part for part in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1) if len(part)]


def _signal() -> ModuleType:
    """The module scipy.signal."""
    try:
        return importlib.import_module("scipy.signal")
    except ImportError as error:
        raise MissingDependencyError("smoothing", "video") from error
