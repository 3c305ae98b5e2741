"""A service with models in ONNX files of other projects: RTMO and DETRPose answer as they do offline."""

import json

import cv2
import numpy as np
import pytest

import everypose
from everypose.core.files import sha256
from everypose.inference.results.csv_table import read_csv
from everypose.people import People
from everypose.serving.rendering import MODEL_HEADER
from inference.runtimes.fixed_input_files import INPUT, write_detrpose, write_rtmo
from serving.running import running

IMAGE = cv2.resize(np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8), (160, 120))
WRITERS = {"rtmo": write_rtmo, "detrpose": write_detrpose}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {name: write(folder / f"{name}.onnx") for name, write in WRITERS.items()}


@pytest.fixture(scope="module")
def other_service(models):
    with running(*(part for path in models.values() for part in ("-m", path)), "--threads", 1) as started:
        yield started


def ask(client, **options):
    done, content = cv2.imencode(".png", IMAGE[..., ::-1])
    assert done
    answer = client.post("/v1/poses", content=content.tobytes(), headers={"content-type": "image/png"}, params=options)
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.parametrize("name", WRITERS)
def test_an_answer_is_the_offline_result(other_service, models, name):
    offline = everypose.load(models[name])(IMAGE)
    assert len(offline) > 1
    with other_service.client() as client:
        answer = ask(client, model=name)
        assert People.from_json(answer.text).to_json() == offline.to_json()
        assert answer.json()["model"] == name
        assert ask(client, model=name, format="coco").json() == offline.to_coco(image_id=1)


@pytest.mark.parametrize("name", WRITERS)
def test_csv_and_the_weights(other_service, models, name, tmp_path):
    with other_service.client() as client:
        answer = ask(client, model=name, format="csv")
        described = {model["name"]: model for model in client.get("/v1/models").json()["models"]}
    (tmp_path / "table.csv").write_bytes(answer.content)
    (result,) = read_csv(tmp_path / "table.csv")
    assert len(result.people) == len(everypose.load(models[name])(IMAGE))
    weights = {"name": f"{name}.onnx", "revision": None, "sha256": sha256(models[name])}
    assert json.loads(answer.headers[MODEL_HEADER]) == described[name]["weights"] == weights
    assert (described[name]["size"], described[name]["top_down"]) == ([*INPUT], False)
