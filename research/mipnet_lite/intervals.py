"""AP of mipnet-lite and of the unmodified network with intervals, from trial poses of both.

    python -m research.mipnet_lite.intervals ANNOTATIONS.json MIPNET_LITE.npz UNMODIFIED.npz [--samples 500]

The files are written by ``research.mipnet_lite.trial_poses``; UNMODIFIED with ``--network`` PP-TinyPose, imported and
exported by everypose, and without second views.
"""

import argparse
from pathlib import Path

from everypose.core.files import read_json
from research.mipnet_lite.precision import average_precision, draw_samples, interval, match, sampled
from research.mipnet_lite.trial_poses import read_trial
from research.mipnet_lite.trials import column, people


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("annotations", "own", "unmodified"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--samples", type=int, default=500)
    given = parser.parse_args()
    truth, own, unmodified = read_json(given.annotations), read_trial(given.own), read_trial(given.unmodified)
    samples = draw_samples(len(own), given.samples)
    boxes = column(0)
    found = {
        "unmodified": people(unmodified, boxes),
        "mipnet-lite": people(own, boxes, instances=2),
        "mipnet-lite, primary people": people(own, boxes),
        "mipnet-lite, boxes from 0.25 on": people(own, boxes, instances=2, least=0.25),
        "unmodified, boxes from 0.3 on, OKS-NMS 0.7": people(unmodified, boxes, least=0.3, nms=0.7),
    }
    for overlapped in (False, True):
        matches = {name: match(one, truth, overlapped=overlapped) for name, one in found.items()}
        values = {name: sampled(one, samples) for name, one in matches.items()}
        for name, one in matches.items():
            low, high = interval(values[name])
            kind, value = "overlapped" if overlapped else "all", average_precision(one)
            print(f"{kind}, {name}: {value:.3f} ({low:.3f} to {high:.3f})")
            for other in ("unmodified", "mipnet-lite"):
                low, high = interval(values[name] - values[other])
                difference = value - average_precision(matches[other])
                print(f"    minus {other}: {difference:+.3f} ({low:+.3f} to {high:+.3f})")


if __name__ == "__main__":
    main()
