"""The names of the metrics. Nothing is imported here, so that the command line can list them at once."""

from typing import Literal

Metric = Literal["coco", "crowdpose", "wholebody", "pckh", "hand"]
"""``coco``, ``crowdpose`` and ``wholebody`` are AP by OKS; the others are those of `by_distance.DISTANCE_METRICS`."""
