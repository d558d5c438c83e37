"""Export: write golden tables to a dlt destination, only what changed since the last time.

Guarantee: what was exported is remembered in our store after the destination has it. An export that was killed is
repeated from there, and repeating changes nothing: rows are merged on the golden id, log files overwrite themselves.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from pipelines.dlt_bridge.target import DELETED, TableSpec, Target
from pipelines.report import StageReport
from pipelines.store import export_reads, golden_reads

if TYPE_CHECKING:
    from pipelines.context import StageContext
    from pipelines.store import Lease

STAGE: Final = "export"
_GOLDEN: Final = "golden"
_SECRET: Final = re.compile("secret|password|token|key", re.IGNORECASE)
_USER: Final = re.compile(r"(\w+://)[^\s/@]+@")


@dataclass(frozen=True)
class _Plan:
    """What one export of one entity brings: rows in (since, upto], and ids whose links changed after ``linked``."""

    since: int
    upto: int
    linked: int
    golden: int


def run(context: StageContext, *, target: Target) -> StageReport:
    """Export the golden rows of ``context.entity``; ``full`` writes all of them anew."""
    from pipelines.dlt_bridge import load  # noqa: PLC0415  imports dlt

    assert context.entity is not None
    entity, unit = context.entity, f"{_name(target)}/{context.entity}"
    with context.store.acquire(f"{STAGE}/{unit}", now=context.now, tenant_id=context.tenant_id) as lease:
        plan = _plan(context, unit, fresh=context.full or not load.exists(target, entity))
        written = _Written()
        if plan.since == 0 or plan.upto > plan.since:
            rows = written.counted(_tables(context, plan))
            columns = export_reads.json_columns(context.store, entity)
            spec = TableSpec(entity, export_reads.key_of(entity), columns, plan.since)
            first = next(rows, None)  # nothing at all needs no pipeline
            if first is not None:
                load.load(target, spec, chain([first], rows))
        _remember(context, lease, unit, plan)
    counts = {"written": written.rows, "deleted": written.deleted}
    return StageReport(stage=STAGE, entity=entity, counts=counts, details={"destination": target.destination})


@dataclass
class _Written:
    """Counts rows as they pass."""

    rows: int = 0
    deleted: int = 0

    def counted(self, tables: Iterator[tuple[pa.Table, bool]]) -> Iterator[pa.Table]:
        for table, gone in tables:
            self.rows += 0 if gone else table.num_rows
            self.deleted += table.num_rows if gone else 0
            yield table.append_column(DELETED, pa.repeat(gone, table.num_rows))


def _plan(context: StageContext, unit: str, *, fresh: bool) -> _Plan:
    store, tenant, entity = context.store, context.tenant_id, context.entity or ""
    golden = store.watermark(_GOLDEN, entity, tenant_id=tenant)
    upto = golden_reads.last_change(store, tenant)
    since = 0 if fresh else store.watermark(STAGE, unit, tenant_id=tenant)
    linked = store.watermark(STAGE, f"{unit}/links", tenant_id=tenant)
    return _Plan(since, upto, linked, golden)


def _tables(context: StageContext, plan: _Plan) -> Iterator[tuple[pa.Table, bool]]:
    """Yield the changed rows, then a row with nothing but the id for each that is gone."""
    store, tenant, entity = context.store, context.tenant_id, context.entity or ""
    shape: pa.Schema | None = None
    for table in export_reads.golden_rows(store, tenant, entity, since=plan.since, upto=plan.upto):
        shape = table.schema
        yield table, False
    if plan.since == 0:
        if shape is None:  # an empty table empties what is there, and shows its columns
            yield export_reads.shape(store, tenant, entity).empty_table(), False
        return
    gone = export_reads.gone_ids(store, tenant, entity, linked_since=plan.linked, minted_upto=plan.since)
    if len(gone):
        shape = shape or export_reads.shape(store, tenant, entity)
        yield _only_ids(gone, shape, plan.upto), True


def _only_ids(ids: pa.Array, shape: pa.Schema, seq: int) -> pa.Table:
    columns = {field.name: pa.nulls(len(ids), field.type) for field in shape}
    columns[shape.names[0]] = ids.cast(shape.field(0).type)
    columns["change_seq"] = pa.repeat(pa.scalar(seq, shape.field("change_seq").type), len(ids))
    return pa.table(columns, schema=shape)


def _remember(context: StageContext, lease: Lease, unit: str, plan: _Plan) -> None:
    with context.store.write(lease, cause=context.cause, actor=context.actor) as tx:
        tx.set_watermark(STAGE, unit, plan.upto)
        tx.set_watermark(STAGE, f"{unit}/links", plan.golden)


def _name(target: Target) -> str:
    """Return a name for the place itself: another place under the same name begins anew. Secrets are left out."""
    shown: dict[str, Any] = {key: value for key, value in target.config.items() if not _SECRET.search(key)}
    text = _USER.sub(r"\1", json.dumps([target.dataset, shown], sort_keys=True, default=str))
    return f"{target.destination}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
