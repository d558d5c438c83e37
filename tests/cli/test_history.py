"""Looking back, taking back and model changes from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.cli.app import app
from pipelines.store import Store
from tests.history.world import World, person

pytestmark = pytest.mark.slow  # each goes through whole stages

ADA = ("Ada", "Lovelace", "ada@engines.example")


@pytest.fixture
def config(tmp_path: Path, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> str:
    """A hub whose store knows Ada from two sources; she was a pupil first."""
    world = World(sqlite_store)
    world.land(person("crm", "1", "2020-01-01", *ADA, job_title="Pupil"))
    world.master()
    world.land(person("desk", "1", "2024-01-01", *ADA, job_title="Countess"))
    world.master()
    path = tmp_path / "unisono.yaml"
    path.write_text(f"store: {sqlite_store.url}\nlanding: {tmp_path}/landing\nconnections: []\n", encoding="utf-8")
    monkeypatch.setenv("UNISONO_CONFIG", str(path))
    return str(path)


def run(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, done.output
    return done.stdout


def test_as_of_shows_what_was_known_and_what_was_true(config: str) -> None:
    now, then = (json.loads(run("as-of", "person", "1", "--json", *more)) for more in ((), ("--valid", "2022-01-01")))

    assert (now["values"]["job_title"], then["values"]["job_title"]) == ("Countess", "Pupil")
    assert "members: crm/contact/1, desk/contact/1" in run("as-of", "person", "1")


@pytest.mark.slow
def test_a_source_is_retracted_listed_and_put_back(config: str) -> None:
    assert "records 1" in run("retract", "desk", "--dry-run")
    run("retract", "desk", "--reason", "bad import")
    retracted = json.loads(run("as-of", "person", "1", "--json"))
    assert "standing" in run("retract", "--list")

    run("retract", "desk", "--undo")

    assert retracted["members"] == ["crm/contact/1"]
    assert "undone" in run("retract", "--list")
    assert json.loads(run("as-of", "person", "1", "--json"))["values"]["job_title"] == "Countess"


def test_a_candidate_is_trained_shown_and_listed_and_then_activated(config: str, sqlite_store: Store) -> None:
    World(sqlite_store).land(*(person("crm", f"x{n}", "2025-01-01", *ADA) for n in range(2)))

    told = run("identity", "train")
    statuses = [json.loads(line)["status"] for line in run("identity", "models", "--json").splitlines()]
    run("identity", "activate", "3")

    assert "weights moved by" in told
    assert "1 of 1 entities would stay as they are" in told
    assert "activate it with: unisono identity activate 3" in told
    assert statuses == ["superseded", "active", "candidate"]
    assert "active" in run("identity", "models").splitlines()[2]


def test_training_says_where_the_active_model_stands(config: str) -> None:
    told = run("identity", "train", "--anew")

    assert told.startswith("model 2 stands: 2 records of person say nothing else")
    assert "activate it with" not in told


def test_an_instant_that_is_none_is_refused(config: str) -> None:
    done = CliRunner().invoke(app, ["as-of", "person", "1", "--valid", "yesterday"])

    assert done.exit_code == 2
    assert "no instant" in done.output
