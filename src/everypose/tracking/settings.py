"""Settings of tracking. Times are in seconds, lengths relative to a person's size: the square root of the box area."""

from typing import Literal

from pydantic import Field

from everypose.core.settings import Settings


class MotionSettings(Settings):
    """Noise of the motion model, as standard deviations; see :mod:`everypose.tracking.motion`.

    Attributes:
        acceleration: of a person's acceleration, in sizes per second squared, integrated over one second.
        position_noise: of a confident detection's center, in sizes.
        size_drift: of the change of width and height in one second, in sizes.
        size_noise: of a confident detection's width and height, in sizes.

    Example:
        >>> MotionSettings(acceleration=2.0).acceleration
        2.0
    """

    acceleration: float = Field(default=0.6, gt=0)
    position_noise: float = Field(default=0.06, gt=0)
    size_drift: float = Field(default=0.1, gt=0)
    size_noise: float = Field(default=0.15, gt=0)


class TrackerSettings(Settings):
    """How people are followed from frame to frame.

    Attributes:
        high_score: detections at or above it are matched first and may start tracks; None: 0.7 of the top score.
        low_score: detections below it are ignored; None: 0.45 of the top score.
        min_similarity: least similarity of a track and a detection that are matched.
        oks_weight: weight of OKS in the similarity; box IoU has the rest.
        min_color: least similarity of colors (Bhattacharyya coefficient) of a match with a track that was without a
            detection for half a second, where frames are given.
        confirmation: evidence after which a track gets an id; a detection with the top score counts 1, one with the
            low score 0. By default, a single detection is enough if its score is near the top.
        min_reliability: least mean reliability of a track's detections, below which it is not returned.
        memory: seconds without a detection for which a track is predicted and may be matched.
        boxes: "smoothed" returns the boxes of the motion model, "detected" those that were given.
        hidden_seconds: seconds for which an occluded person is returned at the predicted position; 0: never. Someone
            who is not occluded is returned for half a second at most.
        reassociation_seconds: seconds for which a lost person's id may be given to a similar new one; 0: never.
        reassociation_color: least similarity of colors for that.
        camera_motion: estimate the camera's motion and move the tracks with it, where frames are given.
        motion: noise of the motion model.

    Example:
        >>> TrackerSettings(memory=5.0).memory
        5.0
    """

    high_score: float | None = Field(default=None, ge=0)
    low_score: float | None = Field(default=None, ge=0)
    min_similarity: float = Field(default=0.2, gt=0, lt=1)
    oks_weight: float = Field(default=0.3, ge=0, le=1)
    min_color: float = Field(default=0.5, ge=0, le=1)
    confirmation: float = Field(default=0.9, ge=0)
    min_reliability: float = Field(default=0.3, ge=0, le=1)
    memory: float = Field(default=2.0, gt=0)
    boxes: Literal["smoothed", "detected"] = "smoothed"
    hidden_seconds: float = Field(default=1.0, ge=0)
    reassociation_seconds: float = Field(default=3.0, ge=0)
    reassociation_color: float = Field(default=0.85, ge=0, le=1)
    camera_motion: bool = True
    motion: MotionSettings = MotionSettings()
