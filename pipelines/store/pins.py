"""Open pins: values that a person fixed on a golden record. They bind the entity that now holds the record pinned on."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import BigInteger, String, and_, bindparam, literal, or_, select, union_all

from pipelines.store.decisions import PIN
from pipelines.store.tables import crosswalk, decision, metadata

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import pyarrow as pa
    from sqlalchemy import ColumnElement, Row, Select

    from pipelines.store.golden_reads import Scope
    from pipelines.store.store import Store


class Pin(NamedTuple):
    """One open pin, on ``record`` and so on the golden entity ``entity_id`` that holds it."""

    decision_id: int
    entity_id: int
    record: int
    term: str
    value: Any
    reason: str | None
    expires_at: datetime | None
    decided_at: datetime
    known_from: int
    actor: str | None


def open_pins(store: Store, scope: Scope, now: datetime) -> list[Pin]:
    """Return the pins of the entities in ``scope`` that bind at ``now``, the newest decision first."""
    if scope.first is not None and scope.first == scope.last:
        asked = {"tenant": scope.tenant_id, "entity": scope.entity, "one": scope.first, "now": now}
        rows = store.read(_of_one(), asked)
    else:
        rows = store.read(_open(scope.tenant_id, scope.entity, scope.first, scope.last, now))
    wanted = None if scope.ids is None else set(scope.ids.to_pylist())
    return [Pin(*row) for row in rows if wanted is None or row.entity_id in wanted]


@cache
def _of_one() -> Select[Any]:
    """Return the statement for the pins of the entity ``:one``; to build it costs more than to run it."""
    tenant, one = (bindparam(name, type_=BigInteger) for name in ("tenant", "one"))
    return _open(
        tenant, bindparam("entity", type_=String), one, one, bindparam("now", type_=decision.c.expires_at.type)
    )


def _open(tenant_id: Any, entity: Any, first: Any, last: Any, now: Any) -> Select[Any]:
    d = decision.c
    statement = select(
        d.decision_id, crosswalk.c.entity_id, d.left_id, d.term, d.value, d.reason, d.expires_at, d.decided_at,
        d.known_from, d.actor,
    ).select_from(_linked())  # fmt: skip
    binds = d.known_to.is_(None), or_(d.expires_at.is_(None), d.expires_at > now), d.term.is_not(None)
    ordered = statement.where(_is_pin(tenant_id, entity), *binds, *_spanned(first, last))
    return ordered.order_by(d.known_from.desc(), d.decision_id.desc())


def repinned(
    store: Store, tenant_id: int, entity: str, since: int, before: datetime | None, now: datetime
) -> list[int]:
    """Return the entities whose pins were made or closed after ``since``, or expired between two instants (either way)."""
    d, told = decision.c, [decision.c.change_seq > since]
    if before is not None:
        told.append(and_(d.expires_at > min(before, now), d.expires_at <= max(before, now)))
    mine = select(crosswalk.c.entity_id).distinct().select_from(_linked()).where(_is_pin(tenant_id, entity), or_(*told))
    return [row[0] for row in store.read(mine)]


def rows_as_of(
    store: Store, tenant_id: int, table: str, records: pa.Array, columns: Sequence[str], seq: int
) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return the live rows of these source records as they stood after transaction ``seq``."""
    now, past = metadata.tables[table], metadata.tables[f"{table}_version"]
    found = []
    for each, ended in ((now, literal(value=True)), (past, past.c.known_to > seq)):
        mine = each.c.tenant_id == tenant_id, each.c.source_record_id.in_(records.to_pylist())
        then = each.c.known_from <= seq, ended, each.c.deleted_at.is_(None)
        found.append(select(*(each.c[name] for name in columns)).where(*mine, *then))
    return store.read(union_all(*found))


def _linked() -> Any:
    same = crosswalk.c.tenant_id == decision.c.tenant_id, crosswalk.c.source_record_id == decision.c.left_id
    return decision.join(crosswalk, and_(*same))


def _is_pin(tenant_id: Any, entity: Any) -> ColumnElement[bool]:
    return and_(decision.c.tenant_id == tenant_id, decision.c.entity == entity, decision.c.kind == PIN)


def _spanned(first: Any, last: Any) -> list[ColumnElement[bool]]:
    """Return the conditions that a span of ids asks; a list of ids is compared by the caller, since there are few pins."""
    lower = [] if first is None else [crosswalk.c.entity_id >= first]
    upper = [] if last is None else [crosswalk.c.entity_id <= last]
    return [*lower, *upper]
