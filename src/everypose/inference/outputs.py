"""The files of a run over images: result lists and tables, a JSON for each image, drawn pictures, a contact sheet."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

import everypose
from everypose.core.arrays import Image
from everypose.core.files import remove_leftovers, text_name, write_bytes, write_json
from everypose.data.images import read_image
from everypose.drawing import DrawingStyle, blur_faces, contact_sheet, draw_people, encode, person_crops
from everypose.errors import UsageError
from everypose.inference.device_choice import DeviceChoice
from everypose.inference.earlier_run import RUN_FILE, remove_other_files
from everypose.inference.image_like import image_pixels
from everypose.inference.inputs import Source
from everypose.inference.results import FrameResult, ResultsWriter
from everypose.inference.results.writing import Scope, format_names, frame_writers, recording_writers, run_writers
from everypose.inference.resume import Settings, finished_result, remove_other_images, run_digest
from everypose.models.identity import ModelIdentity
from everypose.people import People

SHEET_PICTURES = 24
"""The most pictures on a contact sheet."""
SHEET_SIDE = 400
"""The longer side of a picture kept for the contact sheet, in pixels."""
LARGE_PICTURE = 20_000_000
"""A picture of more pixels is read at a quarter of its size for the contact sheet."""
JPEG_LARGEST_SIDE = 65_500
RAW, SMOOTHED = "results", "smoothed"
"""Names of the lists and tables of a run, without suffix."""
TABLES = format_names(Scope.RUN)
SHEET = "contact_sheet.jpg"
ALL_FILES = frozenset(
    [*(f"{name}.{kind}" for name in (RAW, SMOOTHED) for kind in (*TABLES, "rrd")), f"{SMOOTHED}.json", SHEET]
)
"""Names of the files of a whole run that not every run writes."""
SAVES = ("pictures", "json", "crops", *format_names())
"""Outputs that can be saved in addition to ``results.json``."""


@dataclass(frozen=True)
class OutputOptions:
    """What a run writes.

    Attributes:
        save: of `SAVES`.
        wide: whether tables have a row for each person instead of one for each keypoint.
        style: how people are drawn.
        smoothed: whether there are smoothed poses, which get a list and tables of their own.

    >>> OutputOptions(save=("json", "csv")).wide
    False
    """

    save: tuple[str, ...] = ("pictures", "json")
    wide: bool = False
    style: DrawingStyle = field(default_factory=DrawingStyle)
    smoothed: bool = False


@dataclass(frozen=True)
class Saved:
    """One image's part of the outputs.

    Attributes:
        source: the image.
        result: its people, without the pixels.

    >>> from everypose.skeleton.skeleton import Skeleton
    >>> result = FrameResult("a.jpg", People.empty(Skeleton.named("coco")))
    >>> Saved(Source(Path("a.jpg"), "a", 1), result).source.name
    'a'
    """

    source: Source
    result: FrameResult


class Outputs:
    """Writes the outputs of a run under one folder; made by `open_outputs`.

    Attributes:
        folder: where everything is written.
        options: what is written.
        results: the COCO results list.
        tables: the tables that are written.
        pictures: the folder of drawn pictures, or None.
        jsons: the folder of one JSON for each image, or None.
        sheet: the contact sheet, or None.

    >>> from everypose.skeleton.skeleton import Skeleton
    >>> source, image = Source(Path("a.jpg"), "a", 1), np.zeros((48, 64, 3), np.uint8)
    >>> with open_outputs(Path("run"), [source], OutputOptions(save=("json",))) as outputs:
    ...     outputs.add(outputs.save(source, People.empty(Skeleton.named("coco"), image)))
    >>> sorted(path.name for path in Path("run").iterdir())
    ['json', 'results.json']
    """

    def __init__(
        self,
        folder: Path,
        sources: Sequence[Source],
        options: OutputOptions,
        *,
        add_result: Callable[[FrameResult], None],
        add_smoothed: Callable[[FrameResult], None],
        add_to_recording: Callable[[FrameResult], None] | None = None,
        digest: str = "",
        resume: bool = False,
        model: ModelIdentity | None = None,
    ) -> None:
        """Lay out the folder; nothing is written yet.

        Args:
            folder: where everything is written.
            sources: all images of the run.
            options: what is written.
            add_result: appends a result to the run's list and tables.
            add_smoothed: appends a smoothed result to the list and tables of smoothed poses.
            add_to_recording: appends a photo's result with its image to a recording; None if there is none.
            digest: of the settings that decide on the results.
            resume: whether images that an interrupted run finished are done.
            model: the weights, for the JSON files of images.
        """
        self.folder = folder
        self.options = options
        self.results = folder / "results.json"
        tables = [table for table in TABLES if table in options.save]
        self.tables = [folder / f"{RAW}.{table}" for table in tables]
        if options.smoothed:
            self.tables += [folder / f"{SMOOTHED}.{table}" for table in ("json", *tables)]
        self.pictures = folder / "pictures" if "pictures" in options.save else None
        self.jsons = folder / "json" if "json" in options.save else None
        self.sheet = folder / SHEET if "pictures" in options.save else None
        self.add_result = add_result
        self.add_smoothed = add_smoothed
        self._add_to_recording = add_to_recording
        step = max(1, -(-len(sources) // SHEET_PICTURES))
        self._on_sheet = {source.name for source in sources[::step]}
        self._small: list[tuple[Image, str]] = []
        self.last_image_id = max((source.image_id for source in sources), default=0)
        """The largest image_id so far; frames of videos get the next ones."""
        self._digest = digest
        self._model = {} if model is None else {"model": model.model_dump(mode="json")}
        self._sources = sources
        self._done = {source.name for source in sources if self._finished(source) is not None} if resume else set()
        self._waiting = iter(sources)

    def unfinished(self) -> list[Source]:
        """Return the images that this run must process: all, or, if it resumes another run, those that remain."""
        return [source for source in self._sources if source.name not in self._done]

    def _finished(self, source: Source) -> FrameResult | None:
        """Return the result of an image whose files are all written; None for other images."""
        if self.jsons is None or (self.pictures and not (self.pictures / f"{source.name}.jpg").exists()):
            return None
        return finished_result(self.jsons / f"{source.name}.json", source, self._digest)

    def save(self, source: Source, people: People) -> Saved:
        """Write one image's own files. May run in several threads at once.

        Raises:
            EveryposeError: if a file cannot be written.
        """
        assert people.image is not None  # the estimator attaches it
        height, width = people.image.shape[:2]
        result = FrameResult(source.label, people, width, height, image_id=source.image_id)
        for writer in frame_writers(self.folder, source.name, self.options.save, in_folders=False):
            writer.add(result)
        if "crops" in self.options.save:
            write_crops(self.folder / "crops", source.name, people, self.options.style)
        if self.pictures:
            # The last use of the image: drawing and encoding overwrite it.
            picture = draw_people(people.image, people, self.options.style, in_place=True)
            _write_picture(self.pictures / f"{source.name}.jpg", picture, overwrite=True)
        # The JSON file comes last: a run that resumes this one takes it as the sign that the image is done.
        if self.jsons:
            write_json(
                self.jsons / f"{source.name}.json", {**_description(source, people), **self._model, "run": self._digest}
            )
        return Saved(source, without_image(result))

    def add(self, saved: Saved) -> None:
        """Append one image's part to the list, the tables and the contact sheet; call it in the sources' order.

        Images that were done before get their places between the new ones.
        """
        for source in self._waiting:
            if source.name == saved.source.name:
                break
            self._add_done(source)
        self._append(saved.source, saved.result)

    def add_rest(self) -> None:
        """Append the images that were done before and come after the last new one."""
        for source in self._waiting:
            self._add_done(source)

    def _add_done(self, source: Source) -> None:
        if source.name in self._done and (result := self._finished(source)) is not None:
            self._append(source, result)

    def _append(self, source: Source, result: FrameResult) -> None:
        self.add_result(result)
        if self._add_to_recording is not None:
            # Read again: results wait for their turn without their pixels.
            self._add_to_recording(with_image(result, image_pixels(source.address or source.path)))
        if self.pictures and source.name in self._on_sheet:
            # Read again from its file, so that a resumed run gives the same sheet.
            large = result.height * result.width > LARGE_PICTURE
            small = _shrink(read_image(self.pictures / f"{source.name}.jpg", 4 if large else 1), SHEET_SIDE)
            self._small.append((small, f"{source.path.name}: {len(result.people)}"))

    def write_sheet(self) -> None:
        """Write the contact sheet of what was added, if one is wanted."""
        if self.sheet and self._small:
            images, captions = zip(*self._small, strict=True)
            _write_picture(self.sheet, contact_sheet(images, captions))


@contextmanager
def open_outputs(
    folder: Path,
    sources: Sequence[Source],
    options: OutputOptions | None = None,
    *,
    settings: Settings | None = None,
    models: Mapping[str, ModelIdentity] | None = None,
    device: DeviceChoice | None = None,
    resume: bool = False,
    live: bool = False,
) -> Iterator[Outputs]:
    """Yield the writer of a run's outputs; the end of the block finishes the lists and writes the contact sheet.

    ``results.json`` of images appears when the block ends without an error, and not at all otherwise; what
    `Outputs.save` wrote stays, and another run can resume from it. A live one is complete at any time. Files of an
    earlier run into the same folder that this one does not write again are removed.

    Args:
        folder: where to write; made if missing.
        sources: all images of the run.
        options: what is written.
        settings: what decides on the results; an image that was done with others is done again.
        models: the weights by purpose ("model", "detector"), which are written to ``run.json``.
        device: what the model runs on, and why, for ``run.json``.
        resume: leave out the images that an interrupted run into the same folder finished; needs "json".
        live: whether ``results.json`` is complete after every frame, for runs over videos.

    Raises:
        EveryposeError: if the folder cannot be written, now or later.
        UsageError: if an output would overwrite an image of the run, or ``resume`` lacks "json".

    >>> from everypose.skeleton.skeleton import Skeleton
    >>> source, image = Source(Path("b.jpg"), "b", 2), np.zeros((48, 64, 3), np.uint8)
    >>> people = People(np.ones((1, 17, 3)), [0.9], Skeleton.named("coco"), image=image)
    >>> with open_outputs(Path("tables"), [source], OutputOptions(save=("csv",))) as outputs:
    ...     outputs.add(outputs.save(source, people))
    >>> len(Path("tables/results.csv").read_text().splitlines())  # the header and 17 keypoints
    18
    """
    options = options or OutputOptions()
    if resume and "json" not in options.save:
        raise UsageError("--resume goes by the JSON files of the images: give --save json or --save pictures,json")
    _refuse_to_overwrite(folder, sources, options)
    remove_leftovers(folder)
    remove_other_images(folder, {source.name for source in sources})
    remove_other_files(folder, frozenset(_files_of_run(options, sources)), ALL_FILES)
    with ExitStack() as files:
        raw = run_writers(folder, RAW, options.save, wide=options.wide, live=live)
        for writer in raw:
            files.enter_context(writer)
        smoothed = run_writers(folder, SMOOTHED, options.save, wide=options.wide, live=live) if options.smoothed else []
        for writer in smoothed:
            files.enter_context(writer)
        recordings = recording_writers(folder, RAW, options.save) if sources else []
        for writer in recordings:
            files.enter_context(writer)
        found_by = (models or {}).get("model")
        for writer in (*raw, *smoothed, *recordings):
            if found_by is not None:
                writer.state_model(found_by)
        outputs = Outputs(
            folder,
            sources,
            options,
            add_result=lambda result: _add(raw, result),
            add_smoothed=lambda result: _add(smoothed, result),
            add_to_recording=(lambda result: _add(recordings, result)) if recordings else None,
            digest=run_digest(settings or {}),
            resume=resume,
            model=found_by,
        )
        if models:
            used = {purpose: identity.model_dump(mode="json") for purpose, identity in models.items()}
            runs_on = {} if device is None else {"device": device.model_dump(mode="json", exclude={"format"})}
            write_json(folder / RUN_FILE, {"everypose": everypose.__version__, **used, **runs_on}, indent=1)
        yield outputs
        outputs.add_rest()
    outputs.write_sheet()


def _files_of_run(options: OutputOptions, sources: Sequence[Source]) -> Iterator[str]:
    """Yield the names of the files of a whole run that this run writes."""
    tables = [table for table in TABLES if table in options.save]
    yield from (f"{RAW}.{table}" for table in tables)
    if options.smoothed:
        yield from (f"{SMOOTHED}.{table}" for table in ("json", *tables))
    if sources and "pictures" in options.save:
        yield SHEET
    if sources and "rerun" in options.save:
        yield f"{RAW}.rrd"


def _add(writers: Sequence[ResultsWriter], result: FrameResult) -> None:
    """Append a result to some files."""
    for writer in writers:
        writer.add(result)


def with_image(result: FrameResult, image: Image | None) -> FrameResult:
    """Return a result whose people have this image attached.

    >>> from everypose.skeleton.skeleton import Skeleton
    >>> result = FrameResult("a.jpg", People.empty(Skeleton.named("coco")))
    >>> with_image(result, np.zeros((48, 64, 3), np.uint8)).people.image.shape
    (48, 64, 3)
    """
    people = result.people
    changed = People(people.keypoints, people.scores, people.skeleton, boxes=people.boxes, image=image, ids=people.ids)
    return replace(result, people=changed)


def without_image(result: FrameResult) -> FrameResult:
    """Return a result that does not hold the pixels of its image.

    >>> from everypose.skeleton.skeleton import Skeleton
    >>> people = People.empty(Skeleton.named("coco"), np.zeros((48, 64, 3), np.uint8))
    >>> without_image(FrameResult("a.jpg", people)).people.image is None
    True
    """
    return with_image(result, None)


def _write_picture(path: Path, image: Image, *, overwrite: bool = False) -> None:
    """Write a (H, W, 3) RGB image as JPEG, atomically; one too long for a JPEG is scaled down to fit.

    Args:
        path: the file.
        image: (H, W, 3) uint8 RGB.
        overwrite: use the memory of ``image``, whose content is lost.
    """
    write_bytes(path, encode(_shrink(image, JPEG_LARGEST_SIDE), ".jpg", overwrite=overwrite))


def write_crops(folder: Path, name: str, people: People, style: DrawingStyle) -> None:
    """Write a picture of each person: ``NAME_person3.jpg`` for the identity or, without tracking, the position 3.

    Args:
        folder: where to write.
        name: what the files' names begin with.
        people: with their image.
        style: says whose crops are written, and whether faces are blurred.

    >>> from everypose.skeleton.skeleton import Skeleton
    >>> pose = np.random.default_rng(0).uniform(10, 40, (1, 17, 3))
    >>> people = People(pose, [0.9], Skeleton.named("coco"), image=np.zeros((48, 64, 3), np.uint8), ids=[3])
    >>> write_crops(Path("crops"), "a", people, DrawingStyle())
    >>> [path.name for path in Path("crops").iterdir()]
    ['a_person3.jpg']
    """
    if people.image is None:
        return
    image = blur_faces(people.image, people) if style.blur_faces else people.image
    shown = people[people.scores >= style.min_score]
    numbers = range(len(shown)) if shown.ids is None else shown.ids.tolist()
    for number, crop in zip(numbers, person_crops(image, shown), strict=True):
        if crop.size:
            _write_picture(folder / f"{name}_person{number}.jpg", crop)
    following = len(shown)
    while shown.ids is None and (left := folder / f"{name}_person{following}.jpg").is_file():
        left.unlink()  # of an earlier run with more people
        following += 1


def _refuse_to_overwrite(folder: Path, sources: Sequence[Source], options: OutputOptions) -> None:
    """Refuse an output folder in which an output would take the place of an image of the run.

    Raises:
        UsageError: if one would.
    """
    names = [f"{RAW}.json", RUN_FILE, *ALL_FILES]
    outputs = {os.path.realpath(folder / name) for name in names}
    if "pictures" in options.save:
        outputs |= {os.path.realpath(folder / "pictures" / f"{source.name}.jpg") for source in sources}
    if "json" in options.save:
        outputs |= {os.path.realpath(folder / "json" / f"{source.name}.json") for source in sources}
    if "crops" in options.save:
        crops = os.path.realpath(folder / "crops") + os.sep
        outputs |= {real for source in sources if (real := os.path.realpath(source.path)).startswith(crops)}
    for source in sources:
        if os.path.realpath(source.path) in outputs:
            raise UsageError(f"the output would overwrite {source.path}: choose another output folder than {folder}")


def _description(source: Source, people: People) -> dict[str, object]:
    """Return the content of one image's JSON: the image, and `People.to_json`, so that `People.from_json` reads it."""
    assert people.image is not None  # the estimator attaches it
    height, width = people.image.shape[:2]
    return {
        "file_name": text_name(source.path.name),
        "path": text_name(source.label),
        "image_id": source.image_id,
        "width": width,
        "height": height,
        **json.loads(people.to_json()),
    }


def _shrink(image: Image, side: int) -> Image:
    """Return the image, at most ``side`` pixels long."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
