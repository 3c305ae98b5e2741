"""Files that grow during a run and are complete at any time, also after a crash."""

import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from everypose.errors import EveryposeError


class GrowingFile:
    r"""A file to which whole records are appended without a buffer in between.

    A process that is killed leaves all records that were appended; one that is killed within the microseconds of a
    write may leave a part of the last one. A record for which the disk has no space is left out. Use
    `everypose.core.files.written_whole` for files that are of use only when they are finished.

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
        self._last = b""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666)
        except OSError as error:
            raise self._cannot_write(error) from error

    def append(self, record: bytes, *, replacing: int = 0) -> None:
        """Write a record at the end.

        Args:
            record: its bytes.
            replacing: bytes at the end of the last record that this one overwrites, such as a closing bracket.

        Raises:
            EveryposeError: if the disk is full; the file then is as it was before.
        """
        start = self._end - replacing
        try:
            self._write(record, start)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._end)
                self._write(self._last[len(self._last) - replacing :], start)
            raise self._cannot_write(error) from error
        self._end, self._last = start + len(record), record

    def _write(self, content: bytes, start: int) -> None:
        """Write all of the content from byte ``start`` on."""
        os.lseek(self._descriptor, start, os.SEEK_SET)
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

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
