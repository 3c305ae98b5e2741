"""Scores of TrackEval on made sequences: `python -m external.trackeval_scores`, from tests/, writes the golden values.

It needs an environment with trackeval; see `make test-tracking`.
"""

import json
import tempfile
from pathlib import Path

import numpy as np

from evaluation.tracking.made_sequences import SEEDS, write_mot

GOLDEN = Path(__file__).parent.parent / "golden" / "tracking_scores.json"
LAYOUTS = ("MOT15", "MOT16")


def trackeval_scores(folder: Path, layout: str, seeds=SEEDS) -> dict[str, dict[str, float]]:
    """TrackEval's numbers by sequence, and for all of them ("COMBINED_SEQ")."""
    import trackeval

    np.float, np.int, np.bool = float, int, bool  # type: ignore[attr-defined]  # names that TrackEval uses and numpy 2 has no longer
    ground_truth, tracks = write_mot(folder, layout, seeds)
    data = trackeval.datasets.MotChallenge2DBox(
        {
            "GT_FOLDER": str(ground_truth),
            "TRACKERS_FOLDER": str(tracks.parent.parent),
            "OUTPUT_FOLDER": str(folder / "out"),
            "TRACKERS_TO_EVAL": [tracks.parent.name],
            "SEQ_INFO": {f"made-{seed}": None for seed in seeds},
            "BENCHMARK": layout,
            "SKIP_SPLIT_FOL": True,
            "PRINT_CONFIG": False,
        }
    )
    options = {"USE_PARALLEL": False, "PRINT_RESULTS": False, "PRINT_CONFIG": False, "PRINT_ONLY_COMBINED": True}
    quiet = {"OUTPUT_SUMMARY": False, "OUTPUT_DETAILED": False, "PLOT_CURVES": False, "TIME_PROGRESS": False}
    metrics = [
        trackeval.metrics.HOTA(),
        trackeval.metrics.CLEAR({"PRINT_CONFIG": False}),
        trackeval.metrics.Identity({"PRINT_CONFIG": False}),
    ]
    evaluated, _ = trackeval.Evaluator({**trackeval.Evaluator.get_default_eval_config(), **options, **quiet}).evaluate(
        [data], metrics
    )
    sequences = evaluated["MotChallenge2DBox"]["tracks"]
    return {name: _flat(found["pedestrian"]) for name, found in sequences.items()}


def _flat(scores: dict[str, dict]) -> dict[str, float]:
    names = {
        "HOTA": ("HOTA", "DetA", "AssA", "LocA", "DetRe", "DetPr", "AssRe", "AssPr"),
        "CLEAR": ("MOTA", "MOTP", "IDSW", "Frag", "CLR_FP", "CLR_FN", "MT", "PT", "ML"),
        "Identity": ("IDF1", "IDR", "IDP", "IDTP", "IDFP", "IDFN"),
    }
    return {name: float(np.mean(scores[metric][name])) for metric, own in names.items() for name in own}


def write_golden() -> None:
    found = {}
    for layout in LAYOUTS:
        with tempfile.TemporaryDirectory() as folder:
            found[layout] = trackeval_scores(Path(folder), layout)
    GOLDEN.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    write_golden()
