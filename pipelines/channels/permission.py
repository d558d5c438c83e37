"""May this person be contacted, on this channel, for this purpose, at this moment: yes only where everything is known.

The caller gives the moment: nothing here reads a clock. Consent, the state of the contact point, the quiet hours of the
person's own clock and how often the person was written to are all asked; what is unknown holds (ARCHITECTURE §5.9).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.channels.preferences import zone
from pipelines.channels.signals import signals
from pipelines.store import channel_reads
from pipelines.store.golden_reads import Scope
from pipelines.store.tables import golden_preference

if TYPE_CHECKING:
    from datetime import datetime, time

    from pipelines.channels.policy import Policy
    from pipelines.store import Store


@dataclass(frozen=True)
class Way:
    """One contact point on one channel; ``held`` says why it must not be used now, and is empty where it may."""

    kind: str
    value: str
    rank: int
    held: tuple[str, ...]

    @property
    def open(self) -> bool:
        """True when this contact point may be used now."""
        return not self.held


def ways(
    store: Store,
    entity_id: int,
    policy: Policy,
    *,
    purpose: str,
    channel: str,
    at: datetime,
    topic: str | None = None,
    entity: str = "person",
    tenant_id: int = 1,
) -> list[Way]:
    """Return the contact points of one golden party on a channel, best first, each with what holds it back.

    An empty list means that nobody ever said anything about this purpose on this channel: then the answer is no.
    Without a row of its own a topic follows what was said of all topics.
    """
    rows = channel_reads.reachable(store, tenant_id, entity_id, purpose, channel)
    own = {row["value_norm"] for row in rows if row["topic"] == topic}
    asked = [row for row in rows if row["topic"] == topic or (row["topic"] is None and row["value_norm"] not in own)]
    if not asked:
        return []
    person = _clock_holds(store, tenant_id, entity_id, policy, at)
    person += _often_holds(store, Scope(tenant_id, entity, ids=pa.array([entity_id], pa.int64())), policy, at)
    return [Way(row["kind"], row["value"], row["rank"], (*_point_holds(row), *person)) for row in asked]


def quiet(at: datetime, time_zone: str | None, start: time, end: time) -> str | None:
    """Say why nobody in that time zone may be disturbed at that moment, or ``None``; an unknown zone always holds."""
    clock = zone(time_zone)
    if clock is None:
        return "the time zone is unknown"
    now = at.astimezone(clock).time()
    inside = start <= now < end if start <= end else now >= start or now < end
    return f"quiet hours: it is {now:%H:%M} in {time_zone}, quiet until {end:%H:%M}" if inside else None


def _point_holds(row: dict[str, Any]) -> tuple[str, ...]:
    holds = []
    if row["consent"] != "granted":
        holds.append(f"consent is {row['consent']}")
    if row["state"] != "usable":
        holds.append(f"the contact point is {row['state']}")
    return tuple(holds)


def _clock_holds(store: Store, tenant_id: int, entity_id: int, policy: Policy, at: datetime) -> tuple[str, ...]:
    rows = channel_reads.rows_of(store, golden_preference, tenant_id, entity_id)
    found = quiet(at, rows[0]["time_zone"] if rows else None, policy.quiet_from, policy.quiet_to)
    return (found,) if found else ()


def _often_holds(store: Store, scope: Scope, policy: Policy, at: datetime) -> tuple[str, ...]:
    """Count what was sent to the person in the policy's days before; a vendor may tell sending, delivery or both."""
    told = signals(channel_reads.events(store, scope), policy)
    moments = told.column("occurred_at")
    recent = told.filter(pc.and_(pc.greater(moments, at - policy.within), pc.less_equal(moments, at)))
    counts = [pc.sum(pc.equal(recent.column("signal"), word)).as_py() or 0 for word in ("sent", "delivered")]
    if max(counts) < policy.messages:
        return ()
    return (f"{max(counts)} messages in {policy.within.days} days, at most {policy.messages} are allowed",)
