"""Bad input: every fault has a message that says what failed, where, why and what to do; nothing else is hurt by it."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from connectors.sdk import retry
from connectors.sdk.testing.simulator import Simulator, World, demo_connections
from pipelines import landing, stages
from pipelines.config import load_config
from pipelines.store import Store, engine, tables
from tests._hub import MANIFEST, MAPPING, Hub
from tests.end_to_end._cli import Done, run_here, write_home

if TYPE_CHECKING:
    from connectors.sdk.testing.simulator.message import Request, Response

pytestmark = pytest.mark.slow  # each goes through whole stages

ADA = {"id": 1, "first": "Ada", "last": "Byron", "email": "ada@example.org", "updated": "2026-01-01T00:00:00Z"}


@dataclass
class Page:
    """A hazard: one path answers with a web page and status 200."""

    path: str

    def __call__(self, shape: Any, request: Request, proceed: Any) -> Response:
        answer = proceed(request)
        is_hit = request.path.endswith(self.path)
        return (
            replace(answer, body=b"<html>Sign in</html>", headers={"content-type": "text/html"}) if is_hit else answer
        )


def _home(folder: Path, url: str, streams: dict[str, list[str]]) -> Path:
    rows = [{**row, "streams": streams[row["name"]]} for row in demo_connections(url) if row["name"] in streams]
    return write_home(folder, rows)


def _sync(home: Path, *words: str) -> Done:
    return run_here("--config", home / "unisono.yaml", "sync", "--json", *words)


def _toy(folder: Path, *, manifest: str = MANIFEST, mapping: str = MAPPING) -> Path:
    """Write the toy connector and a hub that uses it."""
    toy = folder / "mine" / "toy"
    toy.mkdir(parents=True)
    (toy / "manifest.yaml").write_text(manifest, encoding="utf-8")
    (toy / "mapping.yaml").write_text(mapping, encoding="utf-8")
    return write_home(
        folder, [{"name": "toy", "connector": "toy", "config": {"token": "${TOY_TOKEN}"}}], connector_paths=["mine"]
    )


def _line(text: str, word: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), start=1) if word in line)


def _rows(store: Store, table: str) -> list[Any]:
    return list(store.read(select(tables.metadata.tables[table])))


def test_wrong_credentials_name_the_config_key_and_never_the_secret(tmp_path: Path) -> None:
    with Simulator(World(people=20)) as url:
        home = _home(tmp_path, url, {"hubspot": ["owners"]})
        file = home / "unisono.yaml"
        text = file.read_text(encoding="utf-8")
        token = load_config(file).connections[0].config["access_token"]
        file.write_text(text.replace(token, "wrong-secret-9d2f"), encoding="utf-8")
        done = _sync(home)
    assert done.code == 2
    error = done.stage("extract")["hubspot/owners"]["error"]
    assert "hubspot" in error
    assert "401" in error
    assert "access_token" in error
    assert "→" in error
    assert "wrong-secret-9d2f" not in done.out + done.err


def test_an_unknown_key_in_the_configuration_is_shown_with_its_line_and_the_nearest_word(tmp_path: Path) -> None:
    home = write_home(
        tmp_path, [{"name": "crm", "connector": "hubspot", "base_urll": "http://127.0.0.1:1", "config": {}}]
    )
    done = _sync(home)
    file = home / "unisono.yaml"
    assert done.code == 2
    assert f"unisono.yaml:{_line(file.read_text(), 'base_urll')}" in done.err
    assert "did you mean 'base_url'" in done.err


def test_an_unknown_config_key_of_a_connector_is_shown_with_its_line_and_the_nearest_word(tmp_path: Path) -> None:
    home = write_home(
        tmp_path, [{"name": "crm", "connector": "hubspot", "config": {"acess_token": "${HUBSPOT_TOKEN}"}}]
    )
    done = _sync(home)
    assert done.code == 2
    assert f"unisono.yaml:{_line((home / 'unisono.yaml').read_text(), 'acess_token')}" in done.err
    assert "did you mean 'access_token'" in done.err


def test_an_unknown_key_in_a_manifest_is_shown_with_its_line_and_the_nearest_word(tmp_path: Path) -> None:
    manifest = MANIFEST.replace("data_selector: items", "data_selektor: items", 1)
    done = _sync(_toy(tmp_path, manifest=manifest))
    assert done.code == 2
    assert f"manifest.yaml:{_line(manifest, 'data_selektor')}" in done.err
    assert "did you mean 'data_selector'" in done.err


def test_an_unknown_term_in_a_mapping_is_shown_with_its_line_and_the_nearest_word(tmp_path: Path) -> None:
    mapping = MAPPING.replace("given_name: first", "givn_name: first")
    _toy(tmp_path, mapping=mapping)
    done = run_here("map", "toy", "people", "--path", tmp_path / "mine", stdin="{}\n")
    assert done.code == 2
    assert f"mapping.yaml:{_line(mapping, 'givn_name')}" in done.err
    assert "did you mean 'given_name'" in done.err


def test_a_missing_environment_variable_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TOY_TOKEN", raising=False)
    done = _sync(_toy(tmp_path))
    assert done.code == 2
    assert "the environment variable TOY_TOKEN is not set" in done.err
    assert "export TOY_TOKEN=" in done.err
    assert "unisono.yaml:" in done.err


def test_a_vendor_that_answers_with_a_web_page_fails_that_stream_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "_wait", lambda _state: 0.0)
    with Simulator(World(people=20), faults=(Page("/crm/v3/owners"),)) as url:
        home = _home(tmp_path, url, {"hubspot": ["owners", "notes"], "klaviyo": ["metrics"]})
        done = _sync(home)
    verdicts = {unit: row["completeness"] for unit, row in done.stage("extract").items()}
    assert done.code == 1
    assert verdicts == {"hubspot/owners": "PARTIAL", "hubspot/notes": "COMPLETE", "klaviyo/metrics": "COMPLETE"}
    assert {row["entity"] for row in done.rows if row["stage"] == "golden"} == {"organization", "person"}
    error = done.stage("extract")["hubspot/owners"]["error"]
    assert "/crm/v3/owners" in error
    assert "text/html" in error
    assert "→" in error


def _fetch(hub: Hub, *records: dict[str, Any]) -> list[Any]:
    hub.vendor.pages = [hub.page(records)]
    reports = stages.ingest(hub.context(), hub.connection, "people")
    return [report for report in reports if report.stage != "drift"]


def test_a_retyped_field_puts_the_record_into_quarantine_with_reason_path_and_raw(sqlite_hub: Hub) -> None:
    _, report = _fetch(sqlite_hub, ADA, {**ADA, "id": 2, "first": {"de": "Ada", "en": "Ada"}})
    (entry,) = _rows(sqlite_hub.store, "quarantine")
    assert report.counts["mapped"] == report.counts["quarantined"] == 1
    assert (entry.stage, entry.source_key, entry.path) == ("normalise", "2", "first")
    assert entry.reason == "expected one value, found an object"
    assert b'"first": {"de": "Ada"' in entry.raw


def test_a_record_without_its_key_is_quarantined_with_its_raw_payload(sqlite_hub: Hub) -> None:
    report, _ = _fetch(sqlite_hub, ADA, {name: value for name, value in ADA.items() if name != "id"})
    (entry,) = _rows(sqlite_hub.store, "quarantine")
    assert (report.counts["loaded"], report.counts["quarantined"]) == (1, 1)
    assert (entry.stage, entry.source_key) == ("extract", None)
    assert "key" in entry.reason
    assert b'"first": "Ada"' in entry.raw


def _full(sink: Any, _content: memoryview) -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        full.write(sink.name.encode())


def test_a_full_disk_under_the_landing_is_said_and_the_next_run_goes_on(
    sqlite_hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as disk:
        disk.setattr(landing, "_put", _full)
        report, _ = _fetch(sqlite_hub, ADA)
    assert report.completeness == "PARTIAL"
    assert "no space left for the landing" in str(report.error)
    assert sqlite_hub.config.landing_url in str(report.error)
    assert "free space" in str(report.error)
    assert list(Path(sqlite_hub.config.landing_url).rglob("*.*")) == []
    report, _ = _fetch(sqlite_hub, ADA)
    assert (report.completeness, report.counts["loaded"]) == ("COMPLETE", 1)


def test_a_full_disk_under_the_store_is_said_and_the_next_run_goes_on(
    sqlite_hub: Hub, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as reader:
        pages = reader.execute("PRAGMA page_count").fetchone()[0]
    many = [{**ADA, "id": number, "last": "x" * 500} for number in range(300)]
    with monkeypatch.context() as disk:
        disk.setattr(engine, "_PRAGMAS", (*engine._PRAGMAS, f"max_page_count={pages + 4}"))
        with Store.open(sqlite_url) as small:
            reports = _fetch(replace(sqlite_hub, store=small), *many)
    error = next(report.error for report in reports if report.error)
    assert "no space left for the store" in error
    assert "free space" in error
    report, _ = _fetch(sqlite_hub, *many)
    assert report.completeness == "COMPLETE"
    assert len(_rows(sqlite_hub.store, "source_record")) == 300


def test_a_locked_store_is_said_and_what_to_do(sqlite_hub: Hub, sqlite_url: str) -> None:
    with (
        Store.open(sqlite_url, busy_timeout_s=0.05) as hasty,
        closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        reports = _fetch(replace(sqlite_hub, store=hasty), ADA)
        other.execute("ROLLBACK")
    for report in reports:
        assert "the store is locked by another writer" in str(report.error)
        assert "run again; nothing was written" in str(report.error)
    assert _rows(sqlite_hub.store, "load") == []


def test_a_second_sync_while_one_runs_names_the_process_that_holds_the_work(tmp_path: Path) -> None:
    with Simulator(World(people=20)) as url:
        home = _home(tmp_path, url, {"hubspot": ["owners", "notes"]})
        with Store.open(load_config(home / "unisono.yaml").store_url) as store, store.acquire("ingest/hubspot/owners"):
            done = _sync(home)
    assert done.code == 1
    error = done.stage("extract")["hubspot/owners"]["error"]
    assert "another run holds this work" in error
    assert f"process {os.getpid()} on" in error
    assert "wait until it ends" in error
    assert done.stage("extract")["hubspot/notes"]["completeness"] == "COMPLETE"


def test_a_store_of_a_newer_version_is_left_alone_and_says_so(tmp_path: Path, sqlite_url: str) -> None:
    home = write_home(tmp_path / "home", [], store=sqlite_url)
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as writer, writer:
        writer.execute("UPDATE alembic_version SET version_num = '9999'")
    done = _sync(home)
    assert done.code == 1
    assert "the store was written by a newer version" in done.err
    assert "revision 9999" in done.err
    assert "install the newer version" in done.err


def test_a_damaged_landed_file_is_named_and_what_to_do(sqlite_hub: Hub) -> None:
    sqlite_hub.vendor.pages = [sqlite_hub.page([ADA])]
    stages.run_stage(stages.EXTRACT, sqlite_hub.context())
    (file,) = Path(sqlite_hub.config.landing_url).rglob("*.parquet")
    file.write_bytes(file.read_bytes()[:100])
    report = stages.run_stage(stages.NORMALISE, sqlite_hub.context())
    assert "a landed file cannot be read" in str(report.error)
    assert file.name in str(report.error)
    assert "→" in str(report.error)
    assert _rows(sqlite_hub.store, "person") == []
