"""The golden stage on a store: what changed is made anew, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from connectors.sdk.errors import FixConfig
from pipelines.golden import run, stage
from pipelines.golden.explain import explain
from pipelines.store.golden_reads import Scope
from tests.golden.hub import TABLES, Hub

pytestmark = pytest.mark.slow  # each goes through whole stages


def test_golden_rows_hold_the_best_values_with_their_origin(hub: Hub) -> None:
    hub.role("desk/1", "employee")
    assert hub.counts() == {"read": 3, "entities": 2, "written": 2, "unchanged": 0, "removed": 0}
    ada = hub.golden()[1]
    assert (ada["full_name"], ada["status"], ada["tags"], ada["primary_email"]) == (
        "Ada Lovelace",
        "open",
        ["a", "b"],
        "ada@desk.example",
    )
    assert (ada["source_count"], ada["is_stub"], ada["roles"]) == (2, False, ["employee"])
    assert ada["provenance"]["status"] == [hub.ids["desk/1"], "recent", "2026-02-01T00:00:00Z"]


def test_a_second_run_reads_nothing_and_a_full_run_changes_nothing(hub: Hub) -> None:
    hub.counts()
    before = hub.golden()
    assert hub.counts() == {"read": 0, "entities": 0, "written": 0, "unchanged": 0, "removed": 0}
    assert hub.counts(full=True) == {"read": 3, "entities": 2, "written": 0, "unchanged": 2, "removed": 0}
    assert hub.golden() == before


def test_only_entities_whose_members_changed_are_made_anew(hub: Hub) -> None:
    hub.counts()
    hub.person("desk/2", "2026-03-01", "bob@new.example", full_name="Bob")
    assert hub.counts() == {"read": 1, "entities": 1, "written": 1, "unchanged": 0, "removed": 0}
    assert hub.golden()[2]["primary_email"] == "bob@new.example"
    hub.role("crm/1", "customer")
    assert hub.counts()["entities"] == 1
    assert hub.golden()[1]["roles"] == ["customer"]


def test_a_change_that_does_not_change_the_golden_value_writes_nothing(hub: Hub) -> None:
    hub.counts()
    written = hub.golden()[1]["change_seq"]
    hub.person("crm/1", "2026-01-01", "ada@example.org", full_name="Ada Lovelace", status="old", tags=["a"])
    assert hub.counts() == {"read": 2, "entities": 1, "written": 0, "unchanged": 1, "removed": 0}
    assert hub.golden()[1]["change_seq"] == written


def test_merge_and_unmerge_give_back_the_same_golden_rows(hub: Hub) -> None:
    hub.counts()
    meaning = {number: row["provenance"] for number, row in hub.golden().items()}
    hub.link(1, "desk/2")
    assert hub.counts() == {"read": 3, "entities": 2, "written": 1, "unchanged": 0, "removed": 1}
    assert set(hub.golden()) == {1}
    hub.link(2, "desk/2")
    assert hub.counts()["written"] == 2
    assert {number: row["provenance"] for number, row in hub.golden().items()} == meaning


def test_an_entity_without_members_loses_its_golden_row_and_keeps_its_history(hub: Hub) -> None:
    hub.counts()
    hub.unlink("desk/2")
    assert hub.counts()["removed"] == 1
    history = hub.store.read(TABLES["golden_person_version"].select())
    assert [(row.entity_id, row.full_name) for row in history] == [(2, "Bob")]


def test_rows_read_in_the_order_of_the_tables_give_the_same_golden_rows(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.role("desk/1", "employee")
    hub.counts()
    monkeypatch.setattr(stage, "BIG_RESULT", 0)
    monkeypatch.setattr(stage, "SPAN_ENTITIES", 1)
    asked: list[Scope] = []
    read = stage.read_candidates
    monkeypatch.setattr(
        stage, "read_candidates", lambda store, scope, *rest: (asked.append(scope), read(store, scope, *rest))[1]
    )

    assert hub.counts(full=True) == {"read": 3, "entities": 2, "written": 0, "unchanged": 2, "removed": 0}
    first, last = (None, None) if hub.store.dialect == "sqlite" else (1, 2)
    assert [(scope.ids, scope.first, scope.last) for scope in asked] == [(None, first, last)]


def test_incremental_runs_give_what_a_full_run_gives(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "SPAN_ENTITIES", 1)
    monkeypatch.setattr(stage, "READ_ENTITIES", 2)
    hub.counts()
    hub.person("crm/3", "2026-04-01", "eve@example.org", full_name="Eve")
    hub.link(3, "crm/3")
    hub.counts()
    hub.person("crm/3", "2026-05-01", None, full_name="Eve Moneypenny")
    hub.link(1, "desk/2")
    hub.counts()
    incremental = hub.golden()
    assert hub.counts(full=True) == {"read": 4, "entities": 2, "written": 0, "unchanged": 2, "removed": 0}
    assert hub.golden() == incremental
    assert incremental[3]["primary_email"] is None


def test_a_deleted_source_record_gives_no_more_values(hub: Hub) -> None:
    hub.counts()
    owner = pa.table({"source_record_id": [hub.ids["desk/1"]]})
    nothing = pa.table({"source_record_id": pa.array([], pa.int64()), "row_key": pa.array([], pa.string())})
    for name in ("person", "contact_point"):
        hub._write(lambda tx, name=name: tx.replace_set(TABLES[name], owner, nothing))
    hub.counts()
    ada = hub.golden()[1]
    assert (ada["status"], ada["primary_email"], ada["source_count"]) == ("new", "ada@example.org", 1)


def test_a_stub_is_a_golden_stub_until_its_record_comes(hub: Hub) -> None:
    hub.person("crm/9", "2026-01-01", "new@example.org", stub=True)
    hub.link(9, "crm/9")
    hub.counts()
    assert (hub.golden()[9]["is_stub"], hub.golden()[9]["source_count"]) == (True, 0)
    hub.person("crm/9", "2026-02-01", "new@example.org", full_name="New")
    hub.counts()
    assert (hub.golden()[9]["is_stub"], hub.golden()[9]["full_name"]) == (False, "New")


def test_a_changed_policy_makes_everything_anew(hub: Hub, tmp_path: Path) -> None:
    hub.counts()
    policy = tmp_path / "survivorship.yaml"
    policy.write_text("version: 1\ntrust: {crm: 90}\n", encoding="utf-8")
    assert hub.counts(policy=policy) == {"read": 3, "entities": 2, "written": 1, "unchanged": 1, "removed": 0}
    assert hub.golden()[1]["status"] == "new"
    assert hub.counts(policy=policy)["entities"] == 0


def test_trust_that_begins_to_fade_makes_everything_anew_and_what_it_changes_is_written(
    hub: Hub, tmp_path: Path
) -> None:
    policy = tmp_path / "survivorship.yaml"
    policy.write_text("version: 1\ntrust: {crm: 60}\n", encoding="utf-8")
    hub.counts(policy=policy)
    assert hub.golden()[1]["status"] == "new"
    policy.write_text("version: 1\ntrust: {crm: {max: 60, min: 0, half_life_days: 30}}\n", encoding="utf-8")
    assert hub.counts(policy=policy) == {"read": 3, "entities": 2, "written": 1, "unchanged": 1, "removed": 0}
    assert hub.golden()[1]["status"] == "open", "31 days older than the desk's word: 29 against 50"
    assert hub.golden()[1]["provenance"]["status"][1] == "trust"


def test_a_policy_that_trusts_an_unknown_source_is_refused(hub: Hub, tmp_path: Path) -> None:
    policy = tmp_path / "survivorship.yaml"
    policy.write_text("version: 1\ntrust: {crn: 90}\n", encoding="utf-8")
    with pytest.raises(FixConfig, match="did you mean 'crm'"):
        hub.counts(policy=policy)


def test_the_stage_says_which_entity_it_needs(hub: Hub) -> None:
    with pytest.raises(FixConfig, match="needs an entity"):
        run(replace(hub.context(), entity=None))


def test_explain_names_winner_and_losers_with_source_rule_and_time(hub: Hub) -> None:
    hub.counts()
    (cell,) = explain(hub.store, "person", "1", "status")
    assert cell == {
        "entity_id": 1, "term": "status", "value": "open", "source_record_id": hub.ids["desk/1"],
        "source": "desk-1/contact/desk/1", "connection": "desk", "rule": "recent", "since": "2026-02-01T00:00:00Z",
        "losers": [
            {"value": "new", "source_record_id": hub.ids["crm/1"], "source": "crm-1/contact/crm/1", "connection": "crm",
             "rule": "recent", "since": "2026-01-01T00:00:00Z"},
        ],
    }  # fmt: skip
    cells = {cell["term"]: cell for cell in explain(hub.store, "person", 1)}
    assert [other["value"] for other in cells["tags"]["contributors"]] == [["b"], ["a"]]
    stored = hub.golden()[1]["provenance"]
    assert {name: [c["source_record_id"], c["rule"], c["since"]] for name, c in cells.items()} == stored
    json.dumps(list(cells.values()), default=str)


def test_explain_opens_no_query_engine(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.counts()
    monkeypatch.setattr("duckdb.connect", lambda *_, **__: pytest.fail("a cell's explanation costs milliseconds"))
    assert explain(hub.store, "person", "1", "status")[0]["value"] == "open"


def test_explain_follows_an_old_id_and_refuses_an_unknown_one(hub: Hub) -> None:
    row = {"entity_id": 7, "entity": "person", "status": "merged", "current_id": 1, "minted_seq": 1}
    hub._write(lambda tx: tx.insert_row(TABLES["entity_id"], row))
    assert explain(hub.store, "person", "7", "status")[0]["entity_id"] == 1
    for wrong in ("99", "ada"):
        with pytest.raises(FixConfig, match=f"no person has the id '{wrong}'"):
            explain(hub.store, "person", wrong)
    with pytest.raises(FixConfig, match="did you mean 'status'"):
        explain(hub.store, "person", "1", "statsu")
