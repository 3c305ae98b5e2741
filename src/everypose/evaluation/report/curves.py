"""Precision-recall curves as inline SVG."""

import numpy as np

from everypose.core.arrays import Float64

WIDTH, HEIGHT, MARGIN = 460, 320, 44
# (row of the precision array, label, color): the colors are distinguishable for color-blind readers.
CURVES = ((0, "OKS 0.50", "#0072b2"), (5, "OKS 0.75", "#e69f00"), (9, "OKS 0.95", "#cc79a7"), (None, "mean", "#7f7f7f"))


def precision_recall_svg(precision: Float64) -> str:
    """Draw precision-recall curves as an SVG element.

    Args:
        precision: (10, 101) float64, by OKS threshold and recall.

    >>> precision_recall_svg(np.linspace(1, 0, 101)[None].repeat(10, axis=0))[:4]
    '<svg'
    """
    parts = [
        f'<svg role="img" aria-label="precision over recall" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}"'
        ' font-size="11" fill="currentColor" font-family="system-ui,sans-serif">'
    ]
    for tick in np.linspace(0, 1, 6):
        x, y = _position(tick, tick)
        left, bottom = _position(0, 0)
        right, top = _position(1, 1)
        parts.append(
            f'<path d="M{left} {y}H{right}M{x} {top}V{bottom}" stroke="currentColor" opacity=".15" fill="none"/>'
            f'<text x="{x}" y="{bottom + 16}" text-anchor="middle">{tick:.1f}</text>'
            f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">{tick:.1f}</text>'
        )
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 8}" text-anchor="middle">recall</text>')
    parts.append(f'<text transform="translate(12 {HEIGHT / 2}) rotate(-90)" text-anchor="middle">precision</text>')
    for row, (index, name, color) in enumerate(CURVES):
        values = precision.mean(axis=0) if index is None else precision[index]
        points = " ".join(
            "{},{}".format(*_position(recall, value))
            for recall, value in zip(np.linspace(0, 1, len(values)), values, strict=True)
        )
        dash = ' stroke-dasharray="5 4"' if index is None else ""
        x, y = _position(0.03, 0.27 - 0.07 * row)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"{dash}/>')
        parts.append(f'<path d="M{x} {y - 4}h18" stroke="{color}" stroke-width="2"{dash}/>')
        parts.append(f'<text x="{x + 24}" y="{y}">{name}: AP {100 * values.mean():.1f}</text>')
    return "".join(parts) + "</svg>"


def _position(recall: float, precision: float) -> tuple[float, float]:
    """SVG coordinates of a point of a curve."""
    x = MARGIN + recall * (WIDTH - MARGIN - 12)
    y = 12 + (1 - precision) * (HEIGHT - MARGIN - 12)
    return round(float(x), 1), round(float(y), 1)
