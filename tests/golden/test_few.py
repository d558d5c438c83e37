"""The golden rows of few entities, made in Python, beside those that the statement makes."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from pipelines.golden import few, stage
from pipelines.golden.few import Entity, survive_few
from pipelines.golden.policy import load_policy
from pipelines.golden.survivorship import ROLE_SCHEMA, survive
from tests.golden.tables import contacts, members
from tests.golden.test_ranking import EVERY_RULE, policy, world

if TYPE_CHECKING:
    from pathlib import Path

    from tests.golden.hub import Hub

pytestmark = pytest.mark.slow  # many generated groups


def entities(people: pa.Table, points: pa.Table, roles: pa.Table) -> list[Entity]:
    """The rows of three tables by entity, in no particular order."""
    listed = [rows.to_pylist() for rows in (people, points, roles)]
    numbers = {row["entity_id"] for row in listed[0]}
    mine = [[[row for row in rows if row["entity_id"] == one] for rows in listed] for one in numbers]
    return [
        Entity(one, own[0], own[1], [row["role"] for row in own[2]]) for one, own in zip(numbers, mine, strict=True)
    ]


def plainly_timed(rows: pa.Table) -> pa.Table:
    """The rows without times that are none."""
    told = [text and text.replace(', "gender": "?"', "") for text in rows["term_times"].to_pylist()]
    place = rows.column_names.index("term_times")
    return rows.set_column(place, "term_times", pa.array(told, pa.string()))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("text", ["", EVERY_RULE])
def test_both_forms_make_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, text: str) -> None:
    monkeypatch.setattr(few, "MOST_ROWS", 10_000)
    people, points = map(plainly_timed, world(seed))
    chance = random.Random(seed)
    played = [
        {"entity_id": chance.randrange(40), "role": chance.choice(["employee", "customer", "lead"])} for _ in range(30)
    ]
    roles, chosen = pa.Table.from_pylist(played, ROLE_SCHEMA), policy(tmp_path, text)
    expected = survive(people, chosen, points, roles)
    found = survive_few(entities(people, points, roles), chosen)
    assert found is not None
    assert expected.num_rows > 30
    assert found.to_pylist() == expected.to_pylist()
    assert found.equals(expected)


def test_times_and_lists_that_might_be_read_otherwise_are_left_to_the_statement() -> None:
    person = load_policy("person")
    plain = {"id": 1, "full_name": "Ada", "term_times": '{"full_name": "2026-01-01T00:00:00.000000Z"}'}

    def made(**other: Any) -> pa.Table | None:
        return survive_few(entities(members(plain | other), contacts(), ROLE_SCHEMA.empty_table()), person)

    assert made() is not None
    for told in ("2026-01-01", "2026-01-01T00:00:00+02:00", "2026-01-01T24:00:00Z", "0000-01-01T00:00:00Z", "?"):
        assert made(term_times=f'{{"full_name": "{told}"}}') is None
    assert made(term_times='{"full_name": 7}') is None
    assert made(tags=["a", None]) is None


def test_more_rows_than_are_worth_it_are_left_to_the_statement() -> None:
    rows = members(*({"id": number, "full_name": "Ada"} for number in range(few.MOST_ROWS + 1)))
    assert survive_few(entities(rows, contacts(), ROLE_SCHEMA.empty_table()), load_policy("person")) is None
    assert survive_few(entities(rows.slice(1), contacts(), ROLE_SCHEMA.empty_table()), load_policy("person"))


def changed(hub: Hub) -> list[dict[str, Any]]:
    """What golden rows are after some changes, one at a time."""
    hub.counts()
    found = []
    for change in (
        lambda: hub.role("desk/1", "employee"),
        lambda: hub.person("desk/2", "2026-03-01", "bob@new.example", full_name="Bob", tags=["z"]),
        lambda: hub.link(1, "desk/2"),
        lambda: hub.unlink("crm/1"),
        lambda: hub.pin(1, "desk/1", "job_title", "Countess"),
        lambda: hub.unpin(1),
        lambda: hub.link(2, "crm/1"),
    ):
        change()
        counts = hub.counts()
        rows = [
            {name: value for name, value in row.items() if name not in ("change_seq", "known_from")}
            for row in hub.golden().values()
        ]
        found += [counts, *sorted(rows, key=lambda row: row["entity_id"])]
    assert hub.counts(full=True)["written"] == 0
    return found


def test_few_changed_entities_are_made_without_the_statement(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    statement = stage.survive
    monkeypatch.setattr(stage, "survive", lambda rows, *rest: (made.append(rows.num_rows), statement(rows, *rest))[1])
    found = changed(hub)
    pinned_and_full = made[1:]
    assert len(pinned_and_full) == 2, "the first run and those with a pin or of everything need it, no other"
    assert found[0] == {"read": 2, "entities": 1, "written": 1, "unchanged": 0, "removed": 0}


def test_few_and_many_give_the_same_rows(hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = changed(hub)
    monkeypatch.setattr(stage, "FEW", 0)
    again = type(hub)(type(hub.store).open(f"sqlite:///{tmp_path}/again.db"))
    again.person("crm/1", "2026-01-01", "ada@example.org", full_name="Ada Lovelace", status="new", tags=["a"])
    again.person("desk/1", "2026-02-01", "ada@desk.example", full_name="Ada Lovelace", status="open", tags=["b"])
    again.person("desk/2", "2026-02-01", "bob@example.org", full_name="Bob")
    again.link(1, "crm/1", "desk/1")
    again.link(2, "desk/2")
    assert changed(again) == found
    again.store.close()
