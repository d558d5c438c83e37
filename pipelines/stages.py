"""The stages in the order data flows: the table of contents of the product.

``ingest`` stages work on one stream of one connection, ``master`` stages on one entity, ``whole`` stages on everything
at once, after the master stages. ``unisono sync`` and the Dagster assets both call ``run_stage``; nothing else runs a stage.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import TypeVar

from connectors.sdk.errors import FixConfig, Unaccounted, UnisonoError
from connectors.sdk.yaml_lines import suggest
from pipelines import channels, drift, extract, golden, influence, normalise, resolve
from pipelines import export as export_stage
from pipelines.config import ConnectionConfig
from pipelines.context import StageContext
from pipelines.dlt_bridge.target import Target
from pipelines.extract.replay import replay as replay_extract
from pipelines.normalise.replay import replay as replay_normalise
from pipelines.report import StageReport
from pipelines.resolve import household_stage

_PARALLEL_CONNECTIONS = 4
_Made = TypeVar("_Made")


class Phase(StrEnum):
    """Which units a stage works on."""

    INGEST = "ingest"
    MASTER = "master"
    WHOLE = "whole"


@dataclass(frozen=True)
class Stage:
    """One step of the flow and its only door."""

    name: str
    phase: Phase
    brief: str
    run: Callable[[StageContext], StageReport]


EXTRACT = Stage("extract", Phase.INGEST, "fetch a vendor's records and land them untouched", extract.run)
DRIFT = Stage("drift", Phase.INGEST, "compare the payloads' structure with what is declared and was before", drift.run)
NORMALISE = Stage("normalise", Phase.INGEST, "turn landed payloads into canonical source records", normalise.run)
RESOLVE = Stage("resolve", Phase.MASTER, "decide which source records are one party", resolve.run)
GOLDEN = Stage("golden", Phase.MASTER, "choose the best value of every attribute", golden.run)
CHANNELS = Stage("channels", Phase.MASTER, "gather how a party can be reached and likes to be", channels.run)
INFLUENCE = Stage("influence", Phase.WHOLE, "relate golden parties to each other and arrange accounts", influence.run)
HOUSEHOLDS = Stage("households", Phase.WHOLE, "find the golden persons who live together", household_stage.run)
STAGES = (EXTRACT, DRIFT, NORMALISE, RESOLVE, GOLDEN, CHANNELS, INFLUENCE, HOUSEHOLDS)


def run_stage(stage: Stage, context: StageContext) -> StageReport:
    """Run one stage over one unit; an error of ours becomes the report's ``error``, so that other units go on.

    Errors that are not ours (a bug, out of memory) are raised.
    """
    began = time.monotonic()
    context.progress(f"{stage.name} {_unit(context)}")
    try:
        report = _accounted(stage.run(context))
    except UnisonoError as error:
        report = _failed(stage, context, error)
    return replace(report, seconds=time.monotonic() - began)


def ingest(context: StageContext, connection: ConnectionConfig, stream: str) -> Iterator[StageReport]:
    """Extract, look for drift, normalise; the later stages also run after a failed extract, on what was committed."""
    unit = context.for_stream(connection, stream)
    for stage in STAGES:
        if stage.phase is Phase.INGEST:
            yield run_stage(stage, unit)


def master_entities(context: StageContext) -> tuple[str, ...]:
    """Return the entities that become golden records, in the order they are resolved."""
    entities = context.store.vocabulary.entities.values()
    return tuple(entity.name for entity in entities if entity.golden)


def master(context: StageContext) -> Iterator[StageReport]:
    """Resolve, then make golden, each golden entity, then what spans them; a failed resolve leaves golden rows as they are."""
    for stage in STAGES:
        if stage.phase is Phase.MASTER:
            for entity in master_entities(context):
                yield run_stage(stage, context.for_entity(entity))
        if stage.phase is Phase.WHOLE:
            yield run_stage(stage, context)


def replay(
    context: StageContext,
    units: Sequence[tuple[str, str]],
    *,
    ids: Sequence[int] | None = None,
    reason: str | None = None,
) -> Iterator[StageReport]:
    """Read and map the quarantined records of (connection, stream) pairs again, then bring the golden records up to date."""
    for name, stream in units:
        unit = context.for_stream(context.config.connection(name), stream)
        for stage in (EXTRACT, NORMALISE):
            again = {EXTRACT.name: replay_extract, NORMALISE.name: replay_normalise}[stage.name]
            yield run_stage(replace(stage, run=partial(again, ids=ids, reason=reason)), unit)
    yield from master(context)


def sync(context: StageContext, connections: tuple[ConnectionConfig, ...]) -> Iterator[StageReport]:
    """Run the whole flow for ``connections``; streams of one connection in order, connections side by side."""
    for reports in side_by_side(lambda connection: _ingest_all(context, connection), connections):
        yield from reports
    yield from master(context)


def side_by_side(work: Callable[[ConnectionConfig], _Made], connections: Sequence[ConnectionConfig]) -> Iterator[_Made]:
    """Yield what ``work`` makes of each connection, in their order; it is at work on several at a time."""
    with ThreadPoolExecutor(max_workers=min(_PARALLEL_CONNECTIONS, max(1, len(connections)))) as pool:
        yield from pool.map(work, connections)


def export(context: StageContext, target: Target, entities: tuple[str, ...] = ()) -> Iterator[StageReport]:
    """Write golden entities, all unless some are named, to a destination; one that fails does not stop the others."""
    known = master_entities(context)
    for name in entities:
        if name not in known:
            raise FixConfig(f"there are no golden records of '{name}'", do=suggest(name, known))
    stage = Stage(
        "export", Phase.MASTER, "write golden records to a destination", partial(export_stage.run, target=target)
    )
    for entity in entities or known:
        yield run_stage(stage, context.for_entity(entity))


def _ingest_all(context: StageContext, connection: ConnectionConfig) -> list[StageReport]:
    """Ingest a connection's streams in order; one that is configured wrongly is asked once, not once per stream.

    A refusal after a stream was read well may concern that stream alone: then a second one is awaited.
    """
    reports: list[StageReport] = []
    refused: list[str] = []
    read_well = False
    for stream in connection.streams:
        if refused and (len(refused) > 1 or not read_well):
            reports.append(_not_asked(connection, stream, refused[-1]))
            continue
        done = list(ingest(context, connection, stream))
        reports.extend(done)
        refused.extend(stream for report in done if report.stops_connection)
        read_well = read_well or all(report.ok for report in done)
    return reports


def _not_asked(connection: ConnectionConfig, stream: str, because: str) -> StageReport:
    reason = f"not asked: the connection's configuration is wrong, see {connection.name}/{because}"
    return StageReport(
        stage=EXTRACT.name, connection=connection.name, stream=stream, completeness="PARTIAL",
        details={"reason": reason}, exit_code=FixConfig.exit_code,
    )  # fmt: skip


def _accounted(report: StageReport) -> StageReport:
    """Make an account that does not add up an error of the unit (ARCHITECTURE §5.2)."""
    if report.imbalance is None or report.error is not None:
        return report
    where = f"{report.connection}/{report.stream}"
    do = "report this with the connector: records are missing from the account"
    fault = Unaccounted(f"the account of {report.stage} does not add up", where=where, why=report.imbalance, do=do)
    return replace(report, error=str(fault), exit_code=fault.exit_code)


def _unit(context: StageContext) -> str:
    if context.connection is None:
        return context.entity or "all"
    return f"{context.connection.name}/{context.stream}"


def _failed(stage: Stage, context: StageContext, error: UnisonoError) -> StageReport:
    return StageReport(
        stage=stage.name,
        connection=context.connection.name if context.connection else None,
        stream=context.stream,
        entity=context.entity,
        completeness="PARTIAL" if stage is EXTRACT else None,
        error=str(error),
        details={"unaccounted": error.why} if isinstance(error, Unaccounted) else {},
        exit_code=error.exit_code,
    )
