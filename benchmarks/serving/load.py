"""Load test: every answer is checked against the offline result, memory is watched, throughput is compared.

    python -m benchmarks.serving.load --seconds 300 -o load.json

Runs ``everypose serve`` on this computer and clients that each send one request after the other, good ones and, one in
ten, bad ones. Before and after it measures the offline pipeline on the same images. Sends to 127.0.0.1 only.
"""

import argparse
import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import everypose
from benchmarks.serving.process import Service, running
from benchmarks.serving.requests import Case, bad_cases, good_cases, is_right, send
from everypose.core.ordered_work import in_order
from everypose.data.images import decode_image
from everypose.inference.estimator import Estimator

BAD_SHARE = 0.1
BODY_TIMEOUT = 10.0


def offline_rate(pose: Estimator, cases: Sequence[Case], seconds: float) -> float:
    """Images a second of the offline pipeline: threads decode and resize while the network runs, results as JSON."""

    def bodies() -> Iterator[bytes]:
        begin = time.monotonic()
        while time.monotonic() - begin < seconds:
            yield from (case.body for case in cases)

    begin, count = time.monotonic(), 0
    with ThreadPoolExecutor(2) as pool:
        for prepared in in_order(pool, lambda body: pose.prepare(decode_image(body, "image")), bodies(), 4):
            pose.predict([prepared])[0].to_json()
            count += 1
    return count / (time.monotonic() - begin)


class Tally:
    """Counts of the clients' answers."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.ends: list[float] = []
        self.statuses: Counter[str] = Counter()
        self.wrong: list[str] = []

    def note(self, case: Case, is_good: bool, status: int, body: bytes, seconds: float) -> None:
        """Count one answer."""
        self.statuses[f"{'good' if is_good else case.name}: {status}"] += 1
        if not is_right(case, status, body):
            self.wrong.append(f"{case.name}: {status} {body[:120]!r}")
        elif is_good:
            self.seconds.append(seconds)
            self.ends.append(time.monotonic())

    def rate(self, begin: float, seconds: float) -> float:
        """Right answers a second within a span of time; what ends after it does not count."""
        return sum(end <= begin + seconds for end in self.ends) / seconds


async def client(
    service: Service, good: Sequence[Case], bad: Sequence[Case], until: float, tally: Tally, rng: random.Random
) -> None:
    """Send one request after the other until the time is up."""
    while time.monotonic() < until:
        is_good = not bad or rng.random() >= BAD_SHARE
        case = rng.choice(good if is_good else bad)
        begin = time.monotonic()
        try:
            status, body = await asyncio.wait_for(send(service.port, case, service.path), 120)
        except (OSError, TimeoutError) as error:
            status, body = -1, repr(error).encode()
        tally.note(case, is_good, status, body, time.monotonic() - begin)


async def load(
    service: Service, good: Sequence[Case], bad: Sequence[Case], clients: int, seconds: float
) -> tuple[Tally, list[float], float]:
    """Run all clients; what they saw, memory in MiB once a second, and right answers a second."""
    tally, memory, begin = Tally(), [], time.monotonic()
    senders = [
        asyncio.create_task(client(service, good, bad, begin + seconds, tally, random.Random(number)))
        for number in range(clients)
    ]
    while not all(sender.done() for sender in senders):
        memory.append(service.memory())
        await asyncio.wait(senders, timeout=1)
    await asyncio.gather(*senders)
    return tally, memory, tally.rate(begin, seconds)


def summarize(tally: Tally, memory: Sequence[float], offline: Sequence[float], rate: float) -> dict[str, object]:
    """The report as JSON."""
    tenth = max(1, len(memory) // 10)
    percentiles = np.percentile(tally.seconds, [50, 95, 99]) if tally.seconds else np.zeros(3)
    return {
        "answers": dict(sorted(tally.statuses.items())),
        "wrong": tally.wrong[:20],
        "number of wrong answers": len(tally.wrong),
        "p50, p95, p99 seconds": [round(float(value), 3) for value in percentiles],
        "good answers a second": round(rate, 3),
        "offline images a second": [round(value, 3) for value in offline],
        "share of offline": round(rate / float(np.mean(offline)), 3),
        "memory MiB: first tenth, last tenth, largest": [
            round(float(np.mean(memory[:tenth]))),
            round(float(np.mean(memory[-tenth:]))),
            round(max(memory)),
        ],
    }


def main() -> None:
    """Run the load test."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--offline-seconds", type=float, default=20)
    parser.add_argument("--model", default="mipnet-lite", help="served and measured offline")
    parser.add_argument("--good-only", action="store_true", help="no bad requests")
    parser.add_argument("-o", "--out", type=Path)
    options = parser.parse_args()
    pose = everypose.load(options.model)
    good = good_cases(pose)
    bad = [] if options.good_only else bad_cases(good)
    offline = [offline_rate(pose, good, options.offline_seconds)]
    with running(
        "-m", options.model, "--body-timeout", str(BODY_TIMEOUT), "--timeout", "110", "--queue", "128"
    ) as service:
        tally, memory, rate = asyncio.run(load(service, good, bad, options.clients, options.seconds))
    offline.append(offline_rate(pose, good, options.offline_seconds))
    report = summarize(tally, memory, offline, rate)
    text = json.dumps(report, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
