"""How people are drawn."""

from typing import Literal

from pydantic import Field

from everypose.core.settings import Settings

Label = Literal["id", "score"]
LABELS: tuple[Label, ...] = ("id", "score")
"""All labels, in the order in which they are written."""


class DrawingStyle(Settings):
    """Settings of `draw_people`.

    >>> DrawingStyle(skeleton="lines", labels=("id",)).palette
    'vivid'
    """

    skeleton: Literal["limbs", "lines", "points", "none"] = "limbs"
    """``limbs``: thick with a dark outline; ``lines``: thin, without one; ``points``: keypoints only; ``none``."""
    palette: Literal["vivid", "colorblind"] = "vivid"
    """``vivid``: twelve hues, then others; ``colorblind``: the seven colors of Okabe and Ito."""
    boxes: bool = False
    """Whether to draw each person's box."""
    labels: tuple[Label, ...] = ()
    """What is written above each person: their identity in the video, their score."""
    line_width: float | None = Field(default=None, gt=0, le=200)
    """Width of limbs in pixels; by default by the person's size."""
    min_score: float = Field(default=0.0, ge=0)
    """People whose score is below this are not drawn."""
    keypoint_share: float = Field(default=0.3, ge=-1, le=1)
    """Keypoints are drawn if their score is above this share of the person's best (-1: all); models' scores differ."""
    blur_faces: bool = False
    """Whether to make faces unrecognizable, also those of people below ``min_score``."""
    trail_seconds: float = Field(default=0.0, ge=0)
    """Seconds for which the path of each tracked person is drawn in videos; 0 for no trails."""
    supersampling: int | None = Field(default=None, ge=1, le=4)
    """Drawing is done on this many times the pixels a side; by default as many as make thin lines smooth."""
