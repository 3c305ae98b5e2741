"""Writing the results of a run over images: lists and tables, a JSON for each image, pictures, a contact sheet."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import everypose
from everypose.core.files import remove_leftovers, text_name, write_json
from everypose.drawing import draw_people
from everypose.errors import UsageError
from everypose.inference.device_choice import DeviceChoice
from everypose.inference.earlier_run import remove_other_files
from everypose.inference.image_like import image_pixels
from everypose.inference.inputs import Source
from everypose.inference.pictures import ContactSheet, write_crops, write_picture
from everypose.inference.results import FrameResult, ResultsWriter
from everypose.inference.results.writing import frame_writers, recording_writers, run_writers
from everypose.inference.resume import Settings, finished_result, remove_other_images, run_digest
from everypose.inference.run_files import (
    OPTIONAL_FILES,
    RAW,
    RUN_FILE,
    SAVES,
    SHEET,
    SMOOTHED,
    OutputOptions,
    refuse_to_overwrite,
)
from everypose.models.identity import ModelIdentity
from everypose.people import People
from everypose.people.conversion import to_json_values


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


@dataclass(frozen=True)
class RunWriters:
    """The open files of a whole run.

    Attributes:
        results: the COCO results list and the tables.
        smoothed: the list and the tables of smoothed poses.
        recordings: recordings of photos, which also need their images.

    >>> RunWriters(results=[], smoothed=[], recordings=[]).recordings
    []
    """

    results: Sequence[ResultsWriter]
    smoothed: Sequence[ResultsWriter]
    recordings: Sequence[ResultsWriter]


class Outputs:
    """Writes the outputs of a run under one folder; made by `open_outputs`.

    Attributes:
        folder: where everything is written.
        options: what is written.
        results: the COCO results list.
        tables: the tables that are written.
        pictures: the folder of drawn pictures, or None.
        jsons: the folder of one JSON for each image, or None.
        last_image_id: the largest image_id so far; frames of videos get the next ones.

    >>> import numpy as np
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
        writers: RunWriters,
        digest: str = "",
        resume: bool = False,
        model: ModelIdentity | None = None,
    ) -> None:
        """Lay out the folder; nothing is written yet.

        Args:
            folder: where everything is written.
            sources: all images of the run.
            options: what is written.
            writers: the open lists, tables and recordings.
            digest: of the settings that decide on the results.
            resume: whether images that an interrupted run finished are done.
            model: the weights, for the JSON files of images.
        """
        self.folder = folder
        self.options = options
        self.results = folder / f"{RAW}.json"
        self.tables = [folder / name for name in options.table_names()]
        self.pictures = folder / "pictures" if "pictures" in options.save else None
        self.jsons = folder / "json" if "json" in options.save else None
        self.last_image_id = max((source.image_id for source in sources), default=0)
        self._sheet = ContactSheet(folder / SHEET, [source.name for source in sources])
        self._writers = writers
        self._digest = digest
        self._model = {} if model is None else {"model": model.model_dump(mode="json")}
        self._sources = sources
        self._done = {source.name for source in sources if self._finished(source) is not None} if resume else set()
        self._waiting = iter(sources)

    @property
    def sheet(self) -> Path | None:
        """The contact sheet, or None."""
        return self._sheet.path if self.pictures else None

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
            write_picture(self.pictures / f"{source.name}.jpg", picture, overwrite=True)
        # The JSON file comes last: a run that resumes this one takes it as the sign that the image is done.
        if self.jsons:
            content = _content(source, result) | self._model | {"run": self._digest}
            write_json(self.jsons / f"{source.name}.json", content)
        return Saved(source, result.with_image(None))

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

    def add_result(self, result: FrameResult) -> None:
        """Append a photo's or frame's people to the list and the tables."""
        for writer in self._writers.results:
            writer.add(result)

    def add_smoothed(self, result: FrameResult) -> None:
        """Append a frame's smoothed people to the list and the tables of smoothed poses."""
        for writer in self._writers.smoothed:
            writer.add(result)

    def _add_done(self, source: Source) -> None:
        if source.name in self._done and (result := self._finished(source)) is not None:
            self._append(source, result)

    def _append(self, source: Source, result: FrameResult) -> None:
        self.add_result(result)
        for writer in self._writers.recordings:
            # Read again: results wait for their turn without their pixels.
            writer.add(result.with_image(image_pixels(source.address or source.path)))
        if self.pictures:
            picture, caption = self.pictures / f"{source.name}.jpg", f"{source.path.name}: {len(result.people)}"
            self._sheet.add(source.name, picture, caption, pixels=result.height * result.width)

    def write_sheet(self) -> None:
        """Write the contact sheet of what was added, if one is wanted."""
        self._sheet.write()


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

    >>> import numpy as np
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
    refuse_to_overwrite(folder, sources, options)
    remove_leftovers(folder, SAVES)
    remove_other_images(folder, {source.name for source in sources})
    written = frozenset(options.optional_files(has_images=bool(sources)))
    remove_other_files(folder, written, OPTIONAL_FILES)
    model = (models or {}).get("model")
    with _open_writers(folder, options, model=model, records_photos=bool(sources), live=live) as writers:
        outputs = Outputs(
            folder,
            sources,
            options,
            writers=writers,
            digest=run_digest(settings or {}),
            resume=resume,
            model=model,
        )
        if models:
            used = {purpose: identity.model_dump(mode="json") for purpose, identity in models.items()}
            runs_on = {} if device is None else {"device": device.model_dump(mode="json", exclude={"format"})}
            write_json(folder / RUN_FILE, {"everypose": everypose.__version__, **used, **runs_on}, indent=1)
        yield outputs
        outputs.add_rest()
    outputs.write_sheet()


@contextmanager
def _open_writers(
    folder: Path, options: OutputOptions, *, model: ModelIdentity | None, records_photos: bool, live: bool
) -> Iterator[RunWriters]:
    """Yield the open files of a whole run, which state the model; the end of the block finishes them."""
    with ExitStack() as files:

        def opened(writers: Sequence[ResultsWriter]) -> Sequence[ResultsWriter]:
            for writer in writers:
                files.enter_context(writer)
                if model is not None:
                    writer.state_model(model)
            return writers

        yield RunWriters(
            results=opened(run_writers(folder, RAW, options.save, wide=options.wide, live=live)),
            smoothed=opened(
                run_writers(folder, SMOOTHED, options.save, wide=options.wide, live=live) if options.smoothed else []
            ),
            recordings=opened(recording_writers(folder, RAW, options.save) if records_photos else []),
        )


def _content(source: Source, result: FrameResult) -> dict[str, object]:
    """Return the content of one image's JSON: the image, and `People.to_json`, so that `People.from_json` reads it."""
    return {
        "file_name": text_name(source.path.name),
        "path": text_name(source.label),
        "image_id": source.image_id,
        "width": result.width,
        "height": result.height,
        **to_json_values(result.people),
    }
