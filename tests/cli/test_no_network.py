"""Without a network: the demonstration runs, and a model that is not downloaded gives one line of advice."""

import socket

import cv2
import pytest

from inference.stand_in import crowd


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    """Every connection and look-up of a name fails, as on a machine without a network; nothing is downloaded yet."""

    def unreachable(*_, **__):
        raise OSError(101, "Network is unreachable")

    def unknown(*_, **__):
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket.socket, "connect", unreachable)
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setenv("EVERYPOSE_HOME", str(tmp_path / "home"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "HF_HUB_OFFLINE", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


def test_the_demonstration_runs(everypose, tmp_path):
    done = everypose("demo", "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert len(list((tmp_path / "out" / "pictures").iterdir())) > 1


@pytest.mark.parametrize("model", ["vitpose-plus-h", "rtmo-l", "easy-vitpose-b-coco25", "owner/name"])
def test_a_model_that_is_not_downloaded(everypose, tmp_path, model):
    cv2.imwrite(str(tmp_path / "photo.png"), crowd([(0, 0, 100)]))
    done = everypose("predict", tmp_path / "photo.png", "-m", model, "-o", tmp_path / "out")
    assert done.code == 1
    *announced, line = done.err.strip().splitlines()
    assert all(one.startswith("everypose: downloading https://") for one in announced)
    assert "cannot reach" in line
    assert f"everypose models get {model} --to DIR', then set EVERYPOSE_HOME=DIR here" in line


def test_a_detector_that_is_not_downloaded(everypose, tmp_path):
    cv2.imwrite(str(tmp_path / "photo.png"), crowd([(0, 0, 100)]))
    done = everypose("predict", tmp_path / "photo.png", "--detector", "dfine-m", "-o", tmp_path / "out")
    assert (done.code, len(done.err.strip().splitlines())) == (1, 1)
    assert "everypose models get dfine-m --to DIR'" in done.err
