"""Inference in the browser finds the people that Python finds."""

import base64
import functools
import http.server
import json
import os
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import everypose
from everypose.inference.resize import resize
from everypose.people import People
from everypose.serving.web_app import write_web_app

EXAMPLES = Path(everypose.__file__).parent / "examples"
SLOW = 600_000
"""Milliseconds: shaders that the CPU computes take minutes to compile."""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def runtime():
    """The npm package onnxruntime-web, as `make test-browser` fetches it."""
    path = Path(os.environ.get("ONNXRUNTIME_WEB", "missing"))
    if not path.exists():
        pytest.skip("ONNXRUNTIME_WEB names no npm package onnxruntime-web")
    return path


@contextmanager
def served(folder):
    """The address of a static web server for a folder."""
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="session")
def web_app(runtime, tmp_path_factory):
    folder = tmp_path_factory.mktemp("web-app")
    write_web_app(folder, "boir-lite", runtime=runtime)
    with served(folder) as url:
        yield url


@pytest.fixture(scope="session")
def float_model():
    """`boir-lite` in 32 bits, as ``make test-browser`` exports it."""
    path = Path(os.environ.get("FLOAT_MODEL", "missing"))
    if not path.exists():
        pytest.skip("FLOAT_MODEL names no exported model")
    return path


def answer_of(page, path, timeout=60_000):
    page.set_input_files("#files", path)
    card = page.locator("article", has_text=path.name).first
    card.get_by_role("button", name="Save JSON").wait_for(timeout=timeout)
    with page.expect_download() as waiting:
        card.get_by_role("button", name="Save JSON").click()
    return json.loads(waiting.value.path().read_bytes())


@pytest.mark.parametrize("name", ["astronaut.jpg", "group.jpg", "pedestrians.jpg"])
def test_people_are_those_of_python(open_page, web_app, name, screenshot):
    page = open_page(url=web_app)
    page.locator("#status", has_text="Ready: boir-lite on wasm").wait_for(timeout=60_000)
    found = People.from_json(json.dumps(answer_of(page, EXAMPLES / name)))
    expected = everypose.load("boir-lite")(EXAMPLES / name)
    assert len(found) == len(expected) > 0
    assert np.abs(found.keypoints[..., :2] - expected.keypoints[..., :2]).max() < 0.1
    assert np.abs(found.boxes - expected.boxes).max() < 0.1
    assert found.scores == pytest.approx(expected.scores, abs=1e-4)
    screenshot(page, f"web-app-{name}")


@pytest.mark.xfail(
    strict=True, reason="onnxruntime-web 1.30.0 does not find the people on a WebGPU that the CPU computes"
)
def test_people_on_webgpu_are_those_of_python(browser_with_webgpu, runtime, float_model, tmp_path):
    write_web_app(tmp_path / "app", "boir-lite", runtime=runtime, float_model=float_model)
    pose = everypose.load(str(float_model))
    with served(tmp_path / "app") as url, browser_with_webgpu.new_context(accept_downloads=True) as context:
        page = context.new_page()
        page.goto(f"{url}/?webgpu")
        page.locator("#status", has_text="Ready: boir-lite on webgpu").wait_for(timeout=SLOW)
        for name in ("astronaut.jpg", "group.jpg", "pedestrians.jpg"):
            found = People.from_json(json.dumps(answer_of(page, EXAMPLES / name, timeout=SLOW)))
            expected = pose(EXAMPLES / name)
            assert len(found) == len(expected) > 0
            assert np.abs(found.keypoints[..., :2] - expected.keypoints[..., :2]).max() < 0.1
            assert found.scores == pytest.approx(expected.scores, abs=1e-3)


@pytest.mark.parametrize("shape", [(97, 61), (64, 700), (300, 20), (33, 1000), (480, 640)])
def test_resizing_is_that_of_python(open_page, web_app, shape):
    """OpenCV computes positions in 32 bits, in an order that depends on the CPU: now and then a value is one off."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*shape, 3), np.uint8)
    expected, matrix = resize(image, 320, 16)
    rgba = np.dstack([image, np.full(shape, 255, np.uint8)])
    canvas, largest, share = open_page(url=web_app).evaluate(
        """async ({ width, height, rgba, expected }) => {
            const { fit, resize } = await import("./geometry.js");
            const bytes = (text) => Uint8ClampedArray.from(atob(text), (letter) => letter.charCodeAt(0));
            const canvas = fit(width, height, 320, 16);
            const pixels = resize({ width, height, data: bytes(rgba) }, canvas);
            const differences = bytes(expected).map((value, k) => Math.abs(value - pixels[k]));
            const largest = differences.reduce((a, b) => Math.max(a, b), 0);
            return [canvas, largest, differences.filter(Boolean).length / pixels.length];
        }""",
        {"width": shape[1], "height": shape[0], "rgba": as_text(rgba), "expected": as_text(expected)},
    )
    assert (canvas["height"], canvas["width"]) == expected.shape[:2]
    assert np.allclose([[canvas["scale"], 0, canvas["dx"]], [0, canvas["scale"], canvas["dy"]]], matrix)
    assert largest <= 1
    assert share < 0.002


def as_text(array):
    return base64.b64encode(array.tobytes()).decode()


def test_the_webcam_in_the_browser(open_page, web_app):
    page = open_page(url=web_app)
    page.locator("#status", has_text="Ready").wait_for(timeout=60_000)
    page.get_by_role("button", name="Use the webcam").click()
    page.locator("article .hint", has_text="frames a second").wait_for(timeout=60_000)
    page.get_by_role("button", name="Stop").click()
    page.locator("#status", has_text="webcam:").wait_for(timeout=60_000)
