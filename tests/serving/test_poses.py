"""POST /v1/poses: every answer is what the same model gives offline; every refusal is one line with its status."""

import json
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

import everypose
from everypose.core.files import sha256
from everypose.inference.results.csv_table import read_csv
from everypose.inference.results.openpose import openpose_json
from everypose.people import People
from everypose.serving.rendering import FORMATS, MODEL_HEADER
from inference.stand_in import crowd
from serving.running import photo

PEOPLE = ((0, 0, 100), (1, 1, 200))


def send(client, content=None, media_type="image/png", **options):
    content = photo(PEOPLE) if content is None else content
    return client.post("/v1/poses", content=content, headers={"content-type": media_type}, params=options)


def offline(model, content, **options):
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    return everypose.load(model, **options)(np.ascontiguousarray(image))


def test_an_answer_is_the_offline_result(client, model):
    answer = send(client)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    content = answer.json()
    assert (content["model"], content["image"]) == ("stand-in", {"width": 64, "height": 64})
    weights = {"name": model.name, "revision": None, "sha256": sha256(model)}
    assert content["weights"] == weights
    assert client.get("/v1/models").json()["models"][0]["weights"] == weights
    assert People.from_json(answer.text).to_json() == offline(model, photo(PEOPLE)).to_json()


@pytest.mark.parametrize("media_type", ["image/jpeg", "image/png", "application/octet-stream", "IMAGE/x-unknown; a=b"])
def test_the_content_counts_not_the_label(client, media_type):
    assert len(send(client, media_type=media_type).json()["people"]) == 2


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff"])
def test_every_kind_of_image(client, model, suffix):
    content = photo(PEOPLE, suffix, height=96, width=160)
    answer = send(client, content)
    assert People.from_json(answer.text).to_json() == offline(model, content).to_json()


@pytest.mark.parametrize("output", FORMATS)
def test_every_format_states_the_weights(client, model, output):
    stated = json.loads(send(client, format=output).headers[MODEL_HEADER])
    assert stated == {"name": model.name, "revision": None, "sha256": sha256(model)}
    assert MODEL_HEADER not in send(client, b"no image", format=output).headers


def test_a_form(client):
    answer = client.post("/v1/poses", files={"image": ("é\n.png", photo(PEOPLE))}, data={"min_score": "0.5"})
    assert [person["score"] for person in answer.json()["people"]] == pytest.approx([200 / 255])


def test_form_fields_come_before_the_query(client):
    answer = client.post(
        "/v1/poses?min_score=0.9&format=png", files={"image": photo(PEOPLE)}, data={"min_score": "0", "format": "coco"}
    )
    assert len(answer.json()) == 2


def test_min_score(client, model):
    answer = send(client, min_score=0.5)
    assert People.from_json(answer.text).to_json() == offline(model, photo(PEOPLE), min_score=0.5).to_json()


def test_another_model(client):
    assert len(send(client, model="strict").json()["people"]) == 1
    assert send(client, model="strict", min_score=0.1).status_code == 422
    assert send(client, model="other").status_code == 404


def test_another_skeleton_matches_by_name(client):
    person = send(client, skeleton="crowdpose").json()["people"][0]["keypoints"]
    coco = send(client).json()["people"][0]["keypoints"]
    assert person["left_knee"] == coco["left_knee"]
    assert person["top_head"] == [0, 0, 0]
    refused = send(client, skeleton="interhand2d")
    assert (refused.status_code, "no keypoint in common" in refused.json()["detail"]) == (422, True)


def test_coco_results(client, model):
    answer = send(client, format="coco", image_id=7)
    assert answer.json() == offline(model, photo(PEOPLE)).to_coco(image_id=7)


def test_openpose_json(client, model):
    answer = send(client, format="openpose")
    assert answer.json() == openpose_json(offline(model, photo(PEOPLE)))


def test_csv(client, model, tmp_path):
    answer = send(client, format="csv")
    assert answer.headers["content-type"].startswith("text/csv")
    (tmp_path / "table.csv").write_bytes(answer.content)
    (result,) = read_csv(tmp_path / "table.csv")
    assert np.array_equal(result.people.keypoints, offline(model, photo(PEOPLE)).keypoints)


@pytest.mark.parametrize(("output", "media_type"), [("png", "image/png"), ("jpeg", "image/jpeg")])
def test_drawn_pictures(client, model, output, media_type):
    answer = send(client, format=output)
    assert answer.headers["content-type"] == media_type
    drawn = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    expected = offline(model, photo(PEOPLE)).draw().image
    assert np.abs(drawn.astype(int) - expected).mean() < (1e-9 if output == "png" else 8)


def test_no_people(client):
    answer = send(client, photo(()))
    assert (answer.status_code, answer.json()["people"]) == (200, [])


def test_batched_requests_are_answered_as_single_ones(client, service, model):
    estimator = everypose.load(model)
    rng = np.random.default_rng(0)
    sizes = [(64, 64), (64, 96), (128, 64)]
    photos = [
        photo([(0, 0, int(rng.integers(1, 255)))], height=sizes[i % 3][0], width=sizes[i % 3][1]) for i in range(48)
    ]

    def ask(content):
        with service.client() as own:
            return send(own, content).text

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, photos))
    for content, answer in zip(photos, answers, strict=True):
        image = np.ascontiguousarray(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1])
        assert People.from_json(answer).to_json() == estimator(image).to_json()
    metrics = client.get("/metrics").text
    single = metric(metrics, 'everypose_batch_images_bucket{le="1.0",model="stand-in"}')
    assert single < metric(metrics, 'everypose_batch_images_count{model="stand-in"}')


def metric(text, name):
    return float(next(line for line in text.splitlines() if line.startswith(name)).split()[-1])


def png_of(width, height):
    """A valid PNG with one byte for each row, as a decompression bomb has it."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = zlib.compress(b"\0" * ((width + 7) // 8 + 1) * height, 9)
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


HEADERS_OF_MANY_PIXELS = {
    "png": png_of(20_000, 20_000),
    "webp": b"RIFF\x20\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\x3f\0\xff\x3f\0" + bytes(8),
    "bmp": b"BM" + bytes(12) + struct.pack("<Iii", 40, 30_000, -30_000) + bytes(30),
    "tiff": b"II*\0\x08\0\0\0\x02\0" + struct.pack("<HHIIHHII", 256, 4, 1, 30_000, 257, 4, 1, 30_000) + bytes(8),
    "jpeg": b"\xff\xd8\xff\xc0\0\x11\x08" + struct.pack(">HH", 60_000, 60_000) + bytes(12) + b"\xff\xd9",
}


@pytest.mark.parametrize("kind", HEADERS_OF_MANY_PIXELS)
def test_too_many_pixels_are_refused_before_decoding(client, kind):
    refused = send(client, HEADERS_OF_MANY_PIXELS[kind])
    assert refused.status_code == 413
    assert "pixels; at most 1,000,000 are accepted" in refused.json()["detail"]


def test_a_jpeg_of_many_scans_is_refused(client):
    """Each scan of a progressive JPEG takes as long as the whole image, and costs the client few bytes."""
    image = np.ascontiguousarray(crowd(PEOPLE, height=64, width=64)[..., ::-1])
    content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    assert send(client, content).status_code == 200
    last = content.rindex(b"\xff\xda")
    refused = send(client, content[:-2] + content[last:-2] * 100 + content[-2:])
    assert (refused.status_code, refused.json()["detail"]) == (422, "the JPEG has more than 64 scans")


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 422),
        (b"GIF89a" + bytes(100), 415),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415),
        (b"%PDF-1.7", 415),
        (photo(suffix=".jpg")[:300], 422),
        (photo(suffix=".png")[:80], 422),
        (photo(suffix=".webp")[:40], 422),
        (b"\xff\xd8" + b"\xff" * 100_000, 422),
        (b"\xff\xd8" + b"\xff\xe1\0\2" * 20_000, 422),
        (b"BM", 422),
        (b"II*\0", 422),
        (b"MM\0*\xff\xff\xff\xff", 422),
        (b"RIFF\0\0\0\0WEBP", 422),
        (photo(suffix=".png") + b"<script>", 200),
        (bytes(600_000), 413),
    ],
)
def test_what_is_no_usable_image(client, content, status):
    answer = send(client, content)
    assert answer.status_code == status
    if status != 200:
        assert "\n" not in answer.json()["detail"]
        assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("media_type", ["application/json", "text/plain", "application/x-www-form-urlencoded"])
def test_other_media_types(client, media_type):
    refused = send(client, media_type=media_type)
    assert (refused.status_code, "multipart/form-data" in refused.json()["detail"]) == (415, True)


@pytest.mark.parametrize(
    "options",
    [
        {"min_score": "2"},
        {"min_score": "nan"},
        {"min_score": "x"},
        {"format": "gif"},
        {"skeleton": "../../etc/passwd"},
        {"skeleton": "x" * 101},
        {"image_id": "-1"},
        {"unknown": "1"},
    ],
)
def test_options_that_cannot_be(client, options):
    for answer in (send(client, **options), client.post("/v1/poses", files={"image": photo()}, data=options)):
        assert answer.status_code == 422
        assert "\n" not in answer.json()["detail"]


def test_damaged_forms(client):
    bodies = [
        b"",
        b"--x",
        b"--x\r\n\r\n",
        b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\nabc\r\n--x--\r\n',
    ]
    for body in bodies:
        answer = client.post("/v1/poses", content=body, headers={"content-type": "multipart/form-data; boundary=x"})
        assert answer.status_code == 400
    assert client.post("/v1/poses", content=b"", headers={"content-type": "multipart/form-data"}).status_code == 400
    assert client.post("/v1/poses", files={"picture": photo()}).status_code == 400
    assert client.post("/v1/poses", files=[("image", photo()), ("image", photo())]).status_code == 400
    assert client.post("/v1/poses", files={"image": photo()}, data={"model": "x" * 2000}).status_code == 400


def test_a_body_without_length_is_limited_too(client):
    def chunks():
        for _ in range(12):
            yield bytes(65_536)

    assert client.post("/v1/poses", content=chunks(), headers={"content-type": "image/png"}).status_code == 413


def test_other_methods_and_paths(client):
    assert client.get("/v1/poses").status_code == 405
    assert client.get("/v1/../../etc/passwd").status_code == 404
    assert client.get("/page/..%2f..%2fapp.py").status_code == 404
    assert client.get("/page/%2e%2e/app.py").status_code == 404


def test_methods_that_a_path_does_not_have(client):
    refused = client.put(f"/v1/video/{'0' * 32}")
    assert (refused.status_code, refused.headers["allow"]) == (405, "DELETE, GET")


def test_the_description_of_the_api(client):
    described = client.get("/openapi.json").json()
    assert set(described["paths"]) >= {"/v1/poses", "/v1/video", "/v1/models", "/health", "/ready", "/info", "/metrics"}
    assert "cdn" not in client.get("/docs").text
