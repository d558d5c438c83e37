"""Rotating refresh tokens under fire: workers share one connection, tokens expire, processes die between grant and save.

Run: ``python -m tests.benchmarks.bench_rotation [--expiries 500] [--workers 8] [--kills 40] [--seed 7]``. The vendor revokes
a whole family when a spent refresh token is shown again, as RFC 9700 asks. Prints one JSON line; `unexplained` must be 0:
an invalid_grant is explained only if it was for a spent token and a process was killed for it (at most one a kill).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import yaml

from connectors.sdk.errors import FixConfig, UnisonoError
from connectors.sdk.manifest import connect, load_manifest
from connectors.sdk.oauth import NeedsReauth
from connectors.sdk.paging import Request
from connectors.sdk.quota import AccountQuota
from connectors.sdk.session import Session
from pipelines.extract.tokens import StoreTokens
from pipelines.store import Store
from pipelines.store.connection_health import read_events
from pipelines.store.sealing import Sealer, new_key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from multiprocessing.connection import Connection

    from connectors.sdk.protocols import ConnectionSettings

CONNECTION = "rotating"
MANIFEST: dict[str, Any] = {
    "name": "rotating", "title": "Rotating", "version": "0.1.0", "category": "crm", "summary": "rotates", "docs": "https://x.example",
    "base_url": "http://127.0.0.1",
    "config": {"type": "object", "properties": {k: {"type": "string", "secret": True} for k in ("client_id", "client_secret", "refresh_token")}},
    "auth": [{"when": ["client_id", "client_secret", "refresh_token"], "type": "oauth2_refresh_token", "token_url": "/token"}],
    "limits": {"concurrency": 4},
    "streams": {"things": {"object": "thing", "key": "id", "path": "/things", "data_selector": "items"}},
}  # fmt: skip


@dataclass
class Authority:
    """Issues rotating refresh tokens; showing a spent one revokes its family. An access token serves ``uses`` requests."""

    uses: int = 16
    life: float = 3600.0
    grants: int = 0
    invalid: int = 0
    unknown: int = 0
    served: int = 0
    live: dict[str, str] = field(default_factory=dict)
    spent: dict[str, str] = field(default_factory=dict)
    access: dict[str, tuple[str, int]] = field(default_factory=dict)

    def seed(self) -> str:
        """Authorise as a person would; return the first refresh token of a new family."""
        token = f"refresh-{os.urandom(8).hex()}"
        self.live[token] = token
        return token

    def token(self, form: Mapping[str, list[str]]) -> tuple[int, dict[str, Any]]:
        shown = form.get("refresh_token", [""])[0]
        family = self.live.pop(shown, None)
        if family is None:
            self.invalid += 1
            self.unknown += shown not in self.spent
            self._revoke(self.spent.get(shown))
            return 400, {"error": "invalid_grant"}
        self.grants += 1
        self.spent[shown] = family
        fresh, access = f"refresh-{os.urandom(8).hex()}", f"access-{os.urandom(8).hex()}"
        self.live[fresh] = family
        self.access = {token: held for token, held in self.access.items() if held[0] != family}
        self.access[access] = (family, self.uses)
        return 200, {"access_token": access, "refresh_token": fresh, "expires_in": self.life}

    def things(self, token: str) -> tuple[int, dict[str, Any]]:
        family, left = self.access.get(token, ("", 0))
        if left <= 0:
            return 401, {"error": "invalid_token"}
        self.access[token] = (family, left - 1)
        self.served += 1
        return 200, {"items": []}

    def _revoke(self, family: str | None) -> None:
        if family is None:
            return
        self.live = {token: of for token, of in self.live.items() if of != family}
        self.access = {token: held for token, held in self.access.items() if held[0] != family}

    def answer(self, head: bytes, body: bytes) -> tuple[int, dict[str, Any]]:
        path = head.split(b" ", 2)[1].decode()
        if path == "/token":
            return self.token(parse_qs(body.decode()))
        if path == "/seed":
            return 200, {"refresh_token": self.seed()}
        if path == "/counts":
            return 200, {n: getattr(self, n) for n in ("grants", "invalid", "unknown", "served")}
        proof = next((line for line in head.split(b"\r\n") if line.lower().startswith(b"authorization:")), b"")
        return self.things(proof.rpartition(b" ")[2].decode())


async def serve(authority: Authority, ready: Connection) -> None:
    """Answer for ever on a free port of loopback."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                body = await reader.readexactly(int(lengths[0].split(b":")[1])) if lengths else b""
                status, answer = authority.answer(head, body)
                content = json.dumps(answer).encode()
                start = (
                    f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
                )
                writer.write(start.encode() + content)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    ready.send(server.sockets[0].getsockname()[1])
    async with server:
        await server.serve_forever()


def _serve(uses: int, ready: Connection) -> None:
    asyncio.run(serve(Authority(uses=uses), ready))


def settings(folder: Path, base_url: str, refresh_token: str) -> ConnectionSettings:
    """Return the connection all workers share."""
    path = folder / "rotating"
    path.mkdir(exist_ok=True)
    if not (path / "manifest.yaml").exists():
        (path / "manifest.yaml").write_text(yaml.safe_dump(MANIFEST), encoding="utf-8")
    config = {"client_id": "c", "client_secret": "made-up-secret", "refresh_token": refresh_token}
    return connect(load_manifest(path), name=CONNECTION, connection_id=CONNECTION, config=config, base_url=base_url)


async def work(folder: Path, base_url: str, key: str) -> None:
    """Ask until the family is lost; the parent ends or replaces this process."""
    with Store.open(f"sqlite:///{folder}/store.db") as store:
        tokens = StoreTokens(store, Sealer.of(key))
        refresh_token = (folder / "seed").read_text(encoding="utf-8")
        async with Session(
            settings(folder, base_url, refresh_token),
            tokens=tokens,
            quota=AccountQuota(),
            now=lambda: datetime.now(UTC),
        ) as session:
            while True:
                await session.fetch(Request("GET", f"{base_url}/things"))


def _worker(folder: str, base_url: str, key: str) -> None:
    try:
        asyncio.run(work(Path(folder), base_url, key))
    except NeedsReauth:
        sys.exit(3)
    except FixConfig as why:
        print(f"worker: {why}", file=sys.stderr)
        sys.exit(5 if "spent before" in str(why) else 4)
    except UnisonoError as why:
        print(f"worker: {why}", file=sys.stderr)
        sys.exit(4)


async def _get(base_url: str, path: str) -> dict[str, Any]:
    host, _, port = base_url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    content = await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]))
    writer.close()
    found: dict[str, Any] = json.loads(content)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run workers, kill some at random moments, and count what the vendor refused without a reason."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (("expiries", 500), ("workers", 8), ("kills", 40), ("seed", 7), ("uses", 40)):
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args(arguments)
    chance, method, key = random.Random(given.seed), multiprocessing.get_context("forkserver"), new_key()
    method.set_forkserver_preload([__spec__.name if __spec__ else "tests.benchmarks.bench_rotation"])
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours, theirs = multiprocessing.Pipe()
        vendor = method.Process(target=_serve, args=(given.uses, theirs), daemon=True)
        vendor.start()
        base_url = f"http://127.0.0.1:{ours.recv()}"
        Store.open(f"sqlite:///{folder}/store.db").close()
        counts = _storm(given, chance, method, folder, base_url, key)
        with Store.open(f"sqlite:///{folder}/store.db") as store:
            events = [kind for _, kind, _ in read_events(store)]
        vendor.terminate()
    reauths = events.count("needs re-auth")
    report = {
        "name": "rotation", "workers": given.workers, "expiries": counts["grants"], "kills": counts["kills"],
        "requests": counts["served"], "invalid_grant": counts["invalid"], "reauth_events": reauths,
        "unexplained": counts["unknown"] + max(0, counts["invalid"] - counts["kills"]), "other_errors": counts["other"],
        "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip
    print(json.dumps(report))
    return 0 if report["unexplained"] == report["other_errors"] == 0 and reauths <= counts["invalid"] else 1


def _storm(given: Any, chance: random.Random, method: Any, folder: Path, base_url: str, key: str) -> dict[str, int]:
    def authorise() -> None:
        fresh = asyncio.run(_get(base_url, "/seed"))["refresh_token"]
        (folder / "seed.part").write_text(fresh, encoding="utf-8")
        (folder / "seed.part").replace(folder / "seed")

    def start() -> Any:
        process = method.Process(target=_worker, args=(str(folder), base_url, key), daemon=True)
        process.start()
        return process

    authorise()
    workers = [start() for _ in range(given.workers)]
    kills = other = 0
    next_kill = 0
    counts: dict[str, int] = {"grants": 0}
    while counts["grants"] < given.expiries:
        codes = {process.exitcode for process in workers if process.exitcode is not None}
        other += len(codes - {3, 5, -signal.SIGKILL, 255})
        if codes - {3, 5, -signal.SIGKILL, 255}:
            print(f"a worker ended with {codes}", file=sys.stderr)
        if 3 in codes:
            for process in workers:
                process.join()  # the flag ends every one of them by itself
            authorise()
        workers = [process if process.is_alive() else start() for process in workers]
        counts = asyncio.run(_get(base_url, "/counts"))
        if kills < given.kills and counts["grants"] >= next_kill:
            victim = chance.choice(workers)
            os.kill(victim.pid, signal.SIGKILL)
            victim.join()
            kills += 1
            next_kill = counts["grants"] + max(1, given.expiries // (given.kills + 1)) - chance.randint(0, 2)
        multiprocessing.connection.wait([process.sentinel for process in workers], timeout=chance.uniform(0.005, 0.05))
    _end(workers)
    return {**asyncio.run(_get(base_url, "/counts")), "kills": kills, "other": other}


def _end(workers: list[Any]) -> None:
    for process in workers:
        process.kill()
        process.join()


if __name__ == "__main__":
    raise SystemExit(main())
