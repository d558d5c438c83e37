"""dlt's rest_api is bound by the guard of the fetch engine: no name leads it into a private network, and none is asked twice."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import requests
import responses

from connectors.sdk.errors import FixConfig, StopStream
from connectors.sdk.guard import ForbiddenAddress, Guard
from pipelines.dlt_bridge.http import GuardedSession
from pipelines.dlt_bridge.pinned import PinnedAdapter
from pipelines.store.connection_health import read_deferred
from tests.connectors.sdk.test_guard import METADATA, NEVER, PRIVATE
from tests.dlt_bridge.hubs import DltHub, dlt_hub

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pipelines.store import Store

pytestmark = pytest.mark.slow  # dlt is imported, servers are started

ROWS = [{"id": 1, "first": "Ada", "last": "L", "email": None, "updated_at": "2026-01-01T00:00:00Z"}]


class _Vendor(BaseHTTPRequestHandler):
    """Answers every request with the same list; remembers what it was asked, and by which name."""

    asked: list[tuple[str, str]]

    def do_GET(self) -> None:
        self.asked.append((self.headers["Host"], self.path))
        body = json.dumps(ROWS).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def vendor() -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """Serve on loopback; give the port and what was asked."""
    handler = type("Handler", (_Vendor,), {"asked": []})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port, handler.asked
        server.shutdown()
        thread.join()


def _session(*answers: Sequence[str], allow_private: bool = False) -> requests.Session:
    """Return a plain session whose adapter is given these answers in turn, the last one for ever."""
    left = list(answers)
    session = requests.Session()
    lookup = lambda _host, _port: left.pop(0) if len(left) > 1 else left[0]  # noqa: E731
    session.mount("http://", PinnedAdapter(Guard.of("vendor.test", 80, allow_private=allow_private), lookup))
    return session


@pytest.mark.parametrize("address", [*METADATA, *PRIVATE, *NEVER])
def test_an_address_out_of_bounds_is_never_connected_to(address: str) -> None:
    with _session([address]) as session, pytest.raises(ForbiddenAddress, match="vendor.test leads to"):
        session.get("http://vendor.test/rows", timeout=1)


@pytest.mark.parametrize("address", [*METADATA, *NEVER])
def test_the_switch_for_private_networks_opens_no_metadata(address: str) -> None:
    with _session([address], allow_private=True) as session, pytest.raises(ForbiddenAddress):
        session.get("http://vendor.test/rows", timeout=1)


def test_one_bad_address_among_good_ones_is_enough() -> None:
    with _session(["8.8.8.8", "127.0.0.1"]) as session, pytest.raises(ForbiddenAddress):
        session.get("http://vendor.test/rows", timeout=1)


@pytest.mark.network
def test_the_address_that_was_judged_is_the_one_that_is_connected_to_under_the_vendors_name() -> None:
    with vendor() as (port, asked), _session(["127.0.0.1"], ["169.254.169.254"], allow_private=True) as session:
        assert session.get(f"http://vendor.test:{port}/rows", timeout=5).json() == ROWS

    assert asked == [(f"vendor.test:{port}", "/rows")]


@pytest.mark.network
def test_a_name_that_leads_elsewhere_the_next_time_is_judged_again() -> None:
    with vendor() as (port, asked), _session(["127.0.0.1"], ["169.254.169.254"], allow_private=True) as session:
        session.get(f"http://vendor.test:{port}/rows", headers={"Connection": "close"}, timeout=5)
        with pytest.raises(ForbiddenAddress):
            session.get(f"http://vendor.test:{port}/rows", timeout=5)

    assert len(asked) == 1


def test_a_name_without_an_address_is_a_connection_error() -> None:
    def lookup(host: str, _port: int) -> Sequence[str]:
        raise socket.gaierror(f"nobody knows {host}")

    with requests.Session() as session:
        session.mount("http://", PinnedAdapter(Guard(), lookup))
        with pytest.raises(requests.exceptions.ConnectionError):
            session.get("http://vendor.test/rows", timeout=1)


@pytest.mark.network
def test_a_base_url_that_is_an_address_is_meant_for_its_own_port_only() -> None:
    with vendor() as (port, asked), vendor() as (other, never):
        origins = [f"http://127.0.0.1:{port}", f"http://127.0.0.1:{other}"]
        with GuardedSession(origins) as session:
            assert session.get(f"{origins[0]}/rows", timeout=5).json() == ROWS
            with pytest.raises(FixConfig, match="a loopback address"):
                session.get(f"{origins[1]}/rows", timeout=5)

    assert (len(asked), never) == (1, [])


# --- through a whole load -------------------------------------------------------------------------------------------
def _hub(folder: Path, store: Store, base_url: str, *, client: dict[str, Any] | None = None, **row: Any) -> DltHub:
    endpoint = {"path": "customers", "paginator": "single_page"}
    resources = [{"name": "customers", "primary_key": "id", "endpoint": endpoint}]
    config = {"client": {"base_url": base_url, **(client or {})}, "resources": resources}
    block = {"source": "rest_api", "config": config, "streams": {"customers": {"record_time": "updated_at"}}}
    return dlt_hub(folder, store, block, **row)


@pytest.mark.network
def test_a_name_that_leads_to_this_machine_ends_the_load_unless_the_operator_means_it(
    tmp_path: Path, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lookup(_host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, port, *a, **k: lookup(host, port) if host == "legacy.example" else real(host, port, *a, **k)
    )  # fmt: skip
    with vendor() as (port, asked):
        base_url = f"http://legacy.example:{port}"
        refused = _hub(tmp_path / "closed", sqlite_store, base_url).extract()
        assert (refused.completeness, refused.exit_code, asked) == ("PARTIAL", 2, [])
        assert "legacy.example leads to 127.0.0.1" in (refused.error or "")
        assert "allow_private_networks: true" in (refused.error or "")

        opened = _hub(tmp_path / "open", sqlite_store, base_url, allow_private_networks=True).extract()

    assert (opened.completeness, opened.counts["loaded"]) == ("COMPLETE", 1)


@responses.activate
def test_a_long_wait_is_put_off_to_the_instant_that_the_vendor_named(tmp_path: Path, sqlite_store: Store) -> None:
    responses.get("https://legacy.example/customers", status=429, headers={"Retry-After": "3600"})

    report = _hub(tmp_path, sqlite_store, "https://legacy.example").extract()

    assert (report.completeness, report.exit_code, len(responses.calls)) == ("PARTIAL", 75, 1)
    (put_off,) = read_deferred(sqlite_store)
    assert (put_off.connection, put_off.stream) == ("legacy", "customers")
    assert put_off.not_before.strftime("%Y-%m-%d %H:%M:%S") in (report.error or "")


@responses.activate
def test_the_patience_of_the_connection_decides_what_is_slept(tmp_path: Path, sqlite_store: Store) -> None:
    responses.get("https://legacy.example/customers", status=503, headers={"Retry-After": "30"})

    report = _hub(tmp_path, sqlite_store, "https://legacy.example", patience_s=20).extract()

    assert (report.exit_code, len(responses.calls)) == (75, 1)


def _oauth(token_url: str) -> dict[str, Any]:
    secret = {"client_id": "us", "client_secret": "${LEGACY_SECRET}"}
    return {"auth": {"type": "oauth2_client_credentials", "access_token_url": token_url, **secret}}


@responses.activate
def test_a_token_comes_from_its_declared_place(
    tmp_path: Path, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEGACY_SECRET", "s3cret")
    responses.post("https://login.legacy.example/token", json={"access_token": "t0ken", "expires_in": 60})
    responses.get("https://legacy.example/customers", json=ROWS)

    client = _oauth("https://login.legacy.example/token")
    report = _hub(tmp_path, sqlite_store, "https://legacy.example", client=client).extract()

    assert (report.completeness, report.counts["loaded"]) == ("COMPLETE", 1)
    assert responses.calls[1].request.headers["Authorization"] == "Bearer t0ken"


@responses.activate
def test_the_client_s_secret_follows_no_redirect(
    tmp_path: Path, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEGACY_SECRET", "s3cret")
    responses.post("https://login.legacy.example/token", status=307, headers={"Location": "https://evil.example/t"})
    responses.post("https://evil.example/t", json={"access_token": "t0ken"})

    client = _oauth("https://login.legacy.example/token")
    report = _hub(tmp_path, sqlite_store, "https://legacy.example", client=client).extract()

    assert [call.request.url for call in responses.calls] == ["https://login.legacy.example/token"]
    assert report.completeness == "PARTIAL"
    assert "s3cret" not in str(report)


def test_a_foreign_origin_is_refused_before_its_name_is_looked_up() -> None:
    with GuardedSession(["https://legacy.example"]) as session, pytest.raises(StopStream, match="not declared"):
        session.get("https://evil.example/rows", timeout=1)
