"""A line chart as SVG, readable on light and dark pages."""

from collections.abc import Mapping, Sequence
from html import escape

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
    for part in range(5):
        x, y = place(x_most * part / 4, y_most * part / 4)
        parts.append(f'<text x="{x}" y="{bottom + 16}" text-anchor="middle">{x_most * part / 4:.3g}</text>')
        parts.append(f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">{y_most * part / 4:.2g}</text>')
    for (name, points), color in zip(lines.items(), COLORS, strict=False):
        places = " ".join(f"{x},{y}" for x, y in (place(*point) for point in points))
        end_x, end_y = place(*points[-1])
        parts.append(f'<polyline points="{places}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts.append(f'<text x="{end_x + 8}" y="{end_y + 4}" fill="{color}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
