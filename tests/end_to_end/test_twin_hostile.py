"""Real input, hostile: the vendor twin with every fault of its hostile profile, three seeds, the vendors' real limits."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from connectors.sdk.catalog import find_connectors
from pipelines import extract
from pipelines.config import load_config
from pipelines.context import StageContext
from pipelines.landing import Landing
from pipelines.store import Store
from tests.end_to_end import _twin
from tests.end_to_end._cli import write_home

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipelines.config import HubConfig
    from pipelines.report import StageReport
    from tests.end_to_end._twin import Twin

pytestmark = pytest.mark.slow

SEEDS = (1, 2, 3)
_HEADS = """SELECT s.connection_id, s.object, r.source_key, h.op, h.row_no, s.files FROM raw_head AS h
            JOIN segment AS s ON s.segment_id = h.segment_id JOIN source_record AS r
            ON r.source_record_id = h.source_record_id"""
# How many answers 429 one planned fault is.
_REFUSALS = {"429_burst": 3, "429_header_only": 1}


@dataclass(frozen=True)
class Synced:
    """What syncs of all five vendors, one after the other, came to."""

    twin: Twin
    syncs: list[dict[str, StageReport]]
    landed: dict[str, dict[str, dict[str, Any]]]


@pytest.fixture(scope="module", params=SEEDS)
def synced(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Synced]:
    """Every default stream of the five connectors, read from a hostile twin until nothing changes while it is read."""
    with _twin.running("--profile", "hostile", "--seed", str(request.param), "--limits", "real") as twin:
        home = write_home(tmp_path_factory.mktemp("hostile") / "home", twin.connections())
        syncs, moved = [_extract(home)], -1
        while moved != _moved(twin) and len(syncs) < 6:
            moved = _moved(twin)
            syncs.append(_extract(home))
        yield Synced(twin, syncs, _landed(home))


def _moved(twin: Twin) -> int:
    """Return how many records have changed while a client paged."""
    fired = [one.get("hazard") for vendor in twin.ask("hazards").values() for one in vendor["fired"]]
    return fired.count("update_while_paging")


def _extract(home: Path) -> dict[str, StageReport]:
    return extract_streams(load_config(home / "unisono.yaml"))


def extract_streams(config: HubConfig) -> dict[str, StageReport]:
    """Read every stream of every connection, connections side by side as ``unisono sync`` does."""
    with Store.open(config.store_url) as store, ThreadPoolExecutor(len(config.connections)) as pool:
        context = StageContext(config=config, store=store, now=lambda: datetime.now(UTC))

        def read(connection: Any) -> dict[str, StageReport]:
            units = [(stream, context.for_stream(connection, stream)) for stream in connection.streams]
            return {f"{connection.name}/{stream}": extract.run(unit) for stream, unit in units}

        return {unit: report for found in pool.map(read, config.connections) for unit, report in found.items()}


def _landed(home: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the payload of each record that the newest landed rows hold, deleted or not, by stream and key."""
    config = load_config(home / "unisono.yaml")
    landing, files = Landing(config.landing_url), {}
    streams = {
        (c.name, c.connector.manifest.streams[s].object): f"{c.name}/{s}" for c in config.connections for s in c.streams
    }
    found: dict[str, dict[str, dict[str, Any]]] = {unit: {} for unit in streams.values()}
    with Store.open(config.store_url, create=False) as store, store.engine.connect() as connection:
        for name, kind, key, op, row_no, stored in connection.exec_driver_sql(_HEADS):
            file = json.loads(stored)[0]["name"]
            if file not in files:
                files[file] = landing.read(file, ["payload"]).column("payload").to_pylist()
            found[streams[name, kind]][key] = {"op": op, "record": json.loads(files[file][row_no])}
    return found


def _truth(twin: Twin, unit: str) -> tuple[dict[str, Any], str | None]:
    """Return what the oracle holds by key, and the path of its cursor; children of deleted parents are not shown."""
    vendor, stream = unit.split("/")
    held = twin.ask(f"truth/{vendor}/{stream}")
    parents = held["parents"] or [None] * len(held["records"])
    gone = (
        {str(record["id"]) for record in twin.ask("truth/zendesk/tickets")["deleted"]} if vendor == "zendesk" else set()
    )
    pairs = zip(held["records"], parents, strict=True)
    live = [record for record, parent in pairs if not (parent and gone & set(map(str, parent.values())))]
    return {str(_twin._dig(record, held["key"])): record for record in live}, held["cursor"] or None


def test_every_stream_ends_complete_in_every_sync(synced: Synced) -> None:
    for sync in synced.syncs:
        ends = {unit: (report.completeness, report.error) for unit, report in sync.items()}
        assert {unit: end for unit, end in ends.items() if end != ("COMPLETE", None)} == {}
        assert {unit.split("/")[0] for unit in ends} == set(_twin.VENDORS)


def test_the_store_holds_what_the_oracle_holds(synced: Synced) -> None:
    """Also what moved while it was read: the next sync brings it."""
    for unit, landed in synced.landed.items():
        truth, cursor = _truth(synced.twin, unit)
        shown = {key for key, row in landed.items() if row["op"] == "upsert" or key in truth}
        assert shown == set(truth), unit
        if cursor is not None:
            stale = {
                key for key in truth if _twin._dig(landed[key]["record"], cursor) != _twin._dig(truth[key], cursor)
            }
            assert stale == set(), f"{unit}: an older version than the vendor has"


def test_every_record_of_the_wire_is_accounted_for_and_none_is_unreadable(synced: Synced) -> None:
    for reports in synced.syncs:
        assert {unit: report.imbalance for unit, report in reports.items() if report.imbalance} == {}
        assert {
            unit: report.counts["quarantined"] for unit, report in reports.items() if report.counts["quarantined"]
        } == {}


def test_the_faults_were_really_met(synced: Synced) -> None:
    fired = Counter(one.get("hazard") for vendor in synced.twin.ask("hazards").values() for one in vendor["fired"])
    assert sum(fired.values()) >= 15
    assert {"429_burst", "500_then_ok", "reset_mid_body", "html_200", "truncated_json"} <= set(fired)


def above_the_rate(twin: Twin) -> dict[str, int]:
    """Return how many requests each vendor refused by its limit: its answers 429, less those that were a planned fault."""
    refused = Counter(one["vendor"] for one in twin.ask("log") if one["status"] == 429)
    for vendor, listed in twin.ask("hazards").items():
        refused[vendor] -= sum(_REFUSALS.get(one.get("hazard"), 0) for one in listed["fired"])
    return {vendor: count for vendor, count in refused.items() if count}


def test_no_request_was_above_the_declared_rate(synced: Synced) -> None:
    """Each 429 was a planned fault; the limits themselves, enforced by the twin, refused none."""
    assert above_the_rate(synced.twin) == {}


def test_every_vendor_we_have_a_connector_for_and_the_twin_plays_is_among_them() -> None:
    played = {folder.name for folder in (_twin.data()).iterdir() if folder.is_dir()}

    assert set(_twin.VENDORS) == set(find_connectors()) & played
