"""Tokens, host names, web origins, TLS, log lines, and what answers reveal."""

import asyncio
import io
import json
import ssl
import statistics
import time

import httpx
import pytest
import trustme
from starlette.responses import JSONResponse

from everypose.errors import EveryposeError
from everypose.serving.guard import Guard
from everypose.serving.metrics import Metrics
from everypose.serving.request_log import RequestLog
from everypose.serving.tokens import Tokens
from serving.running import photo, running

TOKEN = "a-token-of-enough-length"


@pytest.fixture(scope="module")
def guarded(model, tmp_path_factory):
    tokens = tmp_path_factory.mktemp("tokens") / "tokens.txt"
    tokens.write_text(f"# the team\n{TOKEN}\n\nanother-token-of-the-team\n")
    origin = ("--allow-origin", "https://team.example")
    with running("-m", model, "--threads", 1, "--token-file", tokens, *origin) as service:
        yield service


def post(service, headers=(), **options):
    with service.client() as client:
        return client.post(
            "/v1/poses", content=photo(), headers={"content-type": "image/png", **dict(headers)}, **options
        )


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
        ("Bearer another-token-of-the-team", 200),
        (httpx.BasicAuth("anyone", TOKEN)._auth_header, 200),
        (None, 401),
        ("Bearer", 401),
        (f"Bearer {TOKEN[:-1]}", 401),
        (f"Bearer {TOKEN}x", 401),
        (f"Token {TOKEN}", 401),
        ("Basic !!!", 401),
        ("Basic /w==", 401),
        ("Basic é".encode("latin-1"), 401),
        ("Bearer # the team", 401),
    ],
)
def test_tokens_over_http(guarded, authorization, status):
    answer = post(guarded, {} if authorization is None else {"authorization": authorization})
    assert answer.status_code == status
    if status == 401:
        assert answer.headers["www-authenticate"] == "Bearer"


def test_what_needs_no_token(guarded):
    with guarded.client() as client:
        assert {client.get(path).status_code for path in ("/", "/docs", "/health", "/ready", "/info")} == {200}
        assert {client.get(path).status_code for path in ("/metrics", "/v1/models")} == {401}
        assert client.get("/info").json()["token_required"] is True


def test_a_body_is_not_received_without_a_token(guarded):
    answer = post(guarded)
    assert answer.status_code == 401
    (line,) = guarded.lines_with(answer.headers["x-request-id"])
    assert json.loads(line)["received_bytes"] == 0


@pytest.mark.parametrize("content", ["", "# only a comment\n", "short\n", "with space in the middle of it\n", "é" * 20])
def test_token_files_that_cannot_be_used(tmp_path, content):
    path = tmp_path / "tokens.txt"
    path.write_text(content)
    with pytest.raises(EveryposeError, match=r"tokens\.txt"):
        Tokens.read(path)
    with pytest.raises(EveryposeError, match="cannot read"):
        Tokens.read(tmp_path / "missing.txt")


def test_comparison_takes_as_long_wherever_tokens_differ():
    tokens = Tokens([f"{index:03d}-{'x' * 60}" for index in range(50)])
    early, late = "y" * 64, f"049-{'x' * 59}y"

    def seconds(token):
        begin = time.perf_counter()
        for _ in range(20):
            assert not tokens.accept_token(token)
        return time.perf_counter() - begin

    pairs = [(seconds(early), seconds(late)) for _ in range(100)]
    ratio = statistics.median(first / second for first, second in pairs)
    assert 0.8 < ratio < 1.25


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost", 200), ("127.0.0.1:1", 200), ("[::1]:80", 200), ("attacker.example", 403), ("", 403), ("[", 403)],
)
def test_a_local_service_answers_to_local_names_only(service, host, status):
    with service.client() as client:
        assert client.get("/health", headers={"host": host}).status_code == status


def test_web_origins(guarded):
    token = {"authorization": f"Bearer {TOKEN}"}
    own = guarded.url
    assert post(guarded, {**token, "origin": own}).status_code == 200
    allowed = post(guarded, {**token, "origin": "https://team.example"})
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, "https://team.example")
    for other in ("https://attacker.example", "null", "https://team.example.attacker.example", "file://"):
        refused = post(guarded, {**token, "origin": other})
        assert (refused.status_code, "access-control-allow-origin" in refused.headers) == (403, False)


def test_no_cors_unless_it_is_asked_for(service):
    with service.client() as client:
        headers = {"origin": "https://team.example", "access-control-request-method": "POST"}
        assert client.options("/v1/poses", headers=headers).status_code == 403


def test_security_headers(client):
    answer = client.get("/")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "server" not in answer.headers


def test_log_lines_cannot_be_forged(service, client):
    client.get(
        "/v1/%0a%7B%22event%22%3A%22forged%22%7D", headers={"x-request-id": 'x"}\x1b[31m', "user-agent": "\x1b[2J"}
    )
    client.get("/health", headers={"x-request-id": "given-by-the-client"})
    assert service.lines_with("given-by-the-client")
    lines = [json.loads(line) for line in service.log if line.startswith("{")]
    assert not [line for line in lines if line["event"] == "forged"]
    assert not [line for line in service.log if "\x1b" in line or "forged" in line]


def test_logs_hold_no_image_and_no_options(service, client):
    answer = client.post("/v1/poses?skeleton=secret-name", files={"image": ("secret-name.png", photo())})
    assert service.lines_with(answer.headers["x-request-id"])
    assert "secret-name" not in "".join(service.log)


def test_tls(model, tmp_path):
    authority = trustme.CA()
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    files = ("--certificate", tmp_path / "both.pem", "--certificate-key", tmp_path / "both.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with running("-m", model, "--threads", 1, *files) as service:
        assert service.url.startswith("https://")
        with httpx.Client(verify=context, base_url=service.url.replace("127.0.0.1", "localhost")) as client:
            answer = client.post("/v1/poses", files={"image": photo()})
            assert len(answer.json()["people"]) == 1


def test_the_guard_passes_lifespan_events_on():
    seen = []

    async def app(scope, _receive, _send):
        seen.append(scope["type"])

    guard = Guard(app, hosts=(), origins=(), metrics=None, log=None)
    asyncio.run(guard({"type": "lifespan"}, None, None))
    assert seen == ["lifespan"]


def guard_of_an_empty_answer(metrics):
    async def app(scope, receive, send):
        await JSONResponse({})(scope, receive, send)

    return Guard(app, hosts=(), origins=(), metrics=metrics, log=RequestLog(io.StringIO()))


def status_of(guard, method="GET", **headers):
    """The status that the guard answers with."""
    answers = []

    async def send(message):
        answers.append(message)

    named = [(name.encode(), value.encode()) for name, value in {"host": "localhost", **headers}.items()]
    scope = {"type": "http", "method": method, "path": "/", "query_string": b"", "headers": named}
    asyncio.run(guard(scope, None, send))
    return answers[0]["status"]


@pytest.mark.parametrize(
    ("origin", "status"), [("http://localhost", 200), ("http://[", 403), ("http://[::1", 403), ("null", 403)]
)
def test_origins_that_are_no_addresses_are_refused(origin, status):
    assert status_of(guard_of_an_empty_answer(Metrics({})), origin=origin) == status


def test_clients_cannot_make_up_labels_of_the_metrics():
    metrics = Metrics({})
    guard = guard_of_an_empty_answer(metrics)
    for number in range(3):
        status_of(guard, f"MADE-UP-{number}")
    status_of(guard, "POST")
    counts = [line for line in metrics.to_text().decode().splitlines() if line.startswith("everypose_requests_total")]
    assert [line.split("method=")[1] for line in counts] == [
        '"other",route="unmatched",status="200"} 3.0',
        '"POST",route="unmatched",status="200"} 1.0',
    ]
