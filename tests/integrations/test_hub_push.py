"""Publishing a model: the card says what the records say, and the upload is that of the real client to a stand-in."""

import base64
import hashlib
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from everypose.errors import MissingDependencyError
from everypose.evaluation.report.record import Protocol, Record
from everypose.integrations.hub_push import prepare_publication, publish
from everypose.models.config import ModelConfig
from everypose.models.storage import save_model
from everypose.skeleton.skeleton import Skeleton
from golden_vectors import TINY_BOIR, tiny_boir

COMMIT = "0" * 39 + "1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    config = ModelConfig(name="tiny", network=TINY_BOIR, skeleton=Skeleton.named("coco").to_dict())
    saved = tmp_path_factory.mktemp("model") / "tiny"
    save_model(tiny_boir(), config, saved)
    return saved


def record(path, digest):
    protocol = Protocol(
        metric="coco",
        dataset="crowd|pose",
        split="val",
        annotations="0" * 64,
        images=3,
        persons=9,
        boxes="none",
        keypoints="coco",
    )
    numbers = {"": {"AP": 0.7251, "AR": None}}
    Record(everypose="1", model="tiny", model_sha256=digest, protocol=protocol, numbers=numbers, notes=["few"]).write(
        path
    )
    return path


@pytest.fixture
def evaluation(folder, tmp_path):
    return record(tmp_path / "record.json", hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest())


class Hub(BaseHTTPRequestHandler):
    """The hub's API for uploads in one commit, with all files in the request."""

    protocol_version = "HTTP/1.1"
    requests: list
    refuse = 0

    def log_message(self, *_):
        pass

    def do_POST(self):
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.requests.append((self.path, self.headers.get("Authorization"), content))
        if self.path.endswith("/preupload/main"):
            files = [
                {"path": each["path"], "uploadMode": "regular", "shouldIgnore": False}
                for each in json.loads(content)["files"]
            ]
            answer = {"files": files}
        elif self.path.endswith("/commit/main"):
            answer = {
                "success": True,
                "commitOid": COMMIT,
                "commitUrl": f"http://{self.headers['Host']}/me/tiny/commit/{COMMIT}",
            }
        else:
            answer = {"url": f"http://{self.headers['Host']}/me/tiny", "name": "me/tiny"}
        body = json.dumps(answer).encode()
        self.send_response(self.refuse or 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def hub(monkeypatch):
    pytest.importorskip("huggingface_hub")
    handler = type("Handler", (Hub,), {"requests": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    yield handler
    server.shutdown()
    server.server_close()


def test_the_card_has_the_numbers_and_the_protocol_of_the_records(folder, evaluation):
    card = prepare_publication(folder, "me/tiny", [evaluation], license_id="apache-2.0").card
    assert card.startswith("---\nlicense: apache-2.0\n")
    for words in (
        "# tiny",
        "| AP | 72.5 |",
        "| AR | – |",
        "### crowd pose, val",
        "- boxes: none",
        "- note: few",
        "-m me/tiny",
    ):
        assert words in card
    assert hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest() in card
    assert "without an evaluation" in prepare_publication(folder, "me/tiny", license_id="mit").card


def test_records_of_other_weights_and_wrong_names_are_refused(everypose, folder, tmp_path):
    other = record(tmp_path / "other.json", "1" * 64)
    for words, arguments in (
        ("other.json is an evaluation of other weights", (folder, "me/tiny", "--license", "mit", "--record", other)),
        ("tiny is not a hub id", (folder, "tiny", "--license", "mit")),
        ("--license Apache 2: give the hub's spelling", (folder, "me/tiny", "--license", "Apache 2")),
        ("cannot read", (tmp_path, "me/tiny", "--license", "mit")),
        ("HF_HUB_OFFLINE forbids connections", (folder, "me/tiny", "--license", "mit")),
    ):
        done = everypose("push", *arguments)
        assert done.code in (1, 2)
        assert words in done.err
        assert done.err.count("\n") == 1


def test_a_model_is_uploaded_in_one_commit(everypose, hub, folder, evaluation):
    done = everypose("push", folder, "me/tiny", "--license", "apache-2.0", "--record", evaluation)
    assert done.code == 0, done.err
    assert done.out.strip().endswith(f"/commit/{COMMIT}")
    assert {token for _, token, _ in hub.requests} == {"Bearer hf_test"}
    assert json.loads(hub.requests[0][2])["name"] == "tiny"
    lines = [json.loads(line) for line in hub.requests[-1][2].splitlines()]
    sent = {
        line["value"]["path"]: base64.b64decode(line["value"]["content"]) for line in lines if line["key"] == "file"
    }
    assert sorted(sent) == ["README.md", "config.json", "model.safetensors"]
    assert sent["model.safetensors"] == (folder / "model.safetensors").read_bytes()
    assert b"| AP | 72.5 |" in sent["README.md"]


def test_a_hub_that_refuses_is_one_line(everypose, hub, folder, monkeypatch):
    monkeypatch.setattr(hub, "refuse", 403)
    done = everypose("push", folder, "me/tiny", "--license", "mit")
    assert done.code == 1
    assert done.err.startswith("everypose: cannot publish me/tiny: ")
    assert done.err.count("\n") == 1


def test_a_dry_run_uploads_nothing(everypose, hub, folder):
    assert everypose("push", folder, "me/tiny", "--license", "mit", "--dry-run").out.startswith("---\n")
    assert hub.requests == []


def test_without_the_hub_extra_there_is_one_line_of_advice(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    publication = prepare_publication(folder, "me/mine", (), license_id="apache-2.0")
    with pytest.raises(MissingDependencyError) as caught:
        publish(publication)
    assert str(caught.value) == (
        "publishing me/mine needs packages that are not installed: pip install 'everypose[hub]'"
    )
