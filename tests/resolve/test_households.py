"""Who lives together: found where a family can be seen, nobody joined by what strangers share, nothing that depends on order."""

from __future__ import annotations

import json
import random
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from connectors.sdk.testing.simulator.world.organizations import build_organizations
from connectors.sdk.testing.simulator.world.people import build_people
from pipelines.resolve.households import MOST, households, people_of

SINCE = "2024-05-01T00:00:00.000000Z"


def person(number: int, given: str, family: str, street: str | None = "12 High Street", **other: Any) -> dict[str, Any]:
    provenance = json.dumps({"street": [number, "recency", SINCE]})
    row = {"entity_id": number, "given_name": given, "family_name": family, "street": street, "street_2": None,
           "city": "Lund", "postcode": "223 50", "is_stub": False, "provenance": provenance}  # fmt: skip
    return row | other


def found(people: list[dict[str, Any]], points: list[tuple[int, str, str]] = []) -> list[dict[str, Any]]:  # noqa: B006
    names = ("entity_id", "kind", "value_norm")
    told = pa.table({name: [each[at] for each in points] for at, name in enumerate(names)},
                    pa.schema([("entity_id", pa.int64()), ("kind", pa.string()), ("value_norm", pa.string())]))  # fmt: skip
    text = dict.fromkeys(("street", "street_2", "city", "postcode"), pa.string())
    schema = pa.schema([(name, text.get(name, pa.infer_type([value]))) for name, value in people[0].items()])
    rows: list[dict[str, Any]] = households(people_of(pa.Table.from_pylist(people, schema)), told).to_pylist()
    return rows


def together(rows: list[dict[str, Any]]) -> set[frozenset[int]]:
    by_label: dict[int, set[int]] = {}
    for row in rows:
        by_label.setdefault(row["label"], set()).add(row["person_id"])
    return {frozenset(members) for members in by_label.values()}


def test_one_home_and_one_family_name_make_a_household_with_its_reasons_and_since_when() -> None:
    rows = found([person(1, "Ada", "Berg"), person(2, "Bo", "BERG", "12, High street"), person(3, "Cy", "Lind")])

    assert together(rows) == {frozenset({1, 2})}
    assert [json.loads(row["reasons"]) for row in rows] == [["address+name"]] * 2
    assert rows[0]["valid_from"].isoformat() == "2024-05-01T00:00:00+00:00"


def test_another_flat_or_town_is_another_home_and_a_street_without_a_number_is_none() -> None:
    flats = [person(1, "Ada", "Berg", street_2="Flat 1"), person(2, "Bo", "Berg", street_2="Flat 2")]
    towns = [person(3, "Ada", "Lind", postcode="100 00"), person(4, "Bo", "Lind", postcode="200 00")]
    streets = [person(5, "Ada", "Holm", "High Street"), person(6, "Bo", "Holm", "High Street")]

    assert found([*flats, *towns, *streets]) == []


def test_a_family_mailbox_joins_other_names_at_one_home_and_one_name_without_a_home() -> None:
    couple = [person(1, "Ada", "Berg"), person(2, "Bo", "Lind")]
    homeless = [person(3, "Cy", "Holm", None), person(4, "Di", "Holm", None)]
    rows = found(
        [*couple, *homeless], [(n, "email", "us@a.example") for n in (1, 2)] + [(n, "phone", "30") for n in (3, 4)]
    )

    assert together(rows) == {frozenset({1, 2}), frozenset({3, 4})}
    assert {row["reasons"] for row in rows} == {'["address+email"]', '["name+phone"]'}
    assert [row["valid_from"] is None for row in rows] == [False, False, True, True]


def test_what_strangers_share_joins_nobody() -> None:
    apart = [person(1, "Ada", "Berg", "1 Elm Road"), person(2, "Bo", "Berg", "2 Elm Road")]
    own = [person(3, "Cy", "Holm"), person(4, "Cy", "Lind")]
    kiosk = [person(10 + n, f"P{n}", "Falk", None) for n in range(MOST + 1)]
    points = [(n, "phone", "30") for n in (1, 2)] + [(n, "email", "cy@a.example") for n in (3, 4)]

    assert found([*apart, *own, *kiosk], [*points, *((each["entity_id"], "phone", "0800") for each in kiosk)]) == []


def test_an_institution_is_no_household() -> None:
    assert found([person(n, f"P{n}", "Berg") for n in range(MOST + 1)]) == []
    assert len(found([person(n, f"P{n}", "Berg") for n in range(MOST)])) == MOST


def test_the_order_of_rows_does_not_matter() -> None:
    people, points, _ = planted(400, seed=3)
    rows = found(people, points)
    shuffled = random.Random(4).sample(people, len(people)), random.Random(5).sample(points, len(points))

    assert rows == found(*shuffled)


def planted(count: int, seed: int) -> tuple[list[dict[str, Any]], list[tuple[int, str, str]], list[int]]:
    """Return the simulator's people as golden persons, some without home, landline or family mailbox, and who lives with whom."""
    rng, chance = np.random.default_rng(seed), random.Random(seed)
    rows = build_people(count, 0, build_organizations(max(2, count // 20), 0, rng), rng)
    names = (
        "given_name",
        "family_name",
        "street",
        "city",
        "postcode",
        "landline",
        "family_email",
        "phone",
        "personal_email",
    )
    columns = {name: rows.column(name) for name in names}
    people, points = [], []
    for n in range(count):
        row = {name: values[n] for name, values in columns.items()}
        home = chance.random() < 0.97
        place = {name: row[name] if home else None for name in ("street", "city", "postcode")}
        people.append(person(n, row["given_name"], row["family_name"], place.pop("street"), **place))
        told = (
            ("phone", "landline", 0.7),
            ("email", "family_email", 0.7),
            ("phone", "phone", 0.9),
            ("email", "personal_email", 0.9),
        )
        points += [(n, kind, row[name]) for kind, name, often in told if row[name] and chance.random() < often]
    return people, points, [int(home) for home in rows.column("household")]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_the_households_of_a_planted_world_are_found(seed: int) -> None:
    people, points, truth = planted(2_000, seed)

    joined = {pair for members in together(found(people, points)) for pair in combinations(sorted(members), 2)}
    true = {pair for pair in combinations(range(len(truth)), 2) if truth[pair[0]] == truth[pair[1]]}
    right = len(joined & true)

    assert len(true) > 500
    assert 2 * right / (len(joined) + len(true)) >= 0.95
    assert right / len(joined) >= 0.98
