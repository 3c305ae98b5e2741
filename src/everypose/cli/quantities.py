"""Numbers with the unit in which a reader takes them in: 4.5 million, 12.3 MB, 40 seconds."""

Units = tuple[tuple[float, str], ...]

COUNTS: Units = ((1e9, " billion"), (1e6, " million"), (1e3, " thousand"), (1.0, ""))
BYTES: Units = ((1e9, " GB"), (1e6, " MB"), (1e3, " kB"), (1.0, " bytes"))
DURATIONS: Units = ((3600.0, " hours"), (60.0, " minutes"), (1.0, " seconds"))


def with_unit(value: float, units: Units) -> str:
    """Return a number in the largest unit of which it is at least one; in the smallest if it is less than one of all.

    >>> with_unit(4_480_000, COUNTS), with_unit(12_300, BYTES), with_unit(0.2, DURATIONS), with_unit(90, DURATIONS)
    ('4.5 million', '12.3 kB', '0.2 seconds', '1.5 minutes')

    Args:
        value: 0 or more.
        units: size and name of each, largest first.
    """
    size, name = next((unit for unit in units if value >= unit[0]), units[-1])
    number = value / size
    if not name:
        return f"{number:.0f}"
    return f"{number:,.0f}{name}" if number >= 100 else f"{number:.2g}{name}" if number < 1 else f"{number:.1f}{name}"
