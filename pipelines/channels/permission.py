"""May this person be contacted, on this channel, for this purpose, at this moment: yes only where everything is known.

The caller gives the moment: nothing here reads a clock. Consent, the state of the contact point, the quiet hours of the
person's own clock and how often the person was written to are all asked, by the company's rule and by what the person
says itself: each that stands against it is named with whose rule it is. What is unknown holds (ARCHITECTURE §5.9).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.channels import statements
from pipelines.channels.preferences import zone
from pipelines.channels.signals import signals
from pipelines.store import channel_reads
from pipelines.store.golden_reads import Scope
from pipelines.store.tables import golden_preference

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from pipelines.channels.policy import Policy
    from pipelines.channels.statements import Statement
    from pipelines.store import Store

_COMPANY = "the company's rule"


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
    scope = Scope(tenant_id, entity, ids=pa.array([entity_id], pa.int64()))
    current = map(statements.read, channel_reads.statements(store, scope).to_pylist())
    said = [one for one in statements.counting(current) if one.about(purpose, channel)]
    preferences = channel_reads.rows_of(store, golden_preference, tenant_id, entity_id)
    time_zone = preferences[0]["time_zone"] if preferences else None
    person = (*_clock_holds(time_zone, policy, said, at), *_often_holds(store, scope, policy, said, at))
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


def _clock_holds(time_zone: str | None, policy: Policy, said: Sequence[Statement], at: datetime) -> Iterator[str]:
    """Say every rule by which these are quiet hours; without the person's clock none can be kept to."""
    company = quiet(at, time_zone, policy.quiet_from, policy.quiet_to)
    if zone(time_zone) is None:
        yield str(company)
        return
    if company:
        yield f"{company} ({_COMPANY})"
    for one in said:
        if one.kind == statements.QUIET and one.complete:
            found = quiet(at, time_zone, *map(time.fromisoformat, one.values))
            if found:
                yield f"{found} ({_own(one)})"
        elif one.kind == statements.QUIET:
            yield f"quiet hours without begin or end ({_own(one)})"


def _often_holds(store: Store, scope: Scope, policy: Policy, said: Sequence[Statement], at: datetime) -> Iterator[str]:
    """Hold where a rule's number of messages is reached: the company's over all channels, a person's on those it names.

    No event says for which purpose it was: whatever was sent counts against a rule that is about one.
    """
    told = signals(channel_reads.events(store, scope), policy)
    found = _too_often(told, policy.messages, policy.within, at)
    if found:
        yield f"{found} ({_COMPANY})"
    for one in said:
        if one.kind != statements.FREQUENCY:
            continue
        if not one.complete:
            yield f"at most so many messages, but not how many in how many days ({_own(one)})"
            continue
        sent = told if one.channel is None else told.filter(pc.equal(told.column("channel"), one.channel))
        found = _too_often(sent, one.values[0], timedelta(days=one.values[1]), at)
        if found:
            yield f"{found} ({_own(one)})"


def _too_often(told: pa.Table, most: int, within: timedelta, at: datetime) -> str | None:
    """Count what was sent in the days before; a vendor may tell sending, delivery or both."""
    moments = told.column("occurred_at")
    recent = told.filter(pc.and_(pc.greater(moments, at - within), pc.less_equal(moments, at)))
    counts = [pc.sum(pc.equal(recent.column("signal"), word)).as_py() or 0 for word in ("sent", "delivered")]
    return f"{max(counts)} messages in {within.days} days, at most {most} are allowed" if max(counts) >= most else None


def _own(one: Statement) -> str:
    return f"the person's own rule, stated by {one.ref}"
