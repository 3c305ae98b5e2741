"""Similarity of the feature map to the feature at each person's box center (BoIR, Fig. 1), models side by side."""

from collections.abc import Sequence

import numpy as np

from everypose.core.arrays import Float32, Float64, Image, Mask
from everypose.core.geometry import Size, inverse, transform
from everypose.drawing import contact_sheet, encode
from everypose.errors import UsageError
from everypose.inference.resize import resize
from everypose.studies.inner_maps import MapModel
from everypose.studies.overlay import blend, cells_to_image, compose, draw_box, for_drawing, spread
from everypose.studies.report import Study
from everypose.studies.subject import distinct

PANEL_HEIGHT = 300


def feature_map(model: MapModel, image: Image) -> tuple[Float32, Float64]:
    """Compute a single-stage model's backbone feature of an image.

    Args:
        model: opened by ``everypose.studies.inner_maps.open_features``.
        image: (H, W, 3) uint8 RGB.

    Returns:
        The feature (C, h, w), and the (2, 3) matrix from its cells to image pixels.

    >>> from types import SimpleNamespace
    >>> from everypose.methods.cid.settings import CIDSettings
    >>> from everypose.models.config import ModelConfig
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> config = ModelConfig(name="mine", network=CIDSettings(), skeleton=Skeleton.named("coco"))
    >>> feature = np.random.default_rng(0).normal(size=(1, 8, 16, 16)).astype(np.float32)
    >>> model = SimpleNamespace(config=config, maps=lambda image: feature)
    >>> feature, to_image = feature_map(model, np.zeros((64, 64, 3), np.uint8))
    >>> feature.shape, to_image.shape
    ((8, 16, 16), (2, 3))
    """
    settings = model.config.on_images
    canvas, matrix = resize(image, settings.size, settings.step)
    feature = model.maps(canvas)[0]
    height, width = feature.shape[1:]
    return feature, cells_to_image((height, width), (canvas.shape[0], canvas.shape[1]), matrix)


def cosine_similarity(feature: Float32, cell: tuple[int, int]) -> Float32:
    """Cosine similarity of every cell's feature with that of one cell.

    Args:
        feature: (C, h, w).
        cell: row, column.

    Returns:
        (h, w), -1 to 1; 0 where a feature is zero.

    >>> cosine_similarity(np.array([[[1.0, 0.0, -2.0]], [[0.0, 3.0, 0.0]]], np.float32), (0, 0)).tolist()
    [[1.0, 0.0, -1.0]]
    """
    norms = np.maximum(np.linalg.norm(feature, axis=0), 1e-12)
    unit = feature / norms
    similarity: Float32 = np.einsum("chw,c->hw", unit, unit[:, cell[0], cell[1]])
    return similarity


def cells_in_boxes(shape: tuple[int, int], to_image: Float64, boxes: Float64) -> Mask:
    """Whether the center of each cell is in each box.

    Args:
        shape: height, width of the map.
        to_image: (2, 3), cells to image pixels.
        boxes: (N, 4) x1 y1 x2 y2, image pixels.

    Returns:
        (N, h, w) bool.

    >>> cells_in_boxes((2, 2), np.array([[4.0, 0, 1.5], [0, 4, 1.5]]), np.array([[0.0, 0, 4, 8]]))[0].tolist()
    [[True, False], [True, False]]
    """
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    points = transform(np.stack([columns, rows], axis=-1), to_image)
    x, y = points[None, ..., 0], points[None, ..., 1]
    x1, y1, x2, y2 = (boxes[:, side, None, None] for side in range(4))
    return np.asarray((x >= x1) & (x <= x2) & (y >= y1) & (y <= y2))


def study_similarity(models: Sequence[MapModel], image: Image, boxes: Float64, *, name: str = "the image") -> Study:
    """Run the study.

    Args:
        models: opened by ``everypose.studies.inner_maps.open_features``.
        image: (H, W, 3) uint8 RGB.
        boxes: (N, 4) x1 y1 x2 y2 of people, image pixels.
        name: of the image.

    Raises:
        UsageError: if there is no box, or the center of one is outside the image.

    >>> from types import SimpleNamespace
    >>> from everypose.methods.cid.settings import CIDSettings
    >>> from everypose.models.config import ModelConfig
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> config = ModelConfig(name="mine", network=CIDSettings(), skeleton=Skeleton.named("coco"))
    >>> feature = np.random.default_rng(0).normal(size=(1, 8, 16, 16)).astype(np.float32)
    >>> model = SimpleNamespace(config=config, maps=lambda image: feature)
    >>> study = study_similarity([model], np.zeros((64, 64, 3), np.uint8), np.array([[10.0, 10, 40, 60]]))
    >>> len(study.rows)
    1
    """
    if not len(boxes):
        raise UsageError(f"no person was detected in {name}: give a --box")
    labels = distinct([model.config.name for model in models])
    features = [feature_map(model, image) for model in models]
    size = Size(image.shape[1], image.shape[0])
    drawn, to_drawn = for_drawing(image)
    drawn_size = Size(drawn.shape[1], drawn.shape[0])
    rows = []
    panels, captions = [], []
    for person, box in enumerate(boxes):
        drawn_box = transform(box.reshape(2, 2), to_drawn).reshape(4)
        panels.append(draw_box(drawn, drawn_box, dot=True))
        captions.append(f"person {person + 1}")
        for label, (feature, to_image) in zip(labels, features, strict=True):
            similarity = cosine_similarity(feature, _center_cell(box, feature, to_image, size))
            inside = cells_in_boxes(similarity.shape, to_image, boxes)
            rows.append({"person": person + 1, "model": label, **_means(similarity, inside, person)})
            values = spread(similarity, compose(to_drawn, to_image), drawn_size)
            panels.append(draw_box(blend(drawn, values), drawn_box, dot=True))
            captions.append(label)
    cell = (round(PANEL_HEIGHT * size.width / size.height), PANEL_HEIGHT)
    means = ("in the box", "in other boxes", "outside all boxes")
    return Study(
        name="similarity",
        title="Similarity of the feature map to the feature at each box center",
        columns={"person": str, "model": str, **dict.fromkeys(means, _number), "contrast": _number},
        rows=rows,
        picture=encode(contact_sheet(panels, captions, columns=1 + len(models), cell=cell), ".png"),
        suffix=".png",
        facts={"models": ", ".join(labels), "image": name, "boxes": boxes.round(1).tolist()},
        notes=[
            "cosine similarity of the backbone feature, the input of the instance head; colors from 0, blue, to 1, red",
            "means over cells whose center is in the person's box only, in other people's boxes only, in no box;"
            " contrast is the first mean minus the second, or minus the third if there is one box only",
        ],
    )


def _center_cell(box: Float64, feature: Float32, to_image: Float64, size: Size) -> tuple[int, int]:
    """Row and column of the cell at a box's center."""
    center = (box[:2] + box[2:]) / 2
    if not (0 <= center[0] < size.width and 0 <= center[1] < size.height):
        raise UsageError(
            f"the center of the box {', '.join(f'{side:g}' for side in box)} is outside the image of"
            f" {size.width} x {size.height} pixels"
        )
    column, row = np.rint(transform(center, inverse(to_image))).astype(int)
    return int(np.clip(row, 0, feature.shape[1] - 1)), int(np.clip(column, 0, feature.shape[2] - 1))


def _means(similarity: Float32, inside: Mask, person: int) -> dict[str, float | None]:
    """Mean similarity in the person's box, in other boxes and outside all, each without the cells of the others."""
    others = np.asarray(np.delete(inside, person, axis=0).any(axis=0))
    own = _mean(similarity, inside[person] & ~others)
    other = _mean(similarity, others & ~inside[person])
    outside = _mean(similarity, np.asarray(~inside.any(axis=0)))
    against = outside if other is None else other
    return {
        "in the box": own,
        "in other boxes": other,
        "outside all boxes": outside,
        "contrast": None if own is None or against is None else own - against,
    }


def _mean(values: Float32, where: Mask) -> float | None:
    return float(values[where].mean()) if where.any() else None


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
