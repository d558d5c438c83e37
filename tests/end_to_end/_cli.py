"""The command line as its users run it: as a process of its own, or in this one where only the words matter."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipelines.cli import main

PROGRAM = str(Path(sys.executable).with_name("unisono"))
EXTRACT_COUNTS = ("loaded", "unchanged", "duplicate", "filtered", "quarantined")


@dataclass(frozen=True)
class Done:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The JSON lines of stdout."""
        return [json.loads(line) for line in self.out.splitlines()]

    def stage(self, name: str) -> dict[str, dict[str, Any]]:
        """The ``--json`` lines of one stage, by ``connection/stream`` or entity."""
        return {_unit(row): row for row in self.rows if row["stage"] == name}

    @property
    def digest(self) -> dict[str, str]:
        """What ``store digest`` printed: the hash of each table."""
        return {table: value for value, table in (line.split() for line in self.out.splitlines())}


def _unit(row: dict[str, Any]) -> str:
    return str(row.get("entity") or f"{row['connection']}/{row['stream']}")


def environment() -> dict[str, str]:
    """The caller's environment without a hub of its own."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("UNISONO_CONFIG", "DAGSTER_"))}


def run_process(home: Path, *words: str, stdin: str | None = None) -> Done:
    """Run ``unisono`` in ``home`` as a process of its own."""
    found = subprocess.run(
        [PROGRAM, *words],
        cwd=home,
        env=environment(),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return Done(found.returncode, found.stdout, found.stderr)


def start_process(home: Path, *words: str) -> subprocess.Popen[str]:
    """Start ``unisono`` in ``home`` and do not wait for it."""
    return subprocess.Popen(
        [PROGRAM, *words], cwd=home, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run_here(*words: str | Path, stdin: str = "") -> Done:
    """Run the same ``main`` in this process: saves the seconds that imports take."""
    out, err, before = io.StringIO(), io.StringIO(), (sys.argv, sys.stdin)
    sys.argv, sys.stdin = ["unisono", *map(str, words)], io.StringIO(stdin)
    code: Any = 0
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as end:
        code = end.code
    finally:
        sys.argv, sys.stdin = before
    return Done(int(code or 0), out.getvalue(), err.getvalue())


def write_home(
    folder: Path, connections: list[dict[str, Any]], *, store: str = "sqlite:///unisono.db", **more: Any
) -> Path:
    """Write a unisono.yaml into ``folder`` and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    hub = {"store": store, "landing": "landing", **more, "connections": connections}
    (folder / "unisono.yaml").write_text(yaml.safe_dump(hub, sort_keys=False), encoding="utf-8")
    return folder


def unaccounted(row: dict[str, Any]) -> int:
    """By how many records a ``--json`` line of an ingest stage misses its accounting identity."""
    if row["stage"] == "extract":
        return int(row["read"] - sum(row[name] for name in EXTRACT_COUNTS))
    return int(
        abs(row["read"] - row["mapped"] - row["quarantined"]) + abs(row["emitted"] - row["written"] - row["unchanged"])
    )
