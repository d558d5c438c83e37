"""Export: only what changed, merges and unmerges followed, nothing lost or doubled by a kill, every type as it is."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dlt.common.configuration.container import Container
from dlt.common.pipeline import PipelineContext

from connectors.sdk.errors import FixConfig, RetryLater
from pipelines import export
from pipelines.dlt_bridge.target import Target
from pipelines.report import StageReport
from pipelines.store import Store
from tests.golden.test_stage import Hub

pytestmark = pytest.mark.slow  # each goes through whole stages

_LATEST = """
    SELECT * FROM (SELECT * FROM read_parquet('{}/unisono/person/*.parquet')
    QUALIFY row_number() OVER (PARTITION BY person_id ORDER BY change_seq DESC) = 1) WHERE NOT is_deleted
"""


@pytest.fixture
def people(sqlite_store: Store) -> Hub:
    """Two people of two source records each."""
    return _people(sqlite_store)


def _people(store: Store) -> Hub:
    hub = Hub(store)
    for key, name in (("crm/1", "Ada"), ("desk/1", "Ada L"), ("crm/2", "Bob"), ("desk/2", "Bob M")):
        hub.person(key, "2026-01-01", f"{name.split()[0].lower()}@x.example", given_name=name, birth_date="1990-05-06")
    hub.link(1, "crm/1", "desk/1")
    hub.link(2, "crm/2", "desk/2")
    hub.counts()
    return hub


@pytest.fixture(params=["duckdb", "filesystem"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    """A warehouse that can merge, and plain files that cannot."""
    place = {"duckdb": {"credentials": "warehouse.duckdb"}, "filesystem": {"bucket_url": "lake"}}[request.param]
    return Target(request.param, "unisono", place, tmp_path)


def _export(hub: Hub, target: Target, *, full: bool = False) -> StageReport:
    return export.run(hub.context(full=full), target=target)


def _rows(target: Target, columns: str = "person_id, given_name") -> list[tuple[Any, ...]]:
    """Return the current rows of the destination, as a reader of it would see them."""
    if target.is_log:
        return duckdb.sql(f"SELECT {columns} FROM ({_LATEST.format(target.folder / 'lake')}) ORDER BY 1").fetchall()
    with duckdb.connect(str(target.folder / "warehouse.duckdb"), read_only=True) as warehouse:
        return warehouse.sql(f"SELECT {columns} FROM unisono.person ORDER BY 1").fetchall()


def _stored(hub: Hub) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in hub.store.query("SELECT person_id, given_name FROM v1_person ORDER BY 1").rows]


def test_the_second_export_writes_only_what_changed(people: Hub, target: Target):
    first = _export(people, target)
    idle = _export(people, target)
    people.person("crm/2", "2026-02-01", given_name="Robert")
    people.counts()

    second = _export(people, target)

    assert (first.counts, idle.counts) == ({"written": 2, "deleted": 0}, {"written": 0, "deleted": 0})
    assert second.counts == {"written": 1, "deleted": 0}
    assert _rows(target) == _stored(people)


def test_a_merge_takes_the_merged_id_away_and_an_unmerge_brings_it_back(people: Hub, target: Target):
    _export(people, target)
    people.link(1, "crm/2", "desk/2")
    people.counts()

    merged = _export(people, target)
    after_merge = _rows(target)
    people.link(2, "crm/2", "desk/2")
    people.counts()
    unmerged = _export(people, target)

    assert merged.counts["deleted"] == 1
    assert [row[0] for row in after_merge] == [1]
    assert (unmerged.counts["deleted"], [row[0] for row in _rows(target)]) == (0, [1, 2])
    assert _rows(target) == _stored(people)


def test_an_export_that_ended_before_it_was_remembered_is_repeated_without_doubling(
    people: Hub, target: Target, monkeypatch: pytest.MonkeyPatch
):
    _export(people, target)
    people.person("crm/1", "2026-02-01", given_name="Countess")
    people.link(1, "crm/2", "desk/2")
    people.counts()

    def lost(*_: Any) -> None:
        raise RetryLater("killed after the load")

    with monkeypatch.context() as patch:
        patch.setattr(export, "_remember", lost)
        with pytest.raises(RetryLater):
            _export(people, target)
    again = _export(people, target)

    assert again.counts["deleted"] == 1
    assert _rows(target) == _stored(people)
    files = sorted((target.folder / "lake").glob("unisono/person/*.parquet"))
    every = sum(duckdb.sql(f"SELECT count(*) FROM '{file}'").fetchall()[0][0] for file in files)
    assert every == (4 if target.is_log else 0)


_KILLED = """
import os, sys
from pathlib import Path
from pipelines import export
from pipelines.dlt_bridge.target import Target
from pipelines.store import Store
from tests.golden.test_stage import Hub

with Store.open(sys.argv[1]) as store:
    hub = Hub.__new__(Hub)
    hub.store = store
    export._remember = lambda *_: os.kill(os.getpid(), 9)
    place = {"duckdb": {"credentials": "warehouse.duckdb"}, "filesystem": {"bucket_url": "lake"}}[sys.argv[2]]
    export.run(hub.context(), target=Target(sys.argv[2], "unisono", place, Path(sys.argv[3])))
"""


@pytest.mark.slow
def test_a_kill_of_the_process_loses_and_doubles_nothing(people: Hub, target: Target):
    command = [sys.executable, "-c", _KILLED, _url(people.store), target.destination, str(target.folder)]
    dead = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})

    _export(people, target)

    assert dead.returncode == -9, dead.stderr
    assert _rows(target) == _stored(people)


def _url(store: Store) -> str:
    return store.url.render_as_string(hide_password=False)


def test_types_arrive_as_they_are(store: Store, target: Target):
    people = _people(store)
    people.person("crm/1", "2026-03-01", given_name="Ada", middle_name="A", birth_date="1990-05-06")
    people.counts()

    _export(people, target)

    kinds = dict(_rows(target, "typeof(person_id), typeof(birth_date)"))
    assert kinds in ({"BIGINT": "DATE"}, {"BIGINT": "VARCHAR"})
    flags = set(_rows(target, "typeof(is_stub), typeof(source_count), typeof(change_seq)"))
    assert flags == {("BOOLEAN", "BIGINT", "BIGINT")}


@pytest.mark.slow
def test_full_replaces_what_is_there(people: Hub, target: Target):
    _export(people, target)

    report = _export(people, target, full=True)

    assert report.counts == {"written": 2, "deleted": 0}
    assert _rows(target, "count(*), count(DISTINCT person_id)") == [(2, 2)]


@pytest.mark.slow
def test_a_destination_that_was_emptied_is_filled_anew(people: Hub, target: Target):
    _export(people, target)
    for file in [*target.folder.glob("warehouse.duckdb"), *target.folder.glob("lake/unisono/person/*")]:
        file.unlink()

    report = _export(people, target)

    assert report.counts["written"] == 2
    assert _rows(target) == _stored(people)


@pytest.mark.slow
def test_two_places_are_remembered_apart(people: Hub, target: Target, tmp_path: Path):
    _export(people, target)

    other = _export(people, replace(target, folder=tmp_path / "other"))

    assert other.counts["written"] == 2


def test_full_empties_a_table_that_has_no_golden_rows_any_more(people: Hub, target: Target):
    _export(people, target)
    people.unlink("crm/1", "desk/1", "crm/2", "desk/2")
    people.counts()

    report = _export(people, target, full=True)

    assert report.counts == {"written": 0, "deleted": 0}
    assert _rows(target) == []


def test_a_destination_that_dlt_does_not_know_is_said_so(people: Hub, tmp_path: Path):
    with pytest.raises(FixConfig, match="no_such_place"):
        _export(people, Target("no_such_place", "unisono", {}, tmp_path))


def test_nothing_of_dlt_stays_behind(people: Hub, target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Neither an active pipeline in this process nor a file in dlt's own folder."""
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "dlt"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    _export(people, target)

    assert not Container()[PipelineContext].is_active()
    assert not (tmp_path / "dlt").exists()
    assert not (tmp_path / "home").exists()
