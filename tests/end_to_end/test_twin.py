"""Real input: recorded payloads of all five vendors go through the whole program, and nothing is lost on the way."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from pipelines.config import load_config
from pipelines.store import Store
from pipelines.store.sealing import new_key
from tests.end_to_end import _twin
from tests.end_to_end._cli import Done, run_process, unaccounted, write_home

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.end_to_end._twin import Twin

pytestmark = pytest.mark.slow

# How a vendor marks a record that it still shows but that is deleted.
_TOMBSTONES = {
    "zendesk/users": lambda record: record["active"] is False,
    "zendesk/organizations": lambda record: record.get("deleted_at") is not None,
    "zendesk/tickets": lambda record: record["status"] == "deleted",
    "shopify/products": lambda record: record.get("deleted_at") is not None,
}
_LIVE = """SELECT r.connection_id, r.object, r.source_key FROM source_record AS r
           WHERE r.deleted_at IS NULL AND NOT r.is_stub"""


@pytest.fixture(scope="module")
def _process() -> Iterator[Twin]:
    with _twin.running() as twin:
        yield twin


@pytest.fixture
def twin(_process: Twin) -> Twin:
    """The twin with its data and tokens as at the start."""
    _process.reset()
    return _process


@pytest.fixture(scope="module")
def _synced(_process: Twin, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    _process.reset()
    home = write_home(tmp_path_factory.mktemp("twin") / "home", _process.connections())
    return home, run_process(home, "sync", "--json")


@pytest.fixture
def first(_synced: tuple[Path, Done]) -> Done:
    """The first sync of all five vendors."""
    return _synced[1]


@pytest.fixture
def home(_synced: tuple[Path, Done], tmp_path: Path) -> Path:
    """A hub of this test's own, as the first sync left it."""
    return shutil.copytree(_synced[0], tmp_path / "home")


def _served(twin: Twin, done: Done) -> list[tuple[str, str]]:
    """Return the streams that were read and that the twin serves."""
    held = {vendor: twin.streams(vendor) for vendor in _twin.VENDORS}
    units = [tuple(unit.split("/")) for unit in done.stage("extract")]
    return [(vendor, stream) for vendor, stream in units if stream in held[vendor]]


def _live(home: Path) -> dict[str, set[str]]:
    """Return the keys of the live source records in the store, by ``connection/stream``."""
    config = load_config(home / "unisono.yaml")
    streams = {
        (c.name, c.connector.manifest.streams[s].object): f"{c.name}/{s}" for c in config.connections for s in c.streams
    }
    found: dict[str, set[str]] = {}
    with Store.open(config.store_url, create=False) as store, store.engine.connect() as connection:
        for name, kind, key in connection.exec_driver_sql(_LIVE):
            found.setdefault(streams[name, kind], set()).add(key)
    return found


def test_every_stream_of_every_vendor_is_read_completely(first: Done) -> None:
    assert first.code == 0, first.err
    verdicts = {unit: row["completeness"] for unit, row in first.stage("extract").items()}
    assert {unit for unit, verdict in verdicts.items() if verdict != "COMPLETE"} == set()
    assert {unit.split("/")[0] for unit in verdicts} == set(_twin.VENDORS)


def test_as_many_records_are_loaded_as_the_oracle_holds(twin: Twin, first: Done) -> None:
    loads = first.stage("extract")
    served = _served(twin, first)
    assert len(served) == len(loads), "the twin serves every stream that the five connectors read by default"
    held = {f"{vendor}/{stream}": len(twin.records(vendor, stream)) for vendor, stream in served}
    assert {unit: row["loaded"] for unit, row in loads.items()} == held


def test_the_live_source_records_are_the_oracle_s_live_records(twin: Twin, first: Done, home: Path) -> None:
    def is_live(unit: str, record: dict[str, Any]) -> bool:
        return unit not in _TOMBSTONES or not _TOMBSTONES[unit](record)

    units = [(f"{vendor}/{stream}", twin.records(vendor, stream)) for vendor, stream in _served(twin, first)]
    expected = {unit: {key for key, record in records.items() if is_live(unit, record)} for unit, records in units}
    assert _live(home) == {unit: keys for unit, keys in expected.items() if keys}


def test_every_record_is_accounted_for_in_every_stage(first: Done) -> None:
    ingest = [row for row in first.rows if row["stage"] in ("extract", "normalise")]
    assert {_name(row): unaccounted(row) for row in ingest if unaccounted(row)} == {}
    loads, mapped = first.stage("extract"), first.stage("normalise")
    assert {unit: row["read"] for unit, row in mapped.items()} == {unit: row["loaded"] for unit, row in loads.items()}


def test_real_records_are_mapped_not_quarantined(first: Done) -> None:
    lines = [row for row in first.rows if row["stage"] in ("extract", "normalise")]
    assert {_name(row): row["quarantined"] for row in lines if row["quarantined"]} == {}


def test_a_second_sync_without_a_change_loads_and_writes_nothing(twin: Twin, home: Path) -> None:
    before = run_process(home, "store", "digest").digest
    done = run_process(home, "sync", "--json")
    assert done.code == 0, done.err
    assert {unit: row["loaded"] for unit, row in done.stage("extract").items() if row["loaded"]} == {}
    assert {_name(row): row["written"] for row in done.rows if row.get("written")} == {}
    assert run_process(home, "store", "digest").digest == before


def test_a_full_sync_gives_the_same_store(twin: Twin, home: Path) -> None:
    before = run_process(home, "store", "digest").digest
    done = run_process(home, "sync", "--full", "--json")
    assert done.code == 0, done.err
    assert {unit: row["loaded"] for unit, row in done.stage("extract").items() if row["loaded"]} == {}
    assert run_process(home, "store", "digest").digest == before


def test_exactly_what_changed_is_loaded_and_the_store_holds_the_new_content(twin: Twin, home: Path) -> None:
    touched = {
        "hubspot/contacts": twin.touch("hubspot", "contacts", "update", 3)
        | twin.touch("hubspot", "contacts", "create", 2),
        "hubspot/companies": twin.touch("hubspot", "companies", "update", 2),
        "hubspot/deals": twin.touch("hubspot", "deals", "update", 2),
        "zendesk/users": twin.touch("zendesk", "users", "update", 2) | twin.touch("zendesk", "users", "create", 1),
        "shopify/customers": twin.touch("shopify", "customers", "update", 2),
        "klaviyo/profiles": twin.touch("klaviyo", "profiles", "update", 2)
        | twin.touch("klaviyo", "profiles", "create", 1),
        "typeform/forms": twin.touch("typeform", "forms", "update", 1),
    }
    done = run_process(home, "sync", "--json")
    assert done.code == 0, done.err
    loaded = {unit: row["loaded"] for unit, row in done.stage("extract").items() if row["loaded"]}
    assert loaded == {unit: len(keys) for unit, keys in touched.items()}
    assert _landed_last(home) == touched
    _assert_content(twin, home, touched)


def test_what_vendors_delete_leaves_the_live_records_and_nothing_else_does(twin: Twin, home: Path) -> None:
    """Archived records by the second form of the list, others by absence and the vendor's word on each."""
    before = _live(home)
    units = ("hubspot/contacts", "hubspot/companies", "hubspot/owners", "klaviyo/metrics", "typeform/forms")
    deleted = {unit: twin.touch(*unit.split("/"), "delete", 2) for unit in units}

    done = run_process(home, "sync", "--json")

    assert done.code == 0, done.err
    after = _live(home)
    gone = {unit: before[unit] - after.get(unit, set()) for unit in before if before[unit] != after.get(unit)}
    children = gone.pop("typeform/responses", set())
    assert gone == deleted
    assert children <= before["typeform/responses"]
    assert (
        sum(
            row["details"].get("absent", {}).get("deleted", 0)
            for row in done.stage("extract").values()
            if "details" in row
        )
        > 0
    )


def test_a_refused_access_token_is_renewed_with_the_refresh_token_that_was_given_last(
    twin: Twin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNISONO_KEY", new_key())
    home = write_home(tmp_path / "oauth", twin.connections(oauth=True))
    first = run_process(home, "sync", "--json")
    assert first.code == 0, first.err
    for vendor in _twin.VENDORS:
        twin.ask("inject", {"vendor": vendor, "kind": "401", "times": 1})
    second = run_process(home, "sync", "--json")
    assert second.code == 0, second.err
    assert sum(row["loaded"] for row in first.stage("extract").values()) > 0
    assert sum(row["loaded"] for row in second.stage("extract").values()) == 0


@pytest.mark.postgres
def test_postgresql_ends_with_the_digest_of_sqlite(twin: Twin, home: Path, postgres_url: str, tmp_path: Path) -> None:
    other = write_home(tmp_path / "postgres", twin.connections(), store=postgres_url)
    done = run_process(other, "sync", "--json")
    assert done.code == 0, done.err
    assert run_process(other, "store", "digest").digest == run_process(home, "store", "digest").digest


@pytest.mark.parametrize(
    ("vendor", "stream", "entity"),
    [
        ("hubspot", "contacts", "person"),
        ("zendesk", "tickets", "ticket"),
        ("shopify", "orders", "order"),
        ("klaviyo", "profiles", "person"),
        ("typeform", "forms", "survey"),
    ],
)
def test_map_shows_what_becomes_of_a_single_real_record(
    twin: Twin, vendor: str, stream: str, entity: str, tmp_path: Path
) -> None:
    record = next(iter(twin.records(vendor, stream).values()))
    done = run_process(tmp_path, "map", vendor, stream, stdin=json.dumps(record) + "\n")
    assert done.code == 0, done.err
    report = json.loads(done.err)
    assert (report["read"], report["mapped"], report["quarantined"]) == (1, 1, [])
    assert report["ignored"], "the report names what is left out"
    assert entity in {row["entity"] for row in done.rows}
    assert all(row["row"] for row in done.rows)


def _name(row: dict[str, Any]) -> str:
    return f"{row['stage']} {row.get('entity') or row['connection'] + '/' + row['stream']}"


def _landed_last(home: Path) -> dict[str, set[str]]:
    """Return the keys that the last load of each stream landed."""
    config = load_config(home / "unisono.yaml")
    sql = """SELECT s.connection_id, s.stream, r.source_key FROM raw_head AS h JOIN segment AS s ON s.segment_id = h.segment_id
             JOIN source_record AS r ON r.source_record_id = h.source_record_id
             WHERE s.load_id = (SELECT max(l.load_id) FROM load AS l WHERE l.connection_id = s.connection_id AND l.stream = s.stream)"""
    found: dict[str, set[str]] = {}
    with Store.open(config.store_url, create=False) as store, store.engine.connect() as connection:
        for name, stream, key in connection.exec_driver_sql(sql):
            found.setdefault(f"{name}/{stream}", set()).add(key)
    return found


def _assert_content(twin: Twin, home: Path, touched: dict[str, set[str]]) -> None:
    """The store's rows say what the vendor's records say now, in one term of each stream."""
    said = {
        "hubspot/contacts": ("person", "given_name", lambda record: record["properties"].get("firstname")),
        "hubspot/companies": ("organization", "name", lambda record: record["properties"].get("name")),
        "hubspot/deals": ("opportunity", "name", lambda record: record["properties"].get("dealname")),
        "zendesk/users": ("person", "full_name", lambda record: record["name"]),
        "shopify/customers": ("person", "given_name", lambda record: record["first_name"]),
        "klaviyo/profiles": ("person", "given_name", lambda record: record["attributes"]["first_name"]),
        "typeform/forms": ("survey", "title", lambda record: record["title"]),
    }
    config = load_config(home / "unisono.yaml")
    with Store.open(config.store_url, create=False) as store, store.engine.connect() as connection:
        for unit, (entity, term, value) in said.items():
            vendor, stream = unit.split("/")
            records = twin.records(vendor, stream)
            sql = f"""SELECT r.source_key, e.{term} FROM {entity} AS e JOIN source_record AS r ON r.source_record_id = e.source_record_id
                      WHERE r.connection_id = '{vendor}' AND e.row_key = '' AND e.deleted_at IS NULL"""
            rows = dict(list(connection.exec_driver_sql(sql)))
            assert {key: rows[key] or None for key in touched[unit] if key in rows} == {
                key: value(records[key]) or None for key in touched[unit] if key in rows
            }
            assert touched[unit] & rows.keys(), f"no touched record of {unit} is live"
