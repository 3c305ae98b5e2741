"""``everypose data doctor``: find flaws of a data set, and what reading will repair."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from everypose.data.doctor import Diagnosis, Examined


def doctor(
    data: Annotated[Path, typer.Argument(help="A data set's folder, or one annotation file.")],
    images: Annotated[Path | None, typer.Option(help="Folder of the images, if it is elsewhere.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    fix: Annotated[
        Path | None, typer.Option(help="Write corrected annotations here: a folder, or a .json file for one file.")
    ] = None,
) -> None:
    """Find the flaws of a COCO-format keypoint data set.

    Exit code 1 if something cannot be repaired by reading (with --fix: in the corrected copy).

    Example: everypose data doctor data/mine --fix data/mine-corrected
    """
    from everypose.data.doctor import examine_all

    damaged: list[str] = []
    examined = list(examine_all(data, images, damaged))
    written = {} if fix is None else _write(examined, data, fix)
    after = [one.diagnosis for one in written.values()]
    readable = not damaged and all(one.readable for one in after or [each.diagnosis for each in examined])
    if as_json:
        report = {
            "readable": readable,
            "damaged": damaged,
            "files": [each.diagnosis.to_dict() for each in examined],
            "written": [str(path) for path in written],
            "left": [one.to_dict() for one in after],
        }
        print(json.dumps(report, indent=2))
    else:
        for each in examined:
            _print(each.diagnosis)
        for path, one in written.items():
            _print_written(path, one.diagnosis, len(one.content["annotations"]))
    for line in damaged:
        print(f"everypose: {line}", file=sys.stderr)
    raise typer.Exit(0 if readable else 1)


def _write(examined: "list[Examined]", data: Path, out: Path) -> "dict[Path, Examined]":
    """Write a corrected copy of every file; returns the diagnosis of each copy."""
    from everypose.core.files import write_json
    from everypose.data.doctor import examine_content
    from everypose.errors import UsageError

    single = out.suffix == ".json"
    if single and len(examined) > 1:
        raise UsageError(f"{data} holds {len(examined)} annotation files: give --fix a folder, not {out}")
    written = {}
    for each in examined:
        source = each.diagnosis.annotation_file
        target = out if single else out / (source.relative_to(data) if data.is_dir() else source.name)
        if target.exists() and target.samefile(source):
            raise UsageError(f"--fix would overwrite {source}; choose another path")
        content = each.corrected()
        write_json(target, content)
        written[target] = examine_content(content, target, each.diagnosis.image_root)
    return written


def _print(diagnosis: "Diagnosis") -> None:
    """Print one file's diagnosis, two lines for each kind of flaw."""
    skeleton = diagnosis.skeleton or "custom"
    print(
        f"{diagnosis.annotation_file}: {diagnosis.images:,} images, {diagnosis.annotations:,} annotations, "
        f"{diagnosis.persons:,} labeled persons, {diagnosis.keypoints} keypoints (skeleton: {skeleton})"
    )
    for note in diagnosis.notes:
        print(f"  note      {note}")
    for flaw in diagnosis.flaws:
        more = " ..." if flaw.count > len(flaw.examples) else ""
        print(f"  {flaw.kind.severity:<9} {flaw.count:>7,} {flaw.subject}: {flaw.kind.what}")
        print(f"                    {', '.join(flaw.examples)}{more}")
        print(f"                    -> {flaw.kind.reading}")
    if not diagnosis.flaws:
        print("  no flaws found")
    elif diagnosis.readable:
        print("  all flaws that matter are repaired when the set is read")
    else:
        print("  reading cannot repair what is marked broken or fixable; --fix OUT writes a corrected copy")


def _print_written(path: Path, left: "Diagnosis", annotations: int) -> None:
    """Print the diagnosis of one corrected copy."""
    broken = [flaw.kind.what for flaw in left.flaws if flaw.kind.severity in ("broken", "fixable")]
    state = f"still wrong: {'; '.join(broken)}" if broken else "reading repairs what is left"
    print(f"wrote {path}: {left.images:,} images, {annotations:,} annotations; {state}")
