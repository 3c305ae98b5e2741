"""What a run leaves behind: a COCO results list, a JSON for each image, drawn pictures and a contact sheet."""

import json
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np

from everypose.core.arrays import Image
from everypose.core.files import remove_leftovers, text_name, write_bytes, write_json, written_whole
from everypose.data.images import read_image
from everypose.drawing import contact_sheet, encode
from everypose.errors import UsageError
from everypose.inference.inputs import Source
from everypose.inference.resume import Settings, finished_rows, remove_other_images, run_digest
from everypose.people import People

SHEET_PICTURES = 24
"""The most pictures on a contact sheet."""
SHEET_SIDE = 400
"""The longer side of a picture kept for the contact sheet, in pixels."""
JPEG_LARGEST_SIDE = 65_500

Row: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Saved:
    """One image's part of the outputs."""

    source: Source
    rows: list[Row]
    """Its entries of the results list."""


class Outputs:
    """Writes the outputs of a run under one folder; made by `open_outputs`.

    Attributes:
        results: the COCO results list.
        pictures: the folder of drawn pictures, or None.
        jsons: the folder of one JSON for each image, or None.
        sheet: the contact sheet, or None.
    """

    def __init__(
        self,
        folder: Path,
        sources: Sequence[Source],
        save: Collection[str],
        add_rows: Callable[[list[Row]], None],
        *,
        digest: str = "",
        resume: bool = False,
    ) -> None:
        """Lay out the folder; nothing is written yet."""
        self.results = folder / "results.json"
        self.pictures = folder / "pictures" if "pictures" in save else None
        self.jsons = folder / "json" if "json" in save else None
        self.sheet = folder / "contact_sheet.jpg" if "pictures" in save else None
        self._add_rows = add_rows
        self._digest = digest
        step = -(-len(sources) // SHEET_PICTURES)
        self._on_sheet = {source.name for source in sources[::step]}
        self._small: list[tuple[Image, str]] = []
        self._done = {source.name for source in sources if self._finished_rows(source) is not None} if resume else set()
        self._sources = sources
        self._waiting = iter(sources)

    def unfinished(self) -> list[Source]:
        """The images that this run must do: all, or, when it resumes another one, those which that left."""
        return [source for source in self._sources if source.name not in self._done]

    def _finished_rows(self, source: Source) -> list[Row] | None:
        """The rows of an image whose files are all written; None for other images."""
        if self.jsons is None or (self.pictures and not (self.pictures / f"{source.name}.jpg").exists()):
            return None
        rows = finished_rows(self.jsons / f"{source.name}.json", source, self._digest)
        return None if rows is None else self._rows(source, rows)

    @staticmethod
    def _rows(source: Source, rows: list[Row]) -> list[Row]:
        name = text_name(source.path.name)
        return [{"image_id": row["image_id"], "file_name": name} | row for row in rows]

    def save(self, source: Source, people: People) -> Saved:
        """Write one image's own files. May run in several threads at once.

        Raises:
            EveryposeError: when a file cannot be written.
        """
        rows = self._rows(source, people.to_coco(image_id=source.image_id))
        # The JSON file comes last: a run that resumes this one takes it as the sign that the image is done.
        if self.pictures:
            write_picture(self.pictures / f"{source.name}.jpg", people.draw().image)
        if self.jsons:
            write_json(self.jsons / f"{source.name}.json", {**_description(source, people), "run": self._digest})
        return Saved(source, rows)

    def add(self, saved: Saved) -> None:
        """Append one image's part to the results list and the contact sheet; call it in the sources' order.

        Images that were done before get their places between the new ones.
        """
        for source in self._waiting:
            if source.name == saved.source.name:
                break
            self._add_done(source)
        self._append(saved.source, saved.rows)

    def add_rest(self) -> None:
        """Append the images that were done before and come after the last new one."""
        for source in self._waiting:
            self._add_done(source)

    def _add_done(self, source: Source) -> None:
        if source.name in self._done:
            self._append(source, self._finished_rows(source) or [])

    def _append(self, source: Source, rows: list[Row]) -> None:
        self._add_rows(rows)
        if self.pictures and source.name in self._on_sheet:
            # Read again from its file, so that a resumed run gives the same sheet.
            small = _shrink(read_image(self.pictures / f"{source.name}.jpg"), SHEET_SIDE)
            self._small.append((small, f"{source.path.name}: {len(rows)}"))

    def write_sheet(self) -> None:
        """Write the contact sheet of what was added, if one is wanted."""
        if self.sheet and self._small:
            images, captions = zip(*self._small, strict=True)
            write_picture(self.sheet, contact_sheet(images, captions))


@contextmanager
def open_outputs(
    folder: Path,
    sources: Sequence[Source],
    save: Collection[str] = ("pictures", "json"),
    *,
    settings: Settings | None = None,
    resume: bool = False,
) -> Iterator[Outputs]:
    """Yield the writer of a run's outputs; the end of the block writes the results list and the contact sheet.

    ``results.json`` appears whole when the block ends well, and not at all otherwise; what `Outputs.save` wrote stays,
    and another run can resume from it. Files of an earlier run into the same folder that this one does not write again
    are removed.

    Args:
        folder: where to write; made when it is not there.
        sources: all images of the run.
        save: "pictures" (drawn pictures and a contact sheet) and "json" (a file for each image).
        settings: what decides on the results; an image that was done with others is done again.
        resume: leave out the images that an interrupted run into the same folder finished; needs "json".

    Raises:
        EveryposeError: when the folder cannot be written, now or later.
        UsageError: when an output would overwrite an image of the run, or ``resume`` lacks "json".
    """
    if resume and "json" not in save:
        raise UsageError("--resume goes by the JSON files of the images: give --save json or --save pictures,json")
    _refuse_to_overwrite(folder, sources, save)
    remove_leftovers(folder)
    remove_other_images(folder, {source.name for source in sources})
    with _results_list(folder / "results.json") as add_rows:
        outputs = Outputs(folder, sources, save, add_rows, digest=run_digest(settings or {}), resume=resume)
        yield outputs
        outputs.add_rest()
    outputs.write_sheet()


def write_picture(path: Path, image: Image) -> None:
    """Write a (H, W, 3) RGB image as JPEG, whole or not at all; one too long for a JPEG is shrunk to fit."""
    write_bytes(path, encode(_shrink(image, JPEG_LARGEST_SIDE), ".jpg"))


@contextmanager
def _results_list(path: Path) -> Iterator[Callable[[list[Row]], None]]:
    """Yield a function that appends rows to a JSON list, which is at ``path`` when the block has ended well.

    Rows go to the disk as they come: a list of a million people takes no memory.
    """
    with written_whole(path) as part, part.open("w", encoding="utf-8") as stream:
        before = "[\n"

        def add(rows: list[Row]) -> None:
            nonlocal before
            for row in rows:
                stream.write(before + json.dumps(row, allow_nan=False))
                before = ",\n"

        yield add
        stream.write("[]\n" if before == "[\n" else "\n]\n")


def _description(source: Source, people: People) -> Row:
    """The content of one image's JSON: the image, and `People.to_json`, so that `People.from_json` reads the file."""
    assert people.image is not None  # the estimator attaches it
    height, width = people.image.shape[:2]
    return {
        "file_name": text_name(source.path.name),
        "path": text_name(str(source.path)),
        "image_id": source.image_id,
        "width": width,
        "height": height,
        **json.loads(people.to_json()),
    }


def _refuse_to_overwrite(folder: Path, sources: Sequence[Source], save: Collection[str]) -> None:
    """Refuse an output folder in which an output would take the place of an image of the run."""
    outputs = {os.path.realpath(folder / name) for name in ("results.json", "contact_sheet.jpg")}
    if "pictures" in save:
        outputs |= {os.path.realpath(folder / "pictures" / f"{source.name}.jpg") for source in sources}
    if "json" in save:
        outputs |= {os.path.realpath(folder / "json" / f"{source.name}.json") for source in sources}
    for source in sources:
        if os.path.realpath(source.path) in outputs:
            raise UsageError(f"the output would overwrite {source.path}: choose another output folder than {folder}")


def _shrink(image: Image, side: int) -> Image:
    """The image, at most ``side`` pixels long."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
