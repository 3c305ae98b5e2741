"""Middleware of every request: host and origin checks, a request id, security headers, log and metrics."""

import asyncio
import re
import time
import uuid
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from everypose.serving.metrics import Metrics
from everypose.serving.request_log import RequestLog

REQUEST_ID = "x-request-id"
NO_ANSWER = 499
"""What the log shows for a client that was gone before its answer."""
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
}
METHODS = ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE", "WEBSOCKET")
"""What the metrics count each by its name."""
_SAFE_ID = re.compile(r"[A-Za-z0-9-]{1,64}")


class Guard:
    """ASGI middleware around the whole service.

    Args:
        app: the service.
        hosts: host names that a request may be addressed to; empty accepts any.
        origins: web origins that are accepted in addition to the service's own.
        metrics: counts every answer.
        log: gets one line for every answer.

    >>> import io
    >>> async def app(scope, receive, send):
    ...     await JSONResponse({"status": "UP"})(scope, receive, send)
    >>> guard = Guard(app, hosts=["localhost"], origins=[], metrics=Metrics({}), log=RequestLog(io.StringIO()))
    >>> async def status(host):
    ...     answers = []
    ...     async def send(message):
    ...         answers.append(message)
    ...     scope = {"type": "http", "method": "GET", "path": "/health", "query_string": b""}
    ...     scope["headers"] = [(b"host", host)]
    ...     await guard(scope, None, send)
    ...     return answers[0]["status"]
    >>> asyncio.run(status(b"localhost")), asyncio.run(status(b"evil.example"))
    (200, 403)
    """

    def __init__(
        self, app: ASGIApp, *, hosts: Iterable[str], origins: Iterable[str], metrics: Metrics, log: RequestLog
    ) -> None:
        self._app = app
        self._hosts = frozenset(hosts)
        self._origins = frozenset(origins)
        self._metrics = metrics
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, pass on, and record one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send)
        try:
            await self._pass_on(exchange)
        except asyncio.CancelledError:  # the service stops and does not wait any longer
            if exchange.status != NO_ANSWER or scope["type"] != "http":
                raise
            response = JSONResponse({"detail": "the service is stopping"}, 503, {"retry-after": "5"})
            await response(scope, receive, exchange.send)
        finally:
            self._record(exchange)

    async def _pass_on(self, exchange: "_Exchange") -> None:
        refusal = self._refusal(exchange.headers)
        if refusal is None:
            await self._app(exchange.scope, exchange.receive, exchange.send)
        elif exchange.scope["type"] == "websocket":
            await exchange.receive()
            await exchange.send({"type": "websocket.close", "code": 1008, "reason": refusal})
        else:
            response = JSONResponse({"detail": refusal}, status_code=403)
            await response(exchange.scope, exchange.receive, exchange.send)

    def _refusal(self, headers: Headers) -> str | None:
        """Why a request is refused because of where it is addressed to or comes from."""
        host = headers.get("host", "")
        if self._hosts and _host_name(host) not in self._hosts:
            return "the service is not known by this host name: see --host-name"
        origin = headers.get("origin")
        if origin is not None and origin not in self._origins and _address(origin) != host:
            return "requests from other web origins are not accepted: see --allow-origin"
        return None

    def _record(self, exchange: "_Exchange") -> None:
        scope = exchange.scope
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope.get("method", "WEBSOCKET")
        seconds = time.monotonic() - exchange.started
        # Every label is kept in memory: clients must not be able to make up new ones.
        self._metrics.requests.labels(route, method if method in METHODS else "other", exchange.status).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        self._metrics.received.inc(exchange.received)
        self._log.write(
            "request",
            request_id=exchange.request_id,
            method=method,
            route=route,
            status=exchange.status,
            seconds=round(seconds, 4),
            received_bytes=exchange.received,
            sent_bytes=exchange.sent,
            client=scope["client"][0] if scope.get("client") else None,
        )


class _Exchange:
    """One request and its answer, with what the log says of them."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.headers = Headers(scope=scope)
        given = self.headers.get(REQUEST_ID, "")
        self.request_id = given if _SAFE_ID.fullmatch(given) else uuid.uuid4().hex
        self.started = time.monotonic()
        self.status = NO_ANSWER
        self.received = 0
        self.sent = 0
        self._receive = receive
        self._send = send

    async def receive(self) -> Message:
        """Receive a message; counts its bytes."""
        message = await self._receive()
        self.received += len(message.get("body") or message.get("bytes") or message.get("text") or b"")
        return message

    async def send(self, message: Message) -> None:
        """Send a message; adds the headers of every answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers[REQUEST_ID] = self.request_id
            headers.setdefault("cache-control", "no-store")
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
        elif message["type"] == "websocket.accept":
            self.status = 101
        elif message["type"] == "websocket.close" and self.status == NO_ANSWER:
            self.status = 403
        self.sent += len(message.get("body") or message.get("bytes") or message.get("text") or b"")
        await self._send(message)


def _address(origin: str) -> str | None:
    """The host and port of a web origin; None when it is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _host_name(host: str) -> str:
    """The name in a Host header, without port and brackets."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
