"""ViTPose's networks in ONNX files of other projects: the decoding of their heatmaps as nodes of the graph."""

from functools import partial

import numpy as np
import onnx

from everypose.export.crop_views import CropViews, finish
from everypose.export.graph_writer import FLOAT, INT64, GraphWriter
from everypose.inference.runtimes.heatmaps import OUTPUT
from everypose.methods.vitpose.heatmap_decoding import EPSILON, HIGHEST, LOWEST, blur_matrix
from everypose.models.config import ModelConfig

STRIDE = 4
"""Pixels of a crop for each cell of ViTPose's heatmaps."""


def write_heatmaps(
    writer: GraphWriter, names: dict[str, str], config: ModelConfig, metadata: dict[str, str]
) -> onnx.ModelProto:
    """Crops (B, H, W, 3) to keypoints (B, 1, K, 3); ``mirrored`` of length 1 averages the heatmaps of both views.

    The nodes compute the same as :func:`everypose.methods.vitpose.heatmap_decoding.decode`.

    >>> write_heatmaps(writer, {"input_0": "input_0", OUTPUT: OUTPUT}, config, {})  # doctest: +SKIP
    """
    is_udp = config.on_crops.decoder == "udp"
    views = CropViews.write(writer)
    image = next(iter(set(names) - {OUTPUT}))
    (maps,) = writer.run_inner({names[image]: views.planes}, [names[OUTPUT]])
    width, height = (side // STRIDE for side in config.on_crops.crop_size)
    own, other = views.split(writer, maps, config.skeleton.flip_index)
    other = writer.reversed(other, 3)
    if not is_udp:
        ends = (writer.constant([end], np.int64) for end in (0, 1, 0, -1))
        first, rest = (writer.slice(other, next(ends), next(ends), 3) for _ in range(2))
        other = writer.node("Concat", first, rest, axis=3)
    shape = writer.constant([-1, len(config.skeleton), height, width], np.int64)
    mean = views.mean(writer, own, other, shape=shape)
    decoding = _Decoding(writer, mean, width=width, height=height)
    moves = decoding.udp_moves() if is_udp else decoding.quarter_moves()
    end = 1 if is_udp else 0
    sides = zip((decoding.x, decoding.y), moves, config.on_crops.crop_size, (width, height), strict=True)
    points = [
        decoding.op("Mul", decoding.op("Add", place, move), decoding.number((side - end) / (cells - end)))
        for place, move, side, cells in sides
    ]
    return finish(writer, points, score=decoding.score, config=config, metadata=metadata)


class _Decoding:
    """Nodes that refine the highest cell of each heatmap.

    Attributes:
        x: (B, K, 1) columns of the highest cells.
        y: (B, K, 1) their rows.
        score: (B, K, 1) their values.
    """

    def __init__(self, writer: GraphWriter, maps: str, *, width: int, height: int) -> None:
        """Find the highest cells of ``maps`` (B, K, h, w)."""
        self.op = writer.node
        self.number = partial(writer.constant, dtype=np.float32)
        self._writer = writer
        self._maps = maps
        self._width, self._height = width, height
        self._lines = writer.constant([0, 0, -1], np.int64)
        flat = self.op("Reshape", maps, self._lines)
        self.score = writer.largest(flat, 2)
        place = self.op("Cast", self.op("ArgMax", flat, axis=2, keepdims=1), to=FLOAT)
        columns = self.number(width)
        self.y = self.op("Floor", self.op("Div", place, columns))
        self.x = self.op("Sub", place, self.op("Mul", self.y, columns))

    def quarter_moves(self) -> tuple[str, str]:
        """A quarter of a cell towards the higher neighbor, except near the border."""
        flat, quarter = self.op("Reshape", self._maps, self._lines), self.number(0.25)
        inside = [
            condition
            for place, cells in ((self.x, self._width), (self.y, self._height))
            for condition in (
                self.op("Greater", place, self.number(1)),
                self.op("Less", place, self.number(cells - 1)),
            )
        ]
        is_inside = inside[0]
        for condition in inside[1:]:
            is_inside = self.op("And", is_inside, condition)
        moves = []
        for dx, dy in ((1, 0), (0, 1)):
            slope = self.op("Sub", self._at(flat, dx, dy), self._at(flat, -dx, -dy))
            move = self.op("Mul", self.op("Sign", slope), quarter)
            moves.append(self.op("Where", is_inside, move, self.number(0)))
        return moves[0], moves[1]

    def udp_moves(self) -> tuple[str, str]:
        """To the peak of the parabola through the logarithm of the smoothed map."""
        rows, columns = (self.number(blur_matrix(length)) for length in (self._height, self._width))
        # Smoothed maps are transposed, (B, K, w, h): a constant that is multiplied from the left is no layer's weight.
        smooth = self.op(
            "MatMul", columns, self.op("Transpose", self.op("MatMul", rows, self._maps), perm=[0, 1, 3, 2])
        )
        flat = self.op("Reshape", smooth, self._lines)
        bounds = self.number(LOWEST), self.number(HIGHEST)

        def at(dx: int, dy: int) -> str:
            return self.op("Log", self.op("Clip", self._at(flat, dx, dy, transposed=True), *bounds))

        add, subtract, times = (partial(self.op, name) for name in ("Add", "Sub", "Mul"))
        half, epsilon = self.number(0.5), self.number(EPSILON)
        here, right, left, below, above = at(0, 0), at(1, 0), at(-1, 0), at(0, 1), at(0, -1)
        dx, dy = times(subtract(right, left), half), times(subtract(below, above), half)
        twice = add(here, here)
        across, down = subtract(add(right, left), twice), subtract(add(below, above), twice)
        xx, yy = add(across, epsilon), add(down, epsilon)
        corners = add(at(1, 1), at(-1, -1))
        sides = subtract(add(add(right, left), add(below, above)), twice)
        xy = times(subtract(corners, sides), half)
        determinant = subtract(times(xx, yy), times(xy, xy))
        is_regular = self.op("Not", self.op("Equal", determinant, self.number(0)))
        divisor = self.op("Where", is_regular, determinant, self.number(1))
        steps = (
            subtract(times(xy, dy), times(yy, dx)),
            subtract(times(xy, dx), times(xx, dy)),
        )
        x, y = (self.op("Where", is_regular, self.op("Div", step, divisor), self.number(0)) for step in steps)
        return x, y

    def _at(self, flat: str, dx: int, dy: int, *, transposed: bool = False) -> str:
        """The values (B, K, 1) next to the highest cells; outside a map its border is repeated."""
        places = [
            self.op("Clip", self.op("Add", place, self.number(step)), self.number(0), self.number(cells - 1))
            for place, step, cells in ((self.x, dx, self._width), (self.y, dy, self._height))
        ]
        major, minor = places if transposed else reversed(places)
        line = self.number(self._height if transposed else self._width)
        index = self.op("Cast", self.op("Add", self.op("Mul", major, line), minor), to=INT64)
        return self.op("GatherElements", flat, index, axis=2)
