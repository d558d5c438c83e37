"""No name leads a connection into a private network, and nobody resolves a name twice."""

from __future__ import annotations

import asyncio
import datetime as dt
import gzip
import ipaddress
import ssl
import zlib
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import httpx
import pytest

from connectors.sdk.errors import FixConfig, StopStream, UnisonoError
from connectors.sdk.guard import ForbiddenAddress, Guard
from connectors.sdk.http import Redactor, Wire
from connectors.sdk.paging import Request
from connectors.sdk.retry import Transient
from connectors.sdk.transport import DirectClient, new_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from pathlib import Path

NOW = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)
PUBLIC = ["8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "198.41.0.4", "64:ff9b::808:808", "2002:808:808::1"]
METADATA = ["169.254.169.254", "fe80::1", "fe80::1%eth0", "168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254",
            "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "169.254.170.2", "fd20:ce::254", "2002:a9fe:a9fe::1"]  # fmt: skip
PRIVATE = [
    "127.0.0.1", "127.1.2.3", "::1", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.9.9", "192.168.1.1", "100.64.0.1",
    "fc00::1", "fd12:3456::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "::ffff:192.168.0.1", "64:ff9b::a00:1", "2002:a00:1::1",
    "2002:7f00:1::", "::7f00:1", "::a00:1", "192.0.2.1", "198.51.100.7", "203.0.113.9", "198.18.0.1", "240.0.0.1", "192.0.0.8",
    "2001:db8::1", "fec0::1", "64:ff9b:1::a00:1", "255.255.255.255",
]  # fmt: skip
NEVER = ["0.0.0.0", "::", "224.0.0.1", "239.1.1.1", "ff02::1"]


def resolving(*answers: Sequence[str]) -> Callable[[str, int], Awaitable[Sequence[str]]]:
    """Give these answers in turn, the last one for ever; ``asked`` counts."""
    left = list(answers)

    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return resolve


def addresses(guard: Guard, host: str = "api.vendor.example", port: int = 443) -> Sequence[str]:
    return asyncio.run(guard.addresses(host, port))


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_reached(address: str) -> None:
    assert addresses(Guard(resolve=resolving([address]))) == [address]


@pytest.mark.parametrize("address", [*METADATA, *PRIVATE, *NEVER])
def test_an_address_that_is_not_public_is_refused_whatever_the_name(address: str) -> None:
    with pytest.raises(ForbiddenAddress):
        addresses(Guard(resolve=resolving([address])))


@pytest.mark.parametrize("address", [*METADATA, *NEVER])
def test_metadata_stays_closed_when_private_networks_are_open(address: str) -> None:
    with pytest.raises(ForbiddenAddress):
        addresses(Guard(allow_private=True, resolve=resolving([address])))


@pytest.mark.parametrize("address", ["10.0.0.1", "127.0.0.1", "fd12:3456::1", "::ffff:10.0.0.1"])
def test_the_operators_switch_opens_private_networks(address: str) -> None:
    assert addresses(Guard(allow_private=True, resolve=resolving([address]))) == [address]


def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    with pytest.raises(ForbiddenAddress, match=r"leads to 10\.0\.0\.1"):
        addresses(Guard(resolve=resolving(["8.8.8.8", "10.0.0.1"])))


def test_a_base_url_on_this_machine_opens_exactly_its_own_port() -> None:
    guard = Guard.of("127.0.0.1", 8080, resolve=resolving(["127.0.0.1"]))
    assert addresses(guard, "127.0.0.1", 8080) == ["127.0.0.1"]
    for host, port in (("127.0.0.1", 8081), ("localhost", 8080), ("rebound.example", 8080)):
        with pytest.raises(ForbiddenAddress):
            addresses(guard, host, port)


def test_a_name_that_someone_else_resolves_opens_nothing() -> None:
    guard = Guard.of("evil.example", 80, resolve=resolving(["127.0.0.1"]))
    with pytest.raises(ForbiddenAddress):
        addresses(guard, "evil.example", 80)


# --- the wire ------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def serve(
    answer: bytes, *, tls: ssl.SSLContext | None = None, hold: bool = False
) -> AsyncIterator[tuple[int, list[int]]]:
    """Serve one answer to everyone; yield the port and what counts the requests."""
    seen: list[int] = []
    talks: list[asyncio.Task[None] | None] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.current_task())
        with suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            await reader.readuntil(b"\r\n\r\n")
            seen.append(1)
            writer.write(answer)
            await writer.drain()
            if hold:
                await reader.read()
        writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()

    server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1], seen
    finally:
        server.close()
        await asyncio.gather(*(one for one in talks if one is not None))


def head(*lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in ("HTTP/1.1 200 OK", *lines, "connection: close", "")).encode()


async def ask(client: httpx.AsyncClient, url: str, *, origins: Sequence[str] = (), **caps: float) -> bytes:
    async with client:
        wire = Wire(client, (url, *origins), Redactor(), lambda: NOW, **caps)  # type: ignore[arg-type]
        return (await wire.send(Request("GET", url))).content


def fetched(answer: bytes, **caps: float) -> bytes:
    """Ask a loopback server that gives ``answer``."""

    async def go() -> bytes:
        async with serve(answer, hold="max_seconds" in caps) as (port, _):
            url = f"http://127.0.0.1:{port}/"
            return await ask(DirectClient(Guard.of("127.0.0.1", port)), url, **caps)

    return asyncio.run(go())


def test_a_name_that_answers_otherwise_the_second_time_is_not_asked_a_second_time() -> None:
    async def go() -> tuple[list[int], list[str]]:
        names: list[str] = []

        async def rebinding(host: str, _port: int) -> Sequence[str]:
            names.append(host)
            return ["8.8.8.8"] if len(names) == 1 else ["127.0.0.1"]

        guard = Guard(allow_private=False, resolve=rebinding)
        async with serve(head("content-length: 2") + b"{}") as (port, seen):
            assert await guard.addresses("vendor.example", port) == ["8.8.8.8"]
            with pytest.raises(FixConfig, match="allow_private_networks"):
                await ask(DirectClient(guard), f"http://vendor.example:{port}/")
        return seen, names

    assert asyncio.run(go()) == ([], ["vendor.example", "vendor.example"])


def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    async def go() -> bytes:
        guard = Guard(allow_private=True, resolve=resolving(["127.0.0.1"]))
        async with serve(head("content-length: 2") + b"{}") as (port, _):
            return await ask(DirectClient(guard), f"http://no-such-name.invalid:{port}/")

    assert asyncio.run(go()) == b"{}"


def test_a_redirect_to_a_declared_name_inside_the_network_is_refused() -> None:
    async def go() -> None:
        first = b"HTTP/1.1 302 Found\r\nlocation: http://files.vendor.example/x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"

        async def resolve(host: str, _port: int) -> Sequence[str]:
            return ["127.0.0.1"] if host == "127.0.0.1" else ["10.1.2.3"]

        async with serve(first) as (port, _):
            guard = Guard.of("127.0.0.1", port, resolve=resolve)
            await ask(DirectClient(guard), f"http://127.0.0.1:{port}/", origins=["http://files.vendor.example"])

    with pytest.raises(FixConfig, match=r"leads to 10\.1\.2\.3"):
        asyncio.run(go())


def test_a_token_url_inside_the_network_gets_no_secret() -> None:
    async def go() -> list[int]:
        client = DirectClient(Guard(resolve=resolving(["127.0.0.1"])))
        async with serve(head("content-length: 2") + b"{}") as (port, seen), client:
            wire = Wire(client, (f"http://login.vendor.example:{port}",), Redactor(), lambda: NOW)
            with pytest.raises(FixConfig):
                await wire.post_form(f"http://login.vendor.example:{port}/token", {"refresh_token": "s"}, None)
        return seen

    assert asyncio.run(go()) == []


def test_tls_verifies_the_name_and_not_the_address(tmp_path: Path) -> None:
    certificate, key, authority = _certificate(tmp_path, "api.vendor.example")
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate, key)
    trusting = ssl.create_default_context(cafile=str(authority))

    async def go(host: str) -> bytes:
        guard = Guard(allow_private=True, resolve=resolving(["127.0.0.1"]))
        async with serve(head("content-length: 200000") + b"x" * 200_000, tls=serving) as (port, _):
            return await ask(DirectClient(guard, trusting), f"https://{host}:{port}/")

    assert len(asyncio.run(go("api.vendor.example"))) == 200_000
    with pytest.raises(Transient, match="certificate"):
        asyncio.run(go("other.vendor.example"))


def _certificate(folder: Path, name: str) -> tuple[Path, Path, Path]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder().subject_name(who).issuer_name(who).public_key(key.public_key()).serial_number(7)
        .not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    text = made.public_bytes(serialization.Encoding.PEM)
    hidden = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "c.pem").write_bytes(text)
    (folder / "k.pem").write_bytes(hidden)
    return folder / "c.pem", folder / "k.pem", folder / "c.pem"


# --- size and time -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "pack"),
    [
        ("gzip", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress),
        ("deflate", lambda data: zlib.compress(data, wbits=-15)), ("gzip", lambda data: gzip.compress(data[:5]) + gzip.compress(data[5:])),
    ],
)  # fmt: skip
def test_packed_answers_are_unpacked(word: str, pack: Callable[[bytes], bytes]) -> None:
    packed = pack(b'{"items": []}')
    assert fetched(head(f"content-encoding: {word}", f"content-length: {len(packed)}") + packed) == b'{"items": []}'


def test_a_small_answer_that_unpacks_into_a_huge_one_is_stopped_at_the_cap() -> None:
    bomb = gzip.compress(b"0" * 50_000_000, 9)
    assert len(bomb) < 60_000
    with pytest.raises(StopStream, match="larger than 1 MB"):
        fetched(head("content-encoding: gzip", f"content-length: {len(bomb)}") + bomb, max_bytes=1 << 20)


def test_a_packed_answer_that_breaks_off_is_not_taken_for_whole() -> None:
    packed = gzip.compress(b'{"items": [1, 2, 3]}')[:-6]
    with pytest.raises(Transient, match="ended early"):
        fetched(head("content-encoding: gzip", f"content-length: {len(packed)}") + packed)


def test_an_encoding_nobody_asked_for_is_refused() -> None:
    with pytest.raises(StopStream, match="packed as br"):
        fetched(head("content-encoding: br", "content-length: 2") + b"{}")


def test_a_declared_size_above_the_cap_is_not_even_read() -> None:
    with pytest.raises(StopStream, match="larger than 1 MB"):
        fetched(head("content-length: 9000000000"), max_bytes=1 << 20)


def test_an_answer_that_never_ends_is_given_up_after_the_total_time() -> None:
    with pytest.raises(Transient, match="not complete after"):
        fetched(head("content-length: 10") + b"{", max_seconds=0.2)


def test_a_proxy_of_the_environment_is_left_to_httpx(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert isinstance(new_client(Guard()), DirectClient)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    assert not isinstance(new_client(Guard()), DirectClient)


def test_every_address_of_the_table_is_one() -> None:
    table = [*PUBLIC, *METADATA, *PRIVATE, *NEVER]
    assert len({ipaddress.ip_address(one.partition("%")[0]) for one in table}) >= 50
    assert issubclass(FixConfig, UnisonoError)
