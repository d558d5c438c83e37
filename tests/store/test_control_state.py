"""Tokens are saved by one process only; a request budget is shared by all."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from connectors.sdk.buckets import Ask, Bucket
from connectors.sdk.errors import FixConfig, StoreFailure
from pipelines.store import connection_health as health
from pipelines.store import tables
from pipelines.store.connection_health import Deferred, Health, HealthState
from pipelines.store.control_state import TokenEvent, exchange_quota, load_token, save_token
from pipelines.store.engine import begin_write
from pipelines.store.sealing import Sealer, find_sealer, new_key
from tests.store.rows import DAY

if TYPE_CHECKING:
    from pipelines.store import Store

T0 = DAY.timestamp()
DEFAULT, SEARCH = Bucket("default", 100, 10.0), Bucket("search", 5, 1.0)


def test_a_token_is_saved_only_over_the_version_that_was_read(store: Store):
    assert load_token(store, "crm") is None
    assert save_token(store, "crm", {"access": "a"}, expected_version=0)
    assert not save_token(store, "crm", {"access": "b"}, expected_version=0)
    assert save_token(store, "crm", {"access": "c"}, expected_version=1)
    assert not save_token(store, "crm", {"access": "d"}, expected_version=1)

    found = load_token(store, "crm")

    assert found is not None
    assert (found.value, found.version) == ({"access": "c"}, 2)


def test_many_processes_together_never_get_more_than_the_budget(store: Store):
    def ask(n: int) -> int:
        return exchange_quota(store, "crm:1", [Ask(DEFAULT, 7)], now=T0 + n / 1000)[0].permits

    with ThreadPoolExecutor(4) as pool:
        granted = list(pool.map(ask, range(24)))

    assert sum(granted) == 100
    assert exchange_quota(store, "crm:2", [Ask(DEFAULT, 7)], now=T0)[0].permits == 7


def test_a_request_of_two_buckets_takes_from_both_or_from_none(store: Store):
    exchange_quota(store, "crm:1", [Ask(SEARCH, 5)], now=T0)

    grants = exchange_quota(store, "crm:1", [Ask(SEARCH, 1), Ask(DEFAULT, 1)], now=T0 + 0.1)

    assert [grant.permits for grant in grants] == [0, 0]
    assert exchange_quota(store, "crm:1", [Ask(DEFAULT, 100)], now=T0 + 0.1)[0].permits == 100


def test_a_vendors_wish_to_wait_binds_every_process_to_the_second(store: Store):
    exchange_quota(store, "crm:1", [Ask(DEFAULT, closed_until=T0 + 3600)], now=T0)

    early = exchange_quota(store, "crm:1", [Ask(DEFAULT, 1)], now=T0 + 3599.5)[0]

    assert (early.permits, early.closed, early.wait) == (0, True, pytest.approx(0.5))
    assert exchange_quota(store, "crm:1", [Ask(DEFAULT, 1)], now=T0 + 3600)[0].permits == 1
    (row,) = _rows(store, "quota")
    assert row.blocked_until == DAY + timedelta(seconds=3600)


def _rows(store: Store, name: str) -> list:
    with store.control.connect() as connection:
        return list(connection.execute(select(tables.control.tables[name])))


# --- sealing -------------------------------------------------------------------------------------------------------


def test_what_was_sealed_opens_at_its_own_place_only():
    sealer = Sealer.of(new_key())
    sealed = sealer.seal("refresh-1", "token 1/crm")

    assert sealer.open(sealed, "token 1/crm") == "refresh-1"
    assert "refresh-1" not in sealed
    with pytest.raises(FixConfig, match="belongs to another place"):
        sealer.open(sealed, "token 1/shop")


def test_a_changed_key_opens_what_the_old_one_sealed_and_seals_with_the_new():
    old, new = new_key(), new_key()
    sealed = Sealer.of(old).seal("refresh-1", "p")
    both = Sealer.of(f"{new},{old}")

    assert both.open(sealed, "p") == "refresh-1"
    assert Sealer.of(new).open(both.seal("x", "p"), "p") == "x"
    with pytest.raises(FixConfig, match="does not hold"):
        Sealer.of(new).open(sealed, "p")


@pytest.mark.parametrize("text", ["short", "AAAA", ",", "ä" * 44])
def test_a_key_that_is_none_says_how_to_make_one(text: str):
    with pytest.raises(FixConfig, match="unisono key new"):
        Sealer.of(text)


def test_the_key_comes_from_the_environment_first_and_else_from_the_keyring(monkeypatch: pytest.MonkeyPatch):
    import keyring

    ring = new_key()
    monkeypatch.setattr(
        keyring, "get_password", lambda service, name: ring if (service, name) == ("unisono", "key") else None
    )
    monkeypatch.delenv("UNISONO_KEY", raising=False)
    assert find_sealer().key_id == Sealer.of(ring).key_id
    own = new_key()
    monkeypatch.setenv("UNISONO_KEY", own)
    assert find_sealer().key_id == Sealer.of(own).key_id


def test_no_secret_is_readable_in_the_control_file(sqlite_store: Store):
    sealer = Sealer.of(new_key())
    save_token(sqlite_store, "crm", {"sealed": sealer.seal("canary-secret", "p")}, expected_version=0)

    path = sqlite_store.control.url.database
    with sqlite3.connect(path) as connection:
        dump = "\n".join(connection.iterdump())
    connection.close()

    assert "canary-secret" not in dump
    assert "sealed" in dump


# --- health --------------------------------------------------------------------------------------------------------


def test_the_health_of_a_connection_is_its_last_word_with_the_last_error_kept(store: Store):
    health.write_health(store, Health("c1", "crm", HealthState.FAILING, last_error="503", last_error_at=DAY))
    health.write_health(store, Health("c1", "crm", HealthState.OK, last_ok_at=DAY + timedelta(hours=1)))

    (found,) = health.read_health(store)

    assert (found.state, found.last_error, found.last_ok_at) == (HealthState.OK, "503", DAY + timedelta(hours=1))


def test_a_limit_ends_and_an_old_token_shows():
    limited = Health("c1", "crm", HealthState.LIMITED, limited_until=DAY)
    ageing = Health("c1", "crm", HealthState.OK, token_expires_at=DAY)
    margin = timedelta(minutes=5)

    assert limited.state_at(DAY - timedelta(seconds=1), margin) is HealthState.LIMITED
    assert limited.state_at(DAY, margin) is HealthState.OK
    assert ageing.state_at(DAY - timedelta(minutes=4), margin) is HealthState.EXPIRING
    assert ageing.state_at(DAY - timedelta(minutes=6), margin) is HealthState.OK


def test_an_event_of_a_family_is_recorded_once_and_with_its_token(store: Store):
    lost = TokenEvent("needs re-auth", "family-1", DAY, "")

    saved = [save_token(store, "c1", {}, expected_version=version, event=lost) for version in (0, 1, 1)]

    assert saved == [True, True, False]
    assert health.read_events(store) == [("c1", "needs re-auth", "family-1")]


def test_a_token_whose_event_cannot_be_recorded_is_not_saved(sqlite_store: Store):
    with begin_write(sqlite_store.control) as connection, connection.begin():
        connection.exec_driver_sql(
            "CREATE TRIGGER no BEFORE INSERT ON connection_event BEGIN SELECT RAISE(ABORT, 'no'); END"
        )

    with pytest.raises(StoreFailure):
        save_token(sqlite_store, "c1", {}, expected_version=0, event=TokenEvent("needs re-auth", "f", DAY, ""))

    assert load_token(sqlite_store, "c1") is None


def test_what_is_put_off_is_due_at_its_instant_and_gone_when_it_was_run(store: Store):
    health.defer(store, Deferred("crm", "contacts", DAY, "busy"))
    health.defer(store, Deferred("crm", "contacts", DAY + timedelta(hours=1), "busy"))

    assert health.read_deferred(store, until=DAY) == []
    assert [one.stream for one in health.read_deferred(store, until=DAY + timedelta(hours=1))] == ["contacts"]
    health.undefer(store, "crm", "contacts")
    assert health.read_deferred(store) == []
