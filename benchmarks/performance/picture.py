"""A line chart as SVG, readable on light and dark pages."""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

WIDTH, HEIGHT = 640, 380
LEFT, RIGHT, TOP, BOTTOM = 56, 150, 16, 48
COLORS = ("#7f7f7f", "#0072b2", "#e69f00", "#cc79a7", "#009e73")

Points = Sequence[tuple[float, float]]


def line_chart(lines: Mapping[str, Points], x_label: str, y_label: str) -> str:
    """One line for each name, from (0, 0) to the largest values."""
    x_most = max(x for points in lines.values() for x, _ in points)
    y_most = max(y for points in lines.values() for _, y in points) * 1.05

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + x / x_most * (WIDTH - LEFT - RIGHT)
        down = HEIGHT - BOTTOM - y / y_most * (HEIGHT - TOP - BOTTOM)
        return round(across, 1), round(down, 1)

    left, bottom = place(0, 0)
    right, top = place(x_most, y_most)
    turned = f'transform="translate(14 {(top + bottom) / 2}) rotate(-90)" text-anchor="middle"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" font-size="12"'
        ' font-family="system-ui,sans-serif" fill="#6e7781">',
        f'<path d="M{left} {top}V{bottom}H{right}" stroke="#6e7781" fill="none"/>',
        f'<text x="{(left + right) / 2}" y="{HEIGHT - 10}" text-anchor="middle">{escape(x_label)}</text>',
        f"<text {turned}>{escape(y_label)}</text>",
    ]
    for value in round_values(x_most):
        parts.append(f'<text x="{place(value, 0)[0]}" y="{bottom + 16}" text-anchor="middle">{value:g}</text>')
    for value in round_values(y_most):
        parts.append(f'<text x="{left - 6}" y="{place(0, value)[1] + 4}" text-anchor="end">{value:g}</text>')
    for (name, points), color in zip(lines.items(), COLORS, strict=False):
        places = " ".join(f"{x},{y}" for x, y in (place(*point) for point in points))
        end_x, end_y = place(*points[-1])
        parts.append(f'<polyline points="{places}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts.append(f'<text x="{end_x + 8}" y="{end_y + 4}" fill="{color}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def round_values(most: float) -> list[float]:
    """Five to eleven values from 0 to ``most`` at steps of 1, 2 or 5 times a power of ten.

    >>> round_values(50), round_values(605)
    ([0.0, 10.0, 20.0, 30.0, 40.0, 50.0], [0.0, 100.0, 200.0, 300.0, 400.0, 500.0, 600.0])
    """
    power = 10.0 ** np.floor(np.log10(most))
    step = next(factor * power for factor in (1, 0.5, 0.2) if most / (factor * power) >= 4)
    return [float(value) for value in np.arange(0, most * (1 + 1e-9), step).round(9)]
