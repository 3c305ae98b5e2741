"""A real browser: Debian's Chromium, driven by Playwright, with a webcam that plays a picture of two people."""

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

playwright = pytest.importorskip("playwright.sync_api")
pytest.importorskip("fastapi")

from inference.stand_in import crowd, write_model  # noqa: E402
from serving.running import running  # noqa: E402

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}
PEOPLE = ((0, 0, 100), (2, 1, 200))
IN_THE_WEBCAM = ((0, 0, 190), (2, 1, 200))


@pytest.fixture(scope="session")
def chromium():
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("there is no Chromium")
    return path


@pytest.fixture(scope="session")
def webcam(tmp_path_factory):
    """A film for Chromium's fake camera: Y4M, the picture of `IN_THE_WEBCAM`."""
    path = tmp_path_factory.mktemp("webcam") / "camera.y4m"
    image = cv2.resize(crowd(IN_THE_WEBCAM, height=64, width=128), (512, 256), interpolation=cv2.INTER_NEAREST)
    planes = cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420)
    path.write_bytes(b"YUV4MPEG2 W512 H256 F10:1 Ip A1:1 C420jpeg\n" + 10 * (b"FRAME\n" + planes.tobytes()))
    return path


@pytest.fixture(scope="session")
def driver():
    with playwright.sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def browser(driver, chromium, webcam):
    flags = [
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={webcam}",
    ]
    opened = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", *flags])
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def browser_with_webgpu(driver, chromium):
    """A browser whose WebGPU is computed by the CPU."""
    flags = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"]
    opened = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", *flags])
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def service(tmp_path_factory):
    model = write_model(tmp_path_factory.mktemp("model") / "stand_in.onnx")
    with running("-m", model, "--threads", 1) as started:
        yield started


@pytest.fixture
def open_page(browser, service):
    """Open the page; at the end no script has failed and nothing was loaded from elsewhere."""
    contexts = []

    def open_it(path="/", url=service.url, permissions=("camera",), **options):
        context = browser.new_context(**options, permissions=list(permissions), accept_downloads=True)
        contexts.append(context)
        page = context.new_page()
        page.problems = []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("console", lambda message: message.type == "error" and page.problems.append(message.text))
        page.on(
            "request",
            lambda request: request.url.startswith((url, "blob:", "data:")) or page.problems.append(request.url),
        )
        page.goto(url + path)
        return page

    yield open_it
    for context in contexts:
        for page in context.pages:
            assert page.problems == []
        context.close()


@pytest.fixture
def photos(tmp_path):
    """Files of two photos: one with two people, one with none."""
    paths = []
    for name, blocks in (("two people.png", PEOPLE), ("nobody.jpg", ())):
        path = tmp_path / name
        assert cv2.imwrite(str(path), np.ascontiguousarray(crowd(blocks, height=64, width=128)[..., ::-1]))
        paths.append(path)
    return paths


@pytest.fixture
def screenshot():
    """Save a screenshot under the folder that SCREENSHOTS names, if it does."""

    def save(page, name):
        if folder := os.environ.get("SCREENSHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=f"{folder}/{name}.png", full_page=True)

    return save
