"""Scores of tracking results on MOT and PoseTrack18 layouts: the steps behind ``everypose evaluate --tracking``."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import everypose
from everypose.core.files import write_json
from everypose.core.progress import track
from everypose.errors import UsageError
from everypose.evaluation.tracking import mot, posetrack
from everypose.evaluation.tracking.clear import ClearScores, clear
from everypose.evaluation.tracking.hota import HotaScores, hota
from everypose.evaluation.tracking.identity import IdentityScores, identity
from everypose.evaluation.tracking.sequence import SequenceComparison, Similarity
from everypose.skeleton.skeleton import Skeleton

if TYPE_CHECKING:
    from rich.table import Table

FORMAT = "everypose tracking evaluation 1"


@dataclass(frozen=True)
class TrackingScores:
    """HOTA, CLEAR and identity scores of one or several sequences.

    Attributes:
        hota: detection and association.
        clear: MOTA, switches, fragments.
        identity: IDF1.

    >>> perfect = SequenceComparison.create([[1], [1]], [[5], [5]], [[[1.0]], [[1.0]]])
    >>> TrackingScores.of(perfect).numbers()
    {'HOTA': 1.0, 'DetA': 1.0, 'AssA': 1.0, 'LocA': 1.0, 'MOTA': 1.0, 'IDF1': 1.0}
    """

    hota: HotaScores
    clear: ClearScores
    identity: IdentityScores

    @classmethod
    def of(cls, sequence: SequenceComparison) -> "TrackingScores":
        """Score one sequence."""
        return cls(hota(sequence), clear(sequence), identity(sequence))

    @classmethod
    def combine(cls, scores: "list[TrackingScores]") -> "TrackingScores":
        """The scores of several sequences as one."""
        return cls(
            HotaScores.combine([one.hota for one in scores]),
            ClearScores.combine([one.clear for one in scores]),
            IdentityScores.combine([one.identity for one in scores]),
        )

    def numbers(self) -> dict[str, float]:
        """Shares by their usual names."""
        return {
            "HOTA": self.hota.hota,
            "DetA": self.hota.det_a,
            "AssA": self.hota.ass_a,
            "LocA": self.hota.loc_a,
            "MOTA": self.clear.mota,
            "IDF1": self.identity.idf1,
        }

    def counts(self) -> dict[str, int]:
        """Numbers of switches, fragments, false and missed boxes, and of people by how long they are tracked."""
        return {
            "switches": self.clear.switches,
            "fragments": self.clear.fragments,
            "false": self.clear.fp,
            "missed": self.clear.fn,
            "mostly tracked": self.clear.mostly_tracked,
            "mostly lost": self.clear.mostly_lost,
        }


@dataclass(frozen=True)
class TrackingEvaluation:
    """The scores of all sequences.

    Attributes:
        similarity: how annotated and tracked people are compared.
        sequences: scores by the sequence's name.
        overall: of all sequences as one.

    >>> perfect = TrackingScores.of(SequenceComparison.create([[1], [1]], [[5], [5]], [[[1.0]], [[1.0]]]))
    >>> json.loads(TrackingEvaluation("box", {"street": perfect}, perfect).to_json())["format"]
    'everypose tracking evaluation 1'
    """

    similarity: Similarity
    sequences: Mapping[str, TrackingScores]
    overall: TrackingScores

    def to_json(self) -> str:
        """Everything as JSON."""
        return json.dumps(self._content(), allow_nan=False)

    def write(self, path: Path) -> None:
        """Write everything as a JSON file."""
        write_json(path, self._content(), indent=1)

    def _content(self) -> dict[str, object]:
        return {
            "format": FORMAT,
            "everypose": everypose.__version__,
            "similarity": self.similarity,
            "sequences": {name: scores.numbers() | scores.counts() for name, scores in self.sequences.items()},
            "overall": self.overall.numbers() | self.overall.counts(),
        }

    def tables(self) -> "list[Table]":
        """Shares in percent, and counts; a row for each sequence and one for all."""
        rows = dict(self.sequences) if len(self.sequences) == 1 else {**self.sequences, "all": self.overall}
        by = "OKS" if self.similarity == "oks" else "box IoU"
        shares = {name: [f"{100 * value:.1f}" for value in one.numbers().values()] for name, one in rows.items()}
        counts = {name: [str(value) for value in one.counts().values()] for name, one in rows.items()}
        return [
            _table(f"Tracking by {by}, percent", self.overall.numbers(), shares),
            _table("Counts", self.overall.counts(), counts),
        ]


def _table(title: str, columns: Iterable[str], rows: Mapping[str, Iterable[str]]) -> "Table":
    """A table with a row for each sequence."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), title_justify="left")
    table.add_column("sequence", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right")
    for sequence, cells in rows.items():
        table.add_row(escape(sequence), *cells)
    return table


def evaluate_tracking(
    ground_truth: Path,
    results: Path,
    *,
    similarity: Similarity | None = None,
    skeleton: Skeleton | None = None,
    quiet: bool = False,
) -> TrackingEvaluation:
    r"""Score tracking results against MOT text or PoseTrack18's JSON.

    Args:
        ground_truth: a ``gt.txt``, a sequence's folder or a folder of sequences (MOT); or a JSON file or a folder of
            them (PoseTrack18, or COCO with ``track_id``).
        results: a file for one sequence, or a folder with one named after each sequence.
        similarity: default: "box" for MOT, which has no keypoints, and "oks" for PoseTrack18.
        skeleton: of PoseTrack18's layout; default: posetrack18.
        quiet: show no progress.

    Raises:
        EveryposeError: if files are missing or not of these layouts.
        UsageError: if OKS is asked for where there are no keypoints.

    >>> Path("street/gt").mkdir(parents=True)
    >>> _ = Path("street/gt/gt.txt").write_text("1,1,0,0,20,40,1,1,1\n2,1,2,0,20,40,1,1,1\n")
    >>> _ = Path("street.txt").write_text("1,5,0,0,20,40,0.9,-1,-1,-1\n2,6,2,0,20,40,0.9,-1,-1,-1\n")
    >>> evaluation = evaluate_tracking(Path("street"), Path("street.txt"), quiet=True)
    >>> evaluation.overall.counts()["switches"]  # the track changes from 5 to 6
    1
    """
    is_json = ground_truth.suffix == ".json" or (ground_truth.is_dir() and any(ground_truth.glob("*.json")))
    if not is_json and (similarity == "oks" or skeleton is not None):
        raise UsageError(f"{ground_truth} has boxes only (MOT): neither OKS nor a skeleton can be used")
    chosen: Similarity = similarity or ("oks" if is_json else "box")
    sequences = posetrack.find_sequences(ground_truth) if is_json else mot.find_sequences(ground_truth)
    files = mot.find_results(results, list(sequences))
    scores = {}
    for name, path in track(sequences.items(), "sequences", total=len(sequences), quiet=quiet):
        if is_json:
            compared = posetrack.compare_posetrack(
                path, files[name], skeleton=skeleton or Skeleton.named("posetrack18"), similarity=chosen
            )
        else:
            compared = [mot.compare_mot(path, files[name])]
        scores[name] = TrackingScores.combine([TrackingScores.of(one) for one in compared])
    return TrackingEvaluation(chosen, scores, TrackingScores.combine(list(scores.values())))
