"""``everypose models``: list, show, download and check the models of the catalog."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from everypose.evaluation.report.published import Published
    from everypose.models.catalog import Entry

models_app = typer.Typer(help="List, show, download and check models.", rich_markup_mode=None)

JsonOption = Annotated[bool, typer.Option("--json", help="Print as JSON.")]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A name or alias of the catalog.")]


@models_app.callback(invoke_without_command=True)
def models(context: typer.Context, as_json: JsonOption = False) -> None:
    """List, show, download and check models; without a command, list them.

    Example: everypose models show vitpose-plus-b
    """
    if context.invoked_subcommand is None:
        list_models(as_json=as_json)


@models_app.command("list")
def list_models(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="WORD", help="Only entries that contain all of these words.")
    ] = None,
    *,
    kind: Annotated[str | None, typer.Option(metavar="KIND", help="Only this kind: pose, detector or refiner.")] = None,
    family: Annotated[str | None, typer.Option(metavar="NAME", help="Only this family, such as vitpose.")] = None,
    skeleton: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only models with these keypoints, such as coco_wholebody.")
    ] = None,
    ready: Annotated[
        bool, typer.Option("--ready", help="Only what needs no training: bundled or to download.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the models, detectors and refiners of the catalog; folders, files and hub ids work wherever a name does.

    Published AP is that of the authors, in percent. Numbers with different boxes are not comparable.

    Example: everypose models list --family vitpose
    """
    from everypose.errors import UsageError
    from everypose.models.catalog import catalog

    if kind not in (None, "pose", "detector", "refiner"):
        raise UsageError(f"--kind {kind}: choose pose, detector or refiner")
    found = [
        entry
        for entry in catalog().model
        if kind in (None, entry.kind)
        and family in (None, entry.family)
        and skeleton in (None, entry.skeleton)
        and (not ready or entry.bundled or entry.downloads)
        and all(word.lower() in f"{entry.name} {entry.family} {entry.description}".lower() for word in words or ())
    ]
    if as_json:
        print(json.dumps([_summary(entry) for entry in found]))
        return
    for entry in found:
        print("  ".join(filter(None, (f"{entry.name:<29}", f"{_weights(entry):<15}", _headline(entry)))).rstrip())
        print(f"    {entry.description}")
    for alias in catalog().alias:
        if any(entry.name == alias.model for entry in found):
            print(f"{alias.name} = {alias.model}")


@models_app.command("show")
def show_model(name: NameArgument, as_json: JsonOption = False) -> None:
    """Print everything about a model: source, hashes, licenses, training data, published numbers with their protocol.

    Example: everypose models show mipnet-lite
    """
    from everypose.models.catalog import catalog, require_entry

    entry = require_entry(name)
    alias = next((alias for alias in catalog().alias if alias.name == name), None)
    results = _published(entry)
    if as_json:
        values = {
            **({} if alias is None else {"alias": name, "reason": alias.reason}),
            **entry.model_dump(mode="json"),
            "data": [data.model_dump(mode="json") for data in catalog().data if data.name in entry.data],
            "published": [result.model_dump(mode="json") for result in results],
        }
        print(json.dumps(values))
        return
    rows = [("alias", f"{name}: {alias.reason}")] if alias is not None else []
    rows += [("name", entry.name), ("kind", entry.kind), ("family", entry.family), ("description", entry.description)]
    rows += [("keypoints", entry.skeleton)] if entry.skeleton else []
    rows += _source_rows(entry)
    rows += [
        ("license", f"weights: {entry.license.weights or 'not stated'}; code: {entry.license.code or 'not stated'}")
    ]
    for data in (data for data in catalog().data if data.name in entry.data):
        rows.append(("trained on", f"{data.title}: {data.terms or f'read the terms at {data.page}'}"))
    if entry.obtain:
        rows.append(("weights", entry.obtain))
    rows += [("published", _in_words(result)) for result in results]
    if entry.box_ap is not None:
        rows.append(("published", f"AP of boxes {entry.box_ap.ap}, {entry.box_ap.protocol} ({entry.box_ap.source})"))
    for label, text in rows:
        print(f"{label:<12} {text}")


@models_app.command("get")
def get_models(
    names: Annotated[
        list[str],
        typer.Argument(metavar="NAME", help="Names or aliases of the catalog, or hub ids owner/name[@commit]."),
    ],
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="DIR", help="Download to DIR, for a machine without a connection."),
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Take the newest version, where the catalog does not require another one.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Download models in advance.

    Downloads resume. A file appears only when it is whole and has the hash of the catalog, or else that of the first
    download. On another machine, EVERYPOSE_HOME=DIR uses what --to DIR downloaded. HF_ENDPOINT, HF_TOKEN,
    HF_HUB_OFFLINE and the proxies of the environment are respected.

    Example: everypose models get vitpose-plus-b dfine-m --to models
    """
    import os

    from everypose.models.catalog import find_entry, require_entry
    from everypose.models.downloads.store import fetch, hub_entry

    if to is not None:
        os.environ["EVERYPOSE_HOME"] = str(to)
    for name in names:
        entry = hub_entry(name) if "/" in name and find_entry(name) is None else require_entry(name)
        print(f"{name}: in the package" if entry.bundled else fetch(entry, update=update, quiet=quiet))


@models_app.command("check")
def check_models(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Names of the catalog. [default: all that are downloaded]"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare downloaded files with the hashes of the catalog and of the first download; exit code 1 if one differs.

    Example: everypose models check
    """
    from everypose.models.catalog import find_entry, require_entry
    from everypose.models.downloads.store import downloaded, hub_entry, verify

    entries = [
        hub_entry(name) if "/" in name and find_entry(name) is None else require_entry(name) for name in names or ()
    ] or downloaded()
    found = {entry.name: [] if entry.bundled else verify(entry) for entry in entries}
    if as_json:
        print(json.dumps(found))
    else:
        for name, problems in found.items():
            if not problems:
                print(f"{name}: good")
    bad = [problem for problems in found.values() for problem in problems]
    for problem in bad:
        print(f"everypose: {problem}", file=sys.stderr)
    if bad:
        raise typer.Exit(1)


def _source_rows(entry: "Entry") -> list[tuple[str, str]]:
    """Label and text of where the weights are."""
    if entry.bundled is not None:
        return [("weights", f"in the package: {entry.bundled}")]
    if entry.hub is not None:
        revision = entry.hub.revision or "recorded at the first download"
        rows = [("weights", f"hub repository {entry.hub.repository}"), ("revision", revision)]
        return rows + [("file", f"{file.path}, {_identity(file.sha256, file.size)}") for file in entry.hub.files]
    if entry.release is not None:
        member = "" if entry.release.member is None else f", {entry.release.member} in it"
        return [
            ("weights", entry.release.url + member),
            ("file", _identity(entry.release.sha256, entry.release.size)),
        ]
    return [("weights", "not to download: import the authors' checkpoint or train it")]


def _identity(sha256: str | None, size: int | None) -> str:
    """Hash and size of a file in words."""
    hashed = "sha256 recorded at the first download" if sha256 is None else f"sha256 {sha256}"
    return hashed if size is None else f"{hashed}, {size / 1e6:.1f} MB"


def _published(entry: "Entry") -> list["Published"]:
    """The published results of an entry."""
    from everypose.evaluation.report.published import published_of

    where = entry.published
    return [] if where is None else published_of(where.model, where.datasets, where.input_size, where.note)


def _headline(entry: "Entry") -> str:
    """The first published number with its protocol; "" without one."""
    if entry.box_ap is not None:
        return f"AP {entry.box_ap.ap} of boxes, {entry.box_ap.protocol}"
    results = _published(entry)
    if not results:
        return ""
    name, number = next(iter(results[0].numbers.items()))
    return f"{name} {number}, {results[0].dataset} {results[0].split}, boxes: {results[0].boxes}"


def _in_words(result: "Published") -> str:
    """A published result with its protocol."""
    numbers = ", ".join(f"{name} {number}" for name, number in result.numbers.items())
    size = f", {result.input_size}" if result.input_size else ""
    note = f"; {result.note}" if result.note else ""
    return f"{result.dataset} {result.split}: {numbers} (boxes: {result.boxes}{size}; {result.source}{note})"


def _weights(entry: "Entry") -> Literal["bundled", "download", "see show", "import or train"]:
    """Where the weights come from."""
    if entry.bundled:
        return "bundled"
    if entry.obtain:
        return "see show"
    return "download" if entry.downloads else "import or train"


def _summary(entry: "Entry") -> dict[str, Any]:
    """An entry of the list for a program."""
    return {
        "name": entry.name,
        "kind": entry.kind,
        "family": entry.family,
        "skeleton": entry.skeleton,
        "bundled": entry.bundled is not None,
        "weights": _weights(entry),
        "published": _headline(entry),
        "description": entry.description,
    }
