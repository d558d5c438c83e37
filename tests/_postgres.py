"""A private PostgreSQL server for the tests: in a temporary folder, on a free port, never as root."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_FOLDERS = ("/usr/lib/postgresql/17/bin", "/usr/lib/postgresql/16/bin", "/usr/lib/postgresql/15/bin")
_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "64MB",
    "autovacuum": "off",
    "max_connections": "60",
    "max_wal_size": "2GB",
}
_MISSING = "PostgreSQL's server is not installed: apt-get install postgresql, or put initdb and pg_ctl on PATH"


def binary(name: str) -> str | None:
    """Return the path of one of PostgreSQL's programs, ``None`` if it is not installed."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *_FOLDERS]))


@contextmanager
def server() -> Iterator[str]:
    """Run a server and yield its URL without a database; where the programs are missing CI fails, others skip."""
    if binary("initdb") is None or binary("pg_ctl") is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(_MISSING)
    with tempfile.TemporaryDirectory(prefix="unisono-pg-") as name:
        folder, port = Path(name), _free_port()
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(folder, account.pw_uid, account.pw_gid)
        _run(
            "initdb",
            "-D",
            str(folder / "data"),
            "-A",
            "trust",
            "-U",
            "unisono",
            "-E",
            "UTF8",
            "--no-sync",
            "--locale=C",
        )
        options = " ".join(f"-c {key}={value}" for key, value in _SETTINGS.items())
        started = ("-o", f"{options} -p {port} -k {folder}", "-l", str(folder / "log"), "-w", "start")
        _run("pg_ctl", "-D", str(folder / "data"), *started)
        try:
            yield f"postgresql://unisono@127.0.0.1:{port}"
        finally:
            _run("pg_ctl", "-D", str(folder / "data"), "-m", "immediate", "-w", "stop")


def _run(name: str, *arguments: str) -> None:
    program = binary(name)
    assert program is not None
    command: Sequence[str] = [program, *arguments]
    if os.geteuid() == 0:
        command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd="/", check=False)
    assert done.returncode == 0, f"{name} failed: {done.stderr}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
