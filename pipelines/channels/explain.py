"""How one golden party can be reached and what it said: contact points, consent with its acts, preferences as stated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from connectors.sdk.errors import FixConfig
from pipelines.channels import statements
from pipelines.store import channel_reads, golden_reads
from pipelines.store.tables import golden_contact_point, golden_preference

if TYPE_CHECKING:
    from pipelines.store import Store

_BOOKKEEPING = frozenset({"tenant_id", "entity", "entity_id", "change_seq", "actor", "cause"})


def explain_channels(store: Store, entity: str, identity: str | int, *, tenant_id: int = 1) -> list[dict[str, Any]]:
    """Return rows of ``what`` contact_point, consent, act, preference and stated; an old id is followed.

    Contact points come best first and name the source records that say them; acts name who acted, and whether the act
    is the party's own or somebody's refusal of a contact point that it has. What is stated names the record that says it, when
    it was said, and whether it counts or a newer statement does.
    """
    number = golden_reads.current_id(store, tenant_id, entity, int(identity)) if str(identity).isdigit() else None
    if number is None:
        raise FixConfig(f"no {entity} has the id '{identity}'", do="take an id from `unisono query`")
    points = channel_reads.rows_of(store, golden_contact_point, tenant_id, number)
    points.sort(key=lambda row: (row["kind"], row["rank"]))
    said = {record for row in points for record in row["sources"]}
    names = _names(store, tenant_id, sorted(said))
    preference = channel_reads.rows_of(store, golden_preference, tenant_id, number)
    rows = [
        *(_shown("contact_point", row | {"sources": [names[each] for each in row["sources"]]}) for row in points),
        *(_shown("consent", row) for row in channel_reads.consents(store, tenant_id, number)),
        *(_shown("act", _act(row)) for row in channel_reads.acts(store, tenant_id, number)),
        *(_shown("preference", {**row, "stated": None}) for row in preference),
        *_stated(store, golden_reads.Scope(tenant_id, entity, ids=pa.array([number], pa.int64()))),
    ]
    return [{"entity_id": number, **row} for row in rows]


def line(row: dict[str, Any]) -> str:
    """Return a row as one line for people: what is unknown is left out."""
    told = (f"{name}={value}" for name, value in row.items() if name not in ("entity_id", "what") and value is not None)
    return f"{row['what']}: {', '.join(told)}"


def _shown(what: str, row: dict[str, Any]) -> dict[str, Any]:
    return {"what": what} | {name: value for name, value in row.items() if name not in _BOOKKEEPING}


def _act(row: dict[str, Any]) -> dict[str, Any]:
    source = "/".join(row.pop(name) for name in golden_reads.REFERENCE)
    return {**row, "own": bool(row["own"]), "source": source}


def _stated(store: Store, scope: golden_reads.Scope) -> list[dict[str, Any]]:
    said = [statements.read(row) for row in channel_reads.statements(store, scope).to_pylist()]
    counting = set(statements.counting(said))
    others = sorted(set(said) - counting, key=lambda one: (one.kind, one.ref, one.row_key))
    rows = [
        one.shown() | {"source": one.ref, "counts": one in counting} for one in (*statements.counting(said), *others)
    ]
    return [{"what": "stated", **row} for row in rows]


def _names(store: Store, tenant_id: int, records: list[int]) -> dict[int, str]:
    rows = golden_reads.references(store, tenant_id, pa.array(records, pa.int64())).to_pylist()
    return {row["source_record_id"]: "/".join(row[name] for name in golden_reads.REFERENCE) for row in rows}
