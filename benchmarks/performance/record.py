"""Results of a section, and the record from which the page is written."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.performance.timing import SMOKE, Effort


@dataclass(frozen=True)
class Options:
    """The options of the command line.

    Attributes:
        quick: tiny networks and one round: checks that it runs, measures nothing.
        threads: CPU threads.
        images: of the folder that goes through the pipeline.
        rounds: at most, of each measurement.
        photos: a folder of photos; those of the package by default.
        train_annotations: COCO-format annotations of photos of the folder, for the loader; made up by default.
        test_annotations: the same for measuring the AP that int8 costs; not measured by default.
        trained: a model in float32, an ``.onnx`` file, whose AP in int8 is measured; none by default.
        detector: the detector of the cascade, an ``.onnx`` file; no cascade by default.
        crop_network: the cascade's network, an ``.onnx`` file.
        clip: a video for the video section; made of a picture of the package by default.
    """

    quick: bool = False
    threads: int = 2
    images: int = 200
    rounds: int = 15
    photos: Path | None = None
    train_annotations: Path | None = None
    test_annotations: Path | None = None
    trained: Path | None = None
    detector: Path | None = None
    crop_network: Path | None = None
    clip: Path | None = None

    def effort(self, seconds: float) -> Effort:
        """How long a section may measure."""
        return SMOKE if self.quick else Effort(seconds, min(3, self.rounds), self.rounds)


@dataclass(frozen=True)
class Target:
    """A target, the measured value, and whether the target is met; None if it could not be measured."""

    goal: str
    found: str
    met: bool | None


@dataclass(frozen=True)
class Table:
    """Rows of cells under a header."""

    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    caption: str = ""


@dataclass(frozen=True)
class Findings:
    """Results of a section; ``pictures`` by file name, as SVG."""

    targets: list[Target] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pictures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """Results with machine, date and command; ``others`` is how many cores other processes kept busy."""

    findings: Findings
    command: str
    date: str
    machine: str
    versions: str
    others: float
    seconds: float
    quick: bool

    def write(self, path: Path) -> None:
        """As JSON; the pictures' content is left out."""
        values = asdict(self)
        values["findings"]["pictures"] = dict.fromkeys(self.findings.pictures, "")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Record":
        """Read a file of `write`."""
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found = values.pop("findings")
        tables = [
            Table(tuple(table["header"]), [tuple(row) for row in table["rows"]], table["caption"])
            for table in found["tables"]
        ]
        targets = [Target(**target) for target in found["targets"]]
        findings = Findings(targets, tables, found["notes"], found["pictures"])
        return cls(findings=findings, **values)
