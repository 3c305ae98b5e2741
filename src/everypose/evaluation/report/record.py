"""The record of an evaluation: its numbers and the protocol that makes them comparable."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from everypose.core.files import read_json, write_json
from everypose.core.validation import validated
from everypose.errors import UsageError
from everypose.evaluation.metrics.metric import Metric
from everypose.evaluation.report.tables import numbers_table, percent

if TYPE_CHECKING:
    from rich.table import Table

NOT_STATED = "not stated"
OWN_DECODER = "the model's own"
IN_PIXELS = "EPE"
"""The one number that is in pixels; all others are shares."""
KEYPOINT_COLUMNS = ("good", "jitter", "inversion", "swap", "miss", "not found", "median px", "of size")
"""Columns of tables of keypoints: percent of each error type, number without a match, median distances."""


class Protocol(BaseModel):
    """How numbers were computed. Two records are comparable if their protocols are equal.

    Attributes:
        metric: coco, crowdpose, wholebody (OKS), pckh (MPII) or hand (PCK, AUC, EPE).
        dataset: name of the data set.
        split: name of the split.
        annotations: SHA-256 of the annotation file.
        images: how many were scored.
        persons: how many were to be found.
        boxes: "none" for a single-stage model, "ground truth", or a file or detector with its hash.
        flip: whether test-time flip augmentation was used; None if it is not stated.
        input_size: in words, such as "short side 512".
        nms: in words, such as "OKS 0.8".
        decoder: how heatmaps became keypoints, if not as the model's settings say.
        keypoints: name of the skeleton.
        sigmas: digest of the sigmas.
        area: where people's areas come from, in words.
        detection_area: where detections' areas come from, in words.

    >>> protocol = Protocol(metric="coco", annotations="f8a1", images=114, persons=315, keypoints="coco")
    >>> protocol.boxes
    'not stated'
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
    decoder: str = OWN_DECODER
    keypoints: str
    sigmas: str | None = None
    area: str | None = None
    detection_area: str | None = None


class ClassRow(BaseModel):
    """Scores of one class of people; None if it is empty.

    Attributes:
        name: the class.
        people: how many people it has.
        ap: average precision.
        ap50: average precision at OKS .50.
        ar: average recall.

    >>> ClassRow(name="0 to 0.3", people=174, ap=0.44, ap50=0.71, ar=0.6).people
    174
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    people: int
    ap: float | None
    ap50: float | None
    ar: float | None


class KeypointRow(BaseModel):
    """Error types of one keypoint of the matched people, see ``everypose.evaluation.metrics.error_types``.

    Attributes:
        keypoint: its name.
        good: how many have a similarity of at least .85.
        jitter: how many have a similarity of at least .5.
        inversion: how many are at the person's other side.
        swap: how many are at another person.
        miss: how many are none of these.
        unmatched: labeled keypoints of people without a matched detection.
        median_pixels: median distance in pixels.
        median_relative: median distance over the square root of the person's area.

    >>> row = KeypointRow(
    ...     keypoint="nose", good=80, jitter=12, inversion=0, swap=3, miss=5, unmatched=20, median_pixels=2.1,
    ...     median_relative=0.02,
    ... )
    >>> row.model_dump()["swap"]
    3
    """

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

    @property
    def labeled(self) -> int:
        """Labeled keypoints of matched people."""
        return self.good + self.jitter + self.inversion + self.swap + self.miss

    def cells(self) -> list[str]:
        """The columns `KEYPOINT_COLUMNS` of a table."""
        kinds = (self.good, self.jitter, self.inversion, self.swap, self.miss)
        shares = [percent(count / self.labeled) if self.labeled else "–" for count in kinds]
        pixels = "–" if self.median_pixels is None else f"{self.median_pixels:.1f}"
        return [*shares, str(self.unmatched), pixels, percent(self.median_relative)]


class Record(BaseModel):
    """The result of an evaluation.

    Attributes:
        format: of the file.
        everypose: version of the package.
        model: its name, or the file name of the predictions.
        model_sha256: of the weights.
        model_revision: commit of the hub repository that the weights are from; None for others.
        predictions_sha256: of the results file.
        protocol: how the numbers were computed.
        numbers: part to name to number; the part is "" for metrics that have only one. Shares, except EPE in pixels.
        classes: kind of class to its rows; empty for metrics by distance.
        keypoints: error types by keypoint; empty for metrics by distance.
        notes: what a reader of the numbers must know.

    >>> protocol = Protocol(metric="coco", annotations="f8a1", images=114, persons=315, keypoints="coco")
    >>> record = Record(everypose="0.1.0", model="boir-lite", protocol=protocol, numbers={"": {"AP": 0.461}})
    >>> record.numbers[""]["AP"]
    0.461
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["everypose evaluation 1"] = "everypose evaluation 1"
    everypose: str
    model: str
    model_sha256: str | None = None
    model_revision: str | None = None
    predictions_sha256: str | None = None
    protocol: Protocol
    numbers: dict[str, dict[str, float | None]]
    classes: dict[str, list[ClassRow]] = {}
    keypoints: list[KeypointRow] = []
    notes: list[str] = []

    def write(self, path: Path) -> None:
        """Write the record as JSON, atomically."""
        write_json(path, self.model_dump(mode="json"), indent=1)

    @classmethod
    def read(cls, path: Path) -> "Record":
        """Read a record that ``write`` wrote.

        Raises:
            EveryposeError: if the file is not a record; the message names the first wrong field.
        """
        return validated(cls, read_json(path), f"{path} is not an evaluation record")

    def tables(self) -> list["Table"]:
        """Rich tables: protocol, numbers, classes, keypoints."""
        from rich.markup import escape
        from rich.table import Table

        protocol = Table(title=f"Protocol of {escape(self.model)}", title_justify="left", show_header=False)
        protocol.add_column(no_wrap=True)
        # Hashes are folded and not cut: protocols are compared literally.
        protocol.add_column(overflow="fold")
        for name, value in protocol_rows(self):
            protocol.add_row(name, escape(value))
        tables = [protocol, _numbers_table(self)]
        for kind, rows in self.classes.items():
            named = {
                f"{row.name} ({row.people} people)": {"AP": row.ap, "AP50": row.ap50, "AR": row.ar} for row in rows
            }
            tables.append(numbers_table(f"By {kind}", named, first_column="class"))
        if self.keypoints:
            tables.append(_keypoint_table(self.keypoints))
        return tables


def protocol_rows(record: Record) -> list[tuple[str, str]]:
    """Name and value of the protocol, the model and the package, as text.

    >>> protocol = Protocol(metric="coco", annotations="f8a1", images=114, persons=315, keypoints="coco")
    >>> record = Record(everypose="0.1.0", model="boir-lite", protocol=protocol, numbers={"": {"AP": 0.461}})
    >>> dict(protocol_rows(record))["persons"]
    '315'
    """
    rows = [(name.replace("_", " "), shown(value)) for name, value in record.protocol.model_dump().items()]
    rows += [("model", record.model), ("model sha256", shown(record.model_sha256))]
    if record.model_revision is not None:
        rows.append(("model revision", record.model_revision))
    rows += [("predictions sha256", shown(record.predictions_sha256)), ("everypose", record.everypose)]
    return rows


def shown(value: object) -> str:
    """A protocol's value in words.

    >>> shown(True), shown(None), shown(5)
    ('yes', 'not stated', '5')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    return NOT_STATED if value is None else str(value)


def differences(first: Protocol, second: Protocol) -> list[str]:
    """The differences between two protocols, one phrase for each field.

    >>> protocol = Protocol(metric="coco", annotations="f8a1", images=114, persons=315, keypoints="coco", flip=True)
    >>> differences(protocol, protocol.model_copy(update={"flip": False}))
    ['flip: yes versus no']
    """
    a, b = first.model_dump(), second.model_dump()
    return [f"{name.replace('_', ' ')}: {shown(a[name])} versus {shown(b[name])}" for name in a if a[name] != b[name]]


def require_same_protocol(first: Record, second: Record) -> None:
    """Check that two records are comparable.

    Raises:
        UsageError: if the protocols differ; the message lists the differences.

    >>> protocol = Protocol(metric="coco", annotations="f8a1", images=114, persons=315, keypoints="coco")
    >>> record = Record(everypose="0.1.0", model="boir-lite", protocol=protocol, numbers={"": {"AP": 0.461}})
    >>> mirrored = record.model_copy(update={"protocol": protocol.model_copy(update={"flip": True})})
    >>> require_same_protocol(record, mirrored)
    Traceback (most recent call last):
        ...
    everypose.errors.UsageError: different protocols: flip: not stated versus yes
    """
    if found := differences(first.protocol, second.protocol):
        raise UsageError(f"different protocols: {'; '.join(found)} (--anyway compares them nevertheless)")


def as_json_number(value: float) -> float | None:
    """Return a score for JSON: None if there was nothing to measure (-1 or NaN).

    >>> as_json_number(0.5), as_json_number(-1.0), as_json_number(float("nan"))
    (0.5, None, None)
    """
    return None if value != value or value < 0 else float(value)


def _numbers_table(record: Record) -> "Table":
    has_pixels = any(IN_PIXELS in numbers for numbers in record.numbers.values())
    unit = f"percent, {IN_PIXELS} in pixels" if has_pixels else "percent"
    return numbers_table(f"{record.protocol.metric} metric, {unit}", _in_percent(record), first_column="part")


def _in_percent(record: Record) -> dict[str, dict[str, float | None]]:
    """The numbers, with pixels divided by 100 because the table multiplies by 100."""
    return {
        part: {
            name: value / 100 if name == IN_PIXELS and value is not None else value for name, value in numbers.items()
        }
        for part, numbers in record.numbers.items()
    }


def _keypoint_table(rows: list[KeypointRow]) -> "Table":
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="Labeled keypoints of matched people, percent of each kind", title_justify="left")
    # Without lines, ten columns fit into 80 characters.
    table.box, table.padding = None, (0, 1, 0, 0)
    table.add_column("keypoint", no_wrap=True)
    for column in KEYPOINT_COLUMNS:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(escape(row.keypoint), *row.cells())
    return table
