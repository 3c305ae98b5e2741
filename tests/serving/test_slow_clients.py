"""Clients that send slowly, stop in the middle, or never read."""

import socket
import time
from contextlib import suppress

import pytest

from serving.running import photo, running


@pytest.fixture(scope="module")
def impatient(model):
    with running("-m", model, "--threads", 1, "--body-timeout", 1, "--header-timeout", 1) as service:
        yield service


def connect(service):
    return socket.create_connection(("127.0.0.1", service.port), timeout=10)


def post(length):
    return f"POST /v1/poses HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode()


def trickle(connection, answer):
    """Send a byte every tenth of a second for up to 8 seconds; what is received is appended to ``answer``."""
    connection.setblocking(False)
    for _ in range(80):
        connection.send(b"x")
        time.sleep(0.1)
        with suppress(BlockingIOError):
            answer += connection.recv(4096)


def test_a_body_byte_by_byte(impatient):
    answer = bytearray()
    with connect(impatient) as slow:
        slow.sendall(post(100_000))
        with pytest.raises(ConnectionError):  # it does not get to send for ever
            trickle(slow, answer)
    assert answer.startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("start", [b"", b"POST /v1/poses HTTP/1.1\r\nHost: loc", b"\x16\x03\x01"])
def test_a_header_that_does_not_come(impatient, start):
    with connect(impatient) as slow:
        slow.sendall(start)
        begin = time.monotonic()
        with suppress(ConnectionResetError):
            while slow.recv(4096):
                pass
        assert time.monotonic() - begin < 5


def test_a_second_header_that_does_not_come(impatient):
    with connect(impatient) as slow:
        slow.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200 OK" in slow.recv(4096)
        slow.sendall(b"GET /hea")
        begin = time.monotonic()
        with suppress(ConnectionResetError):
            while slow.recv(4096):
                pass
        assert time.monotonic() - begin < 5


def test_a_header_that_is_too_long(impatient):
    with connect(impatient) as client:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000)
        assert client.recv(4096).startswith(b"HTTP/1.1 400")


def test_a_client_that_closes_its_side(impatient):
    content = photo()
    with connect(impatient) as client:
        client.sendall(post(len(content)) + content[:-10])
        client.shutdown(socket.SHUT_WR)
        assert client.recv(4096) == b""  # it counts as gone
    with impatient.client() as client:
        assert client.get("/health").status_code == 200


def test_requests_that_share_a_connection(impatient):
    content = photo()
    with connect(impatient) as client:
        client.sendall(2 * (post(len(content)) + content))
        answer = b""
        while answer.count(b"HTTP/1.1 200") < 2:
            answer += client.recv(65_536)


def test_lengths_that_contradict_each_other(impatient):
    with connect(impatient) as client:
        client.sendall(
            b"POST /v1/poses HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"
        )
        assert client.recv(4096).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("connection", ["close", "keep-alive"])
def test_a_refusal_reaches_clients_that_are_still_sending(service, connection):
    """Not a connection reset, which closing a connection with unread data gives."""
    head = (
        f"POST /v1/poses HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\n"
        "Content-Type: application/json\r\nContent-Length: 5000000\r\n\r\n"
    ).encode()
    for _ in range(10):
        with connect(service) as client:
            client.sendall(head + bytes(5_000_000))
            time.sleep(0.05)
            assert client.recv(4096).startswith(b"HTTP/1.1 415")
