"""PoseTrack18's layout, COCO files with a ``track_id`` for each person, and other COCO files that have one.

People without labeled keypoints, and those found inside a frame's ignored regions, are neither right nor wrong.
Frames that are marked as not annotated (``is_labeled``) are left out.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from everypose.core.arrays import Float64, Int64, Mask
from everypose.core.files import read_json
from everypose.core.geometry import box_iou, keypoint_boxes, xywh_to_xyxy
from everypose.errors import EveryposeError, as_user_error
from everypose.evaluation.coco_arrays import GroundTruth, Results, read_ground_truth, read_results
from everypose.evaluation.coco_schema import JsonObject, number_array, require_coco, whole_number_array
from everypose.evaluation.metrics.oks import pair_oks
from everypose.evaluation.tracking.ignoring import matched_to_ignored
from everypose.evaluation.tracking.sequence import SequenceComparison, Similarity
from everypose.skeleton.skeleton import Skeleton

ID_KEYS = ("vid_id", "video_id")
_MATCHED = 0.5


def find_sequences(path: Path) -> dict[str, Path]:
    """The annotation file of each sequence, by name.

    Raises:
        EveryposeError: if the folder has no JSON file.

    >>> Path("val").mkdir()
    >>> Path("val/000001_mpii_test.json").touch()
    >>> list(find_sequences(Path("val")))
    ['000001_mpii_test']
    """
    if path.is_file():
        return {path.stem: path}
    found = {file.stem: file for file in sorted(path.glob("*.json"))}
    if not found:
        raise EveryposeError(f"no annotations in {path}: there is no .json file")
    return found


def compare_posetrack(
    ground_truth: Path, results: Path, *, skeleton: Skeleton, similarity: Similarity
) -> list[SequenceComparison]:
    """Read the annotations and results of one file and compare them; one comparison for each video in it.

    Args:
        ground_truth: COCO-format annotations with ``track_id``.
        results: a COCO results list with ``track_id``, or PoseTrack18's results with ``annotations``.
        skeleton: of both; with sigmas for OKS.
        similarity: OKS or the IoU of boxes.

    Raises:
        EveryposeError: if a file cannot be read or has people without a ``track_id``.

    >>> import json
    >>> skeleton = Skeleton("point", ("nose",), (), (), (0.1,))
    >>> category = {"id": 1, "name": "point", "keypoints": ["nose"]}
    >>> person = {"id": 7, "image_id": 1, "track_id": 3, "category_id": 1, "keypoints": [4, 5, 2], "bbox": [0, 0, 9, 9]}
    >>> content = {"images": [{"id": 1, "vid_id": "1"}], "annotations": [person], "categories": [category]}
    >>> _ = Path("truth.json").write_text(json.dumps(content))
    >>> pose = {"image_id": 1, "track_id": 8, "category_id": 1, "keypoints": [4, 5, 0.9], "score": 0.9}
    >>> _ = Path("poses.json").write_text(json.dumps([pose]))
    >>> [video] = compare_posetrack(Path("truth.json"), Path("poses.json"), skeleton=skeleton, similarity="oks")
    >>> video.similarities[0].tolist()
    [[1.0]]
    """
    content = read_json(ground_truth)
    require_coco(content, str(ground_truth))
    annotated = read_ground_truth(content, len(skeleton))
    entries = _entries(read_json(results), results)
    found = read_results(entries, annotated)
    entries = [entries[row] for row in found.rows.tolist()]
    true_ids = _track_ids(_annotations(content, annotated), str(ground_truth))
    track_ids = _track_ids(entries, str(results))
    boxes = _boxes(entries, found)
    regions = {image["id"]: _ignored_regions(image) for image in content["images"]}
    comparisons = []
    for frames in _videos(content, annotated):
        rows = [_frame_rows(annotated, found, frame) for frame in frames]
        similarities, kept_true, kept_tracks = [], [], []
        for frame, (people, detections) in zip(frames, rows, strict=True):
            pairs = _similarities(annotated, found, boxes, people, detections, skeleton=skeleton, similarity=similarity)
            counted = annotated.is_scored[people]
            kept = ~matched_to_ignored(pairs, ~counted)
            kept &= ~_in_regions(found.keypoints[detections], regions[annotated.image_ids[frame]]) | (
                (pairs[counted] >= _MATCHED).any(axis=0)
            )
            similarities.append(pairs[np.ix_(counted, kept)])
            kept_true.append(true_ids[people[counted]])
            kept_tracks.append(track_ids[detections[kept]])
        comparisons.append(SequenceComparison.create(kept_true, kept_tracks, similarities))
    return comparisons


def _entries(content: object, path: Path) -> list[JsonObject]:
    """The results as a list; PoseTrack18's have no score of a person, which tracking does not need."""
    listed = content.get("annotations") if isinstance(content, Mapping) else content
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        raise EveryposeError(f"{path} is neither a COCO results list nor a file with 'annotations'")
    return [{"score": 1.0, **entry} for entry in listed]


def _annotations(content: JsonObject, annotated: GroundTruth) -> list[JsonObject]:
    """The annotations in the order of the ground truth's rows: those of images that are scored."""
    scored = set(annotated.image_ids)
    return [annotation for annotation in content["annotations"] if annotation["image_id"] in scored]


def _track_ids(entries: Sequence[JsonObject], where: str) -> Int64:
    names = [f"entry {row} of {where}" for row in range(len(entries))]
    return whole_number_array([entry.get("track_id") for entry in entries], names, "track_id")


def _videos(content: JsonObject, annotated: GroundTruth) -> list[list[int]]:
    """Indices of the scored images of each video, in the order of their frames."""
    entries = {image["id"]: image for image in content["images"]}
    videos: dict[object, list[int]] = {}
    for row, image_id in enumerate(annotated.image_ids):
        image = entries[image_id]
        video = next((image[key] for key in ID_KEYS if isinstance(image.get(key), str | int)), None)
        videos.setdefault(video, []).append(row)
    return [sorted(rows, key=lambda row: _frame_number(entries[annotated.image_ids[row]])) for rows in videos.values()]


def _frame_number(image: JsonObject) -> tuple[float, str]:
    """What images are ordered by: the number of the frame, else the image's id."""
    number = image.get("frame_id", image["id"])
    return (number, "") if isinstance(number, int | float) else (0.0, str(number))


def _frame_rows(annotated: GroundTruth, found: Results, frame: int) -> tuple[Int64, Int64]:
    return np.flatnonzero(annotated.image == frame), np.flatnonzero(found.image == frame)


def _boxes(entries: Sequence[JsonObject], found: Results) -> Float64:
    """(M, 4) x1 y1 x2 y2 of the results; around the keypoints where an entry has no ``bbox``."""
    around = keypoint_boxes(found.keypoints)
    given = [row for row, entry in enumerate(entries) if entry.get("bbox")]
    names = [f"prediction {row}" for row in given]
    around[given] = xywh_to_xyxy(number_array([entries[row]["bbox"] for row in given], names, "bbox", 4))
    return around


def _similarities(
    annotated: GroundTruth,
    found: Results,
    boxes: Float64,
    people: Int64,
    detections: Int64,
    *,
    skeleton: Skeleton,
    similarity: Similarity,
) -> Float64:
    """(G, T) of one frame."""
    if similarity == "box":
        return box_iou(xywh_to_xyxy(annotated.boxes[people]), boxes[detections])
    pairs = pair_oks(
        annotated,
        found,
        skeleton.require_sigmas(),
        people=np.repeat(people, len(detections)),
        detections=np.tile(detections, len(people)),
    )
    return pairs.reshape(len(people), len(detections))


def _ignored_regions(image: JsonObject) -> list[Float64]:
    """Polygons (P, 2) of PoseTrack18's ``ignore_regions_x`` and ``ignore_regions_y``."""
    columns = [image.get(f"ignore_regions_{axis}") or [] for axis in "xy"]
    where = f"image {image['id']}"
    with as_user_error(f"{where}: its ignored regions are no polygons"):
        polygons = [
            np.column_stack([number_array(line, [where] * len(line), "an ignored region's corner") for line in (x, y)])
            for x, y in zip(*columns, strict=True)
        ]
    return [polygon for polygon in polygons if polygon.ndim == 2 and len(polygon) > 2]


def _in_regions(keypoints: Float64, regions: Sequence[Float64]) -> Mask:
    """(T,) whether the middle of each pose (T, K, 3) is in a region."""
    inside = np.zeros(len(keypoints), dtype=np.bool_)
    for row, (x, y) in enumerate(keypoints[..., :2].mean(axis=1).tolist()):
        inside[row] = any(cv2.pointPolygonTest(region.astype(np.float32), (x, y), False) >= 0 for region in regions)
    return inside
