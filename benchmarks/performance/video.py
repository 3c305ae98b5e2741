"""Section 8: a video through decoding, the network, tracking, drawing and encoding, and the memory of a long one."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from benchmarks.performance.folder import StandIn
from benchmarks.performance.machine import resident_memory
from benchmarks.performance.photos import example
from benchmarks.performance.record import Findings, Options, Table, Target
from benchmarks.performance.timing import Spread, Timings, in_turns
from everypose.core.arrays import Image
from everypose.data.images import read_image
from everypose.drawing import DrawingStyle, Trails, draw_people
from everypose.inference.estimator import Estimator, Prepared
from everypose.inference.inputs import VideoInput
from everypose.inference.loading import load
from everypose.inference.outputs import open_outputs
from everypose.inference.run_files import OutputOptions
from everypose.inference.runtimes.onnx import OnnxRuntime
from everypose.inference.single_stage import SingleStageEstimator
from everypose.inference.video.run import VideoSummary, predict_video
from everypose.models.locate import bundled
from everypose.people import People
from everypose.tracking.tracker import Tracker
from everypose.video import Frame, Selection, VideoWriter, open_video

MODELS = ("mipnet-lite", "boir-lite")
SIZE = (768, 576)
GOAL = 0.9
LONG, LONG_SIZE = 20_000, (96, 72)
STEADY = 20.0
"""Megabytes in the long run that do not count as growth."""
STYLE = DrawingStyle(labels=("id",), trail_seconds=2.0, supersampling=1)
SAVE = ("pictures", "csv")
NETWORK, OVERLAPPED, PIPELINE = "network", "network, with the runs at a time of the pipeline", "all together"
EXAMPLE = "pedestrians.jpg"


def measure(options: Options) -> Findings:
    """Rates of the stages alone and together for each model, then memory in a long run."""
    frames, long = (4, 40) if options.quick else (60, LONG)
    effort = options.effort(200)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = options.clip or made_clip(folder / "made.mp4", frames, SIZE)
        timings = {
            model: in_turns(Stages(load(model), clip, frames, folder).runs(), effort.part(1 / len(MODELS)))
            for model in MODELS
        }
        memory = memory_in_long_run(made_clip(folder / "long.mp4", long, LONG_SIZE), long, folder)
    targets = [
        Target(
            f"{model}: at least {100 * GOAL:.0f} % of the slowest stage alone",
            f"{100 / _share(each).median:.0f} %",
            1 / _share(each).median >= GOAL,
        )
        for model, each in timings.items()
    ]
    grown = memory[-1] - memory[1]
    targets.append(
        Target(f"memory flat over {long} frames", f"{grown:+.0f} MB from 20 % of the run to its end", grown < STEADY)
    )
    stages = list(next(iter(timings.values())).seconds)
    rows = [(stage, *(f"{frames / each.of(stage).median:.1f}" for each in timings.values())) for stage in stages]
    origin = "made of a picture of the package" if options.clip is None else "given"
    tables = [
        Table(
            ("stage", *(f"{model}, frames a second" for model in MODELS)),
            rows,
            f"{frames} frames of a clip that was {origin}; drawn, encoded as H.264 and saved as CSV",
        ),
        Table(
            ("after", *(f"{10 * tenth} %" for tenth in range(1, 11))),
            [("MB held", *(f"{value:.0f}" for value in memory))],
            f"{long} frames, drawn, encoded and saved as CSV, with a stand-in that finds five people in each",
        ),
    ]
    note = (
        "Each stage alone has its inputs in memory. All stages share the cores. One run of the network at a time does "
        "not keep all cores busy, so the pipeline runs two consecutive frames at the same time; the other stages use "
        "what is left."
    )
    return Findings(targets, tables, [note])


def _share(timings: Timings) -> Spread:
    """Return the ratio of the time of all stages together to that of the slowest stage."""
    stages = [stage for stage in timings.seconds if stage not in (PIPELINE, OVERLAPPED)]
    slowest = max(stages, key=lambda stage: timings.of(stage).median)
    return timings.ratio(PIPELINE, slowest)


@dataclass
class Stages:
    """The stages of one model on one clip, each alone and all together."""

    estimator: Estimator
    clip: Path
    count: int
    folder: Path
    frames: list[Frame] = field(init=False)
    prepared: list[Prepared] = field(init=False)
    tracked: list[People] = field(init=False)
    drawn: list[Image] = field(init=False)

    def __post_init__(self) -> None:
        """Make the input of each stage."""
        with open_video(self.clip) as video:
            pictures = list(islice(video, self.count))
        self.prepared = [self.estimator.prepare(frame.image) for frame in pictures]
        found = self.predict()
        self.frames = [
            Frame(frame.index, frame.time, frame.image, people) for frame, people in zip(pictures, found, strict=True)
        ]
        self.tracked = self.track()
        self.drawn = self.draw()

    def runs(self) -> dict[str, Callable[[], object]]:
        """Return the stages by name."""
        return {
            "decode": self.decode,
            NETWORK: self.predict,
            OVERLAPPED: self.predict_overlapped,
            "track": self.track,
            "draw": self.draw,
            "encode": self.encode,
            PIPELINE: self.together,
        }

    def decode(self) -> None:
        """Decode the frames and prepare them for the network."""
        with open_video(self.clip) as video:
            for frame in islice(video, self.count):
                self.estimator.prepare(frame.image)

    def predict(self) -> list[People]:
        """Find the people in prepared frames, batched as in the pipeline."""
        size = self.estimator.batch_size
        batches = (self.prepared[first : first + size] for first in range(0, len(self.prepared), size))
        return [people for batch in batches for people in self.estimator.predict(batch)]

    def predict_overlapped(self) -> list[People]:
        """Find the people in prepared frames with as many runs of the network at a time as in the pipeline."""
        size = self.estimator.batch_size
        numbered = list(enumerate(self.prepared))
        batches = (numbered[first : first + size] for first in range(0, len(numbered), size))
        return [people for _, people in self.estimator.predict_batches(batches)]

    def track(self) -> list[People]:
        """Track the people."""
        tracker = Tracker(self.estimator.skeleton)
        return [tracker.update(frame.people, frame.time, image=frame.image) for frame in self.frames]

    def draw(self) -> list[Image]:
        """Draw tracked people."""
        trails = Trails(seconds=STYLE.trail_seconds, palette=STYLE.palette)
        drawn = []
        for frame, people in zip(self.frames, self.tracked, strict=True):
            trails.update(people, frame.time)
            drawn.append(draw_people(frame.image, people, STYLE, trails=trails, time=frame.time))
        return drawn

    def encode(self) -> None:
        """Encode drawn frames."""
        with VideoWriter(self.folder / "encoded.mp4") as video:
            for frame, image in zip(self.frames, self.drawn, strict=True):
                video.write(image, frame.time)

    def together(self) -> None:
        """Run the whole pipeline on the same frames."""
        end = self.frames[-1].time + 1e-3
        with open_outputs(self.folder / "out", [], OutputOptions(save=SAVE, style=STYLE), live=True) as outputs:
            predict_video(
                self.estimator,
                VideoInput(str(self.clip), "clip", "clip"),
                outputs,
                VideoSummary("clip"),
                tracker=Tracker(self.estimator.skeleton),
                selection=Selection(end=end),
                quiet=True,
            )


def made_clip(path: Path, frames: int, size: tuple[int, int]) -> Path:
    """Write a clip that pans over a picture of the package."""
    picture = read_image(example(EXAMPLE))
    width, height = size
    wide = np.asarray(cv2.resize(picture, (width * 5 // 4, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    margin = wide.shape[1] - width
    with VideoWriter(path) as video:
        for number in range(frames):
            left = abs(2 * number % (2 * margin) - margin)
            video.write(np.ascontiguousarray(wide[:, left : left + width]), number / 25)
    return path


def memory_in_long_run(clip: Path, count: int, folder: Path) -> list[float]:
    """Megabytes held at each tenth of a run over a long clip."""
    config = OnnxRuntime.open(bundled("boir-lite.onnx"), threads=1).config
    small = config.model_copy(update={"inference": config.on_images.model_copy(update={"size": 64, "nms": 1.0})})
    stand_in = StandIn(len(config.skeleton), count)
    before = resident_memory()
    with open_outputs(folder / "long", [], OutputOptions(save=SAVE, style=STYLE), live=True) as outputs:
        predict_video(
            SingleStageEstimator(stand_in, small),
            VideoInput(str(clip), "long", "long"),
            outputs,
            VideoSummary("long"),
            quiet=True,
        )
    return stand_in.memory or [before, before]
