import http.server
import threading
import time
from typing import Any

import cv2
import numpy as np
import pytest

from everypose.errors import EveryposeError
from everypose.video import Selection, open_video
from everypose.video.live import Connection, LiveFrame, LiveSource
from video.clips import number_of, picture, write_clip
from video.rtsp_server import RtspServer

CELLS = 18  # `picture` repeats after so many numbers


class FakeCamera:
    """Stands in for cv2.VideoCapture: gives `count` numbered pictures, each after `pause` seconds, then fails."""

    opened = 0
    count = 20
    pause = 0.0
    works = True

    def __init__(self, number):
        self.number = number
        type(self).opened += 1
        self.given = 0

    def isOpened(self):  # OpenCV's name
        return self.works and self.number == 0

    def get(self, _):
        return 25.0

    def read(self):
        if self.given == self.count:
            return False, None
        time.sleep(self.pause)
        self.given += 1
        return True, np.ascontiguousarray(picture(self.given - 1)[..., ::-1])

    def release(self):
        pass


@pytest.fixture
def camera(monkeypatch):
    """A subclass for each test, so that counts start anew."""
    kind = type("Camera", (FakeCamera,), {})
    monkeypatch.setattr(cv2, "VideoCapture", kind)
    return kind


def take(source, count, pause=0.0):
    """The next frames, and a pause after each."""
    frames = []
    for frame in source:
        frames.append(frame)
        if len(frames) == count:
            break
        time.sleep(pause)
    return frames


@pytest.mark.parametrize("name", [0, "0"])
def test_a_camera(camera, name):
    camera.pause, camera.count = 0.01, 1000
    with open_video(name) as video:
        assert (video.name, video.is_live, video.frame_rate) == ("camera 0", True, 25)
        frames = take(video, 5)
    assert frames[0].time == 0
    assert np.all(np.diff([frame.time for frame in frames]) > 0)
    for frame in frames:
        np.testing.assert_array_equal(frame.image, picture(frame.index))


def test_the_newest_frame_is_processed_and_skipped_ones_counted(camera):
    camera.pause, camera.count = 0.01, 1000
    with open_video(0) as video:
        start = time.monotonic()
        frames = take(video, 5, pause=0.1)
        ages = time.monotonic() - start - frames[-1].time
        indices = [frame.index for frame in frames]
        assert min(np.diff(indices)) >= 3
        assert video.skipped >= indices[-1] - 5
    assert ages < 0.3


def test_a_camera_that_comes_back(camera):
    camera.pause, camera.count = 0.002, 10
    source = LiveSource("camera 0", lambda: connect_camera(), retry=0.05)
    with source:
        frames = take(source, 25)
    assert camera.opened >= 3
    assert source.reconnections >= 2
    assert np.all(np.diff([frame.index for frame in frames]) > 0)
    assert np.all(np.diff([frame.time for frame in frames]) > 0)


def connect_camera():
    from everypose.video.camera import CameraConnection

    return CameraConnection(0)


def test_a_camera_that_does_not_come_back(camera):
    camera.count = 3
    source = LiveSource("camera 0", connect_camera, retry=0.02, give_up=0.2)
    camera.works = True
    iterator = iter(source)
    next(iterator)
    camera.works = False
    with pytest.raises(EveryposeError, match=r"camera 0 was lost and could not be opened again in 0\.2 s: cannot open"):
        list(iterator)
    source.close()


@pytest.mark.usefixtures("camera")
def test_there_is_no_such_camera():
    with pytest.raises(EveryposeError, match="cannot open camera 3: it is not connected"):
        open_video(3)


def test_a_selected_end_ends_a_live_source(camera):
    camera.pause, camera.count = 0.01, 10_000
    with open_video(0, selection=Selection(end=0.2, rate=20)) as video:
        frames = list(video)
    assert 2 <= len(frames) <= 5
    assert frames[-1].time < 0.2


def test_stopping_while_no_frame_comes():
    class Silent(Connection):
        def __init__(self):
            self.closed = threading.Event()

        def frames(self):
            yield LiveFrame(0.0, lambda: picture(0))
            self.closed.wait(30)

        def close(self):
            pass

    silent = Silent()
    source = LiveSource("silent", lambda: silent)
    threading.Timer(0.2, source.stop).start()
    start = time.monotonic()
    assert len(list(source)) == 1
    assert time.monotonic() - start < 5
    silent.closed.set()
    source.close()


class Pictures(Connection):
    """Gives ``count`` pictures and then ends, by an error if there is one; counts how often it is closed."""

    def __init__(self, count=0, error=None):
        self.count, self.error, self.closed = count, error, 0

    def frames(self):
        for number in range(self.count):
            yield LiveFrame(float(number), lambda: picture(0))
        if self.error is not None:
            raise self.error

    def close(self):
        self.closed += 1


def test_a_source_that_opens_again_and_gives_no_frames_is_given_up():
    source = LiveSource("camera 0", Pictures, retry=0.02, give_up=0.2)
    with (
        source,
        pytest.raises(EveryposeError, match=r"camera 0 was lost and gave no frame in 0\.2 s: the conn"),
    ):
        list(source)
    assert source.reconnections > 1


def test_any_failure_of_the_reading_thread_ends_the_iteration():
    failing = Pictures(1, RuntimeError("a driver failed"))
    source = LiveSource("camera 0", lambda: failing)
    with source, pytest.raises(RuntimeError, match="a driver failed"):
        list(source)
    assert failing.closed


def test_a_connection_that_opens_while_the_source_is_closed_is_closed_too():
    opened = [Pictures(1)]
    opening, go_on = threading.Event(), threading.Event()

    def connect():
        if source is not None:
            opening.set()
            go_on.wait(10)
            opened.append(Pictures(1))
        return opened[-1]

    source = None
    source = LiveSource("camera 0", connect, retry=0.01)
    next(iter(source))
    assert opening.wait(10)
    source.stop()
    go_on.set()
    source.close()
    assert len(opened) == 2
    assert opened[1].closed


@pytest.fixture
def rtsp():
    server = RtspServer()
    yield server
    server.close()


def test_an_rtsp_stream(rtsp):
    with open_video(rtsp.address) as video:
        frames = take(video, 10)
        assert video.is_live
        assert video.name == rtsp.address.replace("user:secret@", "")
    numbers = np.array([number_of(frame.image) for frame in frames])
    steps = np.diff([frame.index for frame in frames])
    np.testing.assert_array_equal(np.diff(numbers) % CELLS, steps % CELLS)
    np.testing.assert_allclose(np.diff([frame.time for frame in frames]), steps / 30, atol=2e-3)


def test_an_rtsp_stream_that_is_cut_and_restored(rtsp):
    video: Any = open_video(rtsp.address)
    video._retry = 0.1
    with video:
        frames = []
        for frame in video:
            frames.append(frame)
            if frame.index == 8:
                start = time.monotonic()
                rtsp.cut()
                threading.Timer(0.5, rtsp.restore).start()
            if video.reconnections and len(frames) > 15:
                break
    times = np.array([frame.time for frame in frames])
    assert rtsp.connections == 2
    assert np.all(np.diff(times) > 0)
    assert 0.4 < np.diff(times).max() < time.monotonic() - start  # real time went on
    assert number_of(frames[-1].image) == number_of(picture(number_of(frames[-1].image)))


def test_an_rtsp_stream_that_is_lost(rtsp):
    video: Any = open_video(rtsp.address)
    video._retry, video._give_up = 0.05, 0.3
    frames = iter(video)
    assert next(frames).index == 0
    rtsp.close()
    with video, pytest.raises(EveryposeError, match=r"rtsp://127\.0\.0\.1:\d+/stream was lost") as raised:
        list(frames)
    assert "secret" not in str(raised.value)


def test_addresses_that_do_not_answer():
    for address in ("rtsp://me:secret@127.0.0.1:9/x", "http://127.0.0.1:9/x.mp4"):
        with pytest.raises(EveryposeError, match=r"127\.0\.0\.1:9/x") as raised:
            open_video(address)
        assert "secret" not in str(raised.value)
        assert "\n" not in str(raised.value)


class Web(http.server.BaseHTTPRequestHandler):
    """Serves one file, and /live as endless Motion JPEG."""

    file = None

    def do_HEAD(self):
        self.send_response(200)
        self.end_headers()

    def do_GET(self):
        if self.path == "/live":
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            for number in range(100_000):
                content = cv2.imencode(".jpg", picture(number)[..., ::-1])[1].tobytes()
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(content)}\r\n\r\n"
                try:
                    self.wfile.write(head.encode() + content + b"\r\n")
                except OSError:
                    return
                time.sleep(0.02)
        content = self.file.read_bytes()  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def web(tmp_path):
    handler = type("Handler", (Web,), {"file": write_clip(tmp_path / "clip.mp4", 40)})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_video_on_the_web_gives_every_frame(web):
    with open_video(f"{web}/clip.mp4") as video:
        assert not video.is_live
        assert [frame.index for frame in video] == list(range(40))


def test_motion_jpeg_is_live(web):
    with open_video(f"{web}/live") as video:
        assert video.is_live
        start = time.monotonic()
        frames = take(video, 20)
        assert frames[-1].time == pytest.approx(time.monotonic() - start, abs=0.4)
    steps = np.diff([number_of(frame.image) for frame in frames]) % CELLS
    assert set(steps) <= {1, 2, 3, 4}
