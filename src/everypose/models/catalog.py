"""The catalog: what commands, recipes and ``everypose.load`` may call a model or a detector by.

``catalog.toml`` is the only table of names. A name is that of the recipe which trains the model, where there is one.
"""

import difflib
import re
import tomllib
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from everypose.core.settings import Settings
from everypose.errors import UsageError

FILE_SUFFIXES = (".safetensors", ".onnx", ".json", ".pth")
"""What may be downloaded besides zip archives; ``.pth`` is read as tensors only."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
FileSize = Annotated[int, Field(ge=1)]
"""Bytes."""
Revision = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
Repository = Annotated[str, StringConstraints(pattern=r"^[\w-][\w.-]*/[\w-][\w.-]*$")]


class HubFile(Settings):
    """One file of a hub repository.

    Attributes:
        path: its path in the repository.
        sha256: of its content; None if unknown.
        size: in bytes; None if unknown.

    >>> HubFile(path="model.safetensors").sha256 is None
    True
    """

    path: str
    sha256: Sha256 | None = None
    size: FileSize | None = None

    @model_validator(mode="after")
    def _path_is_safe(self) -> Self:
        require_safe_path(self.path)
        return self


class HubSource(Settings):
    """Files of a Hugging Face hub repository.

    Attributes:
        repository: ``owner/name``.
        revision: the commit; None if the first download decides.
        files: what is downloaded; empty for all files of a model that everypose reads.

    >>> HubSource(repository="owner/name").files
    ()
    """

    repository: Repository
    revision: Revision | None = None
    files: tuple[HubFile, ...] = ()


class ReleaseSource(Settings):
    """One released file.

    Attributes:
        url: its ``https://`` address.
        member: base name of the file that is used, if the address is that of a zip archive.
        sha256: of the downloaded file; None if unknown.
        size: of the downloaded file in bytes; None if unknown.

    >>> ReleaseSource(url="https://example.org/model.zip", member="model.onnx").member
    'model.onnx'
    """

    url: Annotated[str, StringConstraints(pattern=r"^https://[^\s@]+$")]
    member: str | None = None
    sha256: Sha256 | None = None
    size: FileSize | None = None

    @model_validator(mode="after")
    def _kind_of_file_is_accepted(self) -> Self:
        if (PurePosixPath(self.url).suffix == ".zip") != (self.member is not None):
            raise ValueError(f"{self.url}: a zip archive, and nothing else, names the member that is used")
        require_safe_path(self.member or PurePosixPath(self.url).name)
        return self


class License(Settings):
    """Licenses as stated by the authors; None if they do not state one.

    Attributes:
        weights: of the weights.
        code: of the code that made them.

    >>> License(weights="apache-2.0").code is None
    True
    """

    weights: str | None = None
    code: str | None = None


class PublishedAs(Settings):
    """Where the published numbers are among ``everypose.evaluation.report.published``.

    Attributes:
        model: the model's name there.
        datasets: the data sets whose results are of these weights.
        input_size: the input size there; None if it is not stated.
        note: the note there, such as that of fine-tuned weights; "" for results without one; None for any.

    >>> PublishedAs(model="ViTPose++-B", datasets=("coco",)).note is None
    True
    """

    model: str
    datasets: tuple[str, ...]
    input_size: str | None = None
    note: str | None = None


class BoxAP(Settings):
    """A detector's published average precision of boxes.

    Attributes:
        ap: in percent.
        protocol: data set and classes.
        source: where it is stated.

    >>> BoxAP(ap=30.6, protocol="COCO val2017, 80 classes", source="its release").ap
    30.6
    """

    ap: Annotated[float, Field(ge=0, le=100)]
    protocol: str
    source: str


class DataSet(Settings):
    """A data set that models were trained on.

    Attributes:
        name: its name in the catalog.
        title: its full name.
        terms: its terms of use; None if they are not written here.
        page: its web page.

    >>> DataSet(name="coco", title="COCO 2017").terms is None
    True
    """

    name: str
    title: str
    terms: str | None = None
    page: str | None = None


class Entry(Settings):
    """A model or detector of the catalog.

    Attributes:
        name: what it is called by.
        kind: "pose", "detector", or "refiner" of poses.
        family: its method.
        description: one line.
        skeleton: name of its keypoints' skeleton; "" for detectors.
        data: names of the data sets that it was trained on.
        license: of weights and code.
        published: where its published numbers are.
        box_ap: a detector's published AP.
        bundled: its file in the package.
        hub: where it is on the Hugging Face hub.
        release: where it is released.
        obtain: how to get its weights, where neither a download nor an import does it.

    >>> require_entry("boir-lite").skeleton
    'coco'
    """

    name: Name | Repository
    kind: Literal["pose", "detector", "refiner"] = "pose"
    family: str
    description: str
    skeleton: str = "coco"
    data: tuple[str, ...] = ()
    license: License = License()
    published: PublishedAs | None = None
    box_ap: BoxAP | None = None
    bundled: str | None = None
    hub: HubSource | None = None
    release: ReleaseSource | None = None
    obtain: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _detectors_have_no_skeleton(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("kind") == "detector":
            return {"skeleton": "", **values}
        return values

    @model_validator(mode="after")
    def _at_most_one_place(self) -> Self:
        if sum(place is not None for place in (self.bundled, self.hub, self.release)) > 1:
            raise ValueError(f"{self.name} has several of bundled, hub and release")
        return self

    @property
    def downloads(self) -> bool:
        """Whether its weights can be downloaded."""
        return self.hub is not None or self.release is not None


class Alias(Settings):
    """Another name of a model, for a purpose.

    Attributes:
        name: the alias.
        model: the model's name.
        reason: why this model.

    >>> [alias.name for alias in catalog().alias]
    ['best', 'fast', 'crowd', 'vitpose-b']
    """

    name: Name
    model: Name
    reason: str


class Catalog(Settings):
    """The content of ``catalog.toml``.

    Attributes:
        alias: other names of models.
        data: training data.
        model: models and detectors.

    >>> len(catalog().model) > 20
    True
    """

    alias: tuple[Alias, ...] = ()
    data: tuple[DataSet, ...] = ()
    model: tuple[Entry, ...]

    @model_validator(mode="after")
    def _names_are_unique_and_known(self) -> Self:
        names = [entry.name for entry in self.model]
        called = names + [alias.name for alias in self.alias]
        if doubled := sorted({name for name in called if called.count(name) > 1}):
            raise ValueError(f"names are given twice: {', '.join(doubled)}")
        if unknown := sorted({alias.model for alias in self.alias} - set(names)):
            raise ValueError(f"aliases of unknown models: {', '.join(unknown)}")
        data = {each.name for each in self.data}
        if unknown := sorted({name for entry in self.model for name in entry.data} - data):
            raise ValueError(f"unknown training data: {', '.join(unknown)}")
        return self


def require_safe_path(path: str) -> None:
    """Check the path of a file that is to be downloaded.

    >>> require_safe_path("onnx/model.onnx")

    Raises:
        ValueError: if it leaves its folder, or is of a kind that is not accepted.
    """
    parts = re.split(r"[/\\]", path)
    if ":" in path or any(part in ("", ".", "..") for part in parts) or "\\" in path:
        raise ValueError(f"{path!r} is not a path inside a folder")
    if PurePosixPath(path).suffix not in FILE_SUFFIXES:
        raise ValueError(f"{path}: only {', '.join(FILE_SUFFIXES)} files are accepted")


@cache
def catalog() -> Catalog:
    """Return the catalog.

    >>> catalog().model[0].name
    'mipnet-lite'
    """
    text = Path(__file__).with_name("catalog.toml").read_text(encoding="utf-8")
    return Catalog.model_validate(tomllib.loads(text))


def find_entry(name: str) -> Entry | None:
    """Return the entry of a name or alias; None if the catalog has none.

    >>> find_entry("fast").name
    'mipnet-lite'
    """
    wanted = next((alias.model for alias in catalog().alias if alias.name == name), name)
    return next((entry for entry in catalog().model if entry.name == wanted), None)


def require_entry(name: str) -> Entry:
    """Return the entry of a name or alias.

    Raises:
        UsageError: if the catalog has none; the message suggests the nearest name.

    >>> require_entry("mipnet-lite").kind
    'pose'
    """
    entry = find_entry(name)
    if entry is None:
        raise UsageError(f"there is no model named {name!r}; {name_hint(name)}")
    return entry


def name_hint(name: str) -> str:
    """Return a hint for a name that the catalog does not have.

    >>> name_hint("boir-lit")
    'did you mean boir-lite?'
    """
    known = [*(alias.name for alias in catalog().alias), *(entry.name for entry in catalog().model)]
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else "'everypose models' lists the names"
