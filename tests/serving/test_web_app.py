"""The folder of `everypose web-app`: what is in it, and what is refused."""

import hashlib
import io
import json
import tarfile

import cv2
import numpy as np
import pytest

from everypose import load
from everypose.errors import EveryposeError, UsageError
from everypose.people import People
from everypose.serving import web_app
from everypose.serving.web_app import write_web_app
from inference.crop_stand_in import write_model as write_crop_model
from inference.stand_in import SKELETON


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    """A stand-in for the npm package, as a .tgz file; its digests are the expected ones."""
    contents = {name: f"// {name}".encode() for name in (*web_app.ON_CPU, *web_app.ON_GPU)}
    for table in ("ON_CPU", "ON_GPU"):
        digests = {name: hashlib.sha256(contents[name]).hexdigest() for name in getattr(web_app, table)}
        monkeypatch.setattr(web_app, table, digests)
    return pack(tmp_path / "runtime.tgz", contents)


def pack(path, contents):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_the_folder(everypose, model, runtime, tmp_path):
    done = everypose("web-app", tmp_path / "out", "-m", model, "--runtime", runtime)
    assert (done.code, done.err) == (0, "")
    written = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    own = {"index.html", "app.js", "infer.js", "geometry.js", "model.onnx", "model.json"}
    assert written == own | set(web_app.SHARED) | {f"ort/{name}" for name in web_app.ON_CPU}
    described = json.loads((tmp_path / "out" / "model.json").read_text())
    assert (described["name"], described["float"], described["size"]) == ("stand-in", None, 64)
    assert described["skeleton"]["keypoints"] == list(SKELETON.keypoints)


def test_a_float_model_brings_the_runtime_for_webgpu_and_a_self_check(model, runtime, tmp_path):
    write_web_app(tmp_path / "out", model, float_model=model, runtime=runtime)
    assert (tmp_path / "out" / "ort" / "ort.webgpu.min.mjs").exists()
    described = json.loads((tmp_path / "out" / "model.json").read_text())
    assert described["float"]["file"] == "model-float.onnx"
    expected = load(model)(tmp_path / "out" / described["float"]["picture"])
    found = People.from_json(json.dumps({"skeleton": described["skeleton"], "people": described["float"]["people"]}))
    assert len(found) > 0
    np.testing.assert_array_equal(found.keypoints, expected.keypoints)
    np.testing.assert_array_equal(found.scores, expected.scores)


def test_a_float_model_that_finds_no_people(model, runtime, tmp_path, monkeypatch):
    black = tmp_path / "black.png"
    cv2.imwrite(str(black), np.zeros((64, 64, 3), np.uint8))
    monkeypatch.setattr(web_app, "CHECK_PICTURE", str(black))
    with pytest.raises(UsageError, match="finds no people in the picture of the self-check"):
        write_web_app(tmp_path / "out", model, float_model=model, runtime=runtime)


def test_another_model_as_the_float_one(model, strict_model, runtime, tmp_path):
    with pytest.raises(UsageError, match="different models"):
        write_web_app(tmp_path / "out", model, float_model=strict_model, runtime=runtime)


def test_the_runtime_as_a_folder(model, runtime, tmp_path):
    with tarfile.open(runtime) as archive:
        archive.extractall(tmp_path, filter="data")
    write_web_app(tmp_path / "out", model, runtime=tmp_path / "package")
    (tmp_path / "package" / "dist" / "ort.wasm.min.mjs").unlink()
    with pytest.raises(EveryposeError, match=r"has no ort\.wasm\.min\.mjs"):
        write_web_app(tmp_path / "out", model, runtime=tmp_path / "package")


def test_another_version_of_the_runtime(model, runtime, tmp_path):
    changed = pack(tmp_path / "changed.tgz", dict.fromkeys(web_app.ON_CPU, b"// another version"))
    for damaged in (changed, pack(tmp_path / "empty.tgz", {})):
        with pytest.raises(EveryposeError, match="is missing or not that of onnxruntime-web@"):
            write_web_app(tmp_path / "out", model, runtime=damaged)
    (tmp_path / "text.tgz").write_text("no archive")
    with pytest.raises(EveryposeError, match="cannot read the npm package"):
        write_web_app(tmp_path / "out", model, runtime=tmp_path / "text.tgz")
    assert not (tmp_path / "out").exists()
    assert runtime.exists()


def test_without_npm(model, tmp_path, monkeypatch):
    monkeypatch.setattr(web_app.shutil, "which", lambda _: None)  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="--runtime"):
        write_web_app(tmp_path / "out", model)


def test_a_model_that_needs_a_detector(runtime, tmp_path):
    crops = write_crop_model(tmp_path / "crops.onnx")
    with pytest.raises(UsageError, match="choose a single-stage model"):
        write_web_app(tmp_path / "out", crops, runtime=runtime)
