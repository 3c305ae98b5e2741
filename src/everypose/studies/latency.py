"""Time by the number of people predicted in a box (MIPNet, Table 3); the backbone runs once for all of them.

The numbers of people alternate, and each time is divided by that of one person in the same turn, so that other work on
the machine affects all of them equally.
"""

import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from everypose.core.progress import track
from everypose.errors import UsageError
from everypose.methods.mipnet.network import MIPNet
from everypose.models.config import ModelConfig
from everypose.studies.chart import line_chart
from everypose.studies.report import Study

MOST_PEOPLE = 4


def time_turns(runs: list[Callable[[], None]], turns: int, *, quiet: bool = False) -> list[list[float]]:
    """Seconds (turns, runs) of each run in each turn, after one turn of warm-up.

    >>> len(time_turns([lambda: None, lambda: None], turns=3, quiet=True))
    3
    """
    seconds = []
    for turn in track(range(turns + 1), "timing", quiet=quiet):
        row = []
        for run in runs:
            begin = time.perf_counter()
            run()
            row.append(time.perf_counter() - begin)
        if turn:
            seconds.append(row)
    return seconds


def person_runs(network: MIPNet, *, crops: int, crop_size: tuple[int, int], device: str) -> list[Callable[[], None]]:
    """Functions that predict 1, 2, 3 and 4 people in each of some random crops.

    The time does not depend on the selector, so a network with two selectors repeats them for 3 and 4 people.

    Args:
        network: in evaluation mode, on ``device``.
        crops: how many.
        crop_size: width, height in pixels.
        device: of torch.

    >>> from everypose.methods.mipnet.method import build
    >>> from everypose.methods.mipnet.settings import MIPNetSettings
    >>> from everypose.methods.top_down.settings import TopDownInference
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> backbone = {"kind": "hrnet", "width": 4, "modules": [1, 1, 1], "blocks": 1, "stem_blocks": 1}
    >>> settings, inference = MIPNetSettings(backbone=backbone), TopDownInference(crop_size=(64, 64))
    >>> network = build(settings, 17).eval()
    >>> config = ModelConfig(name="small", network=settings, skeleton=Skeleton.named("coco"), inference=inference)
    >>> runs = person_runs(network, crops=1, crop_size=(64, 64), device="cpu")
    >>> len(runs)  # for 1, 2, 3 and 4 people
    4
    """
    width, height = crop_size
    images = torch.randn(crops, 3, height, width, device=device).contiguous(memory_format=torch.channels_last)
    order = torch.arange(MOST_PEOPLE, device=device) % len(network.selectors)

    def run(people: int) -> None:
        with torch.inference_mode():
            network.heatmaps_for(images, network.selectors[order[:people]])
        if images.is_cuda:
            torch.cuda.synchronize(images.device)

    return [partial(run, people) for people in range(1, MOST_PEOPLE + 1)]


def study_latency(
    network: MIPNet, config: ModelConfig, *, crops: int = 24, turns: int = 10, device: str = "cpu", quiet: bool = False
) -> Study:
    """Run the study.

    Args:
        network: in evaluation mode; it is moved to the device.
        config: gives the size of the crops.
        crops: in a batch; 24 in the paper.
        turns: how often each number of people is timed.
        device: of torch.
        quiet: show no progress bar.

    Raises:
        UsageError: if torch cannot use the device.

    >>> from everypose.methods.mipnet.method import build
    >>> from everypose.methods.mipnet.settings import MIPNetSettings
    >>> from everypose.methods.top_down.settings import TopDownInference
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> backbone = {"kind": "hrnet", "width": 4, "modules": [1, 1, 1], "blocks": 1, "stem_blocks": 1}
    >>> settings, inference = MIPNetSettings(backbone=backbone), TopDownInference(crop_size=(64, 64))
    >>> network = build(settings, 17).eval()
    >>> config = ModelConfig(name="small", network=settings, skeleton=Skeleton.named("coco"), inference=inference)
    >>> study = study_latency(network, config, crops=1, turns=1, quiet=True)
    >>> [row["people"] for row in study.rows]
    [1, 2, 3, 4]
    """
    try:
        network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"torch cannot use the device {device!r} here: {reason}") from error
    runs = person_runs(network, crops=crops, crop_size=config.on_crops.crop_size, device=device)
    seconds = time_turns(runs, turns, quiet=quiet)
    rows = rows_of(seconds)
    width, height = config.on_crops.crop_size
    return Study(
        name="latency",
        title=f"Time of a batch of {crops} crops by the number of people",
        columns={
            "people": str,
            "ms": "{:.1f}".format,
            "ms, quartiles": _two("{:.1f}"),
            "relative to one person": "{:.3f}".format,
            "relative to one person, quartiles": _two("{:.3f}"),
        },
        rows=rows,
        picture=line_chart(
            "people predicted in each crop",
            "time, relative to one person",
            places=[str(row["people"]) for row in rows],
            lines={config.name: [row["relative to one person"] for row in rows]},
        ),
        facts={
            "model": config.name,
            "crops": crops,
            "input size": f"{width} x {height}",
            "device": torch.cuda.get_device_name(device)
            if device.startswith("cuda")
            else platform.processor() or "cpu",
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "turns": turns,
        },
        notes=["medians over the turns; relative to one person: the median of the ratios within each turn"],
    )


def rows_of(seconds: list[list[float]]) -> list[dict[str, Any]]:
    """Rows of the table, medians and quartiles, from seconds (turns, people).

    >>> rows_of([[0.010, 0.012], [0.020, 0.024]])[1]["relative to one person"]
    1.2
    """
    rows: list[dict[str, Any]] = []
    for people in range(1, len(seconds[0]) + 1):
        times = [1000 * turn[people - 1] for turn in seconds]
        ratios = [turn[people - 1] / turn[0] for turn in seconds]
        rows.append(
            {
                "people": people,
                "ms": statistics.median(times),
                "ms, quartiles": _quartiles(times),
                "relative to one person": statistics.median(ratios),
                "relative to one person, quartiles": _quartiles(ratios),
            }
        )
    return rows


def _quartiles(values: list[float]) -> tuple[float, float]:
    if len(values) == 1:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def _two(form: str) -> Callable[[tuple[float, float]], str]:
    return lambda pair: f"{form.format(pair[0])} to {form.format(pair[1])}"
