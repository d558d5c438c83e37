"""doctor says what is wrong with a store and what to do."""

from __future__ import annotations

import pytest

from pipelines.store import Store, doctor, leases
from pipelines.store.owner import Owner
from tests.store.rows import DAY


def test_a_sound_store_names_database_and_revision(store: Store):
    found = {fact.name: fact for fact in doctor.facts(store)}

    assert found["schema revision"].ok
    assert found["database"].value.startswith(("SQLite 3.", "PostgreSQL "))


@pytest.mark.parametrize(("version", "ok"), [((3, 40, 1), False), ((3, 51, 2), False), ((3, 51, 3), True)])
def test_sqlite_builds_with_the_wal_reset_bug_are_warned_of(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch, version: tuple[int, ...], ok: bool
):
    monkeypatch.setattr("sqlite3.sqlite_version_info", version)

    (fact,) = (fact for fact in doctor.facts(sqlite_store) if fact.name == "database")

    assert fact.ok is ok
    assert (fact.do is None) is ok


def test_leases_of_dead_processes_are_told_from_living_ones(store: Store):
    me = Owner.current()
    dead = leases.acquire(
        store.engine, store.control, "a", tenant_id=1, now=lambda: DAY, owner=Owner(me.host, me.boot_id, me.pid, "1")
    )
    with store.acquire("b"):
        found = {fact.name: fact.ok for fact in doctor.facts(store) if fact.name.startswith("lease")}
    dead.release()

    assert found == {"lease a": False, "lease b": True}
