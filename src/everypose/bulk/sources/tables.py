"""The images of Parquet tables: a column with their bytes or their paths.

A table is untrusted: paths must lie below a folder, which by default is that of the table.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from everypose.bulk.addresses import SEPARATOR
from everypose.data.tars import printable
from everypose.data.web_images import MOST_BYTES
from everypose.errors import EveryposeError, MissingDependencyError, UsageError, as_user_error

if TYPE_CHECKING:
    import pyarrow

BATCH_ROWS = 16
"""Rows that are held at a time."""
PATH_COLUMNS = ("path", "file", "file_name", "filename", "image", "image_path", "img_path")
"""Text columns with these names contain the images' paths, unless ``--column`` is given."""
Content = Path | str | bytes | EveryposeError


def read_table(file: BinaryIO, name: str, root: Path | str, column: str | None) -> Iterator[tuple[str, Content]]:
    """Yield a name and the content of each image of a Parquet table, row by row.

    Images of bytes are named by the number of their row, from 0; others by their path. A path that occurs again gets
    ``#2``, ``#3`` and so on. The column is the one with bytes, with structures of ``bytes`` and ``path`` (Hugging Face
    datasets), or with texts and a name of `PATH_COLUMNS`.

    Args:
        file: the table.
        name: the table's name in messages.
        root: folder or address that paths are relative to.
        column: the column of images; by default the only one that can contain images.

    Raises:
        MissingDependencyError: if pyarrow is not installed.
        UsageError: if the table has no such column, or several and none is chosen.
        EveryposeError: if it is damaged.

    >>> import pyarrow
    >>> from pyarrow import parquet
    >>> parquet.write_table(pyarrow.table({"image": [b"first", b"second"]}), "photos.parquet")
    >>> with open("photos.parquet", "rb") as file:
    ...     list(read_table(file, "photos.parquet", Path(), column=None))
    [('0', b'first'), ('1', b'second')]
    """
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise MissingDependencyError(f"reading {name}", "bulk") from error
    times: dict[str, int] = {}
    row = 0
    with as_user_error(f"{name} is damaged, or not a Parquet file"):
        table = parquet.ParquetFile(file, buffer_size=1 << 20, pre_buffer=False)
        chosen = _column(table.schema_arrow, name, column)
        for batch in table.iter_batches(BATCH_ROWS, columns=[chosen], use_threads=False):
            for value in batch.column(0).to_pylist():
                path, content = _cell(value, f"{name}/{row}", root)
                key = str(row) if path is None else path
                times[key] = times.get(key, 0) + 1
                yield (f"{key}#{times[key]}" if times[key] > 1 else key), content
                row += 1


def count_rows(file: BinaryIO, name: str) -> int:
    """Return the number of rows of a Parquet table, from its footer.

    Raises:
        EveryposeError: if it is damaged.

    >>> import pyarrow
    >>> from pyarrow import parquet
    >>> parquet.write_table(pyarrow.table({"path": ["a.jpg", "b.jpg"]}), "photos.parquet")
    >>> with open("photos.parquet", "rb") as file:
    ...     count_rows(file, "photos.parquet")
    2
    """
    from pyarrow import parquet

    with as_user_error(f"{name} is damaged, or not a Parquet file"):
        return int(parquet.ParquetFile(file).metadata.num_rows)


def _column(schema: "pyarrow.Schema", name: str, wanted: str | None) -> str:
    """Return the name of the column of images.

    Raises:
        UsageError: if there is none, or several and none is chosen.
    """
    candidates = [str(field.name) for field in schema if _can_be_image(field, chosen=field.name == wanted)]
    if wanted is not None:
        if wanted not in candidates:
            raise UsageError(f"{name} has no column {wanted!r} of bytes or paths: it has {', '.join(schema.names)}")
        return wanted
    if len(candidates) != 1:
        found = f"several columns that can be images: {', '.join(candidates)}" if candidates else "no column of images"
        raise UsageError(f"{name} has {found}: choose one of {', '.join(schema.names)} with --column")
    return candidates[0]


def _can_be_image(field: "pyarrow.Field", *, chosen: bool) -> bool:
    """Whether a column has bytes, structures of bytes, or texts that are paths by the column's name."""
    import pyarrow

    kind = field.type
    if pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind):
        return True
    if pyarrow.types.is_struct(kind):
        return bool(kind.get_field_index("bytes") >= 0)
    is_text = pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind)
    return bool(is_text and (chosen or field.name in PATH_COLUMNS))


def _cell(value: object, name: str, root: Path | str) -> tuple[str | None, Content]:
    """Return the path of an image, None for one of bytes, and its content."""
    if isinstance(value, dict):
        value = value.get("path") if value.get("bytes") is None else value["bytes"]
    if isinstance(value, bytes):
        if len(value) > MOST_BYTES:
            return None, EveryposeError(f"{name} is too large: {MOST_BYTES // 2**20} MB are the most")
        return None, value
    if not isinstance(value, str) or not value:
        return None, EveryposeError(f"{name} is an empty cell")
    path = printable(value)
    return path, _below(value, root) or EveryposeError(
        f"{name}: the path {path} does not lie below {root}: give the folder with --root"
    )


def _below(path: str, root: Path | str) -> Path | str | None:
    """Return the file of a path below a folder or address; None if it lies elsewhere.

    >>> _below("a/1.jpg", "s3://bucket/set"), _below("../1.jpg", "s3://bucket/set")
    ('s3://bucket/set/a/1.jpg', None)
    """
    if isinstance(root, str):
        start = root.rstrip("/") + "/"
        below = path.removeprefix(start)
        unsafe = SEPARATOR in below or "::" in below or below.startswith("/") or ".." in below.split("/")
        return None if unsafe else start + below
    if "\0" in path or SEPARATOR in path:
        return None
    real = os.path.realpath(root)
    file = os.path.realpath(root / path)
    return root / path if os.path.commonpath([real, file]) == real else None
