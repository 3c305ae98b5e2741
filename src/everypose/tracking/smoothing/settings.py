"""Settings of smoothing. Times are in seconds, frequencies in hertz, lengths relative to a person's size."""

from typing import Literal

from pydantic import Field, field_validator

from everypose.core.settings import Settings


class LiveSmoothing(Settings):
    """The One-Euro filter's settings; a person's size is the square root of the box area.

    Attributes:
        min_cutoff: cutoff frequency of a keypoint at rest; lower is smoother.
        beta: rise of the cutoff frequency with speed, in hertz for one size per second; higher lags less.
        speed_cutoff: cutoff frequency of the speed.
        longest_gap: seconds without a detection of the keypoint after which its filter is reset.

    Example:
        >>> LiveSmoothing(min_cutoff=0.5).min_cutoff
        0.5
    """

    min_cutoff: float = Field(default=1.0, gt=0)
    beta: float = Field(default=3.0, ge=0)
    speed_cutoff: float = Field(default=1.0, gt=0)
    longest_gap: float = Field(default=0.5, gt=0)


class OfflineSmoothing(Settings):
    """Outlier removal, gap filling and a filter without lag.

    Attributes:
        outlier_window: frames around each one whose median it is compared with, odd; 1 removes nothing.
        outlier_deviations: median absolute deviations, scaled to standard deviations, beyond which it is an outlier.
        longest_gap: seconds without a keypoint that are filled in.
        filter: which filter; None: only outliers and gaps.
        cutoff: of the Butterworth filter, both passes together.
        order: of the Butterworth filter, both passes together; even.
        window: seconds that a Savitzky-Golay polynomial spans.
        degree: of that polynomial.

    Example:
        >>> OfflineSmoothing(filter="butterworth").cutoff
        6.0
    """

    outlier_window: int = Field(default=7, ge=1)
    outlier_deviations: float = Field(default=3.0, gt=0)
    longest_gap: float = Field(default=0.5, ge=0)
    filter: Literal["butterworth", "savitzky-golay"] | None = "butterworth"
    cutoff: float = Field(default=6.0, gt=0)
    order: int = Field(default=4, ge=2)
    window: float = Field(default=0.35, gt=0)
    degree: int = Field(default=2, ge=1)

    @field_validator("outlier_window")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("must be odd, so that it has a middle")
        return value

    @field_validator("order")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("must be even: the filter runs forwards and backwards")
        return value
