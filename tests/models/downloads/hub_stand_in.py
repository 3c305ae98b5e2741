"""A server that stands in for the hub and for release pages, and does what hostile servers do."""

import hashlib
import json
import re
import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import trustme

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Page:
    """An answer: ``cut`` sends only so many bytes of each connection, once or always."""

    content: bytes = b""
    code: int = 200
    kind: str = "application/octet-stream"
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    always: bool = False
    etag: bool = True
    sized: bool = True


class StandIn:
    """Serves ``pages`` by path over HTTPS (release pages) and HTTP (the hub)."""

    def __init__(self, folder):
        self.pages: dict[str, Page] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(folder / "authority.pem"))
        self.authority = folder / "authority.pem"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
        handler = type("Handler", (_Handler,), {"stand_in": self})
        self.servers = [_Server(("127.0.0.1", 0), handler) for _ in range(2)]
        self.servers[1].socket = context.wrap_socket(
            self.servers[1].socket, server_side=True, do_handshake_on_connect=False
        )
        self.http, self.https = (
            f"{scheme}://127.0.0.1:{server.server_address[1]}"
            for scheme, server in zip(("http", "https"), self.servers, strict=True)
        )
        for server in self.servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def repository(self, name: str, files: dict[str, bytes], commit: str = COMMIT, **changes) -> None:
        """Serve a hub repository; ``changes`` replace parts of its description."""
        siblings = [
            {
                "rfilename": path,
                "size": len(content),
                **(
                    {"lfs": {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}}
                    if len(content) > 99
                    else {}
                ),
            }
            for path, content in files.items()
        ]
        info = json.dumps({"sha": commit, "siblings": siblings, **changes}).encode()
        for revision in ("main", commit):
            self.pages[f"/api/models/{name}/revision/{revision}"] = Page(info, kind="application/json")
        for path, content in files.items():
            self.pages[f"/{name}/resolve/{commit}/{path}"] = Page(content)


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_):
        """Say nothing: clients that refuse the certificate end the handshake."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stand_in: StandIn

    def log_message(self, *_):
        pass

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        self.stand_in.asked.append((path, dict(self.headers)))
        page = self.stand_in.pages.get(path, Page(b"Entry not found", 404, "text/plain"))
        tag = f'"{hashlib.sha256(page.content).hexdigest()[:20]}"'
        begin = 0
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        code = page.code
        if wanted and page.etag and self.headers.get("If-Range") == tag:
            begin, code = int(wanted[1]), 206
        if code == 206 and begin >= len(page.content):
            code = 416
        body = page.content[begin:]
        self.send_response(code)
        self.send_header("Content-Type", page.kind)
        if page.sized:
            self.send_header("Content-Length", str(len(body)))
        if page.etag:
            self.send_header("ETag", tag)
        if code == 206:
            self.send_header("Content-Range", f"bytes {begin}-{len(page.content) - 1}/{len(page.content)}")
        if code == 416:
            self.send_header("Content-Range", f"bytes */{len(page.content)}")
        for name, value in page.headers.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        sent = body if page.cut is None else body[: page.cut]
        if not page.always:
            page.cut = None
        self.wfile.write(sent)
        self.close_connection = True
