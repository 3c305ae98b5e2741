"""Downloads from hostile servers: one line, no file under a model's name, nothing run."""

import hashlib
import json
import os
import shutil
import socket
import struct
import subprocess
import sys

import pytest

from everypose.errors import EveryposeError, UsageError
from everypose.inference.loading import load
from everypose.models.catalog import Catalog
from everypose.models.downloads.records import folder_of, home, read_record, record_path
from everypose.models.downloads.store import fetch, hub_entry, stored, verify
from everypose.models.locate import ModelFile, resolve
from models.downloads.hub_stand_in import COMMIT, Page
from models.downloads.made_entries import (
    CONFIG,
    GRAPH,
    OTHER,
    SHA256,
    WEIGHTS,
    pose,
    refuse,
    release,
    zipped,
)


def test_a_repository_is_downloaded_once_and_its_hashes_are_recorded(hub, capsys):
    hub.repository("us/pose", {"config.json": CONFIG, "model.safetensors": WEIGHTS, "evil.pkl": b"cos\nsystem"})
    folder = fetch(pose())
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert capsys.readouterr().err.count("downloading") == 2
    record = read_record(pose())
    assert record.revision == COMMIT
    assert record.files["model.safetensors"].sha256 == SHA256[WEIGHTS]
    asked = len(hub.asked)
    assert fetch(pose()) == folder
    assert len(hub.asked) == asked
    assert verify(pose()) == []
    assert not list((home() / "partial").iterdir())


def test_later_downloads_must_be_those_of_the_record(hub):
    hub.repository("us/pose", {"config.json": CONFIG, "model.safetensors": WEIGHTS})
    shutil.rmtree(fetch(pose(), quiet=True))
    changed = WEIGHTS[:-1] + b"\0"
    hub.repository("us/pose", {"config.json": CONFIG, "model.safetensors": changed})
    refuse(pose(), r"^pose: model.safetensors has sha256 \w{12} instead of \w{12}: .* refused$")
    hub.repository("us/pose", {"config.json": CONFIG, "model.safetensors": WEIGHTS}, commit=OTHER)
    hub.pages[f"/api/models/us/pose/revision/{COMMIT}"] = hub.pages["/api/models/us/pose/revision/main"]
    refuse(pose(), "the hub gives commit ffffffffffff instead of 0123456789ab")
    del hub.pages[f"/api/models/us/pose/revision/{COMMIT}"]
    refuse(pose(), "HTTP 404")
    assert fetch(pose(), update=True, quiet=True)
    assert read_record(pose()).revision == OTHER


@pytest.mark.parametrize("entry", [pose(sha256="0" * 64), pose(size=12)])
def test_what_the_catalog_requires_is_checked_before_the_download(hub, entry):
    hub.repository("us/pose", {"config.json": CONFIG, "model.safetensors": WEIGHTS})
    refuse_words = "instead of"
    with pytest.raises(EveryposeError, match=refuse_words):
        fetch(entry, quiet=True)
    assert stored(entry) is None
    assert not (folder_of(entry) / "model.safetensors").exists()


def test_a_pinned_revision_is_the_one_that_is_asked_for(hub):
    hub.repository("us/pose", {"config.json": CONFIG, "model.safetensors": WEIGHTS}, commit=OTHER)
    entry = pose().model_copy(update={"hub": pose().hub.model_copy(update={"revision": OTHER})})
    fetch(entry, quiet=True)
    assert hub.asked[0][0].endswith(OTHER)
    newer = pose().model_copy(update={"hub": pose().hub.model_copy(update={"revision": COMMIT})})
    assert stored(newer) is None


def test_the_content_has_another_hash_than_the_hub_states(hub):
    hub.repository("us/pose", {"config.json": CONFIG, "model.safetensors": WEIGHTS})
    hub.pages[f"/us/pose/resolve/{COMMIT}/model.safetensors"].content = WEIGHTS[:-1] + b"\0"
    with pytest.raises(EveryposeError, match=r"model.safetensors has sha256 .* refused"):
        fetch(pose(), quiet=True)
    assert not (folder_of(pose()) / "model.safetensors").exists()
    assert stored(pose()) is None
    assert not list((home() / "partial").glob("*.part"))


@pytest.mark.parametrize(("page", "words"), [
    (Page(b"<!DOCTYPE html><p>Sign in", kind="text/html"), "answers with a web page"),
    (Page(b"\n <!DOCTYPE html><p>Sign in"), "a web page was received instead of a .onnx file"),
    (Page(b"version https://git-lfs.github.com/spec/v1\noid sha256:0"), "a Git LFS pointer was received"),
    (Page(b"not found"), "is not an ONNX file"),
    (Page(b""), "is not an ONNX file"),
    (Page(code=404), r"does not exist \(HTTP 404\)"),
    (Page(code=401), r"needs permission \(HTTP 401\).* set HF_TOKEN"),
    (Page(code=403), r"needs permission \(HTTP 403\)"),
    (Page(code=410), r"cannot be downloaded \(HTTP 410\)"),
    (Page(GRAPH, sized=False), "does not state its size"),
    (Page(GRAPH, headers={"Content-Encoding": "gzip"}), "compressed content"),
    (Page(code=302, headers={"Location": "file:///etc/passwd"}), "redirect"),
    (Page(code=302, headers={"Location": "ftp://127.0.0.1/x"}), "redirects to a ftp address, which is not safe"),
    (Page(code=302, headers={"Location": "/r/pose.onnx"}), "redirects too often"),
])  # fmt: skip
def test_answers_that_are_no_model(hub, page, words):
    hub.pages["/r/pose.onnx"] = page
    refuse(release(hub), f"^pose: .*{words}")


def test_a_server_that_is_busy_is_asked_again(hub):
    hub.pages["/r/pose.onnx"] = Page(code=503)
    refuse(release(hub), "was cut 5 times: HTTP 503")
    assert len(hub.asked) == 5


def test_redirections_to_plain_http_are_refused_and_others_followed(hub):
    hub.pages["/elsewhere"] = Page(GRAPH)
    hub.pages["/r/pose.onnx"] = Page(code=302, headers={"Location": f"{hub.http}/elsewhere"})
    refuse(release(hub), "redirects to a http address, which is not safe: nothing was downloaded")
    hub.pages["/r/pose.onnx"].headers["Location"] = f"{hub.https.replace('127.0.0.1', 'localhost')}/elsewhere"
    assert fetch(release(hub), quiet=True)


def test_the_token_goes_to_the_hub_only(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    hub.repository("us/pose", {"config.json": CONFIG, "model.safetensors": WEIGHTS})
    hub.pages["/elsewhere"] = Page(WEIGHTS)
    page = hub.pages[f"/us/pose/resolve/{COMMIT}/model.safetensors"]
    page.code, page.headers = 302, {"Location": f"{hub.https}/elsewhere"}
    fetch(pose(), quiet=True)
    sent = {path: headers.get("Authorization") for path, headers in hub.asked}
    assert sent.pop("/elsewhere") is None
    assert set(sent.values()) == {"Bearer secret"}


def test_an_unknown_authority_is_refused(hub, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    hub.pages["/r/pose.onnx"] = Page(GRAPH)
    refuse(release(hub), "cannot reach 127.0.0.1: .*certificate")


@pytest.mark.parametrize(("answer", "words"), [
    (b"<html>Sign in</html>", "does not answer as the hub does"),
    (b"[]", "does not answer as the hub does"),
    (b'{"sha": "main", "siblings": []}', "does not answer as the hub does"),
    (b"[" * 100_000, "does not answer as the hub does"),
    (b" " * (9 * 2**20), "which is too much"),
    (json.dumps({"sha": COMMIT, "siblings": [{"rfilename": "../model.safetensors"}]}).encode(), "has no config.json"),
])  # fmt: skip
def test_a_hub_that_answers_something_else(hub, answer, words):
    hub.pages["/api/models/us/pose/revision/main"] = Page(answer, kind="application/json")
    refuse(pose(), words)


def test_a_listing_that_is_cut_is_asked_for_again(hub):
    hub.repository("us/pose", {"config.json": CONFIG, "model.safetensors": WEIGHTS})
    hub.pages["/api/models/us/pose/revision/main"].cut = 50
    assert fetch(pose(), quiet=True)
    hub.pages["/api/models/us/pose/revision/main"] = Page(b"{}", cut=1, always=True)
    shutil.rmtree(home())
    refuse(pose(), "was cut 5 times: 1 bytes are missing")


def test_files_that_only_another_version_has_are_removed(hub):
    hub.repository("us/graph", {"old.onnx": GRAPH})
    assert resolve("us/graph").path.name == "old.onnx"
    hub.repository("us/graph", {"new.onnx": GRAPH}, commit=OTHER)
    assert resolve(f"us/graph@{OTHER}").path.name == "new.onnx"
    hub.repository("us/graph", {"config.json": CONFIG, "model.safetensors": WEIGHTS})
    folder = fetch(hub_entry("us/graph"), update=True, quiet=True)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]


@pytest.mark.usefixtures("hub")
def test_no_connection_gives_advice(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{free.getsockname()[1]}")
        refuse(
            pose(),
            "^cannot reach 127.0.0.1: .*; pose is not downloaded: .* --to DIR', then set EVERYPOSE_HOME=DIR here$",
        )
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    refuse(pose(), "^HF_HUB_OFFLINE forbids connections, and pose is not downloaded: .* --to DIR'")
    monkeypatch.setenv("HF_ENDPOINT", "file:///etc")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    refuse(pose(), "HF_ENDPOINT=file:///etc is not an http")


def test_proxies_are_used(hub, monkeypatch):
    monkeypatch.setenv("http_proxy", hub.http)
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.example")
    hub.repository("us/pose", {"config.json": CONFIG, "model.safetensors": WEIGHTS})
    assert fetch(pose(), quiet=True)
    assert read_record(pose()).source == "http://hub.example/us/pose"


def test_a_full_disk(hub, monkeypatch):
    hub.pages["/r/pose.onnx"] = Page(GRAPH)
    usage = shutil.disk_usage("/")
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100))
        refuse(release(hub), "has 0 MB, but .* has space for 0 MB only")
    with monkeypatch.context() as full:

        def write(*_):
            raise OSError(28, "No space left on device")

        full.setattr("everypose.models.downloads.client._write_tag", write)
        refuse(release(hub), "cannot write .*: No space left on device")


def test_a_folder_that_cannot_be_written(hub, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EVERYPOSE_HOME", str(tmp_path / "file"))
    with pytest.raises(EveryposeError, match=r"cannot write .*: Not a directory"):
        fetch(release(hub), quiet=True)


def test_the_named_member_of_an_archive(hub):
    content = zipped(
        {"20230831/x/end2end.onnx": GRAPH, "20230831/x/run.py": b"import os", "20230831/x/detail.json": b"{}"}
    )
    hub.pages["/r/pose.zip"] = Page(content)
    entry = release(hub, "/r/pose.zip", member="end2end.onnx")
    folder = fetch(entry, quiet=True)
    assert [path.name for path in folder.iterdir()] == ["pose.onnx"]
    assert (folder / "pose.onnx").read_bytes() == GRAPH
    assert read_record(entry).archive_sha256 == hashlib.sha256(content).hexdigest()
    shutil.rmtree(folder)
    hub.pages["/r/pose.zip"] = Page(zipped({"end2end.onnx": GRAPH}))
    refuse(entry, "pose.zip has sha256 .* refused")


@pytest.mark.parametrize(("members", "words"), [
    ({"../end2end.onnx": GRAPH}, r"the path '../end2end.onnx', which leaves it: refused"),
    ({"end2end.onnx": GRAPH, "a/../../b": b""}, "which leaves it: refused"),
    ({"/end2end.onnx": GRAPH}, "which leaves it: refused"),
    ({"a\\..\\end2end.onnx": GRAPH}, "which leaves it: refused"),
    ({"a/end2end.onnx": GRAPH, "b/end2end.onnx": GRAPH}, "2 files named end2end.onnx instead of one"),
    ({"other.onnx": GRAPH}, "0 files named end2end.onnx instead of one"),
    ({"end2end.onnx": b"\x08" * 2**24}, "unpacks to 17 MB, which is not plausible: refused"),
    ({"end2end.onnx": b"<html>"}, "a web page was received"),
])  # fmt: skip
def test_hostile_archives(hub, members, words):
    hub.pages["/r/pose.zip"] = Page(zipped(members))
    refuse(release(hub, "/r/pose.zip", member="end2end.onnx"), f"^pose: .*{words}")


@pytest.mark.parametrize("position", [40, -30])
def test_damaged_archives(hub, position):
    content = bytearray(zipped({"end2end.onnx": GRAPH}))
    content[position] ^= 0xFF
    hub.pages["/r/pose.zip"] = Page(bytes(content))
    refuse(release(hub, "/r/pose.zip", member="end2end.onnx"), "^pose: ")


def test_an_archive_that_states_a_small_size(hub):
    """The size in the directory is what is unpacked at most; more is damage."""
    content = zipped({"end2end.onnx": b"\x08" * 2**24})
    small = content.replace(struct.pack("<I", 2**24), struct.pack("<I", 1000))
    hub.pages["/r/pose.zip"] = Page(small)
    refuse(release(hub, "/r/pose.zip", member="end2end.onnx"), "is damaged|not plausible")


def test_a_stored_file_that_changed_is_found(hub):
    hub.pages["/r/pose.onnx"] = Page(GRAPH)
    entry = release(hub)
    path = fetch(entry, quiet=True) / "pose.onnx"
    os.utime(path, (1, 1))
    assert stored(entry) == path.parent
    assert read_record(entry).files["pose.onnx"].mtime_ns == 10**9
    path.write_bytes(GRAPH[:-1] + b"x")
    with pytest.raises(
        EveryposeError, match="is not the file that was downloaded: remove it and run 'everypose models get pose'"
    ):
        fetch(entry)
    path.unlink()
    assert verify(entry) == [f"{path} is missing"]
    record_path(entry).write_text("{")
    with pytest.raises(EveryposeError, match=r"pose.json is not valid JSON"):
        fetch(entry)


def test_two_processes_download_once(hub):
    hub.pages["/r/pose.onnx"] = Page(GRAPH)
    code = (
        "import sys; from everypose.models.catalog import Entry; from everypose.models.downloads.store import fetch;"
        f"fetch(Entry(name='pose', family='', description='', release={{'url': '{hub.https}/r/pose.onnx'}}))"
    )
    running = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(2)]
    said = [process.communicate(timeout=60)[1].decode() for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    assert len(hub.asked) == 1
    assert verify(release(hub)) == []


def test_names_of_the_catalog_are_resolved_to_stored_files(hub, tmp_path, monkeypatch):
    entry = release(hub)
    known = Catalog(model=(entry,), alias=({"name": "crowd", "model": "pose", "reason": "test"},))
    monkeypatch.setattr("everypose.models.catalog.catalog", lambda: known)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="weights of pose do not come with everypose"):
        resolve("pose", download=False)
    hub.pages["/r/pose.onnx"] = Page(GRAPH)
    assert resolve("crowd") == resolve("pose") == ModelFile("onnx", folder_of(entry) / "pose.onnx")
    assert len(hub.asked) == 1
    with pytest.raises(EveryposeError, match=r"pose.onnx"):
        load("pose")


def test_the_command_downloads_and_checks(hub, everypose, tmp_path, monkeypatch):
    entry = release(hub)
    for module in ("catalog", "downloads.store"):
        monkeypatch.setattr(f"everypose.models.{module}.catalog", lambda: Catalog(model=(entry,)))
    hub.pages["/r/pose.onnx"] = Page(GRAPH)
    done = everypose("models", "get", "pose", "--to", tmp_path / "offline")
    assert done.code == 0
    assert done.out == f"{tmp_path / 'offline' / 'models' / 'pose'}\n"
    assert everypose("models", "check").out == "pose: good\n"
    assert "download" not in everypose("models", "get", "pose").err
    (tmp_path / "offline" / "models" / "pose" / "pose.onnx").write_bytes(b"other")
    done = everypose("models", "check", "--json")
    assert done.code == 1
    assert len(json.loads(done.out)["pose"]) == 1
    assert "is not the file that was downloaded" in done.err
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("EVERYPOSE_HOME", str(tmp_path / "empty"))
    done = everypose("predict", "x.jpg", "-m", "pose")
    assert done.err.count("\n") == 1


def test_hub_ids(hub):
    hub.repository(
        "us/pose", {"config.json": CONFIG, "model.safetensors": WEIGHTS, "README.md": b"x", "extra.onnx": GRAPH}
    )
    folder = fetch(hub_entry("us/pose"), quiet=True)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    hub.repository("us/graph", {"pose.onnx": GRAPH, "run.py": b"x"})
    assert [path.name for path in fetch(hub_entry(f"us/graph@{COMMIT}"), quiet=True).iterdir()] == ["pose.onnx"]
    hub.repository("us/poems", {"poem.txt": b"x", "weights.pkl": b"x"})
    refuse(hub_entry("us/poems"), "us/poems has no model that everypose reads")
    with pytest.raises(UsageError, match="us/pose@main is not a hub id"):
        hub_entry("us/pose@main")


def test_every_download_is_checked_whatever_is_damaged(hub, everypose):
    for name in ("us/good", "us/changed", "us/unreadable"):
        hub.repository(name, {"pose.onnx": GRAPH})
        fetch(hub_entry(name), quiet=True)
    (folder_of(hub_entry("us/changed")) / "pose.onnx").write_bytes(b"other")
    record_path(hub_entry("us/unreadable")).write_text("{")
    (home() / "models" / "no--hub--id.json").write_text("{}")
    done = everypose("models", "check")
    assert (done.code, done.out) == (1, "us/good: good\n")
    assert "pose.onnx is not the file that was downloaded" in done.err
    assert "us--unreadable.json is not valid JSON" in done.err
    assert done.err.count("\n") == 2
