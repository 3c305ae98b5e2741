"""The images, archives and videos of a bulk run, and those of one shard."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from everypose.bulk.addresses import is_address, open_address
from everypose.bulk.items import Item
from everypose.bulk.shards import Shard, keys_of_shard
from everypose.bulk.sources.clips import Clip
from everypose.bulk.sources.tables import count_rows, read_table
from everypose.data.discovery.walk import problem_of
from everypose.data.tars import TAR_SUFFIXES, read_tar
from everypose.errors import EveryposeError, UsageError

TABLE_SUFFIX = ".parquet"


@dataclass(frozen=True)
class TableOptions:
    """How Parquet tables are read.

    >>> TableOptions(column="jpg").root is None
    True

    Attributes:
        column: the column of images; by default the only one that can contain images.
        root: folder or address that paths in tables are relative to; by default the folder of each table.
    """

    column: str | None = None
    root: str | None = None


@dataclass(frozen=True)
class Archive:
    """A tar or Parquet file with images, which one shard reads from start to end.

    >>> [item.key for item in Archive("missing.tar", "missing.tar").items()]  # unreadable: one item with an error
    ['missing.tar']

    Attributes:
        key: its name in tables and records; the images in it are called ``key/name``.
        place: its path or address.
        table: options for Parquet tables.
    """

    key: str
    place: str
    table: TableOptions = TableOptions()

    def items(self) -> Iterator[Item]:
        """Yield the images in the order of the file; a damaged file ends with an unreadable item that has its key.

        Raises:
            UsageError: if a table has no column of images.
        """
        try:
            with self._open() as file:
                if self.key.lower().endswith(TABLE_SUFFIX):
                    found = read_table(file, self.key, self._root(), self.table.column)
                else:
                    found = read_tar(file, self.key)
                for name, content in found:
                    yield Item(f"{self.key}/{name}", content)
        except UsageError:
            raise
        except EveryposeError as error:
            yield Item(self.key, error)

    def rows(self) -> int | None:
        """Return the number of rows of a table; None of a tar, or if it cannot be read."""
        if not self.key.lower().endswith(TABLE_SUFFIX):
            return None
        try:
            with self._open() as file:
                return count_rows(file, self.key)
        except EveryposeError:
            return 0

    def size(self) -> int:
        """Return the bytes of the file; 0 if it cannot be read."""
        try:
            with self._open() as file:
                return file.seek(0, 2)
        except EveryposeError:
            return 0

    def _open(self) -> BinaryIO:
        """Open the file.

        Raises:
            EveryposeError: if it is no regular file or cannot be opened.
        """
        if is_address(self.place):
            return open_address(self.place)
        if problem := problem_of(Path(self.place)):
            raise EveryposeError(problem)
        try:
            return Path(self.place).open("rb")
        except OSError as error:
            raise EveryposeError(f"cannot read {self.key}: {error.strerror or error}") from error

    def _root(self) -> Path | str:
        """Return the folder or address below which paths in the table lie."""
        root = self.table.root
        if root is None:
            root = self.place.rpartition("/")[0] if is_address(self.place) else str(Path(self.place).parent)
        return root if is_address(root) else Path(root)


@dataclass(frozen=True)
class Sources:
    """The images, archives and segments of videos that a bulk run reads.

    >>> sources = Sources({"a.jpg": "a.jpg", "b.jpg": "b.jpg"})
    >>> [item.key for item in sources.of_shard(Shard(0, 1)).items()]
    ['a.jpg', 'b.jpg']

    Attributes:
        images: path or address of each image file, by its key.
        archives: tars and Parquet tables, sorted by key.
        clips: segments of videos, in the order of the videos' names and their frames.
    """

    images: dict[str, str] = field(default_factory=dict)
    archives: Sequence[Archive] = ()
    clips: Sequence[Clip] = ()

    def of_shard(self, shard: Shard) -> "Sources":
        """Return the sources that a shard processes.

        A hash of an image's key determines its shard: adding or removing images does not move others. Archives and
        segments of videos are dealt out in turn, so that shards differ by one at most.
        """
        images = {key: self.images[key] for key in keys_of_shard(self.images, shard)}
        own = slice(shard.index, None, shard.count)
        return Sources(images, self.archives[own], self.clips[own])

    def items(self, done: Collection[str] = ()) -> Iterator[Item]:
        """Yield all images except those that are done: image files by their keys, then those of the archives.

        Raises:
            UsageError: if a table has no column of images.
        """
        for key in sorted(self.images):
            if key not in done:
                place = self.images[key]
                yield Item(key, place if is_address(place) else Path(place))
        for archive in self.archives:
            for item in archive.items():
                if item.key not in done:
                    yield item

    def has(self, key: str) -> bool:
        """Whether this is the key of an image file, of an image in an archive, or of a segment of a video."""
        if key in self.images or key in self._archive_keys or key in self._clip_keys:
            return True
        parts = key.split("/")
        return any("/".join(parts[:end]) in self._archive_keys for end in range(1, len(parts)))

    @cached_property
    def _archive_keys(self) -> frozenset[str]:
        return frozenset(archive.key for archive in self.archives)

    @cached_property
    def _clip_keys(self) -> frozenset[str]:
        return frozenset(clip.key for clip in self.clips)

    def keys(self) -> list[str]:
        """Return the keys of image files, archives and segments."""
        return [*self.images, *self._archive_keys, *self._clip_keys]

    def item_keys(self) -> list[str] | None:
        """Return the keys of all images and segments; None if archives must be read to know them."""
        return None if self.archives else self.keys()


def is_archive(name: str) -> bool:
    """Whether a file is a tar or a Parquet table, by its suffix.

    >>> is_archive("a/train-000.tar"), is_archive("a.JPG")
    (True, False)
    """
    return name.lower().endswith((*TAR_SUFFIXES, TABLE_SUFFIX))
