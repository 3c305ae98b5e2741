"""Section 2: BoIR-W32 at 512: the literal form, torch, the runtimes, int8, and the cost per person."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.performance.accuracy import accuracy_of_int8
from benchmarks.performance.literal import LiteralHead
from benchmarks.performance.picture import Points, line_chart
from benchmarks.performance.random_networks import peak_heights, set_people
from benchmarks.performance.record import Findings, Options, Table, Target
from benchmarks.performance.timing import Run, Spread, Timings, in_turns
from benchmarks.performance.tiny import TINY_BOIR
from benchmarks.performance.ways import (
    HEIGHTS,
    NO_OPENVINO,
    ONNX,
    OPENVINO,
    as_literal,
    config_of,
    eager,
    in_torch,
    noise,
    on_threads,
    open_heights,
    random_network,
    runtimes,
)
from everypose.export.int8 import quantize
from everypose.export.onnx import export_onnx
from everypose.inference.runtimes.onnx import OUTPUTS, open_session, run_session
from everypose.inference.runtimes.protocols import Arrays
from everypose.methods.boir.network import BoIR
from everypose.methods.boir.settings import BoIRSettings
from everypose.models.config import ModelConfig

SECONDS = 210
LITERAL, TORCH = "literal", "torch"
INT8 = ", int8"
"""What the name of a runtime's form in 8 bits ends in."""
CROWDS = (1, 5, 10, 20, 30)
USUAL = 10
SAME = 0.05
"""Pixels: keypoints nearer than this are the same."""

Form = Callable[[int], Any]
"""What finds a given number of people in one image, and gives keypoints, scores and image indices."""


def measure(options: Options) -> Findings:
    """Time every form at every number of people, all of them in every round."""
    config = config_of(TINY_BOIR, 64) if options.quick else config_of(BoIRSettings(auxiliary=False), 512)
    with tempfile.TemporaryDirectory() as folder:
        forms = forms_of(config, options.threads, Path(folder))
        exact = [name for name in (TORCH, ONNX, OPENVINO) if name in forms]
        same = {name: same_keypoints(forms[name], forms[LITERAL], USUAL) for name in exact}
        runs = {key(name, n): partial(form, n) for n in CROWDS for name, form in forms.items()}
        timings = in_turns(runs, options.effort(SECONDS))
    slopes = {name: slopes_of(timings, name, CROWDS) for name in forms}
    lines = {name: [(n, 1000 * timings.of(key(name, n)).median) for n in CROWDS] for name in forms}
    drawn = {name: lines[name] for name in (LITERAL, TORCH, ONNX, ONNX + INT8)}
    loss = accuracy_of_int8(options)
    return Findings(
        targets=[*targets_of(timings, same, slopes), *loss.targets],
        tables=[table_of(timings, lines, slopes, options.threads), *loss.tables],
        notes=[
            f"Keypoints within {SAME} px of the literal form's, with {USUAL} people: "
            + ", ".join(f"{name} {100 * part:.2f} %" for name, part in same.items())
            + ". With random weights the scores of neighboring cells can be equal up to rounding, which then decides "
            "between them; the tests compare recorded networks.",
            "int8 has random weights, too: its time is that of trained weights, its keypoints are meaningless.",
            "ms a person: the slope of a line fitted to the times of each round.",
            *([] if OPENVINO in forms else [NO_OPENVINO]),
            *loss.notes,
        ],
        pictures={"cost_of_people.svg": line_chart(drawn, "people in the image", "ms an image")},
    )


def table_of(timings: Timings, lines: Mapping[str, Points], slopes: Mapping[str, Spread], threads: int) -> Table:
    """One row for each form."""
    rows = [
        (
            name,
            *(f"{ms:.0f}" for _, ms in points),
            f"{timings.ratio(key(LITERAL, USUAL), key(name, USUAL)):.2f}",
            f"{slopes[name].scaled(1000):.1f}",
        )
        for name, points in lines.items()
    ]
    header = ("form", *map(str, CROWDS), f"literal / form, {USUAL} people", "ms a person")
    return Table(header, rows, f"ms per image by number of people, {threads} threads, {timings.rounds} rounds")


def forms_of(config: ModelConfig, threads: int, folder: Path) -> dict[str, Form]:
    """The forms of one random network, on one random image; OpenVINO's where it is installed."""
    network = random_network(config, USUAL)
    assert isinstance(network, BoIR)
    images = noise(config)
    float32, int8, picture = folder / "float32.onnx", folder / "int8.onnx", folder / "noise.png"
    export_onnx(network, config, float32)
    cv2.imwrite(str(picture), images[0])
    quantize(float32, [str(picture)], int8)
    open_heights(float32)
    open_heights(int8)
    literal = as_literal(network, LiteralHead)
    devices = runtimes()
    return {
        LITERAL: with_people(literal, on_threads(threads, eager(literal, config, images))),
        TORCH: with_people(network, on_threads(threads, in_torch(network, config, images))),
        **{name: in_session(float32, images, threads, device) for name, device in devices.items()},
        **{name + INT8: in_session(int8, images, threads, device) for name, device in devices.items()},
    }


def with_people(network: BoIR, run: Run) -> Form:
    """A run in torch, as a function of the number of people."""

    def run_with(people: int) -> object:
        set_people(network, people)
        return run()

    return run_with


def in_session(path: Path, images: npt.NDArray[np.uint8], threads: int, device: str) -> Form:
    """A run of an exported file, as a function of the number of people; as the package's runtime does it."""
    session = open_session(path, threads, device)
    feed: Arrays = {"images": images, "mirrored": np.zeros(0, np.float32), "min_score": np.zeros((), np.float32)}
    return lambda people: run_session(session, path, {**feed, HEIGHTS: peak_heights(people).numpy()}, OUTPUTS)


def same_keypoints(form: Form, literal: Form, people: int) -> float:
    """The share of keypoints on which two forms agree."""
    fast, literal_form = (np.asarray(run(people)[0]) for run in (form, literal))
    assert fast.shape == literal_form.shape == (people, fast.shape[1], 3), f"{fast.shape} and {literal_form.shape}"
    return float((np.abs(fast[..., :2] - literal_form[..., :2]).max(axis=-1) < SAME).mean())


def slopes_of(timings: Timings, name: str, crowds: Sequence[int]) -> Spread:
    """Seconds a person, from a straight line through each round's times."""
    seconds = np.array([timings.seconds[key(name, people)] for people in crowds])
    return Spread.of(np.polyfit(crowds, seconds, 1)[0].tolist())


def key(name: str, people: int) -> str:
    """The candidate's name for a form and a number of people."""
    return f"{name}, {people}"


def targets_of(timings: Timings, same: Mapping[str, float], slopes: Mapping[str, Spread]) -> list[Target]:
    """Time targets, judged on the fastest runtime of each precision; accuracy is measured elsewhere."""
    float32 = fastest(timings, [name for name in (ONNX, OPENVINO) if name in slopes])
    int8 = fastest(timings, [name for name in slopes if name.endswith(INT8)])
    ratios = [timings.ratio(key(LITERAL, USUAL), key(name, USUAL)) for name in (float32, int8)]
    alike = min(same.values())
    part = slopes[float32].median / slopes[LITERAL].median
    return [
        Target(
            f"at least 2.0 x literal in float32, {USUAL} people",
            f"{ratios[0]:.2f}, {float32}",
            ratios[0].median >= 2,
        ),
        Target(f"the same keypoints to {SAME} px", f"{100 * alike:.2f} % of them, in each runtime", alike == 1),
        Target(f"at least 5 x literal in int8, {USUAL} people", f"{ratios[1]:.2f}, {int8}", ratios[1].median >= 5),
        Target("a person costs at most a quarter of literal's", f"{part:.2f}, {float32}", part <= 1 / 4),
    ]


def fastest(timings: Timings, names: Sequence[str]) -> str:
    """Return the form with the lowest median at the usual number of people."""
    return min(names, key=lambda name: timings.of(key(name, USUAL)).median)
