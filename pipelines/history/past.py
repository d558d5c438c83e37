"""As of: a golden record as it was known at one moment, of what was true at another.

Known time is the order of commits. Links, decisions and rows are taken as they stood after one commit; an instant stands for
the newest commit made by then. Valid time is the vendors': of every version of a row known by that commit the one is taken
whose time is the latest not after the instant. Nothing is stored for it: the golden record is survived anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from canonical_model import load_vocabulary
from connectors.sdk.errors import FixConfig
from pipelines.channels.policy import load_policy as load_channels
from pipelines.golden.pins import with_pins
from pipelines.golden.policy import ADDRESS, load_policy
from pipelines.golden.reading import Candidates
from pipelines.golden.survivorship import CONTACT_SCHEMA, ROLE_SCHEMA, member_schema, survive
from pipelines.history.channels import Channels, Moment, channels_at
from pipelines.history.chosen import chosen
from pipelines.history.relations import relationships_at
from pipelines.store import golden_reads, history_reads

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipelines.golden.policy import Policy
    from pipelines.store import Store

_KINDS = ("email", "phone", "address")
_POINT = ("party", "kind", "value", "value_norm", "rank", "verified", "deliverable", *ADDRESS, "valid_from", "valid_to")
_ROLE = ("party", "role", "valid_from", "valid_to")


@dataclass(frozen=True)
class Past:
    """A golden record of another moment: ``known`` is the commit, ``valid`` the instant (``None``: the newest known).

    ``members`` are source references, ``values`` the survived row, ``relationships`` those known then and valid then,
    ``contact_points`` and ``preference`` as the channels stage would have made them.
    """

    entity: str
    entity_id: int
    known: int
    valid: datetime | None
    members: tuple[str, ...]
    values: Mapping[str, Any]
    relationships: tuple[Mapping[str, Any], ...]
    contact_points: tuple[Mapping[str, Any], ...]
    preference: Mapping[str, Any] | None


def as_of(
    store: Store,
    entity: str,
    identity: int,
    *,
    known: int | datetime | None = None,
    valid: datetime | None = None,
    policy_path: Path | None = None,
    channels_path: Path | None = None,
    tenant_id: int = 1,
) -> Past:
    """Return a golden record as known at a commit (or the newest by an instant) of what was true at ``valid``.

    Without ``valid``: what was the newest then. Survivorship follows the present policy, with the pins of that commit. An id
    merged by then stands for what it was merged into. Raises FixConfig when nothing was known or true of it then.
    """
    seq = commit_of(store, known, tenant_id=tenant_id)
    if history_reads.is_erased(store, tenant_id, entity, identity):
        raise FixConfig(f"{entity} {identity} is gone: it was erased")
    number = history_reads.id_at(store, tenant_id, entity, identity, seq)
    if number is None:
        raise FixConfig(f"{entity} {identity} was not known at commit {seq}", do="ask for a later --known")
    ids = pa.array([number], pa.int64())
    found = _candidates(store, tenant_id, entity, seq, valid, ids)
    golden = _survived(store, tenant_id, entity, seq, valid, found, load_policy(entity, policy_path))
    if not golden.num_rows:
        when = "" if valid is None else f" of {valid.isoformat()}"
        raise FixConfig(f"nothing{when} was known of {entity} {number} at commit {seq}")
    members = tuple(sorted(set(found.members.column("source_ref").to_pylist())))
    moment = Moment(store, tenant_id, entity, seq, valid)
    links = history_reads.links(store, tenant_id, entity, seq, ids)
    reached = channels_at(moment, links, golden, load_channels(channels_path))
    points, preference = reached.points.to_pylist(), reached.preferences.to_pylist()
    related = relationships_at(moment, ids)
    return Past(
        entity, number, seq, valid, members, golden.to_pylist()[0], related, tuple(points), next(iter(preference), None)
    )


def golden_as_of(
    store: Store,
    entity: str,
    *,
    known: int | datetime | None = None,
    valid: datetime | None = None,
    policy_path: Path | None = None,
    tenant_id: int = 1,
) -> pa.Table:
    """Return all golden rows of an entity of another moment, survived anew, ordered by ``entity_id``."""
    seq = commit_of(store, known, tenant_id=tenant_id)
    found = _candidates(store, tenant_id, entity, seq, valid, None)
    return _survived(store, tenant_id, entity, seq, valid, found, load_policy(entity, policy_path))


def channels_as_of(
    store: Store,
    entity: str,
    *,
    known: int | datetime | None = None,
    valid: datetime | None = None,
    policy_path: Path | None = None,
    channels_path: Path | None = None,
    tenant_id: int = 1,
) -> Channels:
    """Return the contact points and preferences of all golden parties of an entity of another moment, made anew."""
    seq = commit_of(store, known, tenant_id=tenant_id)
    golden = golden_as_of(store, entity, known=seq, valid=valid, policy_path=policy_path, tenant_id=tenant_id)
    links = history_reads.links(store, tenant_id, entity, seq)
    return channels_at(Moment(store, tenant_id, entity, seq, valid), links, golden, load_channels(channels_path))


def commit_of(store: Store, known: int | datetime | None, *, tenant_id: int = 1) -> int:
    """Return the commit that a number, an instant or (``None``) now stands for."""
    if isinstance(known, datetime):
        return history_reads.seq_at(store, tenant_id, known)
    newest = golden_reads.last_change(store, tenant_id)
    return newest if known is None else min(known, newest)


def _survived(
    store: Store, tenant: int, entity: str, seq: int, valid: datetime | None, found: Candidates, policy: Policy
) -> pa.Table:
    rows = survive(found.members, policy, found.contacts, found.roles)
    moment = valid or history_reads.committed_at(store, tenant, seq)
    pins = history_reads.pins(store, tenant, entity, seq, moment)
    return with_pins(rows, policy, found, pins) if pins else rows


def _candidates(
    store: Store, tenant: int, entity: str, seq: int, valid: datetime | None, ids: pa.Array | None
) -> Candidates:
    links = history_reads.links(store, tenant, entity, seq, ids)
    records = pc.unique(links.column("source_record_id"))
    terms = list(load_vocabulary().entity(entity).terms)
    told = history_reads.source_versions(store, tenant, entity, terms, seq, records)
    members = _members(links, told, chosen(told, seq, valid))
    contacts = _said_of(store, tenant, "contact_point", _POINT, seq, valid, links)
    contacts = contacts.filter(pc.is_in(contacts.column("kind"), pa.array(_KINDS)))
    value = pc.coalesce(contacts.column("value_norm"), contacts.column("value"))
    contacts = contacts.set_column(contacts.schema.get_field_index("value"), "value", value)
    roles = _said_of(store, tenant, "party_role", _ROLE, seq, valid, links)
    roles = roles.select(ROLE_SCHEMA.names).group_by(ROLE_SCHEMA.names).aggregate([])
    named = _sources(store, tenant, pa.concat_arrays([_ids(members), _ids(contacts)]))
    return Candidates(
        _shaped(_with_source(members, named), member_schema(entity)),
        _shaped(_with_source(contacts, named), CONTACT_SCHEMA),
        _shaped(roles, ROLE_SCHEMA),
    )


def _members(links: pa.Table, told: pa.Table, rows: pa.Table) -> pa.Table:
    """Return a row per member: what it said then, or a stub for one of which nothing had been said at all."""
    linked = _linked(rows, links, "source_record_id")
    linked = linked.append_column("is_stub", pa.repeat(pa.scalar(False), linked.num_rows))
    silent = pc.invert(pc.is_in(links.column("source_record_id"), pc.unique(told.column("source_record_id"))))
    stubs = links.filter(silent)
    stubs = stubs.append_column("is_stub", pa.repeat(pa.scalar(True), stubs.num_rows))
    return pa.concat_tables([linked, stubs], promote_options="default")


def _said_of(
    store: Store, tenant: int, name: str, columns: tuple[str, ...], seq: int, valid: datetime | None, links: pa.Table
) -> pa.Table:
    """Return what was said of the linked parties in an entity's table and had not ended then."""
    owners = history_reads.party_owners(store, tenant, name, seq, pc.unique(links.column("source_record_id")))
    told = history_reads.source_versions(store, tenant, name, columns, seq, owners.column(0).combine_chunks())
    rows = chosen(history_reads.without_retracted(store, tenant, seq, told), seq, valid, dated=True)
    return _linked(rows, links, "party")


def _linked(rows: pa.Table, links: pa.Table, column: str) -> pa.Table:
    """Add the entity that each row's record or party belonged to; rows of others are left out."""
    place = pc.index_in(rows.column(column), links.column("source_record_id"))
    known = pc.is_valid(place)
    rows, place = rows.filter(known), place.filter(known)
    return rows.append_column("entity_id", links.column("entity_id").take(place))


def _sources(store: Store, tenant: int, records: pa.Array) -> pa.Table:
    rows = history_reads.references(store, tenant, pc.unique(records))
    names = golden_reads.connections(store, tenant)
    told = [names.get(each, (each, each)) for each in rows.column("connection_id").to_pylist()]
    parts = (rows.column(name) for name in ("connection_id", "object", "source_key"))
    columns = [pc.binary_join_element_wise(*parts, "/"), *(pa.array([t[i] for t in told], pa.string()) for i in (0, 1))]
    return pa.table([rows.column(0), *columns], names=["source_record_id", "source_ref", "connection", "connector"])


def _with_source(rows: pa.Table, named: pa.Table) -> pa.Table:
    place = pc.index_in(rows.column("source_record_id"), named.column("source_record_id"))
    for column in named.column_names[1:]:
        rows = rows.append_column(column, named.column(column).take(place))
    return rows


def _ids(rows: pa.Table) -> pa.Array:
    return rows.column("source_record_id").combine_chunks()


def _shaped(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    return rows.select(schema.names).cast(schema)
