"""One sync in a forked process: small segments and transactions, every seam hooked, and a look before and after."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
from sqlalchemy import func, select

from canonical_model import load_vocabulary
from connectors.sdk.catalog import ConnectorFolder, find_connectors
from connectors.sdk.mapping import CompiledStream, compile_stream
from connectors.sdk.testing.simulator.hostile import paged
from pipelines import stages
from pipelines.config import load_config
from pipelines.context import StageContext
from pipelines.extract import segments
from pipelines.extract.tokens import StoreTokens
from pipelines.golden import stage as golden
from pipelines.normalise import mapper, parts
from pipelines.resolve import ledger
from pipelines.store import Store, bulk, leases, sqlite_staged, tables
from pipelines.store.connection_health import read_events
from pipelines.store.digest import digest
from pipelines.store.sealing import find_sealer
from tests.end_to_end import _kill_points
from tests.end_to_end._kill_server import HEARTBEAT_S, SEGMENT_RECORDS, WRITE_ROWS, Outcome
from tests.end_to_end._kill_world import PAGE_RECORDS, ROTATING, STREAMS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelines.config import HubConfig
    from pipelines.report import StageReport
    from tests.end_to_end._kill_server import Job

NEEDS_REAUTH = "needs re-auth"
AUTHORISE = "must be authorised again"
_crossings = _kill_points.Crossings()
_small: dict[str, ConnectorFolder] = {}
_compiled: dict[tuple[str, str], CompiledStream] = {}


def warm() -> None:
    """Do once, in the process that will fork, what every sync would do anew: hook, import, read, compile."""
    vocabulary = load_vocabulary()
    for name, folder in find_connectors().items():
        for stream in STREAMS.get(name, ()):
            _compiled[name, stream] = compile_stream(folder.mapping, stream, vocabulary)
        if name in STREAMS:
            small = ConnectorFolder(folder.path)
            small.__dict__.update(manifest=paged(folder.manifest, PAGE_RECORDS), mapping=folder.mapping)
            _small[name] = small
    segments.SEGMENT_RECORDS = SEGMENT_RECORDS
    parts.BATCH_ROWS = ledger.ROWS_PER_WRITE = golden.WRITE_ROWS = WRITE_ROWS
    sqlite_staged.WORTH_A_FILE = bulk._WORTH_A_STAGE = WRITE_ROWS // 2  # kills meet both ways of inserting rows
    leases.HEARTBEAT_S = HEARTBEAT_S
    vars(mapper)["compile_stream"] = lambda mapping, stream, _: _compiled[mapping.connector, stream]
    vars(duckdb)["connect"] = partial(duckdb.connect, config={"threads": 1})  # a few records each: threads only cost
    _kill_points.install(_crossings)


def sync(job: Job) -> Outcome:
    """Run the hub once and say what it left; do not come back if the job is to be killed and its point is reached."""
    os.environ["KILL_REFRESH_TOKEN"] = job.refresh_token
    _crossings.arm(job.point, job.nth)
    config = _small_pages(load_config(Path(job.home) / "unisono.yaml"))
    with Store.open(config.store_url) as store:
        (Path(job.home) / "stored.json").write_text(json.dumps(_stored_refresh(store)), encoding="utf-8")
        context = StageContext(config=config, store=store, now=lambda: datetime.now(UTC))
        reports = [_row(report) for report in _staged(context)]
        named = _named(store)
        found = {str(file.relative_to(config.landing_url)) for file in Path(config.landing_url).rglob("*.*")}
        reauths = sum(kind == NEEDS_REAUTH for _, kind, _ in read_events(store))
        return Outcome(
            reports=reports, counts=dict(_crossings.counts), digest=digest(store), wire=_wire(store),
            strays=sorted(found - named), missing=sorted(named - found), reauths=reauths,
        )  # fmt: skip


def _staged(context: StageContext) -> Iterator[StageReport]:
    """Run all stages, but wait for the person where one must authorise a connection anew.

    The first resolve of a store fixes its match model by the records it sees (ARCHITECTURE §7); a store that saw all of
    them at once is what this one is compared with.
    """
    for report in stages.sync(context, context.config.connections):
        yield report
        if report.error and AUTHORISE in report.error:
            break


def _small_pages(config: HubConfig) -> HubConfig:
    """Let every connector ask for small pages."""
    small = (replace(connection, connector=_small[connection.connector.name]) for connection in config.connections)
    return replace(config, connections=tuple(small))


def _row(report: Any) -> dict[str, Any]:
    return {
        "stage": report.stage, "unit": report.entity or f"{report.connection}/{report.stream}", "error": report.error,
        "completeness": report.completeness or "COMPLETE", "imbalance": report.imbalance, "seconds": report.seconds,
    }  # fmt: skip


def _stored_refresh(store: Store) -> str | None:
    """Return the refresh token that the last run left; None before the first save."""
    sealer = find_sealer()
    assert sealer is not None
    token = StoreTokens(store, sealer).load(ROTATING)
    return None if token is None else token.refresh_token


def _named(store: Store) -> set[str]:
    """Return the files that committed segments name."""
    return {file["name"] for (files,) in store.read(select(tables.segment.c.files)) for file in files}


def _wire(store: Store) -> list[list[Any]]:
    """Return how many records of the wire the committed segments of each read account for."""
    segment, read = tables.segment.c, tables.read.c
    place = (segment.connection_id, segment.stream, segment.partition, read.kind, segment.read_id)
    query = select(*place, func.sum(segment.wire)).where(read.read_id == segment.read_id).group_by(*place)
    return [
        [connection, stream, partition, kind, int(wire)]
        for connection, stream, partition, kind, _, wire in store.read(query)
    ]
