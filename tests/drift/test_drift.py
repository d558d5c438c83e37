"""The drift stage: every segment once, alarms once, small loads together, and nothing personal kept."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from sqlalchemy import select

from pipelines import drift, extract
from pipelines.drift import profile as profiler
from pipelines.store import profiles, tables
from tests._hub import Hub

pytestmark = pytest.mark.slow  # each goes through whole stages

KINDS = ("lead", "customer", "lost")


def people(number: int, seed: int, **more: Any) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    return [
        {
            "id": f"{seed}-{index}", "first": rng.choice(["Ada", "Bo", "Eve"]), "last": f"N{rng.randrange(10**6)}",
            "email": f"x{rng.randrange(10**6)}@example.org", "kind": rng.choice(KINDS), "updated": "2026-01-01T00:00:00Z",
            **{name: value(rng) if callable(value) else value for name, value in more.items()},
        }
        for index in range(number)
    ]  # fmt: skip


def load(hub: Hub, records: list[dict[str, Any]]) -> Any:
    hub.vendor.pages = [hub.page(records)]
    extract.run(hub.context())
    return drift.run(hub.context())


def told(hub: Hub) -> set[tuple[str, str, str]]:
    return {(one.path, one.kind, one.level) for one in profiles.events(hub.store) if one.level != "note"}


def test_a_new_field_is_told_once_and_is_normal_from_then_on(hub: Hub):
    load(hub, people(150, 1))
    first = load(hub, people(150, 2, plan="pro"))
    second = load(hub, people(150, 3, plan="pro"))

    assert (first.counts["new"], second.counts["new"]) == (1, 0)
    assert told(hub) == {("plan", "added", "warn")}
    assert first.details["drift"][0]["path"] == "plan"


def test_a_load_without_anything_new_is_not_looked_at_again(sqlite_hub: Hub):
    load(sqlite_hub, people(150, 1))

    assert load(sqlite_hub, people(150, 1)).counts["profiled"] == 0


def test_a_mapped_path_that_is_gone_is_an_error_and_heals_when_it_is_back(sqlite_hub: Hub):
    load(sqlite_hub, people(150, 1))
    load(sqlite_hub, [{name: v for name, v in one.items() if name != "last"} for one in people(150, 2)])
    gone = told(sqlite_hub)
    load(sqlite_hub, people(150, 3))

    assert gone == {("last", "removed", "error")}
    assert told(sqlite_hub) == set()


def test_small_loads_are_judged_together(sqlite_hub: Hub):
    load(sqlite_hub, people(500, 1))
    found = [load(sqlite_hub, people(30, seed, kind="lead")).counts["warns"] for seed in range(2, 6)]

    assert found == [0, 0, 0, 1]
    assert told(sqlite_hub) == {("kind", "distribution", "warn")}


def test_a_field_missing_from_small_loads_is_noticed_after_a_few(sqlite_hub: Hub):
    load(sqlite_hub, people(500, 1))
    for seed in range(2, 6):
        load(sqlite_hub, [{name: v for name, v in one.items() if name != "kind"} for one in people(1, seed)])

    assert told(sqlite_hub) == {("kind", "removed", "warn")}


def test_an_accepted_change_is_not_told_again(sqlite_hub: Hub):
    load(sqlite_hub, people(150, 1))
    (sqlite_hub.connection.connector.path / "schema").mkdir()
    schema = {"properties": {"kind": {"type": "string", "enum": ["lead", "lost"]}}}
    (sqlite_hub.connection.connector.path / "schema" / "people.json").write_text(json.dumps(schema), encoding="utf-8")
    load(sqlite_hub, people(150, 2))
    (event,) = profiles.events(sqlite_hub.store)
    with sqlite_hub.store.acquire("x") as lease, sqlite_hub.store.write(lease, cause="accept") as tx:
        profiles.close_events(tx, [event.drift_event_id], profiles.ACCEPTED)
    load(sqlite_hub, people(150, 3))

    assert (event.kind, event.detail["values"]) == ("enum", ["customer"])
    assert profiles.events(sqlite_hub.store) == []


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"required": ["phone"]}, ("phone", "removed", "error")),
        ({"properties": {"kind": {"type": "integer"}}}, ("kind", "retyped", "error")),
        ({"properties": {"age": {"type": "integer"}}}, ("age", "nullability", "warn")),
        ({"additionalProperties": {"type": ["string", "integer"]}}, ("age", "nullability", "warn")),
    ],
)
def test_what_the_schema_forbids_is_told_of_the_first_load(sqlite_hub: Hub, schema: dict[str, Any], expected: tuple):
    folder = sqlite_hub.connection.connector.path / "schema"
    folder.mkdir()
    (folder / "people.json").write_text(json.dumps(schema), encoding="utf-8")

    load(sqlite_hub, people(20, 1, age=lambda rng: rng.choice([None, 5])))

    assert told(sqlite_hub) == {expected}


def test_no_name_address_or_key_is_kept_in_a_profile(sqlite_hub: Hub):
    load(sqlite_hub, people(500, 1, nickname="Countess", note=lambda rng: f"call +4420{rng.randrange(10**7)}"))

    p = tables.structure_profile.c
    kept = {row.path: row.values for row in sqlite_hub.store.read(select(p.path, p["values"]))}
    assert set(kept["kind"]) == set(KINDS)
    assert [path for path in ("first", "last", "email", "id", "note") if kept[path]] == []


def test_a_member_in_one_record_of_many_is_found_although_types_are_sampled(
    sqlite_hub: Hub, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(profiler, "SAMPLE", 50)
    monkeypatch.setattr(profiler, "_FIRST_LOOK", 20)
    load(sqlite_hub, people(600, 1))
    records = people(600, 2)
    records[577]["rare"] = {"deep": 1}

    load(sqlite_hub, records)

    assert {one.path for one in profiles.events(sqlite_hub.store)} == {"rare"}


def test_what_is_said_of_a_deleted_record_is_no_sample(sqlite_hub: Hub):
    """A vendor's tombstone holds a key and little else: its fields are not gone from the stream."""
    load(sqlite_hub, people(150, 1))
    tombs = [{"id": f"1-{index}", "gone": "true", "reason": "merged"} for index in range(140)]

    load(sqlite_hub, tombs)
    load(sqlite_hub, [*tombs[:100], *people(150, 2)])

    assert told(sqlite_hub) == set()
