"""The readers of results, ground truth of tracking, records, skeletons, configurations and recipes."""

import functools
import json
import tempfile
from collections.abc import Callable, Iterable
from importlib import resources
from pathlib import Path

import numpy as np

from benchmarks.fuzzing.mutations import mutate_bytes, mutate_text
from benchmarks.fuzzing.seeds import ANNOTATIONS, COCO, RESULTS, SIDE, data_folder, frames
from benchmarks.fuzzing.target import Target, as_json, both
from benchmarks.fuzzing.watching import put
from everypose.inference.results.record import FrameResult, ResultsWriter
from everypose.people import People
from everypose.skeleton.skeleton import Skeleton

MOT_TRUTH = "".join(
    f"{frame},{person},{10 * person},{5 + frame},12,20,1,1,1.0\n" for frame in (1, 2, 3) for person in (1, 2)
)
MOT_RESULTS = "".join(
    f"{frame},{person},{10 * person + 1},{5 + frame},12,20,0.9,-1,-1,-1\n" for frame in (1, 2, 3) for person in (1, 2)
)
SEQUENCE = "[Sequence]\nname=walk\nseqLength=3\nframeRate=10\nimWidth=48\nimHeight=48\n"


@functools.cache
def table(kind: str) -> bytes:
    """A table of :func:`frames`: csv, wide csv, parquet, deeplabcut."""
    from everypose.inference.results.csv_table import CsvWriter
    from everypose.inference.results.deeplabcut import DeepLabCutWriter
    from everypose.inference.results.parquet_table import ParquetWriter

    writers: dict[str, Callable[[Path], ResultsWriter]] = {
        "csv": CsvWriter,
        "wide csv": lambda path: CsvWriter(path, wide=True),
        "parquet": ParquetWriter,
        "deeplabcut": DeepLabCutWriter,
    }
    return _written(writers[kind], frames())


def _written(writer: Callable[[Path], ResultsWriter], results: Iterable[FrameResult]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results"
        with writer(path) as opened:
            for result in results:
                opened.add(result)
        return path.read_bytes()


def posetrack(name: str) -> bytes:
    """PoseTrack18's ground truth ("truth") or results of two frames with two people."""
    skeleton = Skeleton.named("posetrack18")
    rng = np.random.default_rng(2)
    points = np.concatenate([rng.uniform(4, 44, (2, len(skeleton), 2)).round(1), np.full((2, len(skeleton), 1), 2)], 2)
    people = [
        {
            "id": 2 * frame + person, "image_id": frame, "track_id": person, "category_id": 1, "iscrowd": 0,
            "keypoints": points[person].ravel().tolist(), "bbox": [4.0, 4.0, 40.0, 40.0], "area": 900.0, "score": 0.8,
        }
        for frame in (1, 2)
        for person in (0, 1)
    ]  # fmt: skip
    if name != "truth":
        return json.dumps(people).encode()
    images = [
        {
            "id": frame, "file_name": f"images/{frame}.jpg", "width": SIDE, "height": SIDE, "vid_id": "1",
            "frame_id": frame, "is_labeled": True, "ignore_regions_x": [[0, 5, 5]], "ignore_regions_y": [[0, 0, 5]],
        }
        for frame in (1, 2)
    ]  # fmt: skip
    category = {"id": 1, "name": "person", "keypoints": list(skeleton.keypoints), "skeleton": []}
    return json.dumps({"images": images, "annotations": people, "categories": [category]}).encode()


@functools.cache
def record() -> bytes:
    """The record of an evaluation."""
    from everypose.evaluation.evaluate import evaluate_predictions

    with tempfile.TemporaryDirectory() as folder:
        path = put(Path(folder) / "train.json", ANNOTATIONS)
        predictions = put(Path(folder) / "results.json", RESULTS)
        return evaluate_predictions(predictions, path).record.model_dump_json().encode()


def mot_folder(folder: Path, truth: bytes = b"", sequence: bytes = b"") -> Path:
    """A sequence of MOTChallenge in ``folder / "walk"``."""
    put(folder / "walk" / "gt" / "gt.txt", truth or MOT_TRUTH.encode())
    put(folder / "walk" / "seqinfo.ini", sequence or SEQUENCE.encode())
    return folder / "walk"


def saved_targets() -> list[Target]:
    """Saved results of images and videos, in every format that is read."""
    from everypose.inference.results import read_results
    from everypose.inference.results.deeplabcut import read_deeplabcut
    from everypose.inference.results.openpose import openpose_json
    from everypose.inference.results.ultralytics import read_ultralytics, ultralytics_text

    def saved(name: str) -> Callable[[bytes, Path], None]:
        def read(content: bytes, folder: Path) -> None:
            path = put(folder / "saved" / name, content)
            for result in read_results(path, skeleton=COCO if path.suffix == ".json" else None):
                result.people.to_json()

        return read

    def deeplabcut(content: bytes, folder: Path) -> None:
        list(read_deeplabcut(put(folder / "table.csv", content)))

    def ultralytics(content: bytes, folder: Path) -> None:
        list(read_ultralytics(put(folder / "a_1.txt", content), COCO, width=SIDE, height=SIDE))

    first = frames()[0]
    tables = (table("csv"), table("wide csv"))
    entries = [entry | {"frame": 0, "time": 0.0, "track_id": 1} for entry in json.loads(RESULTS)]
    return [
        Target("results CSV", tables, mutate_text, saved("results.csv")),
        Target("results Parquet", (table("parquet"),), mutate_bytes, saved("results.parquet")),
        Target("results COCO", as_json(entries), both, saved("results.json")),
        Target("results OpenPose", as_json(openpose_json(first.people)), both, saved("a_000001_keypoints.json")),
        Target("results DeepLabCut", (table("deeplabcut"),), mutate_text, deeplabcut),
        Target("results Ultralytics", (ultralytics_text(first).encode(),), mutate_text, ultralytics),
    ]


def tracking_targets() -> list[Target]:
    """Ground truth and results of tracking."""
    from everypose.evaluation.tracking.evaluate import evaluate_tracking

    def mot_truth(content: bytes, folder: Path) -> None:
        results = put(folder / "walk.txt", MOT_RESULTS.encode())
        evaluate_tracking(mot_folder(folder, truth=content or b"\n"), results, quiet=True).to_json()

    def mot_results(content: bytes, folder: Path) -> None:
        results = put(folder / "walk.txt", content)
        evaluate_tracking(mot_folder(folder), results, quiet=True).to_json()

    def sequence(content: bytes, folder: Path) -> None:
        results = put(folder / "walk.txt", MOT_RESULTS.encode())
        evaluate_tracking(mot_folder(folder, sequence=content or b"\n"), results, quiet=True)

    def posetrack_truth(content: bytes, folder: Path) -> None:
        results = put(folder / "results" / "a.json", posetrack("results"))
        evaluate_tracking(put(folder / "truth" / "a.json", content), results, quiet=True).to_json()

    def posetrack_results(content: bytes, folder: Path) -> None:
        results = put(folder / "results" / "a.json", content)
        evaluate_tracking(put(folder / "truth" / "a.json", posetrack("truth")), results, quiet=True).to_json()

    return [
        Target("MOT truth", (MOT_TRUTH.encode(),), mutate_text, mot_truth),
        Target("MOT results", (MOT_RESULTS.encode(),), mutate_text, mot_results),
        Target("MOT seqinfo.ini", (SEQUENCE.encode(),), mutate_text, sequence),
        Target("PoseTrack truth", (posetrack("truth"),), both, posetrack_truth),
        Target("PoseTrack results", (posetrack("results"),), both, posetrack_results),
    ]


def result_targets() -> list[Target]:
    """The readers of results of images, records, skeletons, models' configurations and recipes."""
    from everypose.core.files import read_json
    from everypose.evaluation.evaluate import evaluate_predictions
    from everypose.evaluation.report.record import Record
    from everypose.inference.box_sources import DetectionsFile
    from everypose.models.config import ModelConfig, parse_config
    from everypose.skeleton.toml import to_toml
    from everypose.training.recipe_files import load_recipe

    people = People(np.ones((2, 17, 3)), [0.5, 0.4], COCO)
    recipe = (resources.files("everypose.training") / "recipes" / "boir" / "boir-tiny.toml").read_bytes()
    config = {"name": "x", "network": {"family": "boir", "backbone": {"kind": "lite"}}, "skeleton": COCO.to_dict()}
    inference = {"size": 320, "step": 32, "pool": 3, "nms": 0.8, "min_score": 0.1, "search": "coarse"}

    def evaluate(content: bytes, folder: Path) -> None:
        evaluate_predictions(put(folder / "results.json", content), data_folder(folder))

    def truth(content: bytes, folder: Path) -> None:
        evaluate_predictions(put(folder / "results.json", RESULTS), data_folder(folder, content))

    def detections(content: bytes, folder: Path) -> None:
        DetectionsFile(put(folder / "boxes.json", content))

    def coco_people(content: bytes, folder: Path) -> None:
        People.from_coco(put(folder / "results.json", content), COCO, image_id=1)

    def toml(content: bytes, folder: Path) -> None:
        Skeleton.read(put(folder / "skeleton.toml", content))

    def run_recipe(content: bytes, folder: Path) -> None:
        load_recipe(put(folder / "recipe.toml", content))

    def configuration(content: bytes, folder: Path) -> None:
        path = put(folder / "config.json", content)
        read: ModelConfig = parse_config(read_json(path), path)
        assert read.name is not None

    def of_record(content: bytes, folder: Path) -> None:
        Record.read(put(folder / "record.json", content)).tables()

    return [
        Target("evaluate results", (RESULTS,), both, evaluate),
        Target("evaluate truth", (ANNOTATIONS,), both, truth),
        Target("boxes", (RESULTS,), both, detections),
        Target("People.from_coco", (RESULTS,), both, coco_people),
        Target(
            "People.from_json", (people.to_json().encode(),), both,
            lambda content, _: People.from_json(content.decode(errors="surrogateescape")),
        ),
        Target("skeleton TOML", (to_toml(COCO).encode(),), mutate_text, toml),
        Target("recipe TOML", (recipe,), mutate_text, run_recipe),
        Target("config.json", as_json({**config, "inference": inference}), both, configuration),
        Target("record", (record(),), both, of_record),
    ]  # fmt: skip
