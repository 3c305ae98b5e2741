"""The catalog of models: its schema, and that what it refers to exists."""

import re
import tomllib
from importlib import resources
from pathlib import PurePosixPath

import pytest
from pydantic import ValidationError

from everypose.errors import UsageError
from everypose.evaluation.report.published import published_of
from everypose.methods.vitpose.released import skeleton_in_name
from everypose.models.catalog import (
    Catalog,
    Entry,
    ReleaseSource,
    catalog,
    find_entry,
    require_entry,
    require_safe_path,
)
from everypose.models.default_names import DEFAULT_DETECTOR, DEFAULT_MODEL
from everypose.models.locate import bundled
from everypose.skeleton.skeleton import Skeleton

ENTRIES = catalog().model


def test_the_defaults_are_bundled():
    for name, kind in ((DEFAULT_MODEL, "pose"), (DEFAULT_DETECTOR, "detector")):
        entry = require_entry(name)
        assert entry.kind == kind
        assert entry.bundled is not None
    assert all(bundled(entry.bundled).exists() for entry in ENTRIES if entry.bundled)


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if entry.published], ids=lambda entry: entry.name)
def test_published_numbers_are_there(entry):
    where = entry.published
    assert published_of(where.model, where.datasets, where.input_size, where.note)


@pytest.mark.parametrize(("name", "ap"), [("boir-w32-crowdpose", 70.6), ("boir-w32-crowdpose-finetune", 75.8)])
def test_numbers_are_those_of_the_training(name, ap):
    where = require_entry(name).published
    (result,) = published_of(where.model, where.datasets, where.input_size, where.note)
    assert result.numbers["AP"] == ap


def test_what_downloads_states_source_and_training_data():
    for entry in ENTRIES:
        if entry.downloads:
            assert entry.data, entry.name
            assert entry.license.code, entry.name


def test_release_addresses_are_those_of_their_entries():
    """A copied line is the likely mistake in a long table."""
    addresses = [entry.release.url for entry in ENTRIES if entry.release]
    repositories = [(entry.hub.repository, entry.hub.files) for entry in ENTRIES if entry.hub]
    assert len(set(addresses)) == len(addresses)
    assert len(set(repositories)) == len(repositories)
    for entry in ENTRIES:
        if entry.release is not None:
            method, size = entry.name.split("-")[:2]
            file = entry.release.url.rsplit("/", 1)[1].replace("rtmw-dw-l-m", "rtmw-m").replace("rtmw-dw-x-l", "rtmw-l")
            assert re.match(rf"{method}[-_]{size}[-_.]", file), entry.name
            assert ("384x288" in file) == ((size == "x" and method == "rtmpose") or "384" in entry.name), entry.name


def test_files_of_easy_vitpose_are_those_of_their_entries():
    entries = [entry for entry in ENTRIES if entry.name.startswith("easy-vitpose-")]
    assert len(entries) == 4 * 7
    for entry in entries:
        (file,) = entry.hub.files
        _, _, size, _ = entry.name.split("-")
        keypoints = len(Skeleton.named(entry.skeleton))
        assert skeleton_in_name(PurePosixPath(file.path), keypoints) == entry.skeleton, entry.name
        assert PurePosixPath(file.path).name.startswith(f"vitpose-{size}-"), entry.name
        assert entry.family == ("vitpose" if file.path.endswith(".pth") else "easy-vitpose")
        assert entry.hub.revision is not None


def test_aliases_resolve_with_a_reason():
    for name in ("best", "fast", "crowd"):
        entry = find_entry(name)
        assert entry is not None
        assert entry.kind == "pose"
    assert all(len(alias.reason) > 5 for alias in catalog().alias)
    with pytest.raises(UsageError, match="did you mean mipnet-lite"):
        require_entry("mipnet-light")
    assert find_entry("nothing-like-it") is None


@pytest.mark.parametrize("path", [
    "../model.onnx", "/etc/model.onnx", "a/../../model.onnx", "a\\model.onnx", "C:model.onnx", "a//model.onnx",
    "model.pkl", "model.bin", "model.py", "model",
])  # fmt: skip
def test_unsafe_paths_and_kinds_of_file_are_refused(path):
    with pytest.raises(ValueError, match=r"is not a path inside a folder|files are accepted"):
        require_safe_path(path)
    with pytest.raises(ValidationError):
        Entry(name="x", family="x", description="", hub={"repository": "a/b", "files": [{"path": path}]})


@pytest.mark.parametrize(
    "url", ["http://example.org/model.onnx", "file:///etc/model.onnx", "https://me@example.org/m.onnx"]
)
def test_released_files_come_over_https(url):
    with pytest.raises(ValidationError, match="url"):
        ReleaseSource(url=url)


@pytest.mark.parametrize(("url", "member"), [
    ("https://example.org/model.zip", None), ("https://example.org/model.onnx", "end2end.onnx"),
    ("https://example.org/model.zip", "../end2end.onnx"), ("https://example.org/model.zip", "run.py"),
    ("https://example.org/model.pkl", None),
])  # fmt: skip
def test_an_archive_names_its_member(url, member):
    with pytest.raises(ValidationError):
        ReleaseSource(url=url, member=member)


def test_contradictions_in_the_table_are_errors():
    text = (resources.files("everypose.models") / "catalog.toml").read_text()
    values = tomllib.loads(text)
    for change, words in (
        ({"model": [*values["model"], values["model"][0]]}, "names are given twice: mipnet-lite"),
        ({"alias": [{"name": "other", "model": "nothing", "reason": "none"}]}, "aliases of unknown models: nothing"),
        ({"data": []}, "unknown training data"),
    ):
        with pytest.raises(ValidationError, match=words):
            Catalog.model_validate({**values, **change})
    with pytest.raises(ValidationError, match="several of bundled, hub and release"):
        Entry(name="x", family="x", description="", bundled="x.onnx", hub={"repository": "a/b"})
