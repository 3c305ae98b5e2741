"""Pose models of other projects as one ONNX file of everypose: normalization and decoding inside the graph."""

import json
from pathlib import Path

import numpy as np
import onnx

from everypose.core.arrays import Float32, Int64
from everypose.core.files import written_whole
from everypose.errors import EveryposeError
from everypose.export.crop_views import CropViews, finish
from everypose.export.graph_writer import FLOAT, INT64, UINT8, GraphWriter
from everypose.export.heatmaps import write_heatmaps
from everypose.export.onnx import store_as_half
from everypose.inference.foreign import ForeignFile, find_foreign
from everypose.inference.opened import CropModel
from everypose.inference.runtimes.fixed_input import DETRPOSE_INPUTS, DETRPOSE_OUTPUTS, RTMO_OUTPUTS
from everypose.inference.runtimes.onnx import OnnxCropRuntime, OnnxFixedInputRuntime, open_session
from everypose.inference.runtimes.simcc import OUTPUTS as SIMCC_OUTPUTS
from everypose.methods.fixed_input.detrpose import PERSON
from everypose.models.config import METADATA_KEY, ModelConfig

TOLERANCE = 0.01
"""Largest difference of keypoints, in input pixels, between the file and its export."""
SHARE_OF_HEATMAPS = 0.9
"""Share of the keypoints of heatmaps that are compared: the refinement of a flat heatmap depends on rounding."""


def export_foreign(
    path: Path, out: Path, *, family: str | None = None, skeleton: str | None = None, half: bool = False
) -> ModelConfig:
    """Write a pose model of another project as an ONNX file of everypose.

    Inputs and outputs are those of :func:`everypose.export.onnx.export_onnx`; models with an input of fixed size, RTMO
    and DETRPose, have no ``mirrored``. The result is compared with the source on two random images.

    Args:
        path: the ``.onnx`` file.
        out: the ``.onnx`` file to write.
        family: of a file that is not recognized.
        skeleton: name of its skeleton; by default the released files' own, by the number of keypoints.
        half: whether large weights are stored as float16; everything is computed in float32 all the same.

    Raises:
        UsageError: if the family or skeleton does not exist.
        EveryposeError: if the file is not recognized, or takes one image at a time.

    >>> config = export_foreign(Path("end2end.onnx"), Path("rtmpose-m.onnx"))  # doctest: +SKIP
    """
    session = open_session(path, 1)
    source = find_foreign(session, session, path, family)
    config = source.config(skeleton)
    writer = GraphWriter(path)
    names = source.own_names()
    metadata = {METADATA_KEY: json.dumps(config.model_dump(mode="json"))}
    write = {"simcc": _simcc, "rtmo": _rtmo, "detrpose": _detrpose, "heatmaps": write_heatmaps}[source.kind]
    model = write(writer, names, config, metadata)
    with written_whole(out) as part:
        onnx.save(model, part)
        _require_equal(source, skeleton, part)
        if half:
            store_as_half(part, part)
    return config


def _simcc(
    writer: GraphWriter, names: dict[str, str], config: ModelConfig, metadata: dict[str, str]
) -> onnx.ModelProto:
    """Crops (B, H, W, 3) to keypoints (B, 1, K, 3); ``mirrored`` of length 1 averages the scores of both views."""
    views = CropViews.write(writer)
    image = next(iter(set(names) - set(SIMCC_OUTPUTS)))
    found = writer.run_inner({names[image]: views.planes}, [names[name] for name in SIMCC_OUTPUTS])
    columns = []
    scores = []
    for scores_of_axis, side, is_x in zip(found, config.on_crops.crop_size, (True, False), strict=True):
        own, other = views.split(writer, scores_of_axis, config.skeleton.flip_index)
        places = writer.size_of(scores_of_axis, 2)
        shape = writer.node("Concat", writer.constant([-1, len(config.skeleton)], np.int64), places, axis=0)
        mean = views.mean(writer, own, writer.reversed(other, 2) if is_x else other, shape=shape)
        place = writer.node("Cast", writer.node("ArgMax", mean, axis=2, keepdims=1), to=FLOAT)
        pixel = writer.node("Div", writer.constant(side, np.float32), writer.node("Cast", places, to=FLOAT))
        columns.append(writer.node("Mul", place, pixel))
        scores.append(writer.largest(mean, 2))
    score = writer.node("Div", writer.node("Add", *scores), writer.constant(2, np.float32))
    return finish(writer, columns, score=score, config=config, metadata=metadata)


def _rtmo(writer: GraphWriter, names: dict[str, str], config: ModelConfig, metadata: dict[str, str]) -> onnx.ModelProto:
    """Images (B, H, W, 3) to the people of all images, after suppression of duplicates by the IoU of boxes."""
    bgr = writer.node("Gather", "images", writer.constant([2, 1, 0], np.int64), axis=3)
    planes = writer.node("Transpose", writer.node("Cast", bgr, to=FLOAT), perm=[0, 3, 1, 2])
    image = next(iter(set(names) - set(RTMO_OUTPUTS)))
    table, points = writer.run_inner({names[image]: planes}, [names[name] for name in RTMO_OUTPUTS])
    boxes = writer.node("Gather", table, writer.constant([0, 1, 2, 3], np.int64), axis=2)
    scores = writer.node("Gather", table, writer.constant(4, np.int64), axis=2)
    rows = writer.node(
        "Transpose", writer.node("Gather", table, writer.constant([4], np.int64), axis=2), perm=[0, 2, 1]
    )
    least = writer.node("Reshape", "min_score", writer.constant([1], np.int64))
    threshold = writer.constant([config.on_fixed_input.nms or 1.0], np.float32)
    kept = writer.node("NonMaxSuppression", boxes, rows, writer.size_of(table, 1), threshold, least)
    return _people(writer, config, metadata, scores=scores, points=points, which=_columns(writer, kept, [0, 2]))


def _detrpose(
    writer: GraphWriter, names: dict[str, str], config: ModelConfig, metadata: dict[str, str]
) -> onnx.ModelProto:
    """Images (B, H, W, 3) to the people of all images; a keypoint's score is its person's."""
    planes = writer.node("Transpose", writer.node("Cast", "images", to=FLOAT), perm=[0, 3, 1, 2])
    pixels = writer.node("Div", planes, writer.constant(255, np.float32))
    pairs = writer.node("Concat", writer.size_of("images", 0), writer.constant([2], np.int64), axis=0)
    sizes = writer.node("Expand", writer.constant([config.on_fixed_input.input_size], np.int64), pairs)
    given = {names[DETRPOSE_INPUTS[0]]: pixels, names[DETRPOSE_INPUTS[1]]: sizes}
    scores, labels, points = writer.run_inner(given, [names[name] for name in DETRPOSE_OUTPUTS])
    people = writer.node("Equal", writer.node("Cast", labels, to=INT64), writer.constant(PERSON, np.int64))
    kept = writer.node("And", people, writer.node("Greater", scores, "min_score"))
    which = writer.node("Transpose", writer.node("NonZero", kept), perm=[1, 0])
    shape = writer.node("Concat", writer.node("Shape", scores), writer.constant([1, 1], np.int64), axis=0)
    repeated = writer.node(
        "Concat", writer.node("Shape", scores), writer.constant([len(config.skeleton), 1], np.int64), axis=0
    )
    confidence = writer.node("Expand", writer.node("Reshape", scores, shape), repeated)
    triples = writer.node("Concat", points, confidence, axis=3)
    return _people(writer, config, metadata, scores=scores, points=triples, which=which)


def _people(
    writer: GraphWriter, config: ModelConfig, metadata: dict[str, str], *, scores: str, points: str, which: str
) -> onnx.ModelProto:
    """Select people (M, 2), as image and position, of scores (B, N) and points (B, N, K, 3)."""
    writer.node("GatherND", points, which, output="keypoints")
    writer.node("GatherND", scores, which, output="scores")
    writer.node("Gather", which, writer.constant(0, np.int64), axis=1, output="image_index")
    width, height = config.on_fixed_input.input_size
    return writer.finish(
        {"images": (UINT8, ["batch", height, width, 3]), "min_score": (FLOAT, [])},
        {
            "keypoints": (FLOAT, ["people", len(config.skeleton), 3]),
            "scores": (FLOAT, ["people"]),
            "image_index": (INT64, ["people"]),
        },
        metadata,
    )


def _columns(writer: GraphWriter, table: str, columns: list[int]) -> str:
    return writer.node("Gather", table, writer.constant(columns, np.int64), axis=1)


def _require_equal(source: ForeignFile, skeleton: str | None, exported: Path) -> None:
    """Compare an exported file with its source on two random images.

    Raises:
        EveryposeError: if they differ, as they do if the source takes one image at a time.
    """
    opened = source.open(skeleton)
    config = opened.config
    width, height = config.on_crops.crop_size if config.is_top_down else config.on_fixed_input.input_size
    batch = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    session = open_session(exported, 1)
    try:
        if isinstance(opened, CropModel):
            expected, found = opened.runtime.run(batch), OnnxCropRuntime(session, exported).run(batch)
        else:
            runtimes = (opened.runtime, OnnxFixedInputRuntime(session, exported))
            expected, found = (_in_order(*runtime.run(batch)) for runtime in runtimes)
    except EveryposeError as error:
        raise EveryposeError(f"{source.path} takes one image at a time: export it with a free batch size") from error
    least = SHARE_OF_HEATMAPS if source.kind == "heatmaps" else 1.0
    if expected.shape != found.shape or not _agree(expected, found, least):
        raise EveryposeError(f"{source.path} cannot be exported: its keypoints differ in a batch")


def _agree(expected: Float32, found: Float32, share: float) -> bool:
    """Whether at least a share of the keypoints, x, y and score, is equal, and all scores are."""
    differences = np.abs(expected - found).reshape(-1, expected.shape[-1])
    if not len(differences):
        return True
    equal = differences <= TOLERANCE
    return bool(equal[:, 2].all() and equal.all(axis=1).mean() >= share)


def _in_order(keypoints: Float32, scores: Float32, image_index: Int64) -> Float32:
    """Keypoints by image and falling score."""
    return keypoints[np.lexsort((-scores, image_index))]
