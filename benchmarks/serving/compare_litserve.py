"""The service and LitServe with the same estimator, in turns, under the same clients.

    python -m benchmarks.serving.compare_litserve --python LITSERVE_ENV/bin/python --seconds 40 --rounds 2

``--python`` is an interpreter that has ``litserve`` and everypose.
"""

import argparse
import asyncio
import base64
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

import everypose
from benchmarks.serving.load import load, offline_rate
from benchmarks.serving.process import Service, running, running_script
from benchmarks.serving.requests import Case, good_cases, send

APP = Path(__file__).with_name("litserve_app.py")
PORT = 18_765


def in_json(case: Case) -> Case:
    """The same request as a JSON object with the image in base64."""
    body = json.dumps({"image": base64.b64encode(case.body).decode()}).encode()
    return replace(case, body=body, label="application/json")


def measure(name: str, service: Service, good: list[Case], clients: int, seconds: float) -> dict[str, object]:
    """One turn."""
    tally, memory, rate = asyncio.run(load(service, good, [], clients, seconds))
    return {
        "server": name,
        "answers a second": round(rate, 3),
        "p50, p95, p99 seconds": [
            round(float(value), 3) for value in np.percentile(tally.seconds or [0], [50, 95, 99])
        ],
        "wrong": len(tally.wrong),
        "memory MiB": round(max(memory)),
    }


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True)
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--clients", type=int, default=64)
    options = parser.parse_args()
    pose = everypose.load("boir-lite")
    good = good_cases(pose)
    wrapped = [in_json(case) for case in good]
    for _ in range(options.rounds):
        print(json.dumps({"server": "offline", "answers a second": round(offline_rate(pose, good, 20), 3)}), flush=True)
        with running("-m", "boir-lite", "--timeout", "110", "--queue", "128") as service:
            print(json.dumps(measure("everypose", service, good, options.clients, options.seconds)), flush=True)
        with running_script(options.python, APP, PORT) as service:
            asyncio.run(send(PORT, wrapped[0], service.path))
            print(json.dumps(measure("litserve", service, wrapped, options.clients, options.seconds)), flush=True)


if __name__ == "__main__":
    main()
