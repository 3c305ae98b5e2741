"""The images with the worst predictions, drawn."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from everypose.core.arrays import Float64
from everypose.data.discovery.annotation_files import image_path
from everypose.data.images import read_image
from everypose.drawing import DrawingStyle, draw_people
from everypose.errors import EveryposeError
from everypose.evaluation.evaluate import Evaluation
from everypose.evaluation.metrics.error_types import Matches, match_detections
from everypose.evaluation.metrics.oks import OksPairs
from everypose.people import People
from everypose.skeleton.skeleton import Skeleton

LONGEST_SIDE = 560
JPEG_QUALITY = 80


@dataclass(frozen=True)
class WorstImage:
    """A drawn image: ground truth left, as many of the best-scored predictions right.

    Attributes:
        file_name: in the annotation file.
        caption: one line.
        jpeg: content of a JPEG file.

    >>> WorstImage("a.jpg", caption="a.jpg: 3 of 5 people found", jpeg=b"").file_name
    'a.jpg'
    """

    file_name: str
    caption: str
    jpeg: bytes


def worst_images(evaluation: Evaluation, count: int) -> list[WorstImage]:
    """Draw the ``count`` images that lose most OKS: the sum of 1 - OKS over people, 1 for unmatched people.

    Returns:
        The drawn images, worst first; none if the metric is not one of OKS or the images' folder is not known.

    Raises:
        EveryposeError: if one of them has no file name or cannot be read.

    >>> import json
    >>> from everypose.evaluation.evaluate import evaluate_predictions
    >>> _ = cv2.imwrite("a.png", np.zeros((48, 64, 3), np.uint8))
    >>> category = {"id": 1, "name": "point", "keypoints": ["nose"]}
    >>> person = {"id": 7, "image_id": 1, "category_id": 1, "keypoints": [4, 5, 2], "bbox": [0, 0, 10, 10], "area": 100}
    >>> content = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": [person], "categories": [category]}
    >>> poses, truth = Path("poses.json"), Path("truth.json")
    >>> _, _ = poses.write_text("[]"), truth.write_text(json.dumps(content))
    >>> evaluation = evaluate_predictions(poses, truth, image_root=Path(), sigmas=(0.1,))
    >>> [image.file_name for image in worst_images(evaluation, count=3)]
    ['a.png']
    """
    pairs = evaluation.scores.pairs
    if pairs is None or evaluation.image_root is None:
        return []
    matches = match_detections(pairs)
    loss = image_losses(pairs, matches)
    order = np.argsort(-loss, kind="stable")[:count]
    chosen = [image for image in order.tolist() if loss[image] > 0]
    root, skeleton = evaluation.image_root, evaluation.annotated.skeleton
    return [_draw(pairs, skeleton, root, image=image, loss=float(loss[image])) for image in chosen]


def image_losses(pairs: OksPairs, matches: Matches) -> Float64:
    """OKS (images,) that the people of each image lose.

    >>> from everypose.evaluation.coco_arrays import read_ground_truth, read_results
    >>> from everypose.evaluation.metrics.oks import compute_oks
    >>> person = {"id": 1, "image_id": 1, "keypoints": [5, 5, 2], "bbox": [0, 0, 10, 10], "area": 100}
    >>> people = read_ground_truth({"images": [{"id": 1}, {"id": 2}], "annotations": [person]}, 1)
    >>> pairs = compute_oks(people, read_results([], people), np.array([0.1]))
    >>> image_losses(pairs, match_detections(pairs)).tolist()  # the only person is missed
    [1.0, 0.0]
    """
    ground_truth = pairs.ground_truth
    images = len(ground_truth.image_ids)
    people = np.bincount(ground_truth.image[ground_truth.is_scored], minlength=images).astype(np.float64)
    found = np.bincount(ground_truth.image[matches.people], weights=matches.oks, minlength=images)
    lost: Float64 = people - found
    return lost


def _draw(pairs: OksPairs, skeleton: Skeleton, image_root: Path, *, image: int, loss: float) -> WorstImage:
    ground_truth, results = pairs.ground_truth, pairs.results
    name = ground_truth.file_names[image]
    if name is None:
        raise EveryposeError(f"image {ground_truth.image_ids[image]} cannot be drawn: its annotation has no file_name")
    pixels = read_image(image_path(image_root, name) or image_root / name)
    scale = min(1.0, LONGEST_SIDE / max(pixels.shape[:2]))
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    small = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    annotated = ground_truth.keypoints[(ground_truth.image == image) & ground_truth.is_scored]
    rows = np.flatnonzero(results.image == image)
    rows = rows[np.argsort(-results.scores[rows], kind="stable")][: len(annotated)]
    left = _people(annotated, np.ones(len(annotated)), skeleton, scale=scale)
    right = _people(results.keypoints[rows], results.scores[rows], skeleton, scale=scale)
    shares = ((left, 0.0), (right, -1.0))
    drawn = [draw_people(small, people, DrawingStyle(keypoint_share=share)) for people, share in shares]
    joined = np.concatenate(drawn, axis=1)
    caption = (
        f"{name}: {len(annotated)} people, {len(rows)} best predictions shown, {loss:.2f} of {len(annotated)} OKS lost"
    )
    _, content = cv2.imencode(".jpg", cv2.cvtColor(joined, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return WorstImage(name, caption, content.tobytes())


def _people(keypoints: Float64, scores: Float64, skeleton: Skeleton, *, scale: float) -> People:
    """People in the scaled image; pixel centers are at integer coordinates."""
    scaled = keypoints.copy()
    scaled[:, :, :2] = (scaled[:, :, :2] + 0.5) * scale - 0.5
    return People(scaled, scores, skeleton)
