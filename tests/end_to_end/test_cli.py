"""The command line keeps its contract: what other tools and people rely on (ARCHITECTURE §10, issue 2 point 8)."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer.main

from pipelines.cli.app import app
from pipelines.config import load_config
from tests.end_to_end._cli import Done, run_here, unaccounted, write_home
from tests.end_to_end._simulator import vendors

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow  # each goes through whole stages

ROOT = Path(__file__).parents[2]
_STREAMS = {"hubspot": ["contacts", "owners"], "klaviyo": ["profiles"]}
_PEOPLE_A = """source_key,given_name,family_name,email,phone
1,Ada,Byron,ada@example.org,+442071838750
2,Grace,Hopper,grace@example.com,
"""
_PEOPLE_B = """source_key,full_name,email
x,Ada Byron,ADA@example.org
y,Alan Turing,alan@example.net
"""


@pytest.fixture(scope="module")
def connections() -> Iterator[list[dict[str, Any]]]:
    with vendors(*_STREAMS) as found:
        yield [{**row, "streams": _STREAMS[row["name"]]} for row in found]


@pytest.fixture(scope="module")
def _synced(connections: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    home = write_home(tmp_path_factory.mktemp("cli"), connections)
    return home, run_here("--config", home / "unisono.yaml", "sync", "--json")


@pytest.fixture
def home(_synced: tuple[Path, Done]) -> Path:
    """A hub that was synced; tests only read it."""
    return _synced[0]


@pytest.fixture
def synced(_synced: tuple[Path, Done]) -> Done:
    """What its sync printed."""
    return _synced[1]


def _in(home: Path, *words: str) -> Done:
    return run_here("--config", home / "unisono.yaml", *words)


def _commands() -> list[str]:
    """Every command as it is typed: ``sync``, ``store digest`` …"""
    found = []
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        found += [f"{name} {sub}" for sub in getattr(command, "commands", {})] or [name]
    return found


def _pages() -> str:
    files = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return "\n".join(file.read_text(encoding="utf-8") for file in files if file.name != "CHANGELOG.md")


def test_every_command_is_in_the_documentation() -> None:
    text = _pages()
    assert [command for command in _commands() if f"unisono {command}" not in text] == []


def test_every_command_says_what_it_does() -> None:
    lines = {command: run_here(*command.split(), "--help").out for command in _commands()}
    assert {command for command, text in lines.items() if f"Usage: unisono {command}" not in text} == set()
    assert len(lines) > 10


def test_sync_prints_one_object_per_load_with_the_counts_that_add_up(synced: Done) -> None:
    assert synced.code == 0, synced.err
    loads = [row for row in synced.rows if row["stage"] == "extract"]
    names = [
        "stage",
        "connection",
        "stream",
        "read",
        "loaded",
        "unchanged",
        "duplicate",
        "filtered",
        "quarantined",
        "completeness",
        "seconds",
    ]
    assert [[name for name in row if name not in ("details", "error")] for row in loads] == [names] * 3
    assert [unaccounted(row) for row in synced.rows if row["stage"] in ("extract", "normalise")] == [0] * 6


def test_sync_prints_one_object_per_entity_for_the_later_stages(synced: Done) -> None:
    later = [row for row in synced.rows if "entity" in row]
    assert [(row["stage"], row["entity"]) for row in later] == [
        ("resolve", "organization"),
        ("resolve", "person"),
        ("golden", "organization"),
        ("golden", "person"),
        ("channels", "organization"),
        ("channels", "person"),
    ]
    assert all(isinstance(row["read"], int) and isinstance(row["written"], int) for row in later)
    assert all(isinstance(row["seconds"], float) for row in synced.rows)


@pytest.mark.parametrize("unit", ["nobody/contacts", "hubspot/contact", "hubspot"])
def test_deletes_can_only_be_accepted_for_a_stream_that_there_is(home: Path, unit: str) -> None:
    done = _in(home, "sync", "--accept-deletes", unit, "--json")
    assert (done.code, done.out) == (2, "")
    assert "allowed:" in done.err or "nobody" in done.err


def test_query_reads_the_views(home: Path) -> None:
    done = _in(home, "query", "--json", "select count(*) as people, count(primary_email) as mails from v1_person")
    assert done.code == 0, done.err
    (row,) = done.rows
    assert row["people"] >= row["mails"] > 0


@pytest.mark.parametrize(
    "sql",
    [
        "delete from v1_person",
        "drop view v1_person",
        "select * from person",
        "select * from golden_person",
        "select 1; select 2",
        "attach database 'x.db' as x",
    ],
)
def test_query_refuses_what_is_not_one_select_on_the_views(home: Path, sql: str) -> None:
    before = _in(home, "query", "--json", "select count(*) as people from v1_person").rows
    done = _in(home, "query", sql)
    assert (done.code, done.out) == (2, "")
    assert "this query cannot be run" in done.err
    assert "v1_person" in done.err
    assert _in(home, "query", "--json", "select count(*) as people from v1_person").rows == before


@pytest.mark.slow
def test_connectors_list_has_the_promised_shape() -> None:
    done = run_here("connectors", "list", "--json")
    rows = {row["name"]: row for row in done.rows}
    assert {"acme", "hubspot", "klaviyo", "shopify", "typeform", "zendesk"} <= rows.keys()
    assert {tuple(row) for row in rows.values()} == {("name", "title", "category", "tier", "streams", "config_schema")}
    assert {"contacts", "companies", "deals", "owners", "tickets", "notes", "tasks", "email_events"} <= set(
        rows["hubspot"]["streams"]
    )
    secrets = rows["hubspot"]["config_schema"]["properties"]
    assert secrets["access_token"]["secret"] is True


def test_explain_names_the_source_the_rule_and_what_lost(home: Path) -> None:
    sql = (
        "select person_id from v1_person where source_count > 1 and family_name is not null order by person_id limit 1"
    )
    number = str(_in(home, "query", "--json", sql).rows[0]["person_id"])
    done = _in(home, "explain", "person", number, "--json")
    assert done.code == 0, done.err
    cells = {cell["term"]: cell for cell in done.rows}
    shown = _in(home, "query", "--json", f"select family_name from v1_person where person_id = {number}").rows[0]
    assert cells["family_name"]["value"] == shown["family_name"]
    assert cells["family_name"]["source"].split("/")[0] in _STREAMS
    assert cells["family_name"]["rule"]
    (one,) = _in(home, "explain", "person", number, "family_name", "--json").rows
    assert one == cells["family_name"]


def test_explain_of_an_unknown_id_says_where_ids_come_from(home: Path) -> None:
    done = _in(home, "explain", "person", "999999999")
    assert done.code == 2
    assert "no person has the id '999999999'" in done.err
    assert "unisono query" in done.err


def test_match_finds_who_is_who_in_two_files_without_a_store(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(_PEOPLE_A, encoding="utf-8")
    (tmp_path / "b.csv").write_text(_PEOPLE_B, encoding="utf-8")
    done = run_here("match", tmp_path / "a.csv", tmp_path / "b.csv", "--json")
    assert done.code == 0, done.err
    golden = [row for row in done.rows if row["kind"] == "golden"]
    pairs = [row for row in done.rows if row["kind"] == "pair"]
    assert len(golden) == 3
    assert {(pair["left"], pair["right"]) for pair in pairs} == {("a.csv/1", "b.csv/x")}
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.csv", "b.csv"]


def test_init_writes_a_file_that_loads_and_never_overwrites_one(tmp_path: Path) -> None:
    file = tmp_path / "unisono.yaml"
    assert run_here("init", file).code == 0
    assert load_config(file).store_url == f"sqlite:///{tmp_path}/data/unisono.db"
    again = run_here("init", file)
    assert again.code == 2
    assert "the file is there already" in again.err


def test_what_init_suggests_loads_once_it_is_uncommented(tmp_path: Path) -> None:
    file = tmp_path / "unisono.yaml"
    run_here("init", file)
    text = file.read_text(encoding="utf-8")
    head, _, examples = text.partition("connections:\n  []\n")
    examples = examples.partition("  # Any dlt source")[0]  # tests/dlt_bridge/test_declare.py
    file.write_text(
        head + "connections:\n" + examples.replace("  # - name", "  - name").replace("  #   co", "    co"),
        encoding="utf-8",
    )
    names = {connection.name for connection in load_config(file).connections}
    assert names == {"hubspot", "klaviyo", "shopify", "typeform", "zendesk"}


def test_doctor_ends_with_0_where_all_is_well_and_says_what_it_saw(home: Path) -> None:
    done = _in(home, "doctor")
    assert done.code == 0, done.out
    assert "connection hubspot: 2 streams" in done.out
    assert "schema revision" in done.out


def test_doctor_ends_with_1_where_something_stops_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOWHERE_SET", raising=False)
    home = write_home(tmp_path, [{"name": "crm", "connector": "hubspot", "config": {"access_token": "${NOWHERE_SET}"}}])
    done = _in(home, "doctor")
    assert done.code == 1
    assert "the environment variable NOWHERE_SET is not set" in done.out
    assert run_here("--config", tmp_path / "missing.yaml", "doctor").code == 1


def test_digests_of_equal_stores_are_equal_and_one_changed_value_shows_in_its_table(home: Path, tmp_path: Path) -> None:
    mine = _in(home, "store", "digest").digest
    copy = shutil.copytree(home, tmp_path / "copy")
    assert {"person", "golden_person", "crosswalk", "evidence", "quarantine", "completeness"} <= mine.keys()
    assert _in(copy, "store", "digest").digest == mine
    with closing(sqlite3.connect(copy / "unisono.db")) as writer, writer:
        writer.execute(
            "UPDATE golden_person SET family_name = 'Other' WHERE entity_id = (SELECT min(entity_id) FROM golden_person)"
        )
    changed = _in(copy, "store", "digest").digest
    assert {table for table, value in changed.items() if value != mine[table]} == {"golden_person"}
