"""An erased person is nowhere any more, and stays away; everybody else is as before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors.sdk.errors import FixConfig
from pipelines import channels, erasure, extract, golden, normalise, resolve
from pipelines.golden.explain import explain
from pipelines.history.past import as_of
from pipelines.store import sealing
from pipelines.store.digest import digest
from pipelines.store.tables import metadata
from tests._hub import Hub

pytestmark = pytest.mark.slow  # each goes through whole stages

ADA: dict[str, Any] = {
    "id": "ada-77", "first": "Adaline", "last": "Lovelacement", "born": "1815-12-10", "email": "ada@engines.example",
    "updated": "2026-01-01T00:00:00Z",
}  # fmt: skip
BOB: dict[str, Any] = {
    "id": "bob-88", "first": "Robert", "last": "Babbage", "born": "1791-12-26", "email": "bob@engines.example",
    "updated": "2026-01-01T00:00:00Z",
}  # fmt: skip
NOTES: list[dict[str, Any]] = [
    {"id": "n1", "about": "ada-77", "text": "called from home", "updated": "2026-01-02T00:00:00Z"},
    {"id": "n2", "about": "bob-88", "text": "write to ADA@engines.example instead", "updated": "2026-01-02T00:00:00Z"},
]
TRACES = ("ada@engines.example", "adaline", "lovelacement", "1815-12-10", "ada-77", "called from home")
T = metadata.tables


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    value = sealing.new_key()
    monkeypatch.setenv("UNISONO_KEY", value)
    return value


def sync(hub: Hub, people: list[dict[str, Any]], notes: list[dict[str, Any]] = NOTES) -> Any:
    for stream, records in (("notes", notes), ("people", people)):
        hub.vendor.pages = [hub.page(records, stream=stream)]
        report = extract.run(hub.context(stream))
        normalise.run(hub.context(stream))
    master(hub)
    return report


def master(hub: Hub) -> None:
    for stage in (resolve, golden):
        stage.run(hub.context().for_entity("person"))


def erase(hub: Hub, number: int) -> Any:
    report = erasure.erase(hub.context(), "person", number, reason="asked on 1 March")
    master(hub)
    erasure.finish(hub.context(), "person", number)
    return report


def id_of(hub: Hub, given: str) -> int:
    golden_person = T["golden_person"]
    return int(hub.store.read(golden_person.select().where(golden_person.c.given_name == given))[0].entity_id)


def landed_text(hub: Hub) -> str:
    files = sorted(Path(hub.config.landing_url).rglob("*"))
    assert not [file for file in files if file.suffix == ".part"]
    return "\n".join(str(pq.read_table(file).to_pylist()) for file in files if file.suffix == ".parquet")


def store_text(hub: Hub) -> str:
    """Every byte of the store's files on SQLite, every cell on PostgreSQL."""
    if hub.store.dialect == "sqlite":
        path = Path(str(hub.store.url.database))
        return "\n".join(f.read_bytes().decode("latin-1") for f in path.parent.iterdir() if f.is_file())
    rows = [hub.store.read(table.select()) for table in metadata.sorted_tables]
    return "\n".join(str([tuple(row) for row in some]) for some in rows)


def traces(text: str) -> list[str]:
    return [trace for trace in TRACES if trace in text.lower()]


def test_nothing_of_an_erased_person_is_left_in_any_file(hub: Hub, key: str) -> None:
    sync(hub, [ADA, BOB])
    sync(hub, [{**ADA, "first": "Adaline", "born": "1815-12-10", "updated": "2026-02-01T00:00:00Z"}, BOB])
    assert set(traces(landed_text(hub))) == set(traces(store_text(hub))) == set(TRACES)

    report = erase(hub, id_of(hub, "Adaline"))

    assert traces(landed_text(hub)) == []
    assert traces(store_text(hub)) == []
    assert "bob@engines.example" in store_text(hub)
    assert "bob@engines.example" in landed_text(hub)
    assert {name: report.details[name] for name in ("records", "facts")} == {"records": 1, "facts": 1}


def test_a_re_sync_does_not_bring_an_erased_person_back(sqlite_hub: Hub, key: str) -> None:
    sync(sqlite_hub, [ADA, BOB])
    erase(sqlite_hub, id_of(sqlite_hub, "Adaline"))
    other_key = {**ADA, "id": "ada-99", "updated": "2026-03-01T00:00:00Z"}

    report = sync(sqlite_hub, [{**ADA, "updated": "2026-03-01T00:00:00Z"}, other_key, BOB])

    assert report.details["filtered_by"] == {"erased": 2}
    assert report.counts["read"] == sum(report.counts[n] for n in ("loaded", "unchanged", "duplicate", "filtered"))
    assert traces(landed_text(sqlite_hub)) == []
    assert len(sqlite_hub.store.read(T["golden_person"].select())) == 1


def test_an_erased_id_is_gone_and_others_are_as_before(sqlite_hub: Hub, key: str) -> None:
    sync(sqlite_hub, [ADA, BOB])
    ada, bob = id_of(sqlite_hub, "Adaline"), id_of(sqlite_hub, "Robert")
    before = as_of(sqlite_hub.store, "person", bob)

    erase(sqlite_hub, ada)

    assert as_of(sqlite_hub.store, "person", bob).values == before.values
    with pytest.raises(FixConfig, match="is gone"):
        as_of(sqlite_hub.store, "person", ada)
    with pytest.raises(FixConfig, match="is gone"):
        explain(sqlite_hub.store, "person", ada)
    with pytest.raises(FixConfig, match="is gone"):
        erasure.erase(sqlite_hub.context(), "person", ada, reason="again")
    events = {row.kind for row in sqlite_hub.store.read(T["id_event"].select()) if row.entity_id == ada}
    assert events == {"minted", "erased"}


@pytest.mark.slow
def test_mapping_everything_again_changes_nothing_after_an_erasure(sqlite_hub: Hub, key: str) -> None:
    sync(sqlite_hub, [ADA, BOB])
    erase(sqlite_hub, id_of(sqlite_hub, "Adaline"))
    before = digest(sqlite_hub.store)

    for stream in ("notes", "people"):
        normalise.run(sqlite_hub.context(stream, full=True))
    for stage in (resolve, golden):
        stage.run(sqlite_hub.context(full=True).for_entity("person"))

    assert digest(sqlite_hub.store) == before


@pytest.mark.slow
def test_an_erasure_that_was_killed_is_finished_when_asked_again(
    sqlite_hub: Hub, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync(sqlite_hub, [ADA, BOB])
    ada = id_of(sqlite_hub, "Adaline")
    for step in (
        "pipelines.erasure.stage._rewrite_files",
        "pipelines.store.erasures.destroy",
        "pipelines.erasure.stage.redact",
    ):
        with monkeypatch.context() as broken:
            broken.setattr(step, _killed)
            with pytest.raises(KeyboardInterrupt):
                erasure.erase(sqlite_hub.context(), "person", ada, reason="asked")

    erase(sqlite_hub, ada)

    assert traces(landed_text(sqlite_hub) + store_text(sqlite_hub)) == []


@pytest.mark.slow
def test_without_the_key_nobody_is_erased_and_nothing_is_landed_beside_the_erased(
    sqlite_hub: Hub, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync(sqlite_hub, [ADA, BOB])
    erase(sqlite_hub, id_of(sqlite_hub, "Adaline"))
    monkeypatch.setenv("UNISONO_KEY", sealing.new_key())
    sqlite_hub.vendor.pages = [sqlite_hub.page([ADA])]

    with pytest.raises(FixConfig, match="nothing is landed"):
        extract.run(sqlite_hub.context())
    monkeypatch.setenv("UNISONO_KEY", f"{sealing.new_key()},{key}")
    assert extract.run(sqlite_hub.context()).details["filtered_by"] == {"erased": 1}


def _killed(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def test_an_erased_person_was_never_in_a_household(hub: Hub, key: str) -> None:
    sync(hub, [ADA, BOB])
    ada, bob = id_of(hub, "Adaline"), id_of(hub, "Robert")
    members, past = T["household_member"], T["household_member_version"]
    for reason in ("address+name", "name+phone"):
        rows = pa.table({"person_id": [ada, bob], "household_id": [900, 900], "reasons": [f'["{reason}"]'] * 2})
        with hub.store.acquire("test") as lease, hub.store.write(lease, cause="test") as tx:
            tx.upsert(members, rows)

    erase(hub, ada)

    assert [row.person_id for row in hub.store.read(members.select())] == [bob]
    assert [row.person_id for row in hub.store.read(past.select())] == [bob]


def test_what_a_run_under_way_wrote_of_an_erased_persons_home_is_gone_at_the_end(sqlite_hub: Hub, key: str) -> None:
    sync(sqlite_hub, [ADA, BOB])
    ada, homes = id_of(sqlite_hub, "Adaline"), T["household_home"]
    erasure.erase(sqlite_hub.context(), "person", ada, reason="asked on 1 March")
    with sqlite_hub.store.acquire("test") as lease, sqlite_hub.store.write(lease, cause="test") as tx:
        tx.upsert(homes, pa.table({"person_id": [ada], "home": [77]}))
    master(sqlite_hub)
    erasure.finish(sqlite_hub.context(), "person", ada)

    assert sqlite_hub.store.read(homes.select()) == []


def test_what_an_erased_person_stated_is_gone_whoever_said_it(hub: Hub, key: str) -> None:
    sync(hub, [ADA, BOB])
    ada, bob = id_of(hub, "Adaline"), id_of(hub, "Robert")
    record = {row.entity_id: row.source_record_id for row in hub.store.read(T["crosswalk"].select())}
    said, past = T["preference"], T["preference_version"]
    for hour in ("09:00", "10:00"):
        told = {"row_key": ["own", "own", "of another"], "kind": ["quiet_hours"] * 3, "time_from": ["20:00"] * 3,
                "time_to": [hour] * 3, "payload_hash": [hour] * 3}  # fmt: skip
        sources = {
            "source_record_id": [record[ada], record[bob], record[bob]],
            "party": [record[ada], record[bob], record[ada]],
        }
        with hub.store.acquire("test") as lease, hub.store.write(lease, cause="test") as tx:
            tx.replace_set(said, pa.table({"source_record_id": [record[ada], record[bob]]}), pa.table(sources | told))
    channels.run(hub.context().for_entity("person"))
    assert {row.entity_id for row in hub.store.read(T["golden_preference"].select())} == {ada, bob}

    erase(hub, ada)

    for table in (said, past):
        assert [(row.party, row.source_record_id) for row in hub.store.read(table.select())] == [
            (record[bob], record[bob])
        ]
    assert [row.entity_id for row in hub.store.read(T["golden_preference"].select())] == [bob]
