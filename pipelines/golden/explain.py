"""Where a golden cell comes from: the winner as the golden row says it, the losers recomputed (ARCHITECTURE §7)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from connectors.sdk.errors import FixConfig
from connectors.sdk.yaml_lines import suggest
from pipelines.golden.policy import UNION, load_policy
from pipelines.golden.reading import read_candidates
from pipelines.golden.survivorship import candidates, survive
from pipelines.store import golden_reads
from pipelines.store.golden_reads import Scope

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipelines.golden.policy import Policy
    from pipelines.golden.reading import Candidates
    from pipelines.store import Store


def explain(
    store: Store,
    entity: str,
    identity: str | int,
    field: str | None = None,
    *,
    policy_path: Path | None = None,
    tenant_id: int = 1,
) -> list[dict[str, Any]]:
    """Return a row per filled cell of a golden record, or for ``field`` only.

    Keys: ``entity_id`` (an old id is followed), ``term``, ``value``, ``source`` (source_ref), ``source_record_id``,
    ``connection``, ``rule``, ``since``, and ``losers``: the other candidates, best first, with the rule each lost by.
    A union has ``contributors`` in place of losers. Values are what the sources say now, chosen by the present policy.
    """
    policy = load_policy(entity, policy_path)
    number = _known_id(store, tenant_id, entity, identity)
    names = golden_reads.connections(store, tenant_id)
    found = read_candidates(store, Scope(tenant_id, entity, ids=pa.array([number], pa.int64())), names)
    rows = survive(found.members, policy, found.contacts, found.roles).to_pylist()
    if not rows:
        raise FixConfig(f"{entity} {number} has no golden record", why="none of its source records is left")
    row, provenance, sources = rows[0], json.loads(rows[0]["provenance"]), _sources(found)
    wanted = [column for column in policy.types if column in provenance] if field is None else [_known(policy, field)]
    return [_cell(column, row, provenance.get(column), policy, found, sources) for column in wanted]


def _known_id(store: Store, tenant_id: int, entity: str, identity: str | int) -> int:
    try:
        number = golden_reads.current_id(store, tenant_id, entity, int(identity))
    except ValueError:
        number = None
    if number is None:
        raise FixConfig(f"no {entity} has the id '{identity}'", do="take an id from `unisono query`")
    return number


def _known(policy: Policy, field: str) -> str:
    if field not in policy.types:
        raise FixConfig(f"golden {policy.entity} has no attribute '{field}'", do=suggest(field, list(policy.types)))
    return field


def _sources(found: Candidates) -> dict[int, dict[str, Any]]:
    """Return reference and connection of every source record, by its id."""
    columns = ["source_record_id", "source_ref", "connection"]
    rows = pa.concat_tables([found.contacts.select(columns), found.members.select(columns)]).to_pylist()
    return {row["source_record_id"]: {"source": row["source_ref"], "connection": row["connection"]} for row in rows}


def _cell(
    column: str,
    row: Mapping[str, Any],
    origin: list[Any] | None,
    policy: Policy,
    found: Candidates,
    sources: Mapping[int, Mapping[str, Any]],
) -> dict[str, Any]:
    record, rule, since = origin or (None, None, None)
    cell = {"entity_id": row["entity_id"], "term": column, "value": row[column], **_source(record, sources)}
    cell |= {"rule": rule, "since": since}
    ranked = candidates(found.members, policy, found.contacts, column).to_pylist()
    others = [
        {"value": other["value"], **_source(other["source_record_id"], sources), **_lost(other)} for other in ranked
    ]
    if UNION in policy.choice(column).rules:
        return cell | {"contributors": others}
    return cell | {"losers": others[1:]}


def _source(record: int | None, sources: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    known = sources.get(record) if record is not None else None
    return {"source_record_id": record, **(known or {"source": None, "connection": None})}


def _lost(candidate: Mapping[str, Any]) -> dict[str, Any]:
    since = candidate["since"]
    return {"rule": candidate["lost_by"], "since": since and since.isoformat().replace("+00:00", "Z")}
