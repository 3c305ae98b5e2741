"""The record of an evaluation: the numbers and everything one must know to compare them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from everypose.core.files import read_json, write_json
from everypose.errors import EveryposeError, UsageError
from everypose.evaluation.report.tables import numbers_table, percent

if TYPE_CHECKING:
    from rich.table import Table

Metric = Literal["coco", "crowdpose", "wholebody", "pckh", "hand"]
NOT_STATED = "not stated"


class Protocol(BaseModel):
    """How numbers were made. Two records are comparable when their protocols are equal.

    Attributes:
        metric: coco, crowdpose, wholebody (OKS), pckh (MPII) or hand (PCK, AUC, EPE).
        dataset, split: by name; ``annotations`` is the SHA-256 of the annotation file.
        images, persons: how many were scored.
        boxes: "none" (the model finds people itself), "ground truth", or a file's name with its AP.
        flip: whether the mirrored image was averaged in; None: not stated.
        input_size, nms: in words, such as "short side 512" and "OKS 0.8".
        keypoints, sigmas: the skeleton's name, and a digest of its sigmas.
        area: where people's areas come from; ``detection_area``: and those of detections.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: Metric
    dataset: str = NOT_STATED
    split: str = NOT_STATED
    annotations: str
    images: int
    persons: int
    boxes: str = NOT_STATED
    flip: bool | None = None
    input_size: str = NOT_STATED
    nms: str = NOT_STATED
    keypoints: str
    sigmas: str | None = None
    area: str | None = None
    detection_area: str | None = None


class ClassRow(BaseModel):
    """AP, AP50 and AR of one class of people; None where it is empty."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    people: int
    ap: float | None
    ap50: float | None
    ar: float | None


class KeypointRow(BaseModel):
    """One keypoint of the matched people: how many of each kind, and the median error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keypoint: str
    good: int
    jitter: int
    inversion: int
    swap: int
    miss: int
    unmatched: int
    median_pixels: float | None
    median_relative: float | None


class Record(BaseModel):
    """An evaluation's result.

    Attributes:
        model: its name, or the predictions' file name.
        model_sha256, predictions_sha256: of the weights, or of the predictions' file.
        numbers: part -> name -> number; "" is the part of metrics that have only one. Shares, but EPE in pixels.
        classes: kind of class -> its rows; ``keypoints``: error kinds. Both empty where the metric has none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["everypose evaluation 1"] = "everypose evaluation 1"
    everypose: str
    model: str
    model_sha256: str | None = None
    predictions_sha256: str | None = None
    protocol: Protocol
    numbers: dict[str, dict[str, float | None]]
    classes: dict[str, list[ClassRow]] = {}
    keypoints: list[KeypointRow] = []
    notes: list[str] = []

    def write(self, path: Path) -> None:
        """Write the record as JSON."""
        write_json(path, self.model_dump(mode="json"), indent=1)

    @classmethod
    def read(cls, path: Path) -> "Record":
        """Read a record that ``write`` wrote.

        Raises:
            EveryposeError: when the file is no such record; the message names the first wrong field.
        """
        try:
            return cls.model_validate(read_json(path))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "content"
            raise EveryposeError(f"{path} is not an evaluation record: {where}: {first['msg']}") from error

    def tables(self) -> list["Table"]:
        """Rich tables: protocol, numbers, classes, keypoints."""
        from rich.table import Table

        protocol = Table(title=f"Protocol of {self.model}", title_justify="left", show_header=False)
        protocol.add_column(no_wrap=True)
        # Whole hashes: a protocol is compared to the letter.
        protocol.add_column(overflow="fold")
        for name, value in protocol_rows(self):
            protocol.add_row(name, value)
        tables = [protocol, _numbers_table(self)]
        for kind, rows in self.classes.items():
            named = {
                f"{row.name} ({row.people} people)": {"AP": row.ap, "AP50": row.ap50, "AR": row.ar} for row in rows
            }
            tables.append(numbers_table(f"By {kind}", named, "class"))
        if self.keypoints:
            tables.append(_keypoint_table(self.keypoints))
        return tables


def protocol_rows(record: Record) -> list[tuple[str, str]]:
    """(name, value) of the protocol, the model and the package, as text."""
    rows = [(name.replace("_", " "), shown(value)) for name, value in record.protocol.model_dump().items()]
    rows += [("model", record.model), ("model sha256", shown(record.model_sha256))]
    rows += [("predictions sha256", shown(record.predictions_sha256)), ("everypose", record.everypose)]
    return rows


def shown(value: Any) -> str:
    """A protocol's value in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return NOT_STATED if value is None else str(value)


def differences(first: Protocol, second: Protocol) -> list[str]:
    """What differs between two protocols, one phrase for each field."""
    a, b = first.model_dump(), second.model_dump()
    return [f"{name.replace('_', ' ')}: {shown(a[name])} against {shown(b[name])}" for name in a if a[name] != b[name]]


def require_same_protocol(first: Record, second: Record) -> None:
    """Refuse to compare what cannot be compared.

    Raises:
        UsageError: when the protocols differ; the message says in what.
    """
    if found := differences(first.protocol, second.protocol):
        raise UsageError(f"different protocols: {'; '.join(found)} (--anyway compares them all the same)")


def as_json_number(value: float) -> float | None:
    """A score for JSON: None where there was nothing to measure (-1 or NaN)."""
    return None if value != value or value < 0 else float(value)


def _numbers_table(record: Record) -> "Table":
    unit = "percent, EPE in pixels" if record.protocol.metric == "hand" else "percent"
    return numbers_table(f"{record.protocol.metric} metric, {unit}", _in_percent(record), "part")


def _in_percent(record: Record) -> dict[str, dict[str, float | None]]:
    """Numbers such that the table's percent shows pixels as pixels."""
    return {
        part: {name: value / 100 if name == "EPE" and value is not None else value for name, value in numbers.items()}
        for part, numbers in record.numbers.items()
    }


def _keypoint_table(rows: list[KeypointRow]) -> "Table":
    from rich.table import Table

    table = Table(title="Labelled keypoints of matched people, percent of each kind", title_justify="left")
    # Without lines ten columns fit into 80 characters.
    table.box, table.padding = None, (0, 1, 0, 0)
    table.add_column("keypoint", no_wrap=True)
    for column in ("good", "jitter", "inversion", "swap", "miss", "not found", "median px", "of size"):
        table.add_column(column, justify="right")
    for row in rows:
        counts = (row.good, row.jitter, row.inversion, row.swap, row.miss)
        total = sum(counts)
        shares = [percent(count / total) if total else "–" for count in counts]
        pixels = "–" if row.median_pixels is None else f"{row.median_pixels:.1f}"
        table.add_row(row.keypoint, *shares, str(row.unmatched), pixels, percent(row.median_relative))
    return table
