"""Colors of people: each has one, lighter on the left side of the body and darker on the right."""

import colorsys

Color = tuple[int, int, int]
"""Red, green, blue from 0 to 255."""

# Hues in an order that keeps neighbors in the list far apart; they stand out from skin, sky, grass and tarmac.
HUES = (0.55, 0.09, 0.88, 0.33, 0.75, 0.15, 0.48, 0.97, 0.63, 0.24, 0.82, 0.04)
GOLDEN_RATIO = 0.618033988749895
# Okabe and Ito, Color Universal Design (2008), without black: distinguishable with any kind of color vision.
OKABE_ITO: tuple[Color, ...] = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167),
)  # fmt: skip
_LIGHTNESS = {"left": 0.70, "": 0.58, "right": 0.44}
_SATURATION = 0.95
_SIDE_SHIFT = {"left": 0.35, "": 0.0, "right": -0.3}


def person_color(number: int, palette: str, side: str = "") -> Color:
    """Return the color of a person, or of one side of their body.

    >>> person_color(0, "colorblind")
    (230, 159, 0)

    Args:
        number: position in the image, or identity in a video, from 0.
        palette: ``vivid`` or ``colorblind``.
        side: ``left``, ``right`` or nothing.
    """
    if palette == "colorblind":
        return _mixed(OKABE_ITO[number % len(OKABE_ITO)], _SIDE_SHIFT[side])
    hue = HUES[number] if 0 <= number < len(HUES) else (HUES[0] + number * GOLDEN_RATIO) % 1.0
    red, green, blue = colorsys.hls_to_rgb(hue, _LIGHTNESS[side], _SATURATION)
    return round(255 * red), round(255 * green), round(255 * blue)


def tint(color: Color) -> Color:
    """Return the color half way to white.

    >>> tint((255, 101, 0))
    (255, 178, 127)
    """
    red, green, blue = ((value + 255) // 2 for value in color)
    return red, green, blue


def _mixed(color: Color, shift: float) -> Color:
    """Return a color mixed with white (positive shift) or black (negative)."""
    target = 255 if shift > 0 else 0
    red, green, blue = (round(value + (target - value) * abs(shift)) for value in color)
    return red, green, blue
