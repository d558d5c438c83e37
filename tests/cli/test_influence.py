"""The commands of the influence map, on a store of a handful of parties."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.cli.app import app
from pipelines.store import Store
from tests.influence.hub import Hub, parties

RUN = CliRunner()


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Engines (11) belongs to Mills (10) since 2024; Ada (1) decides there; Olaf (2) owns it."""
    folder = tmp_path_factory.mktemp("map")
    file = folder / "unisono.yaml"
    file.write_text(
        f"store: sqlite:///{folder}/store.db\nlanding: {folder}/landing\nconnections: []\n", encoding="utf-8"
    )
    with Store.open(f"sqlite:///{folder}/store.db") as store:
        hub = Hub(store)
        parties(hub, _1="crm/ada", _2="crm/olaf", _10="crm/Mills", _11="crm/Engines")
        hub.say(
            "crm/all",
            ("crm/Engines", "crm/Mills", "hierarchy", {"valid_from": "2024-01-01"}),
            ("crm/ada", "crm/Engines", "buying_group", {"role": "champion"}),
            ("crm/olaf", "crm/Engines", "account_ownership"),
            ("crm/olaf", "crm/ada", "account_ownership"),
        )
        hub.fact("crm/deal", "opportunity", organization="crm/Engines", amount=12.5, currency="EUR")
        hub.run()
    return file


def called(config: Path, *arguments: str, code: int = 0) -> str:
    done = RUN.invoke(app, ["--config", str(config), *arguments])
    assert done.exit_code == code, done.output
    return done.stdout


def test_a_hierarchy_is_drawn_as_of_a_date_and_rolled_up(config: Path) -> None:
    assert called(config, "hierarchy", "10", "--as-of", "2023-12-31") == "10\n10\n"
    rows = [
        json.loads(line)
        for line in called(config, "hierarchy", "10", "--sum", "opportunity.amount", "--json").splitlines()
    ]
    assert [(row["entity_id"], row["depth"], row["total"]) for row in rows] == [
        (10, 0, {"EUR": {"facts": 1, "total": "12.500000"}}), (11, 1, {"EUR": {"facts": 1, "total": "12.500000"}}),
    ]  # fmt: skip
    assert rows[0]["own"] == {}
    assert "  11  12.500000 EUR (1)" in called(config, "hierarchy", "10", "--sum", "opportunity.amount")


def test_relations_are_listed_with_dates_strength_and_sources(config: Path) -> None:
    lines = called(config, "relations", "11").splitlines()
    assert len(lines) == 4 - 1
    assert any("11 -- parent legal -> 10  2024-01-01..  said by 1" in line for line in lines)
    row = json.loads(called(config, "relations", "10", "--json", "--as-of", "2025-01-01"))
    assert (row["type"], row["from_id"], row["conflict"]) == ("parent", 11, None)
    assert called(config, "relations", "10", "--as-of", "2023-01-01") == ""


def test_the_owner_is_named_with_the_path_and_nobody_ends_with_1(config: Path) -> None:
    assert called(config, "owner", "11") == "2\n  11 -- owner -> 2\n"
    assert json.loads(called(config, "owner", "11", "--json"))["person_id"] == 2
    assert called(config, "owner", "10", code=1) == "nobody\n"


def test_the_influence_map_shows_roles_and_the_way_in(config: Path) -> None:
    member = json.loads(called(config, "influence", "11", "--json"))
    assert list(member["roles"]) == ["champion"]
    assert member["way_in"]["people"] == [2, 1]
    assert "champion" in called(config, "influence", "11")


def test_a_date_that_is_none_is_refused(config: Path) -> None:
    assert "is no date" in RUN.invoke(app, ["--config", str(config), "owner", "11", "--as-of", "soon"]).output
