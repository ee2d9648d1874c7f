"""A small hub on loopback: repositories, revisions, redirects, entity tags, ranges, and everything that goes wrong."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LARGE = 4_096  # from this size on, a file is stored apart and the hub redirects to it


@dataclass
class Hub:
    """files: (repository, path) → content, at `revision`. served: every request, method, path, range."""

    revision: str
    files: dict[tuple[str, str], bytes] = field(default_factory=dict)
    served: list[tuple[str, str, str | None]] = field(default_factory=list)
    with_token: list[str] = field(default_factory=list)  # paths that were asked for with a token
    address: str = ""
    store: str = ""  # the same server by another name: large files lie on another host
    status: int | None = None  # answers every request with this status
    corrupt: set[str] = field(default_factory=set)  # paths whose bytes differ from what their entity tag says
    send_at_most: int | None = None  # bytes of a file before the connection breaks
    stalled: threading.Event = field(default_factory=threading.Event)  # set when that many bytes were sent
    stall: bool = False  # then waits instead of breaking
    go_on: threading.Event = field(default_factory=threading.Event)

    def gets(self) -> list[tuple[str, str | None]]:
        """Downloads so far: path and range."""
        return [(path, wanted) for method, path, wanted in self.served if method == "GET"]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        hub = self.hub
        hub.served.append((self.command, self.path, self.headers.get("Range")))
        if self.headers.get("Authorization"):
            hub.with_token.append(self.path)
        if hub.status is not None:
            self._plain(hub.status)
            return
        apart = self.path.startswith("/store/")
        content = self._stored() if apart else self._resolved()
        if content is None:
            self._plain(404)
            return
        if not apart and len(content) >= LARGE:
            digest = hashlib.sha256(content).hexdigest()
            name = self.path.rsplit("/", 1)[1]
            self._plain(
                302,
                {
                    "Location": f"{hub.store}/store/{digest}/{name}",
                    "X-Linked-Etag": f'"{digest}"',
                    "X-Linked-Size": str(len(content)),
                    "X-Repo-Commit": hub.revision,
                },
            )
            return
        self._content(content, with_body)

    def _resolved(self) -> bytes | None:
        repository, _, rest = self.path.lstrip("/").partition("/resolve/")
        revision, _, path = rest.partition("/")
        return self.hub.files.get((repository, path)) if revision == self.hub.revision else None

    def _stored(self) -> bytes | None:
        digest = self.path.split("/")[2]
        return next((c for c in self.hub.files.values() if hashlib.sha256(c).hexdigest() == digest), None)

    def _plain(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": "0"}.items():
            self.send_header(name, value)
        self.end_headers()

    def _content(self, content: bytes, with_body: bool) -> None:
        hub = self.hub
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        if any(self.path.endswith(path) for path in hub.corrupt):
            content = bytes(len(content))
        wanted = self.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("ETag", f'"{blob}"')
        self.send_header("X-Repo-Commit", hub.revision)
        self.end_headers()
        if not with_body:
            return
        if hub.send_at_most is None or len(content) - start <= hub.send_at_most:
            self.wfile.write(content[start:])
            return
        self.wfile.write(content[start : start + hub.send_at_most])
        self.wfile.flush()
        hub.stalled.set()
        if hub.stall:
            hub.go_on.wait(60)
        self.close_connection = True


@contextmanager
def running(revision: str) -> Iterator[Hub]:
    """A hub that answers while the block runs."""
    hub = Hub(revision)
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.address, hub.store = (f"http://{name}:{server.server_address[1]}" for name in ("127.0.0.1", "localhost"))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()
