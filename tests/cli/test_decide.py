"""``unisono review``, ``decide``, ``undo``, ``decisions``: a steward at the command line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from pipelines import steward
from pipelines.cli.app import app
from tests._hub import Hub
from tests.cli.test_steward import CONFIG
from tests.resolve.test_stage import crosswalk, land

pytestmark = pytest.mark.slow  # each goes through whole stages

ADA = {"given_name": "Ada", "family_name": "Lovelace", "email": "ada@engines.example"}
BOB = {"given_name": "Bob", "family_name": "Babbage", "email": "bob@engines.example"}


@pytest.fixture
def desk(sqlite_hub: Hub) -> Hub:
    """A hub with three records of two people."""
    sqlite_hub.config.path.write_text(CONFIG.format(store=sqlite_hub.store.url), encoding="utf-8")
    land(sqlite_hub.store, {**ADA, "key": "1"}, {**BOB, "key": "2"}, {**BOB, "key": "3"})
    return sqlite_hub


def run(hub: Hub, *words: str) -> Result:
    return CliRunner().invoke(app, ["--config", str(hub.config.path), *words])


def seen(hub: Hub, *parties: str) -> str:
    return str(json.loads(run(hub, "review", "show", *parties, "--json").stdout)["seen"])


def listed(hub: Hub, *words: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(hub, "decisions", "--json", *words).stdout.splitlines()]


def test_a_steward_looks_decides_and_takes_it_back(desk: Hub) -> None:
    look = seen(desk, "crm/contact/1", "r2")
    decided = run(desk, "decide", "match", "r1", "r2", "--seen", look, "--reason", "same desk")
    together = crosswalk(desk.store)
    shown = run(desk, "review", "show", "r1").stdout
    number = str(listed(desk)[0]["decision_id"])
    undone = run(desk, "undo", number, "--seen", seen(desk, "r1"), "--reason", "another desk")
    apart = crosswalk(desk.store)
    told = run(desk, "decisions", "--all").stdout

    assert decided.exit_code == undone.exit_code == 0, decided.output + undone.output
    assert len(set(together.values())) == 1
    assert "r1 r2  steward match  positive" in shown
    assert apart[1] != apart[2] == apart[3]
    assert "same desk" in told
    assert "another desk" in told
    assert listed(desk) == []


def test_a_stale_decision_is_refused_and_writes_nothing(desk: Hub) -> None:
    look = seen(desk, "r1", "r2")
    land(desk.store, {**BOB, "email": "robert@engines.example", "key": "2"})
    result = run(desk, "decide", "match", "r1", "r2", "--seen", look, "--reason", "same desk")

    assert isinstance(result.exception, steward.Conflict)
    assert "record 2: a contact point changed" in str(result.exception)
    assert listed(desk, "--all") == []


@pytest.mark.slow
def test_split_and_pin_read_what_a_person_types(desk: Hub) -> None:
    run(desk, "decide", "split", "r1, r2", "r3", "--seen", seen(desk, "r1", "r2"), "--reason", "two Bobs")
    links = crosswalk(desk.store)
    look = seen(desk, "r1")
    words = ["decide", "pin", "r1", "given_name", "Augusta", "--seen", look, "--reason", "told us"]
    pinned = run(desk, *words, "--expires", "2199-01-31", "--later")

    assert links[1] == links[2] != links[3]
    assert 'given_name = "Augusta" until 2199-01-31' in pinned.stdout
    assert [one["kind"] for one in listed(desk)] == ["split", "pin"]


def test_contradictions_are_said_at_once_and_listed_for_review(desk: Hub) -> None:
    for verb in ("match", "no-match"):
        said = run(desk, "decide", verb, "r1", "r2", "--seen", seen(desk, "r1", "r2"), "--reason", "hm", "--later")
    questions = [json.loads(line) for line in run(desk, "review", "list", "--json").stdout.splitlines()]

    assert "decisions 1, 2 contradict each other: r1, r2 are kept apart" in said.output
    assert [(one["kind"], one["decisions"]) for one in questions] == [("conflict", [1, 2])]
