"""WS /v1/stream: every frame has one answer, which is that of POST /v1/poses."""

import json
import time
from contextlib import contextmanager

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from serving.running import photo, running

PEOPLE = ((0, 0, 100), (1, 1, 200))


@contextmanager
def open_stream(service, options='{"track": false}', **more):
    with connect(service.url.replace("http", "ws") + "/v1/stream", proxy=None, **more) as socket:
        socket.send(options if isinstance(options, str | bytes) else json.dumps(options))
        yield socket


def refused(service, options='{"track": false}', **more):
    """The code with which a stream is closed before its first answer."""
    with pytest.raises(ConnectionClosed) as closed, open_stream(service, options, **more) as socket:
        socket.recv(timeout=20)
    return closed.value.rcvd.code


def ask(socket, content):
    socket.send(content)
    return json.loads(socket.recv(timeout=20))


def test_frames_are_answered_in_order(service, client):
    with open_stream(service) as socket:
        assert json.loads(socket.recv(timeout=20))["model"]["name"] == "stand-in"
        for number in range(5):
            content = photo(PEOPLE[: number % 3])
            answer = ask(socket, content)
            assert answer.pop("frame") == number
            assert answer == client.post("/v1/poses", files={"image": content}).json()


def test_options(service):
    with open_stream(service, {"model": "strict", "min_score": 0.6, "skeleton": "crowdpose", "track": False}) as socket:
        assert json.loads(socket.recv(timeout=20))["model"]["name"] == "strict"
        (person,) = ask(socket, photo(PEOPLE))["people"]
        assert "top_head" in person["keypoints"]


def test_people_keep_their_ids(service):
    frame = photo(((0, 0, 190), (1, 1, 200)))
    with open_stream(service, {}) as socket:
        model = json.loads(socket.recv(timeout=20))["model"]
        answers = [ask(socket, frame) for _ in range(6)]
    assert all(answer["weights"] == model["weights"] for answer in answers)
    seen = [{person["id"]: round(person["box"][0]) for person in answer["people"]} for answer in answers]
    assert len(seen[-1]) == 2
    assert seen[-1] == seen[-2]


@pytest.mark.parametrize(("content", "status"), [(b"no image", 415), (b"", 422), (photo()[:60], 422)])
def test_a_frame_that_cannot_be_used_does_not_end_the_stream(service, content, status):
    with open_stream(service) as socket:
        socket.recv(timeout=20)
        answer = ask(socket, content)
        assert (answer["frame"], answer["status"]) == (0, status)
        assert len(ask(socket, photo())["people"]) == 1


@pytest.mark.parametrize(
    "options",
    ["", "[]", "{", b"{}", '{"model": "other"}', '{"min_score": 3}', '{"unknown": 1}', '{"token": "' + "x" * 5000],
)
def test_options_that_cannot_be(service, options):
    assert refused(service, options) == 1008


@pytest.mark.parametrize("letter", ["a", "é", "語", "😀"])
def test_reasons_fit_into_the_frame_that_closes_a_stream(service, letter):
    with pytest.raises(ConnectionClosed) as closed, open_stream(service, {letter * 200: 1}) as socket:
        socket.recv(timeout=20)
    reason = closed.value.rcvd.reason
    assert closed.value.rcvd.code == 1008
    assert 120 <= len(reason.encode()) <= 123
    assert reason.endswith(letter)


def test_a_text_is_no_frame(service):
    with open_stream(service) as socket:
        socket.recv(timeout=20)
        socket.send("text")
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=20)


def test_a_frame_that_is_too_large_ends_the_stream(service, client):
    with open_stream(service) as socket:
        socket.recv(timeout=20)
        socket.send(bytes(600_000))
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=20)
        assert closed.value.rcvd.code == 1009
    assert client.get("/health").status_code == 200


def test_other_web_origins_are_refused(service):
    with pytest.raises(InvalidStatus) as answer, open_stream(service, origin="https://attacker.example"):
        pass
    assert answer.value.response.status_code == 403


def test_tokens_the_number_of_streams_and_idle_ones(model, tmp_path):
    token = "a-token-of-enough-length"
    (tmp_path / "tokens").write_text(token)
    limits = ("--streams", 1, "--stream-idle", 1)
    with running("-m", model, "--threads", 1, "--token-file", tmp_path / "tokens", *limits) as service:
        assert refused(service, {"token": "another"}) == refused(service) == 1008
        with open_stream(service, additional_headers={"authorization": f"Bearer {token}"}) as socket:
            socket.recv(timeout=20)
            assert refused(service, {"token": token}) == 1013
            begin = time.monotonic()
            with pytest.raises(ConnectionClosed) as idle:
                socket.recv(timeout=20)
            assert (idle.value.rcvd.code, time.monotonic() - begin < 5) == (1001, True)
        with open_stream(service, {"token": token}) as socket:
            assert "model" in socket.recv(timeout=20)
