"""Predict time, memory and cost of a bulk run, and compare the prediction with the run."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from everypose.bulk.check import ShardState
from everypose.bulk.measure import Measured, Stages, count_images, measure_frames, measure_images
from everypose.bulk.segments import VideoSettings
from everypose.bulk.shards import shard_of_key
from everypose.bulk.sources import Sources
from everypose.core.arrays import Float64
from everypose.core.counted import counted
from everypose.core.files import read_json
from everypose.core.process_setup import available_threads, peak_memory_mb
from everypose.core.settings import Settings
from everypose.core.validation import validated
from everypose.errors import EveryposeError
from everypose.inference.estimator import Estimator

PLAN = "plan.json"
HOUR = 3600.0


class Plan(Settings):
    """Prediction for a run with several workers, each on a machine like this one.

    Attributes:
        images: number of images; estimated for tars.
        frames: number of frames of videos.
        workers: number of processes.
        image_seconds: seconds for one image; None without images.
        frame_seconds: seconds for one frame; None without videos.
        hours: time of the worker with the largest shard, without loading the model.
        mean_hours: mean time of a worker.
        start_seconds: time to find the sources and load the model.
        memory_mb: largest resident memory of a worker.
        read_mb_per_second: data rate that all workers read together.
        bottleneck: the slowest stage.
        stages: seconds for one image by stage; without images, for one frame.
        price_per_hour: price of a worker; None if not given.
        sample_problems: why images or segments of the sample cannot be read.

    >>> plan = Plan(
    ...     images=3600, frames=0, workers=1, image_seconds=0.1, frame_seconds=None, hours=0.1, mean_hours=0.1,
    ...     start_seconds=0.0, memory_mb=300, read_mb_per_second=2.0, bottleneck="network",
    ...     stages={"network": 0.1}, price_per_hour=2.0,
    ... )
    >>> plan.cost, plan.lines()[1]
    (0.2, 'speed of a worker: 10 images a second')
    """

    images: int
    frames: int
    workers: int
    image_seconds: float | None
    frame_seconds: float | None
    hours: float
    mean_hours: float
    start_seconds: float
    memory_mb: float
    read_mb_per_second: float
    bottleneck: str
    stages: dict[str, float]
    price_per_hour: float | None
    sample_problems: tuple[str, ...] = ()

    @property
    def cost(self) -> float | None:
        """Price of all workers, each paid until it has finished; None without a price."""
        if self.price_per_hour is None:
            return None
        return self.workers * (self.mean_hours + self.start_seconds / HOUR) * self.price_per_hour

    def lines(self) -> list[str]:
        """Describe the plan, one sentence a line."""
        each = [
            f"{1 / seconds:.3g} {name} a second" for name, seconds in self._speeds() if seconds is not None and seconds
        ]
        stages = ", ".join(f"{name} {1000 * seconds:.2f} ms" for name, seconds in self.stages.items())
        lines = [
            f"{counted(self.images, 'image')} and {counted(self.frames, 'frame')} of videos, "
            f"{counted(self.workers, 'worker')}",
            f"speed of a worker: {', '.join(each)}",
            f"time: {_time(self.hours, self.mean_hours)}, after {self.start_seconds:.1f} s to start",
            f"memory of a worker: {self.memory_mb:.0f} MB",
            f"read by all workers: {self.read_mb_per_second:.3g} MB a second",
            f"stages: {stages}",
            f"bottleneck: {self.bottleneck}",
        ]
        if self.cost is not None:
            lines.append(f"cost: {self.cost:.2f}")
        if self.sample_problems:
            number = len(self.sample_problems)
            lines.append(f"{number} of the sample cannot be read, the first because: {self.sample_problems[0]}")
        return lines

    def _speeds(self) -> list[tuple[str, float | None]]:
        return [("images", self.image_seconds), ("frames", self.frame_seconds)]


def make_plan(
    estimator: Estimator,
    sources: Sources,
    *,
    workers: int,
    sample: int,
    video: VideoSettings,
    start_seconds: float,
    price_per_hour: float | None = None,
) -> Plan:
    """Measure a sample of a run and predict the whole.

    Args:
        estimator: finds the people.
        sources: of the run.
        workers: processes, each on a machine like this one.
        sample: images, and frames, that are measured.
        video: how videos are processed.
        start_seconds: time of a worker before its first image.
        price_per_hour: price of a worker.

    Raises:
        EveryposeError: if no image or no segment of the sample can be read, with the reason, or the model fails.

    >>> from everypose import load
    >>> from everypose.drawing import encode
    >>> _ = Path("a.png").write_bytes(encode(np.zeros((64, 64, 3), np.uint8), ".png"))
    >>> sources = Sources({f"{copy}.png": "a.png" for copy in range(1000)})
    >>> pose, video = load("boir-lite", threads=1), VideoSettings()
    >>> plan = make_plan(pose, sources, workers=4, sample=1, video=video, start_seconds=0.5, price_per_hour=0.1)
    >>> plan.images, plan.workers, plan.mean_hours > 0
    (1000, 4, True)
    """
    has_images = bool(sources.images or sources.archives)
    images = measure_images(estimator, sources, sample) if has_images else None
    frames = measure_frames(estimator, sources.clips, sample, video) if sources.clips else None
    measured = [one for one in (images, frames) if one is not None]
    if not measured:
        raise EveryposeError("there are no images or videos to measure")
    archive_images = [count_images(archive) for archive in sources.archives]
    clip_frames = [
        0 if isinstance(clip.segment, EveryposeError) else clip.segment.packets // video.every for clip in sources.clips
    ]
    seconds = _worker_seconds(sources, workers, archive_images, clip_frames, images=images, frames=frames)
    hours = seconds / HOUR
    image_count = sum(archive_images) + len(sources.images)
    megabytes = 0.0 if images is None else image_count * images.megabytes
    return Plan(
        images=image_count,
        frames=sum(clip_frames),
        workers=workers,
        image_seconds=None if images is None else images.seconds,
        frame_seconds=None if frames is None else frames.seconds,
        hours=float(hours.max()),
        mean_hours=float(hours.mean()),
        start_seconds=start_seconds,
        memory_mb=peak_memory_mb(),
        read_mb_per_second=megabytes / max(float(seconds.max()), 1e-9),
        bottleneck=bottleneck_of(measured[0].stages, min(4, available_threads())),
        stages=asdict(measured[0].stages),
        price_per_hour=price_per_hour,
        sample_problems=tuple(problem for one in measured for problem in one.problems),
    )


def bottleneck_of(stages: Stages, threads: int) -> str:
    """Return the slowest stage: reading and decoding run in several threads, the others in one.

    >>> bottleneck_of(Stages(reading=0.02, decoding=0.01, network=0.008, writing=0.001), threads=4)
    'network'
    """
    overlapped = ("reading", "decoding")
    share = {name: seconds / (threads if name in overlapped else 1) for name, seconds in asdict(stages).items()}
    return max(share, key=lambda name: share[name])


def compare(plan: Plan, states: Sequence[ShardState]) -> list[str]:
    """Describe how a run compares with its plan, one sentence a line.

    Args:
        plan: of the run.
        states: of its shards.

    >>> from everypose.bulk.shards import Shard
    >>> stages = {"reading": 0.0, "decoding": 0.1, "network": 0.3, "writing": 0.0}
    >>> plan = Plan(
    ...     images=36_000, frames=0, workers=1, image_seconds=0.4, frame_seconds=None, hours=4.0, mean_hours=4.0,
    ...     start_seconds=1.0, memory_mb=900.0, read_mb_per_second=0.5, bottleneck="network", stages=stages,
    ...     price_per_hour=None,
    ... )
    >>> all_done = ShardState(Shard(0, 1), 36_000, 36_000, finished=True, seconds=4.4 * HOUR, peak_mb=1000.0)
    >>> compare(plan, [all_done])[-1]
    'measured time is 110 % of the plan, memory 111 %'
    """
    slowest = max(state.seconds for state in states) / HOUR
    mean = sum(state.seconds for state in states) / len(states) / HOUR
    memory = max(state.peak_mb for state in states)
    lines = [
        f"planned: {_time(plan.hours, plan.mean_hours)}, {plan.memory_mb:.0f} MB, {counted(plan.workers, 'worker')}",
        f"measured: {_time(slowest, mean)}, {memory:.0f} MB, {counted(len(states), 'shard')}",
    ]
    if not all(state.finished for state in states):
        return [*lines, "the run is not finished"]
    if len(states) != plan.workers:
        return [*lines, "the plan is for another number of workers"]
    time, space = _share(slowest, plan.hours), _share(memory, plan.memory_mb)
    return [*lines, f"measured time is {time} of the plan, memory {space}"]


def read_plan(out: Path) -> Plan | None:
    """Return the plan of a run; None if it has none.

    Raises:
        EveryposeError: if it is damaged.

    >>> read_plan(Path("poses")) is None  # the folder has no plan
    True
    """
    path = out / PLAN
    if not path.is_file():
        return None
    return validated(Plan, read_json(path), f"{path} is not a plan of 'everypose bulk plan'")


def _worker_seconds(
    sources: Sources,
    workers: int,
    archive_images: Sequence[int],
    clip_frames: Sequence[int],
    *,
    images: Measured | None,
    frames: Measured | None,
) -> Float64:
    """Return the seconds that each worker takes for the images and frames of its shard, (workers,)."""
    seconds = np.zeros(workers)
    if images is not None:
        for key in sources.images:
            seconds[shard_of_key(key, workers)] += images.seconds
        for index, count in enumerate(archive_images):
            seconds[index % workers] += count * images.seconds
    if frames is not None:
        for index, count in enumerate(clip_frames):
            seconds[index % workers] += count * frames.seconds
    return seconds


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "?"


def _time(longest: float, mean: float) -> str:
    """Describe the time of the slowest worker and the mean time, both in hours."""
    return f"{_duration(longest)} (mean {_duration(mean)})"


def _duration(hours: float) -> str:
    """Format hours in seconds, minutes or hours.

    >>> _duration(0.001), _duration(0.5), _duration(12)
    ('3.6 s', '30.0 min', '12.0 h')
    """
    seconds = hours * HOUR
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if hours < 2 else f"{hours:.1f} h"
