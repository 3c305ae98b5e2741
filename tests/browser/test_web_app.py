"""Inference in the browser finds the people that Python finds."""

import base64
import functools
import http.server
import json
import os
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest

import everypose
from everypose.inference.resize import resize
from everypose.people import People
from everypose.serving import web_app as web_app_module
from everypose.serving.web_app import write_web_app
from inference.stand_in import write_model

EXAMPLES = Path(everypose.__file__).parent / "examples"
SLOW = 600_000
"""Milliseconds: shaders that a busy CPU computes take minutes to compile."""


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


def test_people_on_webgpu_are_those_of_python(browser_with_webgpu, runtime, float_model, tmp_path, screenshot):
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
        screenshot(page, "web-app-webgpu")


@pytest.fixture
def small_app(runtime, photos, tmp_path, monkeypatch):
    """The folder of an app whose model is small, since a CPU compiles the shaders of WebGPU slowly."""
    monkeypatch.setattr(web_app_module, "CHECK_PICTURE", str(photos[0]))
    model = write_model(tmp_path / "stand_in.onnx")
    write_web_app(tmp_path / "app", model, runtime=runtime, float_model=model)
    return tmp_path / "app"


@pytest.fixture
def open_small_app(small_app, browser_with_webgpu):
    """Open the small app in the browser with WebGPU."""
    with ExitStack() as stack:

        def open_it(query=""):
            url = stack.enter_context(served(small_app))
            context = stack.enter_context(browser_with_webgpu.new_context(accept_downloads=True))
            page = context.new_page()
            page.goto(f"{url}/{query}")
            page.locator("#status", has_text="Ready").wait_for(timeout=SLOW)
            return page, page.locator("#status").inner_text()

        yield open_it


def test_webgpu_is_used_after_the_self_check(open_small_app, photos):
    page, status = open_small_app("?webgpu")
    assert status == "Ready: stand-in on webgpu"
    assert len(answer_of(page, photos[0])["people"]) == 2


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", "Ready: stand-in on wasm, 1 thread (not on WebGPU: the CPU would compute it)"),
        ("?wasm", "Ready: stand-in on wasm, 1 thread"),
    ],
)
def test_webgpu_is_not_used(open_small_app, photos, query, status):
    page, found = open_small_app(query)
    assert found == status
    assert len(answer_of(page, photos[0])["people"]) == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda people: people[0]["keypoints"]["nose"].__setitem__(0, people[0]["keypoints"]["nose"][0] + 0.2),
        lambda people: people[0].update(score=people[0]["score"] + 0.01),
        lambda people: people.pop(),
        lambda people: people.append(people[0]),
    ],
    ids=["keypoint", "score", "one too many", "one too few"],
)
def test_webgpu_that_finds_other_people_is_not_used(small_app, open_small_app, change):
    described = json.loads((small_app / "model.json").read_text())
    change(described["float"]["people"])
    (small_app / "model.json").write_text(json.dumps(described))
    _, status = open_small_app("?webgpu")
    assert status == "Ready: stand-in on wasm, 1 thread (not on WebGPU: it finds other people than Python)"


def test_webgpu_that_fails_is_replaced(small_app, open_small_app, photos):
    """The runtime's session computes the self-check and then fails, as with a graphics device that is lost."""
    runtime = small_app / "ort" / "ort.webgpu.min.mjs"
    runtime.rename(runtime.with_name("real.mjs"))
    runtime.write_text("""
        import * as real from "./real.mjs";
        export const { env, Tensor } = real;
        export const InferenceSession = { async create(...options) {
          const session = await real.InferenceSession.create(...options);
          let runs = 0;
          const run = (feeds) => { if (runs++) throw new Error("the device is lost"); return session.run(feeds); };
          return { run, release: () => session.release() };
        } };
    """)
    page, status = open_small_app("?webgpu")
    assert status == "Ready: stand-in on webgpu"
    page.evaluate("""() => {
        const status = document.getElementById("status");
        window.said = [];
        new MutationObserver(() => said.push(status.textContent)).observe(status, { childList: true });
    }""")
    assert len(answer_of(page, photos[0])["people"]) == 2
    assert "Ready: stand-in on wasm, 1 thread (not on WebGPU: the device is lost)" in page.evaluate("said")


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param({}, marks=pytest.mark.xfail(strict=True, reason="onnxruntime-web 1.30.0 loses the sigmoid")),
        {"optimization": {"disable_specified_optimizers": "ConvActivationFusion"}},
    ],
    ids=["as it is", "as the page opens it"],
)
def test_a_sigmoid_and_a_clip_after_a_convolution_on_webgpu(open_small_app, small_app, extra):
    """Without its fusion the runtime is right; with it, the page could use the runtime as it is."""
    page, _ = open_small_app("?wasm")
    image, weight = np.random.default_rng(0).normal(size=(2, 1, 1, 5, 5)).astype(np.float32)
    (small_app / "conv.onnx").write_bytes(sigmoid_and_clip(weight))
    found = page.evaluate(
        """async ({ image, extra }) => {
            const ort = await import("./ort/ort.webgpu.min.mjs");
            ort.env.wasm.wasmPaths = new URL("ort/", location.href).href;
            const session = await ort.InferenceSession.create("conv.onnx", { executionProviders: ["webgpu"], extra });
            const { y } = await session.run({ x: new ort.Tensor("float32", Float32Array.from(image), [1, 1, 5, 5]) });
            return [...y.data];
        }""",
        {"image": image.ravel().tolist(), "extra": extra},
    )
    inner = np.lib.stride_tricks.sliding_window_view(np.pad(image[0, 0], 2), (5, 5))
    expected = 1 / (1 + np.exp(-(inner * weight[0, 0]).sum((2, 3))))
    assert found == pytest.approx(expected.clip(0.2, 0.8).ravel(), abs=1e-5)


def sigmoid_and_clip(weight):
    """An ONNX file: a convolution, a sigmoid, and a clip to 0.2 to 0.8."""
    node, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    nodes = [
        node("Conv", ["x", "weight"], ["conv"], pads=[2, 2, 2, 2]),
        node("Sigmoid", ["conv"], ["probability"]),
        node("Clip", ["probability", "low", "high"], ["y"]),
    ]
    constants = {"weight": weight, "low": np.array(0.2, np.float32), "high": np.array(0.8, np.float32)}
    graph = onnx.helper.make_graph(
        nodes,
        "conv",
        [value("x", onnx.TensorProto.FLOAT, [1, 1, 5, 5])],
        [value("y", onnx.TensorProto.FLOAT, [1, 1, 5, 5])],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opset = [onnx.helper.make_opsetid("", 18)]
    return onnx.helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


def test_photos_at_the_same_time(open_page, web_app):
    """A session runs one image at a time: later photos wait, as do those that come before the model is open."""
    page = open_page(url=web_app)
    for name in ("astronaut.jpg", "group.jpg"):
        page.set_input_files("#files", EXAMPLES / name)
    for name in ("astronaut.jpg", "group.jpg"):
        card = page.locator("article", has_text=name)
        card.get_by_role("button", name="Save JSON").wait_for(timeout=SLOW)


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
