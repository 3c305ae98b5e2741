"""MOTChallenge's layout: ground truth and results as text files of boxes, one sequence a file.

A row is ``frame, id, left, top, width, height, ...``, frames from 1. In MOT15's ground truth three world coordinates
follow a flag (10 columns); in that of MOT16, MOT17 and MOT20 a class and a visibility do (9 columns). The rules of who
counts are those of TrackEval's ``MotChallenge2DBox``.
"""

import configparser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from everypose.core.arrays import Float64, Int64, Mask
from everypose.core.files import read_json
from everypose.core.geometry import box_iou, xywh_to_xyxy
from everypose.data.formats.coco_entries import LARGEST_NUMBER
from everypose.errors import EveryposeError, first_line
from everypose.evaluation.coco_schema import number_array, require_results, whole_number_array
from everypose.evaluation.tracking.ignoring import matched_to_ignored
from everypose.evaluation.tracking.sequence import SequenceComparison

MOST_FRAMES = 1_000_000
"""The most frames of a sequence: eleven hours at 25 a second. More are a wrong number, and each costs time."""
PEDESTRIAN = 1
# Person on a vehicle, static person, distractor, reflection: detections of them are neither right nor wrong.
DISTRACTORS = (2, 7, 8, 12)
# Counts among them in MOT20 only.
NON_MOTOR_VEHICLE = 6
MOT15_COLUMNS = 10
FEWEST_COLUMNS = 6
GROUND_TRUTH = Path("gt") / "gt.txt"


@dataclass(frozen=True)
class BoxTracks:
    """Boxes with identities of one sequence.

    Attributes:
        frame: (N,) from 1.
        ids: (N,)
        boxes: (N, 4) x1 y1 x2 y2.
        counted: (N,) people who must be found; all in results.
        ignored: (N,) annotations whose matches are left out; none in results.

    >>> one = np.array([1])
    >>> tracks = BoxTracks(one, ids=np.array([5]), boxes=np.array([[0.0, 0, 20, 40]]), counted=one > 0, ignored=one < 0)
    >>> tracks.ids[tracks.counted].tolist()
    [5]
    """

    frame: Int64
    ids: Int64
    boxes: Float64
    counted: Mask
    ignored: Mask


def find_sequences(path: Path) -> dict[str, Path]:
    """The ground-truth file of each sequence, by name.

    Args:
        path: a ``gt.txt``, the folder of a sequence, or a folder with several.

    Raises:
        EveryposeError: if there is none.

    >>> Path("mot/street/gt").mkdir(parents=True)
    >>> Path("mot/street/gt/gt.txt").touch()
    >>> list(find_sequences(Path("mot")))
    ['street']
    """
    if path.is_file():
        return {path.parent.parent.name if path.parent.name == "gt" else path.stem: path}
    if (path / GROUND_TRUTH).is_file():
        return {path.resolve().name: path / GROUND_TRUTH}
    found = {
        folder.name: folder / GROUND_TRUTH for folder in sorted(path.glob("*")) if (folder / GROUND_TRUTH).is_file()
    }
    if not found:
        raise EveryposeError(f"no ground truth in {path}: there is neither {GROUND_TRUTH} nor a folder with one")
    return found


def find_results(path: Path, sequences: Sequence[str]) -> dict[str, Path]:
    """The results file of each sequence: ``NAME.txt`` or ``NAME.json`` in a folder, or one file for one sequence.

    Raises:
        EveryposeError: if one is missing.

    >>> Path("tracks").mkdir()
    >>> Path("tracks/street.txt").touch()
    >>> {name: path.name for name, path in find_results(Path("tracks"), ["street"]).items()}
    {'street': 'street.txt'}
    """
    if path.is_file() and len(sequences) == 1:
        return {sequences[0]: path}
    if not path.is_dir():
        raise EveryposeError(f"{path} is not a folder with the results of {len(sequences)} sequences, NAME.txt each")
    found = {}
    for name in sequences:
        candidates = [path / f"{name}{suffix}" for suffix in (".txt", ".json") if (path / f"{name}{suffix}").is_file()]
        if not candidates:
            raise EveryposeError(f"no results of the sequence {name}: neither {name}.txt nor {name}.json in {path}")
        found[name] = candidates[0]
    return found


def compare_mot(ground_truth: Path, results: Path) -> SequenceComparison:
    r"""Read one sequence and compute the box IoU of its annotated and tracked people.

    Args:
        ground_truth: MOT15's or MOT16's ``gt.txt``.
        results: MOT text, or a COCO results list with ``frame`` (from 0), ``track_id`` and ``bbox``.

    Raises:
        EveryposeError: if a file cannot be read, an id is twice in a frame, or there are too many frames.

    >>> Path("park/gt").mkdir(parents=True)
    >>> _ = Path("park/gt/gt.txt").write_text("1,1,0,0,20,40,1,1,1\n")
    >>> _ = Path("park.txt").write_text("1,5,0,0,20,20,0.9,-1,-1,-1\n")
    >>> compare_mot(Path("park/gt/gt.txt"), Path("park.txt")).similarities[0].tolist()  # half of the box
    [[0.5]]
    """
    truth = read_ground_truth(ground_truth)
    tracked = _read_json_results(results) if results.suffix == ".json" else _read_text_results(results)
    frames = max(_length(ground_truth), int(truth.frame.max(initial=0)))
    if (late := int(tracked.frame.max(initial=0))) > frames:
        raise EveryposeError(f"{results} has a frame {late}, the sequence has {frames}: are these its results?")
    if frames > MOST_FRAMES:
        raise EveryposeError(f"{ground_truth} has {frames:,} frames; {MOST_FRAMES:,} are the most: is a number wrong?")
    true_ids, track_ids, similarities = [], [], []
    for frame in range(1, frames + 1):
        annotated, found = truth.frame == frame, tracked.frame == frame
        similarity = box_iou(truth.boxes[annotated], tracked.boxes[found])
        kept = ~matched_to_ignored(similarity, truth.ignored[annotated])
        counted = truth.counted[annotated]
        true_ids.append(truth.ids[annotated][counted])
        track_ids.append(tracked.ids[found][kept])
        similarities.append(similarity[np.ix_(counted, kept)])
    return SequenceComparison.create(true_ids, track_ids, similarities)


def read_ground_truth(path: Path) -> BoxTracks:
    r"""Read MOT15's or MOT16's ``gt.txt``.

    Raises:
        EveryposeError: if it is not one.

    >>> _ = Path("gt.txt").write_text("1,1,0,0,20,40,1,1,1\n1,2,0,0,20,40,1,8,1\n")
    >>> tracks = read_ground_truth(Path("gt.txt"))
    >>> tracks.ids.tolist(), tracks.counted.tolist(), tracks.ignored.tolist()  # class 8 is a distractor
    ([1, 2], [True, False], [False, True])
    """
    rows = _read_rows(path)
    if rows.shape[1] < FEWEST_COLUMNS + 1:
        raise EveryposeError(f"{path}: ground truth needs at least {FEWEST_COLUMNS + 1} columns, not {rows.shape[1]}")
    flagged = rows[:, 6] != 0
    if rows.shape[1] >= MOT15_COLUMNS:
        return _tracks(rows, flagged, np.zeros(len(rows), dtype=np.bool_))
    kind = rows[:, 7] if rows.shape[1] > FEWEST_COLUMNS + 1 else np.full(len(rows), PEDESTRIAN)
    distractors = (*DISTRACTORS, NON_MOTOR_VEHICLE) if "MOT20" in str(path) else DISTRACTORS
    return _tracks(rows, flagged & (kind == PEDESTRIAN), np.isin(kind, distractors))


def _read_text_results(path: Path) -> BoxTracks:
    """Read a tracker's rows: ``frame, id, left, top, width, height, score, ...``.

    Raises:
        EveryposeError: if the file has no such rows.
    """
    rows = _read_rows(path)
    return _tracks(rows, np.ones(len(rows), dtype=np.bool_), np.zeros(len(rows), dtype=np.bool_))


def _read_json_results(path: Path) -> BoxTracks:
    """Read a COCO results list of a video, as ``everypose predict`` and ``everypose track`` write it.

    Raises:
        EveryposeError: if an entry has no ``frame``, ``track_id`` or ``bbox``.
    """
    entries = read_json(path)
    require_results(entries)
    names = [f"entry {row} of {path}" for row in range(len(entries))]
    frame = whole_number_array([entry.get("frame") for entry in entries], names, "frame")
    ids = whole_number_array([entry.get("track_id") for entry in entries], names, "track_id")
    boxes = number_array([entry.get("bbox") for entry in entries], names, "bbox", 4)
    rows = np.column_stack([frame + 1, ids, boxes])
    return _tracks(rows, np.ones(len(rows), dtype=np.bool_), np.zeros(len(rows), dtype=np.bool_))


def _tracks(rows: Float64, counted: Mask, ignored: Mask) -> BoxTracks:
    return BoxTracks(
        rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64), xywh_to_xyxy(rows[:, 2:6]), counted, ignored
    )


def _read_rows(path: Path) -> Float64:
    """(N, columns) numbers of a text file, separated by commas."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        lines = [line for line in lines if line.partition("#")[0].strip()]
        if not lines:
            return np.zeros((0, MOT15_COLUMNS))
        rows: Float64 = np.loadtxt(lines, delimiter=",", ndmin=2)
    except OSError as error:
        raise EveryposeError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise EveryposeError(f"{path} is not MOT text, rows of numbers with commas: {first_line(error)}") from error
    if rows.shape[1] < FEWEST_COLUMNS:
        raise EveryposeError(f"{path}: {rows.shape[1]} columns; frame, id, left, top, width and height are needed")
    if not (np.abs(rows[:, :FEWEST_COLUMNS]) < LARGEST_NUMBER).all() or (rows[:, 0] < 1).any():
        raise EveryposeError(f"{path}: frames must be 1 or more, and all numbers finite and below 2^53")
    if (rows[:, :2] % 1).any():
        raise EveryposeError(f"{path}: frames and ids must be whole numbers")
    return rows


def _length(ground_truth: Path) -> int:
    """Number of frames by the sequence's ``seqinfo.ini``; 0 without one."""
    path = ground_truth.parent.parent / "seqinfo.ini"
    if ground_truth.parent.name != "gt" or not path.is_file():
        return 0
    parser = configparser.ConfigParser()
    try:
        parser.read(path, encoding="utf-8")
        return parser.getint("Sequence", "seqLength")
    except (configparser.Error, ValueError, OSError) as error:
        raise EveryposeError(f"{path} has no seqLength: {first_line(error)}") from error
