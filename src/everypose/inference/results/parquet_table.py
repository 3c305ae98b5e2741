"""Tables as Parquet, through pyarrow: parts while a run goes on, one file at its end."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from everypose.core.files import written_whole
from everypose.errors import EveryposeError, MissingDependencyError, as_user_error
from everypose.inference.results.record import FrameResult, ResultsWriter
from everypose.inference.results.table import LONG_COLUMNS, Row, results_of, table_of, wide_columns
from everypose.models.identity import ModelIdentity

if TYPE_CHECKING:
    import pyarrow

PART_SECONDS = 1.0
"""Rows are written as a part after so many seconds: what a killed run can lose."""


MODEL_KEY = "everypose.model"
"""The key of the file's metadata that names the weights."""


class ParquetWriter(ResultsWriter):
    """Writes a long or wide table (`everypose.inference.results.table`) as one Parquet file.

    Parquet is of use only when it is finished. Until then the rows are in parts in a folder with the suffix ``.parts``,
    which a killed run leaves: `read_parquet`, pandas and pyarrow read that, too.

    >>> from everypose.people import People
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> people = People(np.ones((2, 17, 3)), [0.9, 0.8], Skeleton.named("coco"))
    >>> with ParquetWriter(Path("poses.parquet"), wide=True) as writer:
    ...     writer.add(FrameResult("a.jpg", people))
    >>> [len(result.people) for result in read_parquet(Path("poses.parquet"))]
    [2]
    """

    def __init__(self, path: Path, *, wide: bool = False) -> None:
        """Start a table.

        Args:
            path: the file; an existing one is replaced at the end.
            wide: one row for each person instead of one for each keypoint.

        Raises:
            MissingDependencyError: if pyarrow is not installed.
            EveryposeError: if the folder cannot be written.
        """
        _require_pyarrow()
        self.path = path
        self._wide = wide
        self._parts = path.with_name(f"{path.name}.parts")
        self._schema: pyarrow.Schema | None = None
        self._metadata: dict[str, str] | None = None
        self._pending: list[pyarrow.RecordBatch] = []
        self._written = 0
        self._last_part = time.monotonic()
        try:
            shutil.rmtree(self._parts, ignore_errors=True)
            self._parts.mkdir(parents=True)
        except OSError as error:
            raise EveryposeError(f"cannot write {path}: {error.strerror or error}") from error

    def state_model(self, model: ModelIdentity) -> None:
        """Write which weights found the people to the file's metadata, as JSON under the key `MODEL_KEY`."""
        self._metadata = {MODEL_KEY: model.model_dump_json()}

    def add(self, result: FrameResult) -> None:
        """Add the rows of one frame; an id below 0 is an empty cell.

        Raises:
            EveryposeError: if the disk is full, or a wide table gets people of another skeleton.
        """
        import pyarrow

        columns = wide_columns(result.people.skeleton) if self._wide else LONG_COLUMNS
        if self._schema is None:
            self._schema = _schema(columns, self._metadata)
        if tuple(self._schema.names) != columns:
            raise EveryposeError(f"{self.path}: a wide table cannot hold people of different skeletons")
        rows = len(result.people) * (1 if self._wide else len(result.people.skeleton))
        arrays = []
        for field, column in zip(self._schema, table_of(result, wide=self._wide).values(), strict=True):
            empty = column.astype(np.int64) < 0 if field.name == "track_id" and column is not None else None
            array = pyarrow.nulls(rows, field.type) if column is None else pyarrow.array(column, mask=empty)
            arrays.append(array.cast(field.type))
        self._pending.append(pyarrow.record_batch(arrays, schema=self._schema))
        if time.monotonic() - self._last_part > PART_SECONDS:
            self._write_part()

    def _write_part(self) -> None:
        """Write the pending rows as a part, atomically."""
        import pyarrow
        from pyarrow import parquet

        with written_whole(self._parts / f"part-{self._written:06d}.parquet") as part:
            parquet.write_table(pyarrow.Table.from_batches(self._pending, self._schema), part)
        self._pending = []
        self._written += 1
        self._last_part = time.monotonic()

    def close(self) -> None:
        """Join the parts to the file and remove them.

        Raises:
            EveryposeError: if the disk is full; the parts stay.
        """
        from pyarrow import parquet

        if self._pending:
            self._write_part()
        schema = _schema(LONG_COLUMNS, self._metadata) if self._schema is None else self._schema
        with written_whole(self.path) as whole, parquet.ParquetWriter(whole, schema) as writer:
            for part in sorted(self._parts.glob("part-*.parquet")):
                writer.write_table(parquet.read_table(part, schema=schema))
        shutil.rmtree(self._parts, ignore_errors=True)


def _schema(columns: tuple[str, ...], metadata: dict[str, str] | None) -> "pyarrow.Schema":
    """Return the types of the columns: texts as dictionaries, numbers of people as 32-bit floats."""
    import pyarrow

    types = {
        "frame": pyarrow.int64(),
        "time_s": pyarrow.float64(),
        "person": pyarrow.int32(),
        "track_id": pyarrow.int64(),
        **dict.fromkeys(("file", "skeleton", "keypoint"), pyarrow.dictionary(pyarrow.int32(), pyarrow.string())),
    }
    return pyarrow.schema([(name, types.get(name, pyarrow.float32())) for name in columns], metadata)


def _require_pyarrow() -> None:
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError("Parquet", "tables") from error


def read_parquet(path: Path) -> Iterator[FrameResult]:
    """Yield the results of a Parquet table, or of the folder of parts that a killed run leaves.

    Raises:
        MissingDependencyError: if pyarrow is not installed.
        EveryposeError: if the file cannot be read or is not a table of everypose.

    >>> from everypose.people import People
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> people = People(np.ones((2, 17, 3)), [0.9, 0.8], Skeleton.named("coco"))
    >>> with ParquetWriter(Path("long.parquet")) as writer:
    ...     writer.add(FrameResult("a.jpg", people))
    >>> [(result.file, len(result.people)) for result in read_parquet(Path("long.parquet"))]
    [('a.jpg', 2)]
    """
    _require_pyarrow()
    from pyarrow import parquet

    parts = sorted(path.glob("*.parquet")) if path.is_dir() else [path]

    def rows() -> Iterator[Row]:
        # One file at a time: a killed run leaves more parts than a process may have open.
        for part in parts:
            with parquet.ParquetFile(part) as file:
                for batch in file.iter_batches():
                    yield from batch.to_pylist()

    with as_user_error(f"{path} is not a Parquet file that can be read"):
        columns = parquet.read_schema(parts[0]).names if parts else []
        yield from results_of(rows(), columns, str(path))
