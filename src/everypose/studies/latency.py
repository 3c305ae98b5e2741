"""What more people of a box cost (MIPNet, Table 3): the trunk runs once, whatever their number.

The numbers of people take turns, and each is compared with the one person of its own turn, so that a machine that does
other work disturbs all alike.
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

MOST = 4


def time_turns(runs: list[Callable[[], None]], turns: int, quiet: bool = False) -> list[list[float]]:
    """Seconds of each run in each turn, (turns, runs), after one turn that does not count."""
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


def person_runs(network: MIPNet, crops: int, crop_size: tuple[int, int], device: str) -> list[Callable[[], None]]:
    """Functions that find 1, 2, 3 and 4 people in so many random crops of (width, height).

    The time does not depend on who is asked for, so that a network of two people is asked for them again.
    """
    width, height = crop_size
    images = torch.randn(crops, 3, height, width, device=device).contiguous(memory_format=torch.channels_last)
    order = torch.arange(MOST, device=device) % len(network.selectors)

    def run(people: int) -> None:
        with torch.inference_mode():
            network.heatmaps_for(images, network.selectors[order[:people]])
        if images.is_cuda:
            torch.cuda.synchronize(images.device)

    return [partial(run, people) for people in range(1, MOST + 1)]


def study_latency(
    network: MIPNet, config: ModelConfig, crops: int = 24, turns: int = 10, device: str = "cpu", quiet: bool = False
) -> Study:
    """The study.

    Args:
        network: in evaluation mode; it moves to the device.
        config: gives the size of the crops.
        crops: how many go through at once; 24 in the paper.
        turns: how often everything is timed.
        device: of torch.
        quiet: no progress.

    Raises:
        UsageError: when there is no such device.
    """
    try:
        network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"torch cannot use the device {device!r} here: {reason}") from error
    seconds = time_turns(person_runs(network, crops, config.on_crops.crop_size, device), turns, quiet)
    rows = rows_of(seconds)
    width, height = config.on_crops.crop_size
    return Study(
        name="latency",
        title=f"Time of a batch of {crops} crops by the number of people",
        columns={
            "people": str,
            "ms": "{:.1f}".format,
            "ms, quartiles": _two("{:.1f}"),
            "of one person's": "{:.3f}".format,
            "of one person's, quartiles": _two("{:.3f}"),
        },
        rows=rows,
        picture=line_chart(
            "people asked for in each crop",
            "time, of one person's",
            [str(row["people"]) for row in rows],
            {config.name: [row["of one person's"] for row in rows]},
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
        notes=["medians over the turns; of one person's: the median of each turn's own ratio"],
    )


def rows_of(seconds: list[list[float]]) -> list[dict[str, Any]]:
    """The table of (turns, people) seconds: medians and quartiles."""
    rows: list[dict[str, Any]] = []
    for people in range(1, len(seconds[0]) + 1):
        times = [1000 * turn[people - 1] for turn in seconds]
        ratios = [turn[people - 1] / turn[0] for turn in seconds]
        rows.append(
            {
                "people": people,
                "ms": statistics.median(times),
                "ms, quartiles": _quartiles(times),
                "of one person's": statistics.median(ratios),
                "of one person's, quartiles": _quartiles(ratios),
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
