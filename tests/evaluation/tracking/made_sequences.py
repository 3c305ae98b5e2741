"""Made sequences of walking people and imperfect tracks of them, in MOT's layouts."""

from pathlib import Path

import numpy as np

SEEDS = (1, 2, 3)
FRAMES = 15


def sequence(seed):
    """Rows (frame, id, left, top, width, height, flag, class, visibility) of ground truth and rows of results."""
    rng = np.random.default_rng(seed)
    truth, results = [], []
    number = {}
    for person in range(1, 9):
        first, last = sorted(rng.integers(1, FRAMES + 1, 2).tolist())
        place, velocity = rng.uniform(0, 300, 2), rng.normal(0, 8, 2)
        size = rng.uniform(25, 60) * np.array([1, 2.4])
        kind = 1 if person < 6 else (3, 7, 8)[person - 6]
        flag = int(person != 5)
        number[person] = person
        for frame in range(first, last + 1):
            place = place + velocity
            truth.append([frame, person, *place, *size, flag, kind, round(rng.uniform(0.2, 1), 3)])
            if rng.uniform() < 0.12:
                number[person] = 20 + len(results)
            if rng.uniform() < 0.85:
                moved = place + rng.normal(0, 3, 2)
                results.append(
                    [frame, number[person], *moved, *(size * rng.uniform(0.8, 1.2, 2)), rng.uniform(), -1, -1, -1]
                )
    for frame in rng.integers(1, FRAMES + 1, 12).tolist():
        results.append([frame, 500 + len(results), *rng.uniform(0, 300, 2), 40, 90, rng.uniform(), -1, -1, -1])
    return np.round(truth, 3), np.round(results, 3)


def write_mot(folder: Path, layout: str, seeds=SEEDS) -> tuple[Path, Path]:
    """Write ground truth and results of the sequences; layout is MOT15 or MOT16. Returns the two folders."""
    ground_truth, tracks = folder / f"{layout}-train", folder / "tracks" / "data"
    tracks.mkdir(parents=True)
    for seed in seeds:
        truth, results = sequence(seed)
        rows = truth if layout == "MOT16" else np.column_stack([truth[:, :7], np.full((len(truth), 3), -1)])
        home = ground_truth / f"made-{seed}"
        (home / "gt").mkdir(parents=True)
        (home / "gt" / "gt.txt").write_text(_text(rows))
        (home / "seqinfo.ini").write_text(f"[Sequence]\nname=made-{seed}\nframeRate=10\nseqLength={FRAMES + 2}\n")
        (tracks / f"made-{seed}.txt").write_text(_text(results))
    return ground_truth, tracks


def _text(rows) -> str:
    return "".join(
        ",".join(f"{value:g}" if value != round(value, 0) else str(int(value)) for value in row) + "\n" for row in rows
    )
