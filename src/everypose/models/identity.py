"""Which weights a name stands for: what results store about the models that made them."""

from pathlib import Path

from everypose.core.files import exists, sha256
from everypose.core.settings import Settings
from everypose.errors import EveryposeError
from everypose.models.catalog import find_entry
from everypose.models.config import WEIGHTS_FILE
from everypose.models.downloads.records import read_record
from everypose.models.downloads.store import hub_entry
from everypose.models.locate import resolve, split_family


class ModelIdentity(Settings):
    """The weights that a name, an alias or a path stands for.

    Attributes:
        name: the catalog's name, the hub id, or the file's name.
        source: "everypose" for bundled weights, the address of downloaded ones, or the path.
        revision: commit of a hub repository; None for others.
        sha256: of the weights; None if they are not a file.

    >>> ModelIdentity(name="boir-lite", source="everypose").revision is None
    True
    """

    name: str
    source: str
    revision: str | None = None
    sha256: str | None = None


def identify_model(source: str | Path) -> ModelIdentity:
    """Return the identity of a model or detector that was loaded from ``source``, also ``FAMILY:FILE``.

    >>> identify_model("fast").name
    'mipnet-lite'
    """
    name = str(source) if exists(source) else split_family(str(source))[1]
    path = Path(name)
    try:
        if path.is_file():
            return ModelIdentity(name=path.name, source=name, sha256=sha256(path))
        entry = None if exists(path) else find_entry(name)
        if entry is None and not exists(path) and name.count("/") == 1:
            entry = hub_entry(name)
        weights = resolve(name, download=False) if entry is None or entry.bundled else None
        if weights is not None:
            file = weights.path / WEIGHTS_FILE if weights.path.is_dir() else weights.path
            where = "everypose" if entry else name
            return ModelIdentity(name=entry.name if entry else path.name, source=where, sha256=sha256(file))
        record = None if entry is None else read_record(entry)
    except (EveryposeError, OSError):
        return ModelIdentity(name=name, source=name)
    if entry is None or record is None:
        return ModelIdentity(name=name, source=name)
    largest = max(record.files.values(), key=lambda file: file.size)
    return ModelIdentity(name=entry.name, source=record.source, revision=record.revision, sha256=largest.sha256)
