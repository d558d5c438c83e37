"""Channels of another moment: contact points and preferences, made anew from what was known then.

Nothing is stored for it. Of contact points and of what parties state the version is taken that was valid at the instant, and
of what happened only what had happened by then; the rules and the policy are the present ones of ``pipelines.channels``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.channels.points import golden_points
from pipelines.channels.preferences import Stated, golden_preferences
from pipelines.channels.signals import signals
from pipelines.compute import query
from pipelines.history.chosen import chosen
from pipelines.store import channel_reads, history_reads

if TYPE_CHECKING:
    from datetime import datetime

    from pipelines.channels.policy import Policy
    from pipelines.store import Store

_SAID = (
    "party", "kind", "network", "value", "value_norm", "use", "rank", "verified", "deliverable", "valid_from", "valid_to",
)  # fmt: skip
_STATED = ("language", "time_zone")

_MOVED = """
    SELECT DISTINCT said.source_record_id, said.row_key
    FROM said JOIN told USING (source_record_id, row_key)
    WHERE told.known_from < said.known_from AND coalesce(told.value_norm, '') <> coalesce(said.value_norm, '')"""

_EVENTS = """
    SELECT links.entity_id, told.* FROM (
      SELECT i.party, i.occurred_at, i.direction, i.channel, i.type, coalesce(i.action, e.name) AS word, i.status
      FROM interaction AS i LEFT JOIN event_type AS e ON e.source_record_id = i.event_type
      UNION ALL
      SELECT author, occurred_at, direction, channel, 'message', NULL, NULL FROM message
    ) AS told JOIN links ON links.source_record_id = told.party"""


class Moment(NamedTuple):
    """What was known by a commit, of what was true at an instant (``None``: the newest known)."""

    store: Store
    tenant_id: int
    entity: str
    seq: int
    valid: datetime | None


class Channels(NamedTuple):
    """Rows as ``golden_contact_point`` and ``golden_preference`` have them."""

    points: pa.Table
    preferences: pa.Table


def channels_at(moment: Moment, links: pa.Table, golden: pa.Table, policy: Policy) -> Channels:
    """Return the channels of the entities that ``links`` leads to; ``golden`` are their golden rows of that moment."""
    told = _told(moment, links, "contact_point", _SAID)
    said = _placed(_not_ended(chosen(told, moment.seq, moment.valid), moment.valid), links, "party")
    happened = signals(_events(moment, links), policy)
    moved = query(_MOVED, said=said, told=told)
    points = golden_points(_with_reference(moment, said), happened, moved, policy, moment.entity)
    return Channels(points, golden_preferences(_stated(moment, links, golden), happened, policy, moment.entity))


def _told(moment: Moment, links: pa.Table, name: str, columns: tuple[str, ...]) -> pa.Table:
    """Return every version of what an entity's table says of the linked parties, known then and not retracted."""
    store, tenant, _, seq, _ = moment
    parties = pc.unique(links.column("source_record_id"))
    owners = history_reads.party_owners(store, tenant, name, seq, parties)
    told = history_reads.source_versions(store, tenant, name, columns, seq, owners.column(0).combine_chunks())
    return history_reads.without_retracted(store, tenant, seq, told)


def _not_ended(rows: pa.Table, valid: datetime | None) -> pa.Table:
    """Leave out what had not begun at the instant; an end that was still to come is none."""
    if valid is None:
        return rows
    at = pa.scalar(valid, pa.timestamp("us", tz="UTC"))
    rows = rows.filter(pc.fill_null(pc.less_equal(rows.column("valid_from"), at), True))
    ended = pc.if_else(pc.less_equal(rows.column("valid_to"), at), rows.column("valid_to"), None)
    return rows.set_column(rows.column_names.index("valid_to"), "valid_to", ended)


def _events(moment: Moment, links: pa.Table) -> pa.Table:
    parties = pc.unique(links.column("source_record_id"))
    interaction = _known(moment, "interaction", "party", parties)
    message = _known(moment, "message", "author", parties)
    types = pc.unique(interaction.column("event_type")).drop_null()
    named = _known(moment, "event_type", "source_record_id", types, dated=False)
    return query(_EVENTS, interaction=interaction, message=message, event_type=named, links=links)


def _known(moment: Moment, name: str, column: str, ids: pa.Array, *, dated: bool = True) -> pa.Table:
    """Return the live rows of a table known then; of what is ``dated``, not retracted and only what had happened."""
    store, tenant, _, seq, valid = moment
    rows = history_reads.rows_known(store, tenant, name, seq, column=column, ids=ids)
    rows = rows.filter(pc.is_null(rows.column("deleted_at")))
    if not dated:
        return rows
    rows = history_reads.without_retracted(store, tenant, seq, rows)
    if valid is None:
        return rows
    return rows.filter(pc.less_equal(rows.column("occurred_at"), pa.scalar(valid, pa.timestamp("us", tz="UTC"))))


def _placed(rows: pa.Table, links: pa.Table, column: str) -> pa.Table:
    place = pc.index_in(rows.column(column), links.column("source_record_id"))
    known = pc.is_valid(place)
    return rows.filter(known).append_column("entity_id", links.column("entity_id").take(place.filter(known)))


def _with_reference(moment: Moment, rows: pa.Table) -> pa.Table:
    records = pc.unique(rows.column("source_record_id"))
    named = history_reads.references(moment.store, moment.tenant_id, records)
    place = pc.index_in(rows.column("source_record_id"), named.column("source_record_id"))
    for name in ("connection_id", "object", "source_key"):
        rows = rows.append_column(name, named.column(name).take(place))
    return rows


def _stated(moment: Moment, links: pa.Table, golden: pa.Table) -> Stated:
    """Return language and time zone of those whose golden row says either, and what parties stated then."""
    nothing = pa.nulls(golden.num_rows, pa.string())
    told = [golden.column(name) if name in golden.column_names else nothing for name in _STATED]
    rows = pa.table([golden.column("entity_id"), *told], names=["entity_id", *_STATED])
    rows = rows.filter(pc.or_(*(pc.is_valid(rows.column(name)) for name in _STATED)))
    versions = _told(moment, links, "preference", ("party", *channel_reads.STATEMENT))
    said = _placed(chosen(versions, moment.seq, moment.valid), links, "party")
    return Stated(rows, _with_reference(moment, said))
