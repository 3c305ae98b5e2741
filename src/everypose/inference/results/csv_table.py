"""Tables as CSV: written row by row, so that what a broken run leaves has complete rows."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from everypose.core.growing_file import GrowingFile
from everypose.errors import EveryposeError
from everypose.inference.results.record import FrameResult, ResultsWriter
from everypose.inference.results.table import LONG_COLUMNS, Columns, results_of, table_of, wide_columns


class CsvWriter(ResultsWriter):
    """Writes a long or wide table (`everypose.inference.results.table`) as UTF-8 CSV with a header.

    Each frame's rows go to the file at once: at any time it contains complete rows only. Numbers are the shortest
    decimals that read back as the same 32-bit floats.

    >>> from everypose.skeleton.skeleton import Skeleton
    >>> from everypose.people import People
    >>> people = People([[[1.5, 2.5, 0.9]]], [0.8], Skeleton("point", ("tip",), (), (), (0.1,)))
    >>> with CsvWriter(Path("out.csv")) as table:
    ...     table.add(FrameResult("a.jpg", people))
    >>> print(Path("out.csv").read_text(), end="")
    file,frame,time_s,person,track_id,person_score,box_x1,box_y1,box_x2,box_y2,skeleton,keypoint,x,y,score
    a.jpg,,,0,,0.8,1.5,2.5,1.5,2.5,point,tip,1.5,2.5,0.9
    """

    def __init__(self, path: Path, *, wide: bool = False) -> None:
        """Create the file.

        Args:
            path: the file; its folder is made if missing, and an existing file is replaced.
            wide: one row for each person instead of one for each keypoint.

        Raises:
            EveryposeError: if the file cannot be written.
        """
        self.path = path
        self._wide = wide
        self._columns: tuple[str, ...] | None = None
        self._file = GrowingFile(path)
        if not wide:
            self._write_header(LONG_COLUMNS)

    def add(self, result: FrameResult) -> None:
        """Append the rows of one frame.

        Raises:
            EveryposeError: if the disk is full, or a wide table gets people of another skeleton.
        """
        if self._wide:
            self._write_header(wide_columns(result.people.skeleton))
        self._file.append(_csv(_rows(table_of(result, wide=self._wide))))

    def _write_header(self, columns: tuple[str, ...]) -> None:
        """Write the header before the first row; later headers must be the same."""
        if self._columns is None:
            self._columns = columns
            self._file.append(_csv([columns]))
        if columns != self._columns:
            raise EveryposeError(f"{self.path}: a wide table cannot hold people of different skeletons")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def to_csv(results: Iterable[FrameResult]) -> bytes:
    """Return a long table of results as UTF-8 CSV.

    >>> to_csv([]).decode().split(",")[:3]
    ['file', 'frame', 'time_s']
    """
    return _csv([LONG_COLUMNS]) + b"".join(_csv(_rows(table_of(result, wide=False))) for result in results)


def _csv(rows: Iterable[Sequence[str]]) -> bytes:
    """Return rows of cells as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _rows(columns: Columns) -> Iterator[tuple[str, ...]]:
    """Return the rows of a table as text."""
    count = len(columns["file"]) if columns["file"] is not None else 0
    texts = [[""] * count if column is None else column.astype(str).tolist() for column in columns.values()]
    return zip(*texts, strict=True)


def read_csv(path: Path) -> Iterator[FrameResult]:
    """Yield the results of a CSV table, long or wide. An incomplete last line, as of a broken copy, is ignored.

    Raises:
        EveryposeError: if the file cannot be read or is not a table of everypose.

    >>> import numpy as np
    >>> from everypose.people import People
    >>> from everypose.skeleton.skeleton import Skeleton
    >>> people = People(np.ones((2, 17, 3)), [0.9, 0.8], Skeleton.named("coco"))
    >>> with CsvWriter(Path("out.csv")) as table:
    ...     table.add(FrameResult("a.jpg", people))
    >>> [(result.file, len(result.people)) for result in read_csv(Path("out.csv"))]
    [('a.jpg', 2)]
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(_complete_lines(file), restval="missing")
            columns = reader.fieldnames or []
            yield from results_of(reader, columns, str(path))
    except OSError as error:
        raise EveryposeError(f"cannot read {path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise EveryposeError(f"{path} is not a CSV file in UTF-8: {error}") from error


def _complete_lines(file: io.TextIOWrapper) -> Iterator[str]:
    return (line for line in file if line.endswith("\n"))
