"""Trackers of the package ``trackers`` (and any other with its interface) for people."""

import inspect
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from everypose.core.arrays import Image, Int64
from everypose.errors import UsageError
from everypose.people import People


class TrackedBoxes(Protocol):
    """``supervision.Detections`` with ids.

    Attributes:
        tracker_id: (N,) ids, -1 for a detection without one.
        data: columns that were given with the detections.

    Example:
        >>> import supervision
        >>> isinstance(supervision.Detections.empty().data, dict)
        True
    """

    tracker_id: Int64 | None
    data: Mapping[str, Int64]

    def __len__(self) -> int: ...


class BoxTracker(Protocol):
    """What ``trackers.ByteTrackTracker`` and its like offer.

    Example:
        >>> class FirstFrameOnly:
        ...     def update(self, detections, /):
        ...         detections.tracker_id = np.arange(len(detections))
        ...         return detections
    """

    def update(self, detections: object, /, **offered: object) -> TrackedBoxes:
        """Take a frame's ``supervision.Detections``, and return them with ``tracker_id``.

        ``frame`` (BGR) and ``timestamp`` (seconds) are also given to trackers that take them.
        """
        ...


class ExternalTracker:
    """Gives people the ids of a tracker of boxes; poses, boxes and scores stay as they are.

    Thresholds are the tracker's own: those of `trackers` suit detectors whose scores go up to 1.

    Args:
        tracker: such as ``trackers.ByteTrackTracker()``.

    Raises:
        UsageError: if the package ``supervision`` is not installed.

    Example:
        >>> from trackers import OCSORTTracker  # doctest: +SKIP
        >>> tracker = ExternalTracker(OCSORTTracker(high_conf_det_threshold=0.3))  # doctest: +SKIP
        >>> tracker.update(people, time=0.1).ids  # doctest: +SKIP
        array([1, 2])
    """

    def __init__(self, tracker: BoxTracker) -> None:
        try:
            import supervision
        except ImportError as error:
            raise UsageError("an external tracker needs the package supervision: pip install supervision") from error
        self._detections = supervision.Detections
        self._tracker = tracker
        self._accepted = set(inspect.signature(tracker.update).parameters)

    def update(self, people: People, time: float, *, image: Image | None = None) -> People:
        """Find which tracks a frame's people continue.

        Args:
            people: the frame's detections.
            time: of the frame in seconds.
            image: (H, W, 3) uint8 RGB frame, for trackers that use it.

        Returns:
            The people whom the tracker has given an id.

        Raises:
            UsageError: if the tracker's answer has no ``tracker_id`` for some of the people.
        """
        detections = self._detections(
            xyxy=people.boxes.copy(),
            confidence=people.scores.copy(),
            class_id=np.zeros(len(people), dtype=np.int64),
            # Trackers return people in another order.
            data={"row": np.arange(len(people))},
        )
        offered = {"frame": None if image is None else image[..., ::-1], "timestamp": time}
        given = {name: value for name, value in offered.items() if name in self._accepted and value is not None}
        tracked = self._tracker.update(detections, **given)
        if len(tracked) == 0:
            return _with_ids(people, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
        if tracked.tracker_id is None or "row" not in tracked.data:
            raise UsageError(f"{type(self._tracker).__name__} returned people without tracker_id or without their data")
        kept = tracked.tracker_id >= 0
        return _with_ids(people, tracked.data["row"][kept], tracked.tracker_id[kept])


def _with_ids(people: People, rows: Int64, ids: Int64) -> People:
    chosen = people[rows]
    return People(chosen.keypoints, chosen.scores, people.skeleton, boxes=chosen.boxes, image=people.image, ids=ids)
