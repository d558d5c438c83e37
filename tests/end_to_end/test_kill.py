"""Nothing lost, nothing doubled: ``kill -9`` anywhere, run again, and the store means what an uninterrupted run's means."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end._cli import environment, run_here, run_process, write_home
from tests.end_to_end._simulator import vendors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

SEED = 20261122
PEOPLE = 230  # enough records for a match model that is learned, not built in
# The same program with transactions so small that a kill meets the middle of every stage.
_SMALL = """
from pipelines.extract import segments
from pipelines.golden import stage
from pipelines.normalise import parts
from pipelines.resolve import ledger
segments.SEGMENT_RECORDS = 40
parts.BATCH_ROWS = 40
ledger.ROWS_PER_WRITE = 40
stage.WRITE_ROWS = 40
from pipelines.cli import main
main()
"""
# A table that grows while a stage works: the process is killed when it holds a seeded share of its final rows.
_GROWING = ("segment", "raw_head", "source_record", "match_model", "crosswalk", "golden_person")


@pytest.fixture(scope="module")
def connections() -> Iterator[list[dict[str, Any]]]:
    with vendors("hubspot", "klaviyo", "zendesk", people=PEOPLE) as found:
        yield found


@pytest.fixture(scope="module")
def uninterrupted(connections: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hub that was synced once, by the program as it is."""
    home = write_home(tmp_path_factory.mktemp("uninterrupted"), connections)
    done = run_process(home, "sync", "--json")
    assert done.code == 0, done.err
    assert done.stage("resolve")["person"]["details"]["model_origin"] == "learned"
    return home


def _start(home: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", _SMALL, "sync"],
        cwd=home,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _rows(home: Path, table: str) -> int:
    """Return how many rows are committed, 0 while there is no such table yet."""
    try:
        with closing(sqlite3.connect(f"file:{home / 'unisono.db'}?mode=ro", uri=True)) as reader:
            return int(reader.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def _kill_when(home: Path, table: str, rows: int) -> bool:
    """Run a sync and ``kill -9`` it once the table holds so many rows; False when it ended before that."""
    process = _start(home)
    while _rows(home, table) < rows:
        try:
            process.wait(timeout=0.005)
        except subprocess.TimeoutExpired:
            continue
        return False
    process.kill()
    return process.wait() != 0


def _digest(home: Path) -> dict[str, str]:
    return run_here("--config", home / "unisono.yaml", "store", "digest").digest


@pytest.mark.parametrize("table", _GROWING)
def test_a_killed_sync_that_is_run_again_ends_with_the_digest_of_an_uninterrupted_one(
    table: str, connections: list[dict[str, Any]], uninterrupted: Path, tmp_path: Path
) -> None:
    share = random.Random(f"{SEED} {table}").uniform(0.05, 0.95)
    home = write_home(tmp_path / "killed", connections)
    assert _kill_when(home, table, 1 + int(share * (_rows(uninterrupted, table) - 1))), (
        "the sync ended before it was killed"
    )
    assert _digest(home) != _digest(uninterrupted), "it was killed before it was done"
    assert _start(home).wait() == 0
    assert _digest(home) == _digest(uninterrupted)


def test_a_sync_killed_again_and_again_loses_nothing_and_lands_nothing_twice(
    connections: list[dict[str, Any]], uninterrupted: Path, tmp_path: Path
) -> None:
    home = write_home(tmp_path / "killed", connections)
    total = _rows(uninterrupted, "raw_head")
    for share in sorted(random.Random(SEED).uniform(0.05, 0.95) for _ in range(3)):
        assert _kill_when(home, "raw_head", int(share * total)), "the sync ended before it was killed"
    assert _start(home).wait() == 0
    assert _digest(home) == _digest(uninterrupted)
    with closing(sqlite3.connect(home / "unisono.db")) as reader:
        landed = reader.execute("SELECT sum(records) FROM segment").fetchone()[0]
        lists = [json.loads(found) for (found,) in reader.execute("SELECT files FROM segment")]
    named = {file["name"] for files in lists for file in files}
    assert landed == total, "a record was landed twice"
    found = {str(file.relative_to(home / "landing")) for file in (home / "landing").rglob("*.*")}
    assert found == named, "a killed writer's file was left behind, or a committed one is missing"
