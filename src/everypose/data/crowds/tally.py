"""How many people of a composed set overlap."""

from dataclasses import dataclass, field

import numpy as np

from everypose.core.arrays import Int64
from everypose.data.crowds.placement import heaviest_overlap
from everypose.data.scenes import Scene

THRESHOLDS = (0.3, 0.5)
"""A person overlaps another if the IoU of their boxes is higher."""


@dataclass
class Tally:
    """Counts of a set of labels: people (labeled, no crowd regions), pasted ones, and overlapping ones.

    ``overlapping`` counts, for each of ``THRESHOLDS``, the people whose box has a greater IoU with another's.

    >>> tally = Tally(photos=4, people=10, pasted=6, overlapping=np.array([4, 1]))
    >>> tally.shares()  # of the people, above an IoU of 0.3 and of 0.5
    [0.4, 0.1]
    """

    photos: int = 0
    people: int = 0
    pasted: int = 0
    overlapping: Int64 = field(default_factory=lambda: np.zeros(len(THRESHOLDS), np.int64))

    def add(self, scene: Scene) -> None:
        """Count one more photo."""
        limits = np.array([scene.width, scene.height] * 2, dtype=np.float64)
        overlap = heaviest_overlap(scene.boxes[scene.is_labeled_person].clip(0, limits))
        self.photos += 1
        self.people += len(overlap)
        self.pasted += len(scene.extra.get("pasted", ()))
        self.overlapping += (overlap[:, None] > np.array(THRESHOLDS)).sum(axis=0)

    def shares(self) -> list[float]:
        """The share of people that overlap, for each of ``THRESHOLDS``."""
        return [float(share) for share in self.overlapping / max(1, self.people)]

    def aim(self, wanted: float) -> float:
        """Return the target share of the next photo, so that the whole set reaches ``wanted``."""
        expected = self.people / max(1, self.photos)
        return min(1.0, max(0.0, wanted + (wanted * self.people - int(self.overlapping[0])) / max(1.0, expected)))
