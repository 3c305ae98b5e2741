"""What results store about the models that made them."""

import hashlib
import json
import socket
from pathlib import Path

import everypose as package
from everypose.models.catalog import Catalog, Entry, require_entry
from everypose.models.downloads.records import Record, StoredFile, record_path
from everypose.models.identity import identify_model
from everypose.models.locate import bundled


def test_aliases_give_the_name_and_the_hash(tmp_path, monkeypatch):
    sha256 = hashlib.sha256(bundled("boir-lite.onnx").read_bytes()).hexdigest()
    found = identify_model("boir-lite")
    assert (found.name, found.source, found.revision, found.sha256) == ("boir-lite", "everypose", None, sha256)
    copy = tmp_path / "mine.onnx"
    copy.write_bytes(b"graph")
    assert identify_model(copy).name == "mine.onnx"
    assert identify_model(copy).sha256 == hashlib.sha256(b"graph").hexdigest()
    assert identify_model("no-such-model").sha256 is None
    entry = Entry(name="pose", family="", description="", hub={"repository": "us/pose"})
    alias = {"name": "best", "model": "pose", "reason": "test"}
    monkeypatch.setattr("everypose.models.catalog.catalog", lambda: Catalog(model=(entry,), alias=(alias,)))
    monkeypatch.setenv("EVERYPOSE_HOME", str(tmp_path))
    assert identify_model("best").revision is None
    files = {
        "config.json": StoredFile(sha256="0" * 64, size=9),
        "model.safetensors": StoredFile(sha256="1" * 64, size=99),
    }
    record_path(entry).parent.mkdir()
    record_path(entry).write_text(
        Record(name="pose", source="https://hub/us/pose", revision="a" * 40, files=files).model_dump_json()
    )
    found = identify_model("best")
    assert (found.name, found.revision, found.sha256) == ("pose", "a" * 40, "1" * 64)


def test_the_demo_needs_no_network_and_names_its_model(everypose, tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    examples = Path(package.__file__).parent / "examples"
    assert list(examples.glob("*.jpg"))
    assert everypose("demo", "-o", tmp_path / "demo", "-m", "boir-lite").code == 0
    run = json.loads((tmp_path / "demo" / "run.json").read_text())
    assert run["everypose"] == package.__version__
    assert run["model"]["name"] == require_entry("boir-lite").name
    assert run["model"]["sha256"] == identify_model("boir-lite").sha256
    image = json.loads(next((tmp_path / "demo" / "json").glob("*.json")).read_text())
    assert image["model"] == run["model"]
