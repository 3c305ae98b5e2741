"""Heatmaps of each instance selector in one box, next to a baseline's (MIPNet, Fig. 2)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from everypose.core.arrays import Float32, Float64, Image
from everypose.core.geometry import Size
from everypose.drawing import contact_sheet, encode
from everypose.errors import UsageError
from everypose.inference.top_down import cut_crop
from everypose.studies.box_crops import crop_of, require_visible
from everypose.studies.inner_maps import MapModel
from everypose.studies.overlay import blend, cells_to_image, compose, spread
from everypose.studies.report import Study
from everypose.studies.subject import distinct

PANEL_HEIGHT = 384
APART = 6
"""Cells between two peaks of different people: three standard deviations of a heatmap's Gaussian (sigma 2)."""


def second_peak_share(heatmaps: Float32, apart: int = APART) -> Float64:
    """The largest value farther than ``apart`` cells from each map's peak, as a share of the peak.

    A map with one peak has a share near 0, a map with two people's peaks one near 1.

    Args:
        heatmaps: (K, h, w).
        apart: in cells, along either axis.

    Returns:
        (K,); 0 where the peak is not positive.

    >>> maps = np.zeros((1, 1, 20), np.float32)
    >>> maps[0, 0, [2, 15]] = 0.8, 0.6
    >>> second_peak_share(maps).round(2).tolist()
    [0.75]
    """
    count, height, width = heatmaps.shape
    flat = heatmaps.reshape(count, -1)
    row, column = np.divmod(flat.argmax(axis=1), width)
    near = (np.abs(np.arange(height)[None, :, None] - row[:, None, None]) <= apart) & (
        np.abs(np.arange(width)[None, None, :] - column[:, None, None]) <= apart
    )
    peaks = flat.max(axis=1).astype(np.float64)
    second = np.where(near, -np.inf, heatmaps).reshape(count, -1).max(axis=1)
    return np.where(peaks > 0, np.clip(second, 0, None) / np.maximum(peaks, 1e-12), 0.0)


def study_heatmaps(
    models: Sequence[MapModel],
    image: Image,
    *,
    box: Float64,
    keypoint: str | None = None,
    name: str = "the image",
) -> Study:
    """Run the study in one box of an image.

    Args:
        models: opened by ``everypose.studies.inner_maps.open_heatmaps``; the baseline, if any, first.
        image: (H, W, 3) uint8 RGB.
        box: (4,) x1 y1 x2 y2, image pixels.
        keypoint: draw the map of this keypoint; default: the maximum over all.
        name: of the image.

    Raises:
        UsageError: if the box is outside the image, or a model has no such keypoint.

    >>> from types import SimpleNamespace
    >>> from everypose.methods.top_down.settings import HRNetPoseSettings, TopDownInference
    >>> from everypose.models.config import ModelConfig
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> inference = TopDownInference(crop_size=(48, 64))
    >>> config = ModelConfig(
    ...     name="mine", network=HRNetPoseSettings(), skeleton=Skeleton.named("coco"), inference=inference
    ... )
    >>> model = SimpleNamespace(config=config, maps=lambda crop: np.ones((1, 17, 16, 12), np.float32))
    >>> study = study_heatmaps([model], np.zeros((96, 96, 3), np.uint8), box=np.array([10.0, 10, 60, 90]))
    >>> len(study.rows)
    1
    """
    require_visible(box, image)
    labels = distinct([model.config.name for model in models])
    rows: list[dict[str, Any]] = []
    panels: list[Image] = []
    captions: list[str] = []
    for model, label in zip(models, labels, strict=True):
        channels = _channels(model, keypoint)
        heatmaps, region, matrix, size = _maps_of(model, image, box)
        if not panels:
            panels.append(region)
            captions.append("crop")
        for instance, maps in enumerate(heatmaps):
            shown = f"{label}, selector {instance + 1}" if len(heatmaps) > 1 else label
            chosen = maps[channels]
            drawn = spread(chosen.max(axis=0), matrix, size)
            panels.append(blend(region, drawn))
            captions.append(shown)
            rows.append(
                {
                    "maps": shown,
                    "peak": float(np.mean(chosen.reshape(len(chosen), -1).max(axis=1))),
                    "second peak": float(second_peak_share(chosen).mean()),
                }
            )
    of_what = "the maximum over the keypoints" if keypoint is None else f"the map of {keypoint}"
    width = round(PANEL_HEIGHT * panels[0].shape[1] / panels[0].shape[0])
    return Study(
        name="heatmaps",
        title="Heatmaps of each instance selector in one box",
        columns={"maps": str, "peak": "{:.3f}".format, "second peak": "{:.1%}".format},
        rows=rows,
        picture=encode(contact_sheet(panels, captions, columns=len(panels), cell=(width, PANEL_HEIGHT)), ".png"),
        suffix=".png",
        facts={"models": ", ".join(labels), "image": name, "box": ", ".join(f"{side:g}" for side in box)},
        notes=[
            f"drawn is {of_what}, from 0, blue, to 1, red; selector 1 is the person whose box it is",
            f"second peak: the largest value more than {APART} cells from a map's peak, as a share of the peak, mean"
            " over the keypoints: near 0 for one person, near 1 for two",
        ],
    )


def _channels(model: MapModel, keypoint: str | None) -> list[int]:
    """Rows of the keypoint's heatmap, or of all."""
    names = model.config.skeleton.keypoints
    if keypoint is None:
        return list(range(len(names)))
    if keypoint not in names:
        raise UsageError(f"{model.config.name} has no keypoint {keypoint!r}: its keypoints are {', '.join(names)}")
    return [list(names).index(keypoint)]


def _maps_of(model: MapModel, image: Image, box: Float64) -> tuple[Float32, Image, Float64, Size]:
    """A model's heatmaps (N, K, h, w), the enlarged crop, the matrix from cells to its pixels, and its size."""
    settings = model.config.on_crops
    geometry, matrix = crop_of(model.config, box)
    heatmaps = model.maps(cut_crop(image, matrix, geometry.size))
    shape = (heatmaps.shape[2], heatmaps.shape[3])
    to_image = cells_to_image(shape, (geometry.size.height, geometry.size.width), matrix)
    large, enlarged = crop_of(model.config, box, factor=PANEL_HEIGHT / settings.crop_size[1])
    return heatmaps, cut_crop(image, enlarged, large.size), compose(enlarged, to_image), large.size
