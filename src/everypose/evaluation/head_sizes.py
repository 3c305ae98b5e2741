"""Head sizes of annotated people, the unit of MPII's PCKh."""

from collections.abc import Sequence

import numpy as np

from everypose.core.arrays import Float64
from everypose.core.geometry import xywh_to_xyxy
from everypose.evaluation.coco_schema import JsonObject, number_array

HEAD_SIZE_OF_DIAGONAL = 0.6


def head_sizes(head_boxes: Float64) -> Float64:
    """Head sizes (N,): 0.6 times the diagonal of head boxes (N, 4), x1 y1 x2 y2, as in MPII's evaluation script.

    >>> head_sizes(np.array([[0.0, 0.0, 30.0, 40.0]])).tolist()
    [30.0]
    """
    sides = head_boxes[:, 2:] - head_boxes[:, :2]
    return HEAD_SIZE_OF_DIAGONAL * np.hypot(sides[:, 0], sides[:, 1])


def read_head_sizes(annotations: Sequence[JsonObject], names: Sequence[str]) -> Float64:
    """Head sizes (N,) in pixels, from ``head_size``, ``head_box`` (x1 y1 x2 y2) or ``bbox_head`` (x y w h).

    Args:
        annotations: N entries of an annotation file.
        names: what to call each entry in a message.

    Returns:
        The sizes; NaN where an entry has none of the three.

    Raises:
        EveryposeError: if a value is not a finite number or a box has not four.

    >>> read_head_sizes([{"head_size": 20.0}, {"head_box": [0, 0, 30, 40]}, {}], ["a", "b", "c"]).tolist()
    [20.0, 30.0, nan]
    """
    sizes = np.full(len(annotations), np.nan)
    for key, width in (("bbox_head", 4), ("head_box", 4), ("head_size", None)):
        rows = [row for row, annotation in enumerate(annotations) if annotation.get(key) is not None]
        if not rows:
            continue
        values = number_array([annotations[row][key] for row in rows], [names[row] for row in rows], key, width)
        if width:
            values = head_sizes(xywh_to_xyxy(values) if key == "bbox_head" else values)
        sizes[rows] = values
    return sizes
