"""Line charts as SVG."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from itertools import cycle

WIDTH, HEIGHT = 560, 340
LEFT, RIGHT, BOTTOM, LINE = 56, 16, 48, 18
# Distinguishable for color-blind readers; of more lines, some have one color.
COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#1b1f24")
LINES_IN_HEIGHT = len(COLORS)
"""With more lines the figure is higher, by their rows in the legend."""
TICKS = 5


def line_chart(
    x_label: str, y_label: str, *, places: Sequence[str], lines: Mapping[str, Sequence[float | None]]
) -> bytes:
    """Draw a line chart as an SVG file.

    Args:
        x_label: below the chart.
        y_label: left of it.
        places: labels on the x axis, equally spaced.
        lines: name to a value for each place; None is not drawn.

    Returns:
        The content of the file.

    >>> line_chart("threshold", "AP", places=["0", "0.5"], lines={"mipnet-lite": [58.9, 57.0]})[:4]
    b'<svg'
    """
    values = [value for line in lines.values() for value in line if value is not None]
    low, high, step = nice_range(min(values, default=0.0), max(values, default=1.0))
    # The legend is above the chart, one line below the other.
    height = HEIGHT + LINE * max(0, len(lines) - LINES_IN_HEIGHT)
    top, bottom = 10 + LINE * len(lines), height - BOTTOM

    def x(place: int) -> float:
        return round(LEFT + (place + 0.5) / len(places) * (WIDTH - LEFT - RIGHT), 1)

    def y(value: float) -> float:
        return round(bottom - (value - low) / (high - low) * (bottom - top), 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        ' font-size="12" font-family="system-ui,sans-serif" fill="#1b1f24">',
        '<rect width="100%" height="100%" fill="#fff"/>',
    ]
    for number in range(round((high - low) / step) + 1):
        tick = low + number * step
        parts.append(f'<path d="M{LEFT} {y(tick)}H{WIDTH - RIGHT}" stroke="#d8dee4"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(tick) + 4}" text-anchor="end">{tick:.6g}</text>')
    for place, name in enumerate(places):
        parts.append(f'<text x="{x(place)}" y="{bottom + 18}" text-anchor="middle">{escape(name)}</text>')
    middle = (top + bottom) / 2
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{height - 10}" text-anchor="middle">{escape(x_label)}</text>'
    )
    parts.append(f'<text transform="translate(14 {middle}) rotate(-90)" text-anchor="middle">{escape(y_label)}</text>')
    for row, ((name, line), color) in enumerate(zip(lines.items(), cycle(COLORS), strict=False)):
        points = [(x(place), y(value)) for place, value in enumerate(line) if value is not None]
        path = " ".join(f"{a},{b}" for a, b in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts += [f'<circle cx="{a}" cy="{b}" r="3.5" fill="{color}"/>' for a, b in points]
        legend = LINE * (row + 1) - 4
        parts.append(f'<path d="M{LEFT} {legend - 4}h18" stroke="{color}" stroke-width="2"/>')
        parts.append(f'<text x="{LEFT + 24}" y="{legend}">{escape(name)}</text>')
    return ("".join(parts) + "</svg>\n").encode()


def nice_range(low: float, high: float) -> tuple[float, float, float]:
    """The smallest range from tick to tick that contains both values, and the distance of ticks: 1, 2 or 5 times 10^n.

    >>> nice_range(0.0, 8.0)
    (0.0, 8.0, 2.0)
    """
    extent = max(high - low, 1e-3 * max(abs(high), 1.0))
    rough = extent / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return first * step, max(last, first + 1) * step, step
