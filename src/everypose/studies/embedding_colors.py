"""Backbone features as colors: three values for each pixel by t-SNE or PCA (BoIR, Fig. 3)."""

import math
from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np

from everypose.core.arrays import Float32, Float64, Image, Int64
from everypose.core.geometry import Size
from everypose.core.progress import elapsed_time
from everypose.drawing import contact_sheet, encode
from everypose.errors import MissingDependencyError, UsageError
from everypose.studies.inner_maps import MapModel
from everypose.studies.overlay import compose, for_drawing, map_to_input, spread
from everypose.studies.report import Study
from everypose.studies.similarity import PANEL_HEIGHT, feature_map
from everypose.studies.subject import distinct

Reduction = Literal["tsne", "pca"]
ITERATIONS = 250
"""Those of Fig. 3, and the fewest that scikit-learn does."""
FEWEST_CELLS = 16
NEIGHBORS, SAMPLED = 10, 500
CLIPPED = (1, 99)
"""Percentiles of each value that become black and full color."""


def three_values(features: Float32, method: Reduction, *, seed: int = 0) -> Float64:
    """Reduce features to three values each.

    Args:
        features: (N, C).
        method: ``tsne``, 250 iterations from the principal components, or ``pca``.
        seed: of t-SNE.

    Returns:
        (N, 3).

    Raises:
        UsageError: if t-SNE needs scikit-learn, which is not installed.

    >>> three_values(np.eye(4, 5, dtype=np.float32), "pca").shape
    (4, 3)
    """
    centered = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    if method == "pca":
        # C is a few hundred and N thousands: the C x C matrix is the smaller problem.
        axes = np.linalg.eigh(centered.T @ centered).eigenvectors
        components: Float64 = centered @ axes[:, [-1, -2, -3]]
        return components
    try:
        from sklearn.manifold import TSNE
    except ModuleNotFoundError as error:
        raise MissingDependencyError("t-SNE (--method pca does without it)", "studies") from error
    perplexity = min(30.0, (len(features) - 1) / 3)
    reducer = TSNE(n_components=3, max_iter=ITERATIONS, init="pca", perplexity=perplexity, random_state=seed)
    return np.asarray(reducer.fit_transform(centered.astype(np.float32)), np.float64)


def neighbors_kept(features: Float32, values: Float64, *, seed: int = 0) -> float:
    """Share of each pixel's ten nearest features that are among its ten nearest values, mean over 500 pixels.

    Args:
        features: (N, C), N above ten.
        values: (N, 3).
        seed: of the choice of pixels.

    >>> features = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    >>> neighbors_kept(features, features.astype(np.float64))
    1.0
    """
    count = len(features)
    chosen = np.random.default_rng(seed).choice(count, min(count, SAMPLED), replace=False)
    nearest = [_nearest(points.astype(np.float64), chosen) for points in (features, values)]
    shared = (nearest[0][:, :, None] == nearest[1][:, None, :]).any(axis=2)
    return float(shared.mean())


def _nearest(points: Float64, chosen: Int64) -> Int64:
    """The ``NEIGHBORS`` nearest points (S, n) of each chosen one, which is left out."""
    squares = (points**2).sum(axis=1)
    distances = squares[None] - 2 * points[chosen] @ points.T
    distances[np.arange(len(chosen)), chosen] = np.inf
    return np.argpartition(distances, NEIGHBORS, axis=1)[:, :NEIGHBORS]


def colors_of(values: Float64) -> Float32:
    """Scale three values to red, green and blue.

    Args:
        values: (N, 3).

    Returns:
        (N, 3), 0 to 1; the lowest and highest percent of each value are clipped.

    >>> colors = colors_of(np.random.default_rng(0).normal(size=(100, 3)))
    >>> colors.shape, colors.min().item(), colors.max().item()
    ((100, 3), 0.0, 1.0)
    """
    low, high = np.percentile(values, CLIPPED, axis=0)
    return np.asarray(np.clip((values - low) / np.maximum(high - low, 1e-12), 0, 1), np.float32)


def study_colors(
    models: Sequence[MapModel],
    image: Image,
    *,
    method: Reduction = "tsne",
    cells: int = 4096,
    name: str = "the image",
    quiet: bool = False,
) -> Study:
    """Run the study.

    Args:
        models: opened by ``everypose.studies.inner_maps.open_features``.
        image: (H, W, 3) uint8 RGB.
        method: how features become three values.
        cells: the most cells of a map; a larger map is averaged to fewer.
        name: of the image.
        quiet: do not show how long t-SNE has taken.

    Raises:
        UsageError: if there are too few cells, or t-SNE needs scikit-learn, which is not installed.

    >>> from types import SimpleNamespace
    >>> from everypose.methods.cid.settings import CIDSettings
    >>> from everypose.models.config import ModelConfig
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> config = ModelConfig(name="mine", network=CIDSettings(), skeleton=Skeleton.named("coco"))
    >>> feature = np.random.default_rng(0).normal(size=(1, 8, 16, 16)).astype(np.float32)
    >>> model = SimpleNamespace(config=config, maps=lambda image: feature)
    >>> study = study_colors([model], np.zeros((64, 64, 3), np.uint8), method="pca", quiet=True)
    >>> len(study.rows)
    1
    """
    if cells < FEWEST_CELLS:
        raise UsageError(f"--cells {cells}: at least {FEWEST_CELLS} are needed")
    labels = distinct([model.config.name for model in models])
    drawn, to_drawn = for_drawing(image)
    size = Size(drawn.shape[1], drawn.shape[0])
    rows, panels, captions = [], [drawn], [name]
    for model, label in zip(models, labels, strict=True):
        feature, to_image = feature_map(model, image)
        small, enlarge = _averaged(feature, cells)
        if small[0].size < FEWEST_CELLS:
            raise UsageError(
                f"--cells {cells}: {FEWEST_CELLS} are needed, and a map of {_shape(feature)} is averaged to "
                f"{_shape(small)} with its aspect: give more"
            )
        pixels = small.reshape(len(small), -1).T
        with elapsed_time(f"t-SNE of {label}, {len(pixels):,} pixels", quiet=quiet or method != "tsne"):
            values = three_values(pixels, method)
        colors = colors_of(values).reshape(*small.shape[1:], 3)
        shown = spread(colors, compose(to_drawn, compose(to_image, enlarge)), size)
        panels.append(np.rint(255 * shown).astype(np.uint8))
        captions.append(label)
        rows.append(
            {
                "model": label,
                "channels": len(small),
                "map": _shape(feature),
                "shown": _shape(small),
                "neighbors kept": neighbors_kept(pixels, values),
            }
        )
    cell = (round(PANEL_HEIGHT * size.width / size.height), PANEL_HEIGHT)
    long_name = f"t-SNE, {ITERATIONS} iterations" if method == "tsne" else "PCA"
    return Study(
        name="tsne" if method == "tsne" else "pca",
        title=f"Backbone features as colors ({long_name})",
        columns={"model": str, "channels": str, "map": str, "shown": str, "neighbors kept": "{:.1%}".format},
        rows=rows,
        picture=encode(contact_sheet(panels, captions, columns=len(panels), cell=cell), ".png"),
        suffix=".png",
        facts={"models": ", ".join(labels), "image": name, "method": method},
        notes=[
            "equal colors within one panel mean similar features; colors of two panels cannot be compared",
            f"neighbors kept: how many of a pixel's {NEIGHBORS} most similar features have its most similar colors",
            f"red, green and blue are the three values, from their {CLIPPED[0]}st to their {CLIPPED[1]}th percentile",
        ],
    )


def _averaged(feature: Float32, cells: int) -> tuple[Float32, Float64]:
    """The map (C, h', w') with at most ``cells`` cells, and the (2, 3) matrix from its cells to those of the map."""
    height, width = feature.shape[1:]
    factor = min(1.0, math.sqrt(cells / (height * width)))
    small = (max(1, int(width * factor)), max(1, int(height * factor)))
    if factor == 1.0:
        return feature, np.eye(2, 3)
    # OpenCV resizes four channels at most at once.
    averaged = np.stack([cv2.resize(channel, small, interpolation=cv2.INTER_AREA) for channel in feature])
    return averaged, map_to_input((width / small[0], height / small[1]))


def _shape(feature: Float32) -> str:
    return f"{feature.shape[2]} x {feature.shape[1]}"
