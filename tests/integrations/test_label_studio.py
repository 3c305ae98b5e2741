"""Label Studio: predictions in its format, over its protocol, with images from its server only."""

import base64
import hashlib
import http.server
import json
import socket
import threading
from pathlib import Path

import httpx
import numpy as np
import pytest

from everypose.errors import EveryposeError
from everypose.integrations.label_studio import labeling_config, prediction, read_controls
from everypose.skeleton.skeleton import Skeleton
from inference.stand_in import SKELETON, crowd

pytest.importorskip("fastapi")

from everypose.serving.failures import UnprocessableError
from everypose.serving.label_studio import LabelStudio, _download
from serving.running import photo, running

CONFIG = labeling_config(SKELETON)
PEOPLE = ((0, 0, 100), (2, 1, 200))


def test_predictions_are_percentages_within_the_rectangle_of_the_person(pose):
    people = pose(crowd(PEOPLE, width=128))
    made = prediction(people, read_controls(CONFIG), "stand-in")
    parents = [region for region in made["result"] if region["type"] == "rectanglelabels"]  # type: ignore[attr-defined]
    points = [region for region in made["result"] if region["type"] == "keypointlabels"]  # type: ignore[attr-defined]
    assert (len(parents), len(points)) == (2, 34)
    assert made["score"] == pytest.approx(people.scores.mean())
    nose = next(region for region in points if region["value"]["keypointlabels"] == ["nose"])
    x, y, _ = people[0]["nose"]
    assert (nose["value"]["x"], nose["value"]["y"]) == pytest.approx((100 * x / 128, 100 * y / 64))
    assert nose["parentID"] == parents[0]["id"]
    assert (nose["original_width"], nose["original_height"], nose["to_name"]) == (128, 64, "image")


def test_labels_match_by_name_in_any_spelling(pose):
    config = CONFIG.replace('"left_shoulder"', '"Left Shoulder"').replace('"nose"', '"tail"')
    made = prediction(pose(crowd(PEOPLE, width=128)), read_controls(config), "stand-in")
    labels = {region["value"].get("keypointlabels", [""])[0] for region in made["result"]}  # type: ignore[attr-defined]
    assert "Left Shoulder" in labels
    assert "tail" not in labels


def test_without_rectangles(pose):
    start, end = CONFIG.index("  <Rectangle"), CONFIG.index("  <KeyPoint")
    made = prediction(pose(crowd(PEOPLE, width=128)), read_controls(CONFIG[:start] + CONFIG[end:]), "stand-in")
    assert {region["type"] for region in made["result"]} == {"keypointlabels"}  # type: ignore[attr-defined]
    assert not any("parentID" in region for region in made["result"])  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "config",
    [
        "",
        "<View/>",
        "<View>",
        '<View><KeyPointLabels name="k" toName="i"/><Image name="i" value="$image"/></View>',
        '<!DOCTYPE v [<!ENTITY a "aaaa">]><View>&a;</View>',
        "<View>" + "x" * 1_000_001 + "</View>",
    ],
)
def test_configurations_that_cannot_be_used(config):
    with pytest.raises(EveryposeError, match="labeling configuration"):
        read_controls(config)


def test_no_label_that_the_model_knows(pose):
    config = CONFIG
    for name in SKELETON.keypoints:
        config = config.replace(f'"{name}"', f'"part {name}x"')
    with pytest.raises(EveryposeError, match="no keypoint label"):
        prediction(pose(crowd(PEOPLE)), read_controls(config), "stand-in")


SERVER = LabelStudio("http://localhost:8080/studio")


@pytest.mark.parametrize(
    ("image", "url"),
    [
        ("/data/upload/1/a.jpg", "http://localhost:8080/data/upload/1/a.jpg"),
        ("data/upload/a.jpg", "http://localhost:8080/studio/data/upload/a.jpg"),
        ("http://localhost:8080/data/a.jpg?x=1", "http://localhost:8080/data/a.jpg?x=1"),
        ("/data/my%20photos/a.jpg?d=%C3%A9&e=a+b", "http://localhost:8080/data/my%20photos/a.jpg?d=%C3%A9&e=a+b"),
        ("/data/my photos/Zoë.jpg", "http://localhost:8080/data/my%20photos/Zo%C3%AB.jpg"),
        ("/data/local-files/?d=語 1.jpg", "http://localhost:8080/data/local-files/?d=%E8%AA%9E%201.jpg"),
    ],
)
def test_images_on_the_own_server(image, url):
    assert SERVER.url_of(image) == url


@pytest.mark.parametrize(
    "image",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://localhost:8081/a.jpg",
        "https://localhost:8080/a.jpg",
        "//attacker.example/a.jpg",
        "http://localhost:8080@attacker.example/a.jpg",
        "http://user:password@localhost:8080/a.jpg",
        "http://localhost:8080\\@attacker.example/a.jpg",
        "file:///etc/passwd",
        "ftp://localhost:8080/a",
        "gopher://localhost:8080/a",
        "http://[",
        "http://localhost:99999/",
    ],
)
def test_images_elsewhere_are_refused(image):
    with pytest.raises(UnprocessableError, match="not on the Label Studio server"):
        SERVER.url_of(image)


class Studio(http.server.BaseHTTPRequestHandler):
    """A stand-in for Label Studio: gives images to those with its token; one address leads elsewhere."""

    seen = ()

    def do_GET(self):
        type(self).seen += (self.path,)
        if self.headers.get("Authorization") != "Token studio-token":
            self.send_error(401)
        elif self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:1/secret")
            self.end_headers()
        else:
            content = photo(PEOPLE, width=128) if self.path == "/data/upload/people.png" else bytes(3_000_000)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.mark.parametrize("answer", [b"nonsense\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"])
def test_answers_that_are_no_http_are_one_line(answer):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def reply():
            connection, _ = server.accept()
            with connection:
                connection.recv(10_000)
                connection.sendall(answer)

        threading.Thread(target=reply, daemon=True).start()
        with pytest.raises(UnprocessableError, match="the image cannot be fetched from Label Studio"):
            _download(f"http://127.0.0.1:{server.getsockname()[1]}/a.png", "", 100, 5)


def test_names_of_keypoints_are_escaped():
    names = ('a "nose" & <eye>', "l'œil")
    assert read_controls(labeling_config(Skeleton("odd", names, (), (), None))).labels == names


@pytest.fixture(scope="module")
def backend(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokens")
    (folder / "studio").write_text("studio-token\n")
    (folder / "own").write_text("a-token-of-enough-length\n")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Studio) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        options = ("--label-studio", address, "--label-studio-token", folder / "studio", "--max-mb", 1)
        with running("-m", model, "--threads", 1, "--token-file", folder / "own", *options) as service:
            yield service
        server.shutdown()


def test_the_protocol(backend, model):
    images = [
        "/data/upload/people.png",
        "data:image/png;base64," + base64.b64encode(photo(((0, 0, 50),))).decode(),
        "http://attacker.example/a.png",
        "/elsewhere",
        "/too/large",
        "data:image/png;base64,!!!",
        "",
        "data:image/png;base64,é",
    ]
    tasks = [{"id": number, "data": {"image": image}, "other": 1} for number, image in enumerate(images)]
    with backend.client(auth=("anyone", "a-token-of-enough-length")) as client:
        assert client.get("/health").json()["status"] == "UP"
        made = client.post("/setup", json={"project": "1.2", "schema": CONFIG, "extra_params": {}})
        digest = hashlib.sha256(Path(model).read_bytes()).hexdigest()
        assert made.json() == {"model_version": f"stand-in-{digest[:12]}"}
        answer = client.post("/predict", json={"tasks": tasks, "label_config": CONFIG, "params": {"login": None}})
        assert client.post("/webhook", json={"action": "PROJECT_UPDATED"}).status_code == 201
    assert answer.status_code == 200
    counts = [len(one["result"]) for one in answer.json()["results"]]
    assert counts == [2 * 18, 18, 0, 0, 0, 0, 0, 0]
    assert {one["model_version"] for one in answer.json()["results"]} == {made.json()["model_version"]}
    assert "/secret" not in Studio.seen
    lines = [json.loads(line) for line in backend.log if "no prediction" in line]
    assert [line["task"] for line in lines] == [2, 3, 4, 5, 6, 7]


def test_what_the_backend_refuses(backend):
    with backend.client() as client:
        assert client.post("/predict", json={"tasks": []}).status_code == 401
    with backend.client(auth=httpx.BasicAuth("", "a-token-of-enough-length")) as client:
        for body in (b"", b"[]", b'{"tasks": 1}', json.dumps({"tasks": [{}] * 101, "label_config": CONFIG}).encode()):
            assert client.post("/predict", content=body).status_code == 422
        assert client.post("/predict", json={"tasks": [], "label_config": "<View/>"}).status_code == 422
        assert client.post("/predict", content=bytes(2_000_000)).status_code == 413


def test_the_sdk_accepts_predictions(pose):
    interface = pytest.importorskip("label_studio_sdk.label_interface")
    people = pose(crowd(PEOPLE, width=128))
    made = prediction(people, read_controls(CONFIG), "stand-in")
    errors = interface.LabelInterface(CONFIG).validate_prediction(made, return_errors=True)
    assert errors == []


def test_the_sdk_converts_accepted_predictions_to_yolo(pose, tmp_path):
    """YOLO keeps people apart; the SDK's COCO export joins all keypoints of an image in one annotation."""
    converter = pytest.importorskip("label_studio_sdk.converter")
    people = pose(crowd(PEOPLE, width=128))
    made = prediction(people, read_controls(CONFIG), "stand-in")
    (tmp_path / "people.png").write_bytes(photo(PEOPLE, width=128))
    annotations = [{"id": 1, "result": made["result"]}]
    task = {"id": 1, "data": {"image": str(tmp_path / "people.png")}, "annotations": annotations}
    (tmp_path / "tasks.json").write_text(json.dumps([task]))
    convert = converter.Converter(config=CONFIG, project_dir=str(tmp_path), download_resources=False).convert_to_yolo
    convert(str(tmp_path / "tasks.json"), str(tmp_path / "out"), is_dir=False)
    (labels,) = (tmp_path / "out" / "labels").iterdir()
    rows = np.array([line.split() for line in labels.read_text().splitlines()], dtype=float)
    assert rows.shape == (2, 5 + 3 * 17)
    found = rows[:, 5:].reshape(2, 17, 3)[..., :2] * (128, 64)
    assert np.abs(found - people.keypoints[..., :2]).max() < 1e-3
