"""Commands that find people and follow them as targets: called in this process, with damaged files as arguments.

Models that are not the damaged input are opened once and kept.
"""

import contextlib
import functools
import io
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.fuzzing.mutations import mutate_bytes, mutate_text
from benchmarks.fuzzing.result_readers import (
    MOT_RESULTS,
    MOT_TRUTH,
    mot_folder,
    posetrack,
    table,
)
from benchmarks.fuzzing.seeds import ANNOTATIONS, RESULTS, data_folder, encoded
from benchmarks.fuzzing.stand_ins import refiner_model, single_stage_model, top_down_model
from benchmarks.fuzzing.target import Target, both
from benchmarks.fuzzing.video_and_bulk_readers import clip, image_table, tar
from benchmarks.fuzzing.watching import put, unwatched
from everypose.errors import EveryposeError
from everypose.studies import inner_maps

STAND_INS = {"single.onnx": single_stage_model, "crops.onnx": top_down_model, "refiner.onnx": refiner_model}


@functools.cache
def _program() -> Callable[..., object]:
    """The command line; its options are collected once, not for each call."""
    import typer.main

    from everypose.cli.main import app

    return typer.main.get_command(app)


def call(*arguments: object) -> None:
    """Call ``everypose`` with arguments; an error that it would print in one line is raised.

    Raises:
        EveryposeError: the command ended with one, or with another exit code than 0.
        AssertionError: it ended with another exit code than 0, 1 or 2, or printed a traceback.
    """
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _models_kept():
        try:
            _program()([str(argument) for argument in arguments], prog_name="everypose")
        except SystemExit as end:
            code = end.code or 0
    assert code in (0, 1, 2), f"exit code {code}"
    printed = out.getvalue() + err.getvalue()
    assert "Traceback" not in printed, printed[-300:]
    assert "\x1b" not in printed, f"an escape sequence of a file is printed: {printed[:300]!r}"
    if code:
        lines = err.getvalue().strip().splitlines()
        raise EveryposeError(lines[-1] if lines else f"exit code {code}")


_KEPT: dict[tuple[str, str], object] = {}
_open_maps = inner_maps._open


@functools.cache
def _maps_of(model: str) -> inner_maps.MapModel:
    """The model of a study, which takes most of the study's time to open."""
    return _open_maps(model)


@contextlib.contextmanager
def _models_kept() -> Iterator[None]:
    """Models called ``*.onnx`` in the folder ``stand_ins``, and those of studies, are opened once; others as always."""
    from everypose.inference import loading, refinement

    def keeping(open_model: Callable[..., object]) -> Callable[..., object]:
        def opened(model: object, *arguments: object, **options: object) -> object:
            if Path(str(model)).parent.name != "stand_ins":
                return open_model(model, *arguments, **options)
            key = (open_model.__name__, f"{Path(str(model)).name} {arguments} {options}")
            if options.get("detector") is not None or key not in _KEPT:
                _KEPT[key] = open_model(model, *arguments, **options)
            return _KEPT[key]

        return opened

    load, load_refiner, open_maps = loading.load, refinement.load_refiner, inner_maps._open
    loading.load = keeping(load)  # type: ignore[assignment]
    refinement.load_refiner = keeping(load_refiner)  # type: ignore[assignment]
    inner_maps._open = _maps_of
    try:
        yield
    finally:
        loading.load, refinement.load_refiner, inner_maps._open = load, load_refiner, open_maps


def stand_in(folder: Path, name: str = "single.onnx") -> Path:
    """A stand-in model in a folder of inputs."""
    return put(folder / "stand_ins" / name, STAND_INS[name]())


def prediction_targets() -> list[Target]:
    """``predict``, ``refine``, ``track``, ``bulk``."""

    def predict(content: bytes, folder: Path) -> None:
        photos = [put(folder / "a.jpg", content), put(folder / "b.jpg", encoded(".jpg"))]
        call("predict", *photos, "-m", stand_in(folder), "-o", folder / "out", "-q", "--save", "json,csv")

    def drawn(content: bytes, folder: Path) -> None:
        photo = put(folder / "a.png", content)
        call("predict", photo, "-m", stand_in(folder), "-o", folder / "out", "-q", "--save", "pictures,openpose,crops")

    def video(content: bytes, folder: Path) -> None:
        path = put(folder / "clip.mp4", content)
        tables = ("--track", "--save", "csv,trc,deeplabcut")
        call("predict", path, "-m", stand_in(folder), "-o", folder / "out", "-q", *tables)

    def boxes(content: bytes, folder: Path) -> None:
        given = ("--boxes", put(folder / "boxes.json", content))
        photo = put(folder / "1.jpg", encoded(".jpg"))
        model = stand_in(folder, "crops.onnx")
        call("predict", photo, "-m", model, *given, "-o", folder / "out", "-q", "--save", "csv")

    def resumed(content: bytes, folder: Path) -> None:
        photo = put(folder / "1.jpg", encoded(".jpg"))
        put(folder / "out" / "json" / "1.json", content)
        put(folder / "out" / "results.json", b"[]")
        call("predict", photo, "-m", stand_in(folder), "-o", folder / "out", "-q", "--save", "json", "--resume")

    def refine(content: bytes, folder: Path) -> None:
        put(folder / "images" / "1.jpg", encoded(".jpg"))
        put(folder / "images" / "2.jpg", encoded(".jpg"))
        results = put(folder / "results.json", content)
        model = stand_in(folder, "refiner.onnx")
        call("refine", results, "--images", folder / "images", "-m", model, "-o", folder / "out" / "r.json", "-q")

    def track(content: bytes, folder: Path) -> None:
        results = put(folder / "results.csv", content)
        save = ("--save", "csv,trc,openpose")
        call("track", results, "-o", folder / "out", "-q", "--smooth", "butterworth", *save)

    def bulk(name: str) -> Callable[[bytes, Path], None]:
        def run(content: bytes, folder: Path) -> None:
            put(folder / "1.jpg", encoded(".jpg"))
            put(folder / "2.jpg", encoded(".jpg"))
            source = put(folder / name, content)
            call("bulk", "run", source, "-m", stand_in(folder), "-o", folder / "out", "--shard", "0/1", "-q")

        return run

    def plan(content: bytes, folder: Path) -> None:
        source = put(folder / "a.jpg", content)
        call("bulk", "plan", source, "-m", stand_in(folder), "-o", folder / "out", "-q", "--sample", 1)

    images = (encoded(".jpg"), encoded(".png"))
    return [
        Target("predict", images, mutate_bytes, predict),
        Target("predict --save pictures", images, mutate_bytes, drawn),
        Target("predict, video", (clip(".mp4"), clip(".avi")), mutate_bytes, video),
        Target("predict --boxes", (RESULTS,), both, boxes),
        Target("predict --resume", (image_result(),), both, resumed),
        Target("refine", (RESULTS,), both, refine),
        Target("track", (table("csv"), table("wide csv")), mutate_text, track),
        Target("bulk run, tar", (tar(),), mutate_bytes, bulk("a.tar")),
        Target("bulk run, Parquet", (image_table("bytes"), image_table("paths")), mutate_bytes, bulk("a.parquet")),
        Target("bulk run, video", (clip(".mp4"),), mutate_bytes, bulk("clip.mp4")),
        Target("bulk plan", images, mutate_bytes, plan),
    ]


@functools.cache
def image_result() -> bytes:
    """The JSON file of an image that ``predict`` writes."""
    import tempfile

    with unwatched(), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photo = put(folder / "1.jpg", encoded(".jpg"))
        call("predict", photo, "-m", stand_in(folder), "-o", folder / "out", "-q", "--save", "json")
        return (folder / "out" / "json" / "1.json").read_bytes()


@functools.cache
def bulk_folder() -> dict[str, bytes]:
    """The files of a finished bulk run, by their paths in its folder."""
    import tempfile

    with unwatched(), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        put(folder / "a.jpg", encoded(".jpg"))
        source = put(folder / "clip.mp4", clip(".mp4"))
        model = stand_in(folder)
        call("bulk", "run", source, folder / "a.jpg", "-m", model, "-o", folder / "out", "--shard", "0/1", "-q")
        return {
            str(path.relative_to(folder / "out")): path.read_bytes()
            for path in sorted((folder / "out").rglob("*"))
            if path.is_file()
        }


def bulk_check_targets() -> list[Target]:
    """``bulk status``, ``verify`` and ``merge`` on runs of which one file is damaged."""
    files = bulk_folder()
    manifest = next(name for name in files if name.endswith("manifest.json"))
    part = next(name for name in files if name.endswith("part-000000.json"))
    segment = next(name for name in files if name.endswith("part-000001.json"))

    def on(name: str, command: str) -> Callable[[bytes, Path], None]:
        def run(content: bytes, folder: Path) -> None:
            for path, whole in files.items():
                put(folder / "run" / path, content if path == name else whole)
            call("bulk", command, folder / "run", *([folder / "out" / "all.parquet"] if command == "merge" else []))

        return run

    parquet = part.replace(".json", ".parquet")
    return [
        Target("bulk status", (files[manifest],), both, on(manifest, "status")),
        Target("bulk verify", (files[part],), both, on(part, "verify")),
        Target("bulk merge", (files[segment],), both, on(segment, "merge")),
        Target("bulk merge, Parquet", (files[parquet],), mutate_bytes, on(parquet, "merge")),
    ]


def evaluation_targets() -> list[Target]:
    """``evaluate``, ``compare``, ``reproduce``."""
    from benchmarks.fuzzing.result_readers import record

    def predictions(content: bytes, folder: Path) -> None:
        path = data_folder(folder)
        call("evaluate", "--predictions", put(folder / "results.json", content), "--annotations", path, "--json")

    def model(content: bytes, folder: Path) -> None:
        data = ("--annotations", data_folder(folder, content), "--images", folder / "images")
        report = ("--report", folder / "out" / "report.html", "-o", folder / "out" / "record.json")
        call("evaluate", stand_in(folder), *data, *report, "-q")

    def boxes(content: bytes, folder: Path) -> None:
        data = ("--annotations", data_folder(folder), "--images", folder / "images")
        found = ("--boxes", put(folder / "boxes.json", content))
        call("evaluate", stand_in(folder, "crops.onnx"), *data, *found, "--json")

    def tracking(content: bytes, folder: Path) -> None:
        results = put(folder / "walk.txt", MOT_RESULTS.encode())
        truth = mot_folder(folder, truth=content or b"\n")
        call("evaluate", "--tracking", "--annotations", truth, "--predictions", results)

    def poses(content: bytes, folder: Path) -> None:
        results = put(folder / "results" / "a.json", content)
        truth = put(folder / "truth" / "a.json", posetrack("truth"))
        call("evaluate", "--tracking", "--annotations", truth, "--predictions", results)

    def compare(content: bytes, folder: Path) -> None:
        call("compare", put(folder / "a.json", content), put(folder / "b.json", record()), "--anyway")

    def pictures(content: bytes, folder: Path) -> None:
        models = [stand_in(folder), stand_in(folder, "crops.onnx")]
        photo = put(folder / "a.jpg", content)
        call("compare", *models, "--images", photo, "--pictures", folder / "out" / "pictures")

    def reproduce(content: bytes, folder: Path) -> None:
        put(folder / "out" / "records" / "mipnet-r50-256-coco-coco-val-annotated.json", content)
        call("reproduce", "mipnet-2", "-o", folder / "out", "--no-run", "--no-flip", "--json")

    return [
        Target("evaluate", (RESULTS,), both, predictions),
        Target("evaluate MODEL", (ANNOTATIONS,), both, model),
        Target("evaluate --boxes", (RESULTS,), both, boxes),
        Target("evaluate --tracking, MOT", (MOT_TRUTH.encode(),), mutate_text, tracking),
        Target("evaluate --tracking, PoseTrack", (posetrack("results"),), both, poses),
        Target("compare", (record(),), both, compare),
        Target("compare --pictures", (encoded(".jpg"),), mutate_bytes, pictures),
        Target("reproduce", (record(),), both, reproduce),
    ]


def command_targets() -> list[Target]:
    """Commands that find, follow and score people."""
    return [*prediction_targets(), *bulk_check_targets(), *evaluation_targets()]
