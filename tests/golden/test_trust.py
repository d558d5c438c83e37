"""Trust that fades: counted from the value's own time to the newest evidence of its entity, never from today."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.golden.policy import Policy, load_policy
from pipelines.golden.survivorship import survive
from pipelines.golden.trust import Trust
from tests.golden.tables import contacts, members

FADING = "trust: {crm: {max: 90, min: 10, half_life_days: 100}, desk: 60}\nrules: [trust]"
DAY_US = 86_400_000_000


def policy(tmp_path: Path, text: str = FADING) -> Policy:
    file = tmp_path / "policy.yaml"
    file.write_text(f"version: 1\n{text}", encoding="utf-8")
    return load_policy("person", file)


def chosen(policy: Policy, *rows: dict[str, Any], points: Any = None) -> tuple[str, int, str]:
    """The job title, who gives it and by which rule."""
    (row,) = survive(members(*rows), policy, points).to_pylist()
    record, rule, _since = json.loads(row["provenance"])["job_title"]
    return row["job_title"], record, rule


@pytest.mark.parametrize(
    ("trust", "days", "hundredths"),
    [
        (Trust(90, 10, half_life_days=100), 0, 9000),
        (Trust(90, 10, half_life_days=100), 100, 5000),
        (Trust(90, 10, half_life_days=100), 200, 3000),
        (Trust(90, 10, half_life_days=100), 100_000, 1000),
        (Trust(80, 30, decay_days=50), 25, 5500),
        (Trust(80, 30, decay_days=50), 5000, 3000),
        (Trust(70), 5000, 7000),
    ],
)
def test_trust_falls_from_its_highest_to_its_lowest(trust: Trust, days: int, hundredths: int) -> None:
    assert trust.at(days * DAY_US) == hundredths
    assert trust.at(None) == (trust.lowest if trust.decays else trust.highest) * 100, "without a time: the lowest"


def test_a_trusted_source_wins_while_its_value_is_fresh_and_loses_when_it_is_stale(tmp_path: Path) -> None:
    desk = {"id": 2, "job_title": "Countess", "connection": "desk", "at": "2026-06-01"}
    fresh = {"id": 1, "job_title": "Analyst", "connection": "crm", "at": "2026-05-01"}
    stale = fresh | {"at": "2024-05-01"}
    assert chosen(policy(tmp_path), dict(fresh), dict(desk)) == ("Analyst", 1, "trust")
    assert chosen(policy(tmp_path), dict(stale), dict(desk)) == ("Countess", 2, "trust")


def test_a_value_ages_by_what_any_source_of_the_entity_says_later(tmp_path: Path) -> None:
    rows = [
        {"id": 1, "job_title": "Analyst", "connection": "crm", "at": "2024-05-01"},
        {"id": 2, "job_title": "Countess", "connection": "desk", "at": "2024-05-02"},
    ]
    assert chosen(policy(tmp_path), *map(dict, rows))[0] == "Analyst", "nothing newer is known of her"
    later = contacts({"id": 2, "kind": "email", "value": "ada@example.org", "at": "2026-06-01", "connection": "desk"})
    assert chosen(policy(tmp_path), *map(dict, rows), points=later)[0] == "Countess"


def test_another_entity_s_evidence_ages_nothing(tmp_path: Path) -> None:
    rows = members(
        {"id": 1, "job_title": "Analyst", "connection": "crm", "at": "2024-05-01"},
        {"id": 2, "job_title": "Countess", "connection": "desk", "at": "2024-05-02"},
        {"id": 3, "entity_id": 2, "job_title": "Clerk", "connection": "desk", "at": "2026-05-02"},
    )
    assert survive(rows, policy(tmp_path)).column("job_title").to_pylist() == ["Analyst", "Clerk"]


def test_it_is_the_age_of_the_value_that_counts_not_of_its_record(tmp_path: Path) -> None:
    old = json.dumps({"job_title": "2023-01-01T00:00:00.000000Z"})
    crm = {"id": 1, "job_title": "Analyst", "connection": "crm", "at": "2026-06-01"}
    desk = {"id": 2, "job_title": "Countess", "connection": "desk", "at": "2026-05-01"}
    assert chosen(policy(tmp_path), dict(crm), dict(desk))[0] == "Analyst"
    assert chosen(policy(tmp_path), crm | {"term_times": old}, dict(desk))[0] == "Countess"
