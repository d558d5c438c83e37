"""dlt's rest_api reads no answer without end: neither in bytes, packed or not, nor in time."""

from __future__ import annotations

import gzip
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import requests

from connectors.sdk.errors import StopStream
from connectors.sdk.guard import Guard
from pipelines.dlt_bridge.bounded import BoundedAdapter

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow  # servers are started and waited for

LIMIT = 1_000_000
BODY = b'[{"id": 1}]'


class _Vendor(BaseHTTPRequestHandler):
    """Serves a path the way its name says."""

    protocol_version = "HTTP/1.1"
    ended: threading.Event

    def do_GET(self) -> None:
        getattr(self, f"_{self.path.strip('/')}")()

    def _head(self, **headers: object) -> None:
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def _plain(self) -> None:
        self._head(Content_Length=len(BODY))
        self.wfile.write(BODY)

    def _packed(self) -> None:
        packed = gzip.compress(BODY)
        self._head(Content_Length=len(packed), Content_Encoding="gzip")
        self.wfile.write(packed)

    def _chunked(self) -> None:
        self._head(Transfer_Encoding="chunked")
        for part in (BODY[:4], BODY[4:]):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        self.wfile.write(b"0\r\n\r\n")

    def _at_the_limit(self) -> None:
        self._head(Content_Length=LIMIT)
        self.wfile.write(b" " * LIMIT)

    def _large(self) -> None:
        self._head(Content_Length=LIMIT + 1)
        self.wfile.write(b" " * (LIMIT + 1))

    def _bomb(self) -> None:
        packed = gzip.compress(b" " * (50 * LIMIT))
        self._head(Content_Length=len(packed), Content_Encoding="gzip")
        self.wfile.write(packed)

    def _endless(self) -> None:
        self._head(Transfer_Encoding="chunked")
        while not self.ended.is_set():
            self.wfile.write(b"%x\r\n%s\r\n" % (65536, b" " * 65536))

    def _trickle(self) -> None:
        self._head(Content_Length=LIMIT)
        while not self.ended.wait(0.02):
            self.wfile.write(b" ")
            self.wfile.flush()

    def _cut(self) -> None:
        self._head(Content_Length=len(BODY) + 5)
        self.wfile.write(BODY)
        self.close_connection = True

    def _garbled(self) -> None:
        self._head(Content_Length=len(BODY), Content_Encoding="gzip")
        self.wfile.write(BODY)

    def _moved(self) -> None:
        self.send_response(302)
        self.send_header("Location", "/plain")
        self.send_header("Content-Length", str(LIMIT + 1))
        self.end_headers()
        self.wfile.write(b" " * (LIMIT + 1))

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError:
            """The client has had enough."""

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def vendor() -> Iterator[str]:
    handler = type("Handler", (_Vendor,), {"ended": threading.Event()})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        handler.ended.set()
        server.shutdown()
        thread.join()


@contextmanager
def _session(vendor: str, **limits: float) -> Iterator[requests.Session]:
    given: dict[str, Any] = {"max_bytes": LIMIT, "max_seconds": 20.0} | limits
    with requests.Session() as session:
        session.mount("http://", BoundedAdapter(Guard.of("127.0.0.1", int(vendor.rsplit(":", 1)[1])), **given))
        yield session


@pytest.mark.parametrize("path", ["plain", "packed", "chunked"])
def test_an_answer_within_the_limits_is_what_requests_would_give(vendor: str, path: str) -> None:
    with _session(vendor) as session:
        for _ in range(3):  # the connection is given back whole
            answer = session.get(f"{vendor}/{path}", timeout=5)
            assert (answer.content, answer.json()) == (BODY, [{"id": 1}])


def test_the_largest_size_is_allowed(vendor: str) -> None:
    with _session(vendor) as session:
        assert len(session.get(f"{vendor}/at_the_limit", timeout=5).content) == LIMIT


@pytest.mark.parametrize("path", ["large", "bomb", "endless", "moved"])
def test_an_answer_beyond_the_largest_size_ends_the_stream(vendor: str, path: str) -> None:
    with _session(vendor) as session, pytest.raises(StopStream, match="larger than 0 MB"):
        session.get(f"{vendor}/{path}", timeout=5)


def test_an_answer_that_trickles_ends_in_time_though_no_silence_is_long(vendor: str) -> None:
    began = time.monotonic()
    with _session(vendor, max_seconds=0.3) as session, pytest.raises(requests.exceptions.ReadTimeout, match="complete"):
        session.get(f"{vendor}/trickle", timeout=5)
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize(
    ("path", "error"),
    [("cut", requests.exceptions.ChunkedEncodingError), ("garbled", requests.exceptions.ContentDecodingError)],
)
def test_a_broken_answer_is_the_error_that_requests_raises(vendor: str, path: str, error: type[Exception]) -> None:
    with _session(vendor) as session, pytest.raises(error):
        session.get(f"{vendor}/{path}", timeout=5)
