"""Files that grow during a run and are complete at any time, also after a crash."""

import os
from pathlib import Path
from types import TracebackType
from typing import Self

from everypose.errors import EveryposeError


class GrowingFile:
    r"""A file to which whole records are appended without a buffer in between.

    A process that is killed leaves all records that were appended; one that is killed within the microseconds of a
    write may leave a part of the last one. Use `everypose.core.files.written_whole` for files
    that are of use only when they are finished.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "rows.csv"
    >>> with GrowingFile(path) as rows:
    ...     rows.append(b"first\n")
    ...     path.read_bytes()
    b'first\n'
    """

    def __init__(self, path: Path) -> None:
        """Create the file, and its folder if missing; an existing file is emptied.

        Raises:
            EveryposeError: if it cannot be written.
        """
        self.path = path
        self._end = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666)
        except OSError as error:
            raise self._cannot_write(error) from error

    def append(self, record: bytes, *, replacing: int = 0) -> None:
        """Write a record at the end.

        Args:
            record: its bytes.
            replacing: bytes at the end of the file that the record overwrites, such as a closing bracket.

        Raises:
            EveryposeError: if the disk is full.
        """
        self._end -= replacing
        rest = memoryview(record)
        try:
            os.lseek(self._descriptor, self._end, os.SEEK_SET)
            while rest:
                written = os.write(self._descriptor, rest)
                rest = rest[written:]
                self._end += written
        except OSError as error:
            raise self._cannot_write(error) from error

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _cannot_write(self, error: OSError) -> EveryposeError:
        return EveryposeError(f"cannot write {self.path}: {error.strerror or error}")
