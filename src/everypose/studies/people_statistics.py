"""How crowded a data set is: people in each box (MIPNet, Fig. 4) and people by occlusion (its Table 1)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from everypose.core.arrays import Int64
from everypose.core.geometry import xywh_to_xyxy
from everypose.data.discovery.layouts import Layout
from everypose.evaluation.annotated_set import AnnotatedSet
from everypose.evaluation.coco_arrays import GroundTruth
from everypose.evaluation.metrics.breakdown import occlusion_classes
from everypose.studies.chart import line_chart
from everypose.studies.report import Cell, Study
from everypose.studies.subject import distinct

FEWEST_KEYPOINTS = 3
"""Labeled keypoints inside a box that make someone one of its people (MIPNet, section 3)."""
MOST_PEOPLE = 5
"""The last class: as many people in a box, or more."""


def people_in_boxes(ground_truth: GroundTruth) -> Int64:
    """Count the people in the box of each person, that person included.

    Others count if at least three of their labeled keypoints are inside the box.

    Args:
        ground_truth: the annotated people.

    Returns:
        (P,), 1 or more, of the people that are scored.

    >>> from everypose.evaluation.coco_arrays import read_ground_truth
    >>> boxes = ([0, 0, 40, 90], [10, 0, 40, 90])
    >>> keypoints = [20, 20, 2] * 17
    >>> people = [{"id": i, "image_id": 1, "keypoints": keypoints, "bbox": box} for i, box in enumerate(boxes)]
    >>> ground_truth = read_ground_truth({"images": [{"id": 1}], "annotations": people}, 17)
    >>> people_in_boxes(ground_truth).tolist()
    [2, 2]
    """
    scored = np.flatnonzero(ground_truth.is_scored)
    counts = np.ones(len(scored), np.int64)
    image = ground_truth.image[scored]
    order = np.argsort(image, kind="stable")
    starts = np.flatnonzero(np.diff(image[order], prepend=-1))
    for group in np.split(order, starts[1:]) if order.size else []:
        rows = scored[group]
        boxes = xywh_to_xyxy(ground_truth.boxes[rows])[:, None, None, :]
        points = ground_truth.keypoints[rows][None]
        inside = (points[..., :2] >= boxes[..., :2]) & (points[..., :2] <= boxes[..., 2:])
        present = (inside.all(axis=-1) & (points[..., 2] > 0)).sum(axis=-1) >= FEWEST_KEYPOINTS
        np.fill_diagonal(present, True)
        counts[group] = present.sum(axis=1)
    return counts


def describe(ground_truth: GroundTruth) -> list[dict[str, Any]]:
    """The statistics of one set, a row for each: kind, class, people, share of the set's people.

    Args:
        ground_truth: the annotated people.

    >>> from everypose.evaluation.coco_arrays import read_ground_truth
    >>> boxes = ([0, 0, 40, 90], [10, 0, 40, 90])
    >>> keypoints = [20, 20, 2] * 17
    >>> people = [{"id": i, "image_id": 1, "keypoints": keypoints, "bbox": box} for i, box in enumerate(boxes)]
    >>> ground_truth = read_ground_truth({"images": [{"id": 1}], "annotations": people}, 17)
    >>> overlaps = [row for row in describe(ground_truth) if row["kind"] == "largest IoU"]
    >>> {row["class"]: row["count"] for row in overlaps}
    {'0': 0, '0 to 0.3': 0, '0.3 to 0.5': 0, 'above 0.5': 2}
    """
    scored = ground_truth.is_scored
    people = int(scored.sum())
    in_boxes = people_in_boxes(ground_truth)
    labeled = ground_truth.keypoints[scored][..., 2]
    images = len(ground_truth.image_ids)
    rows: list[dict[str, Any]] = [
        {"kind": "set", "class": "images", "count": images, "share": None},
        {"kind": "set", "class": "people", "count": people, "share": None},
        {
            "kind": "set",
            "class": "labeled keypoints that are hidden",
            "count": int((labeled == 1).sum()),
            "share": _share(int((labeled == 1).sum()), int((labeled > 0).sum())),
        },
    ]
    for number in range(1, MOST_PEOPLE + 1):
        count = int((in_boxes >= number).sum() if number == MOST_PEOPLE else (in_boxes == number).sum())
        name = f"{number} or more" if number == MOST_PEOPLE else str(number)
        rows.append({"kind": "people in a box", "class": name, "count": count, "share": _share(count, people)})
    for name, members in occlusion_classes(ground_truth).items():
        count = int((members & scored).sum())
        rows.append({"kind": "largest IoU", "class": name, "count": count, "share": _share(count, people)})
    return rows


def study_statistics(files: Sequence[Path]) -> Study:
    """Compute the statistics of annotation files, side by side.

    Args:
        files: annotations in COCO's format.

    Raises:
        EveryposeError: if a file cannot be read.

    >>> from everypose.core.files import write_json
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> category = {"id": 1, "name": "person", "keypoints": list(Skeleton.named("coco").keypoints)}
    >>> person = {"id": 7, "image_id": 1, "category_id": 1, "keypoints": [4, 5, 2] * 17, "bbox": [0, 0, 10, 10]}
    >>> image = {"id": 1, "file_name": "a.jpg"}
    >>> write_json(Path("train.json"), {"images": [image], "annotations": [person], "categories": [category]})
    >>> study_statistics([Path("train.json")]).rows[0]["kind"]
    'set'
    """
    names = distinct([path.stem for path in files])
    described = [
        describe(AnnotatedSet.read(Layout((path,), path.parent, None, None, "the given file")).ground_truth)
        for path in files
    ]
    rows = []
    for parts in zip(*described, strict=True):
        row: dict[str, Any] = {"kind": parts[0]["kind"], "class": parts[0]["class"]}
        for name, part in zip(names, parts, strict=True):
            row |= {f"{name}": part["count"], f"share of {name}": part["share"]}
        rows.append(row)
    in_boxes = [row for row in rows if row["kind"] == "people in a box"]
    columns: dict[str, Cell] = {"kind": str, "class": str}
    for name in names:
        columns |= {name: "{:,}".format, f"share of {name}": _percent}
    return Study(
        name="statistics",
        title="People in each box and people by occlusion",
        columns=columns,
        rows=rows,
        picture=line_chart(
            "people in a box",
            "share of the boxes, percent",
            places=[row["class"] for row in in_boxes],
            lines={name: [_times_hundred(row[f"share of {name}"]) for row in in_boxes] for name in names},
        ),
        facts={"annotations": ", ".join(map(str, files))},
        notes=[
            f"people in a box: its own person and everyone with at least {FEWEST_KEYPOINTS} labeled keypoints in it",
            "largest IoU: of a person's box with any other annotation's box in the image",
        ],
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _times_hundred(share: float | None) -> float | None:
    return None if share is None else 100 * share
