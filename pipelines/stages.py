"""The stages in the order data flows: the table of contents of the product.

``ingest`` stages work on one stream of one connection, ``master`` stages on one entity. ``unisono sync`` and the
Dagster assets both call ``run_stage``; nothing else runs a stage.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum

from connectors.sdk.errors import UnisonoError
from pipelines import extract, golden, normalise, resolve
from pipelines.config import ConnectionConfig
from pipelines.context import StageContext
from pipelines.report import StageReport

_PARALLEL_CONNECTIONS = 4


class Phase(StrEnum):
    """Which units a stage works on."""

    INGEST = "ingest"
    MASTER = "master"


@dataclass(frozen=True)
class Stage:
    """One step of the flow and its only door."""

    name: str
    phase: Phase
    brief: str
    run: Callable[[StageContext], StageReport]


EXTRACT = Stage("extract", Phase.INGEST, "fetch a vendor's records and land them untouched", extract.run)
NORMALISE = Stage("normalise", Phase.INGEST, "turn landed payloads into canonical source records", normalise.run)
RESOLVE = Stage("resolve", Phase.MASTER, "decide which source records are one party", resolve.run)
GOLDEN = Stage("golden", Phase.MASTER, "choose the best value of every attribute", golden.run)
STAGES = (EXTRACT, NORMALISE, RESOLVE, GOLDEN)


def run_stage(stage: Stage, context: StageContext) -> StageReport:
    """Run one stage over one unit; an error of ours becomes the report's ``error``, so that other units go on.

    Errors that are not ours (a bug, out of memory) are raised.
    """
    began = time.monotonic()
    context.progress(f"{stage.name} {_unit(context)}")
    try:
        report = stage.run(context)
    except UnisonoError as error:
        report = _failed(stage, context, error)
    return replace(report, seconds=time.monotonic() - began)


def ingest(context: StageContext, connection: ConnectionConfig, stream: str) -> Iterator[StageReport]:
    """Extract and normalise one stream; normalise also runs after a failed extract, on what was committed."""
    unit = context.for_stream(connection, stream)
    for stage in STAGES:
        if stage.phase is Phase.INGEST:
            yield run_stage(stage, unit)


def master_entities(context: StageContext) -> tuple[str, ...]:
    """Return the entities that become golden records, in the order they are resolved."""
    entities = context.store.vocabulary.entities.values()
    return tuple(entity.name for entity in entities if entity.golden)


def master(context: StageContext) -> Iterator[StageReport]:
    """Resolve, then make golden, each golden entity; a failed resolve leaves that entity's golden rows as they are."""
    for stage in STAGES:
        if stage.phase is Phase.MASTER:
            for entity in master_entities(context):
                yield run_stage(stage, context.for_entity(entity))


def sync(context: StageContext, connections: tuple[ConnectionConfig, ...]) -> Iterator[StageReport]:
    """Run the whole flow for ``connections``; streams of one connection in order, connections side by side."""
    with ThreadPoolExecutor(max_workers=min(_PARALLEL_CONNECTIONS, max(1, len(connections)))) as pool:
        for reports in pool.map(lambda connection: _ingest_all(context, connection), connections):
            yield from reports
    yield from master(context)


def _ingest_all(context: StageContext, connection: ConnectionConfig) -> list[StageReport]:
    return [report for stream in connection.streams for report in ingest(context, connection, stream)]


def _unit(context: StageContext) -> str:
    return context.entity or f"{context.connection.name if context.connection else '?'}/{context.stream}"


def _failed(stage: Stage, context: StageContext, error: UnisonoError) -> StageReport:
    return StageReport(
        stage=stage.name,
        connection=context.connection.name if context.connection else None,
        stream=context.stream,
        entity=context.entity,
        completeness="PARTIAL" if stage is EXTRACT else None,
        error=str(error),
        exit_code=error.exit_code,
    )
