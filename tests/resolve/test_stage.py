"""The stage on a real store: writes differences only, mints once, undoes by recomputation."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from connectors.sdk.errors import FixConfig
from pipelines.config import HubConfig
from pipelines.context import StageContext
from pipelines.report import StageReport
from pipelines.resolve import run
from pipelines.resolve.ledger import Ledger
from pipelines.store import Store, tables

pytestmark = pytest.mark.slow  # each goes through whole stages

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)
T = tables.metadata.tables
ADA = {"given_name": "Ada", "family_name": "Lovelace", "email": "ada@engines.example"}
BOB = {"given_name": "Bob", "family_name": "Babbage", "email": "bob@engines.example"}


def resolve(store: Store, *, full: bool = False, entity: str = "person") -> StageReport:
    config = HubConfig(store_url=str(store.url), landing_url="memory://", connections=(), path=Path("unisono.yaml"))
    return run(StageContext(config=config, store=store, now=lambda: NOW, entity=entity, full=full))


def land(store: Store, *people: dict[str, Any]) -> None:
    """Write people (``key`` names the record) with a verified e-mail, as normalise would."""
    with store.acquire("ingest/test") as lease, store.write(lease, cause="test") as tx:
        n = len(people)
        refs = pa.table(
            {
                "connection_id": ["crm"] * n,
                "object": ["contact"] * n,
                "source_key": [p["key"] for p in people],
                "entity": ["person"] * n,
                "is_stub": [False] * n,
            }
        )
        ids = tx.intern(refs)["source_record_id"]
        parents = pa.table({"source_record_id": ids})
        names = pa.table(
            {
                "source_record_id": ids,
                "row_key": [""] * n,
                "given_name": [p["given_name"] for p in people],
                "family_name": [p["family_name"] for p in people],
            }
        )
        mail = [p["email"] for p in people]
        points = pa.table(
            {
                "source_record_id": ids,
                "row_key": ["email"] * n,
                "party": ids,
                "kind": ["email"] * n,
                "value": mail,
                "value_norm": mail,
                "verified": [True] * n,
            }
        )
        tx.replace_set(T["person"], parents, names)
        tx.replace_set(T["contact_point"], parents, points)


def rows(store: Store, name: str, *columns: str) -> list[tuple[Any, ...]]:
    table = T[name]
    return sorted(zip(*(store.read_arrow(table.select())[c].to_pylist() for c in columns), strict=True), key=str)


def crosswalk(store: Store) -> dict[int, int]:
    return dict(rows(store, "crosswalk", "source_record_id", "entity_id"))


def test_records_of_one_person_share_an_id_with_evidence(store: Store) -> None:
    land(store, {**ADA, "key": "1"}, {**ADA, "key": "2"}, {**BOB, "key": "3"})

    report = resolve(store)

    assert report.counts["read"] == 3
    assert report.counts["clusters"] == 2
    links = crosswalk(store)
    assert links[1] == links[2] != links[3]
    assert ("deterministic", "verified_email", 1, 2) in rows(store, "evidence", "kind", "rule", "left_id", "right_id")
    assert len(rows(store, "match_model", "model_id")) == 1


def test_scored_evidence_names_its_model(sqlite_store: Store) -> None:
    land(sqlite_store, {**ADA, "key": "1"}, {**ADA, "key": "2"})
    resolve(sqlite_store)

    scored = [model for kind, model in rows(sqlite_store, "evidence", "kind", "model_id") if kind == "scored"]

    assert scored == [1]


def test_second_run_does_nothing_and_full_run_mints_nothing(sqlite_store: Store) -> None:
    land(sqlite_store, {**ADA, "key": "1"}, {**ADA, "key": "2"}, {**BOB, "key": "3"})
    resolve(sqlite_store)
    before = [rows(sqlite_store, name, "change_seq") for name in ("crosswalk", "evidence", "id_event", "match_model")]

    again, full = resolve(sqlite_store), resolve(sqlite_store, full=True)

    assert again.details == {"unchanged": True}
    assert full.counts["written"] == 0
    assert full.counts["unchanged"] == 3
    assert [
        rows(sqlite_store, name, "change_seq") for name in ("crosswalk", "evidence", "id_event", "match_model")
    ] == before


def test_unmerge_reactivates_the_retired_id_and_closes_evidence(store: Store) -> None:
    land(store, {**ADA, "key": "1"}, {**BOB, "key": "2"})
    resolve(store)
    first = crosswalk(store)
    land(store, {**ADA, "key": "2"})
    resolve(store)
    merged = crosswalk(store)
    states = dict(
        zip(*[[row[i] for row in rows(store, "entity_id", "entity_id", "current_id")] for i in (0, 1)], strict=True)
    )
    land(store, {**BOB, "key": "2"})
    resolve(store)

    assert merged == {1: first[1], 2: first[1]}
    assert states[first[2]] == first[1]
    assert crosswalk(store) == first
    kinds = [kind for kind, _ in rows(store, "id_event", "kind", "id_event_id")]
    assert sorted(kinds) == ["merged_into", "minted", "minted", "reactivated", "split_from"]
    assert all(until is not None for (until,) in rows(store, "evidence", "known_to"))


def test_deleted_record_leaves_the_crosswalk_and_its_id_is_retired(sqlite_store: Store) -> None:
    land(sqlite_store, {**ADA, "key": "1"}, {**BOB, "key": "2"})
    resolve(sqlite_store)
    with sqlite_store.acquire("ingest/test") as lease, sqlite_store.write(lease, cause="test") as tx:
        parents = pa.table({"source_record_id": pa.array([2], pa.int64())})
        tx.replace_set(
            T["person"],
            parents,
            pa.table({"source_record_id": pa.array([], pa.int64()), "row_key": pa.array([], pa.string())}),
        )

    resolve(sqlite_store)

    assert crosswalk(sqlite_store) == {1: 1}
    assert dict(rows(sqlite_store, "entity_id", "entity_id", "status")) == {1: "active", 2: "retired"}


def test_arrival_in_pieces_gives_the_same_groups_as_at_once(sqlite_store: Store) -> None:
    for person in ({**ADA, "key": "1"}, {**BOB, "key": "2"}, {**ADA, "key": "3"}):
        land(sqlite_store, person)
        resolve(sqlite_store)

    links = crosswalk(sqlite_store)

    assert links[1] == links[3] != links[2]


def test_shared_value_statistics_hold_no_value(sqlite_store: Store) -> None:
    land(sqlite_store, {**ADA, "key": "1"}, {**BOB, "email": ADA["email"], "key": "2"})
    resolve(sqlite_store)

    assert [(system, names) for system, names in rows(sqlite_store, "identifier_stats", "system", "names")] == [
        ("email", 2)
    ]
    assert ADA["email"] not in str(rows(sqlite_store, "identifier_stats", "value_hash"))


@pytest.mark.parametrize("step", ["write_stats", "write_evidence"])
def test_what_fails_beside_the_ledger_fails_the_run_which_the_next_one_makes_good(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    land(sqlite_store, {"key": "1", **ADA}, {"key": "2", **ADA}, {"key": "3", **BOB})

    def fails(*_: Any) -> None:
        raise OSError(step)

    with monkeypatch.context() as broken:
        broken.setattr(Ledger, step, fails)
        with pytest.raises(OSError, match=step):
            resolve(sqlite_store)

    assert sqlite_store.watermark("resolve", "person") == 0
    assert resolve(sqlite_store).counts["read"] == 3
    assert sqlite_store.watermark("resolve", "person") > 0


def test_unmatched_entity_is_refused_with_the_allowed_ones(sqlite_store: Store) -> None:
    with pytest.raises(FixConfig, match="person, organization"):
        resolve(sqlite_store, entity="ticket")


def test_empty_store_resolves_to_nothing(sqlite_store: Store) -> None:
    assert resolve(sqlite_store).counts == {"read": 0, "written": 0}


def test_organisations_stubs_and_employees_are_read_from_the_store(sqlite_store: Store) -> None:
    with sqlite_store.acquire("ingest/test") as lease, sqlite_store.write(lease, cause="test") as tx:
        refs = {"connection_id": ["crm"] * 5, "object": ["company"] * 2 + ["contact"] * 2 + ["@email"]}
        kinds = {"entity": ["organization"] * 2 + ["person"] * 3, "is_stub": [False] * 4 + [True]}
        ids = tx.intern(pa.table({**refs, "source_key": ["1", "2", "3", "4", "ada@engines.example"], **kinds}))
        numbers = dict(zip(ids["source_key"].to_pylist(), ids["source_record_id"].to_pylist(), strict=True))
        one, two, ada, staff, stub = (numbers[key] for key in ("1", "2", "3", "4", "ada@engines.example"))
        names, sites = ["Engines Ltd", "ENGINES LIMITED"], ["engines.example", "www.engines.example"]
        orgs = {"source_record_id": [one, two], "row_key": ["", ""], "name": names, "domain": sites}
        people = {
            "source_record_id": [ada, staff],
            "row_key": ["", ""],
            "given_name": ["Ada"] * 2,
            "family_name": ["Byron"] * 2,
        }
        mail = {"source_record_id": [ada, stub], "row_key": ["e", "@"], "party": [ada, stub], "kind": ["email"] * 2}
        tx.replace_set(T["organization"], pa.table({"source_record_id": [one, two]}), pa.table(orgs))
        tx.replace_set(T["person"], pa.table({"source_record_id": [ada, staff]}), pa.table(people))
        points = pa.table({**mail, "value_norm": ["ada@engines.example"] * 2})
        tx.replace_set(T["contact_point"], pa.table({"source_record_id": [ada, stub]}), points)
        roles = pa.table({"source_record_id": [staff], "row_key": ["r"], "party": [staff], "role": ["employee"]})
        tx.replace_set(T["party_role"], pa.table({"source_record_id": [staff]}), roles)

    resolve(sqlite_store, entity="organization")
    resolve(sqlite_store)
    links = crosswalk(sqlite_store)

    assert links[one] == links[two]
    assert links[ada] == links[stub] != links[staff]


def test_a_store_that_has_doubled_gets_another_model_however_small_it_is(sqlite_store: Store) -> None:
    land(sqlite_store, {**ADA, "key": "1"}, {**ADA, "key": "2"})
    resolve(sqlite_store)
    land(sqlite_store, {**ADA, "key": "3"})
    resolve(sqlite_store)
    assert len(rows(sqlite_store, "match_model", "model_id")) == 1

    land(sqlite_store, {**ADA, "key": "4"})
    resolve(sqlite_store)

    assert len(rows(sqlite_store, "match_model", "model_id")) == 2
