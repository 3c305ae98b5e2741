"""What a bulk run reads: image files, tars, Parquet tables, videos; local or in object stores."""

from everypose.bulk.sources.clips import Clip
from everypose.bulk.sources.found import Archive, Sources, TableOptions
from everypose.bulk.sources.search import find_sources

__all__ = ["Archive", "Clip", "Sources", "TableOptions", "find_sources"]
