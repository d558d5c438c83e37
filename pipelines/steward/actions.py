"""What a steward can do. Every action is idempotent (request key), audited (who, when, why) and can be undone.

``seen`` is the version that the person looked at (``change_seq``, as `review` shows it): what was written since about the
same records, their entities or decisions on them makes a Conflict, never a win. A decision binds from the next run of
resolve (a pin: of golden) on.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from connectors.sdk.errors import FixConfig
from pipelines.resolve.decisions import constraints
from pipelines.steward.conflict import Conflict
from pipelines.steward.naming import entity_of, golden_id, one_record
from pipelines.steward.values import checked_expiry, checked_value
from pipelines.store import decisions, steward_reads
from pipelines.store.decisions import MATCH, NO_MATCH, PIN, SPLIT, UNSURE, Decision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from pipelines.context import StageContext
    from pipelines.resolve.decisions import Contradiction
    from pipelines.store import WriteTransaction

_SLOTS = 64
_TOGETHER = 2


@dataclass(frozen=True)
class Outcome:
    """The decision as it stands, whether this request had been carried out before, and whom it contradicts."""

    decision: Decision
    repeated: bool = False
    contradictions: tuple[Contradiction, ...] = ()


def match(
    context: StageContext, left: str, right: str, *, seen: int, reason: str, request_key: str | None = None
) -> Outcome:
    """Say that two records are one party: their clusters become one, for ever."""
    return _on_pair(context, MATCH, (left, right), seen, reason, request_key)


def no_match(
    context: StageContext, left: str, right: str, *, seen: int, reason: str, request_key: str | None = None
) -> Outcome:
    """Say that two records are two parties: no path ever puts them into one cluster."""
    return _on_pair(context, NO_MATCH, (left, right), seen, reason, request_key)


def unsure(
    context: StageContext, left: str, right: str, *, seen: int, reason: str, request_key: str | None = None
) -> Outcome:
    """Take a pair out of the automatic links, and out of the queue, without saying what is true."""
    return _on_pair(context, UNSURE, (left, right), seen, reason, request_key)


def split(
    context: StageContext, groups: Sequence[Sequence[str]], *, seen: int, reason: str, request_key: str | None = None
) -> Outcome:
    """Say that records are several parties: each group is one, and no two groups are the same."""
    entity = entity_of(context)

    def values() -> dict[str, Any]:
        named = [sorted({one_record(context, entity, name).source_record_id for name in group}) for group in groups]
        records = [one for group in named for one in group]
        if len(named) < _TOGETHER or not all(named) or len(records) != len(set(records)):
            raise FixConfig("a split needs two groups and more, with no record in two", do="name each record once")
        return {"kind": SPLIT, "groups": sorted(named)}

    request = _Request(SPLIT, tuple(name for group in groups for name in group), (list(map(list, groups)),))
    return _decide(context, request, values, seen, reason, request_key)


def pin(
    context: StageContext, party: str, term: str, value: Any, *, seen: int, reason: str,
    expires_at: datetime | None = None, request_key: str | None = None,
) -> Outcome:  # fmt: skip
    """Fix the value of a golden record's attribute, for ever or until ``expires_at``; an earlier pin on it is replaced.

    The pin is on the record that gives the value now, or on the one named, and so on the golden record that holds it.
    """
    entity = entity_of(context)

    def values() -> dict[str, Any]:
        given = checked_value(entity, term, value)
        until = checked_expiry(expires_at, context.now())
        record = _pinned_record(context, entity, party, term)
        return {"kind": PIN, "left_id": record, "term": term, "value": given, "expires_at": until}

    return _decide(context, _Request(PIN, (party,), (term, value, expires_at)), values, seen, reason, request_key)


def unpin(
    context: StageContext, party: str, term: str, *, seen: int, reason: str, request_key: str | None = None
) -> Outcome:
    """Take every pin on a value off again: the rules choose it."""
    entity = entity_of(context)
    key = request_key or _key("unpin", context.actor, entity, party, term, seen)
    done = decisions.closed_by(context.store, context.tenant_id, key)
    if done:
        return Outcome(done[-1], repeated=True)
    held = _held(context, entity, _pinned_record(context, entity, party, term))
    pinned = [one.decision_id for one in _pins_beside(context, entity, held, term)]
    if not pinned:
        raise FixConfig(f"{entity} {party} has no pin on '{term}'", do="`unisono decisions` shows the pins")
    return _end(context, pinned, seen, reason, key, restore=False)


def undo(context: StageContext, decision_id: int, *, seen: int, reason: str, request_key: str | None = None) -> Outcome:
    """Take a decision back; what it had replaced binds again. It stays to be read, with who took it back and why."""
    key = request_key or _key("undo", context.actor, decision_id, seen)
    return _end(context, [decision_id], seen, reason, key, restore=True)


def _end(context: StageContext, ids: Sequence[int], seen: int, reason: str, key: str, *, restore: bool) -> Outcome:
    """Close decisions, all or none; returns the last of them."""
    why = _reason(reason)
    with _writing(context, key, "undo") as tx:
        found = [_one(tx, number) for number in ids]
        if all(one.closed_key == key for one in found):
            return Outcome(found[-1], repeated=True)
        for one in found:
            _closable(one, seen)
        decisions.close(tx, ids, why=why, key=key)
        for before in [
            old for one in found for old in decisions.closed_by(tx, tx.tenant_id, one.request_key) if restore
        ]:
            decisions.add(tx, _again(before, f"{key}/{before.decision_id}"))
        return Outcome(_one(tx, ids[-1]))


def _closable(found: Decision, seen: int) -> None:
    """Raise unless the decision is open, and was when the person looked."""
    number = found.decision_id
    if found.change_seq > seen:
        told = f"decision {number} was {'made' if found.is_open else f'closed by {found.closed_by}'}"
        raise Conflict(f"decision {number} is not what you saw", [told], seen)
    if not found.is_open:
        raise FixConfig(f"decision {number} was closed by {found.closed_by}", why=found.closed_why)


@dataclass(frozen=True)
class _Request:
    """What was asked for, as the person wrote it."""

    kind: str
    names: tuple[str, ...]
    details: tuple[Any, ...] = ()


def _on_pair(
    context: StageContext, kind: str, pair: tuple[str, str], seen: int, reason: str, request_key: str | None
) -> Outcome:
    entity = entity_of(context)

    def values() -> dict[str, Any]:
        ids = sorted(one_record(context, entity, name).source_record_id for name in pair)
        if ids[0] == ids[1]:
            raise FixConfig(f"'{pair[0]}' and '{pair[1]}' are one record", do="name two records")
        return {"kind": kind, "left_id": ids[0], "right_id": ids[1]}

    return _decide(context, _Request(kind, tuple(sorted(pair))), values, seen, reason, request_key)


def _decide(
    context: StageContext,
    request: _Request,
    build: Callable[[], dict[str, Any]],
    seen: int,
    reason: str,
    request_key: str | None,
) -> Outcome:
    store, tenant, entity = context.store, context.tenant_id, entity_of(context)
    why = _reason(reason)
    key = request_key or _key("decide", context.actor, entity, request.kind, request.names, request.details, seen)
    done = decisions.of_request(store, tenant, key)
    if done is not None and (request_key is not None or done.is_open):
        return _repeated(context, done, request)
    values = build()
    ids = Decision(0, entity, **_stated(values)).records
    remembered = decisions.key_hash(ids, decisions.key_hashes(store, tenant, entity, ids))
    looked_at = _held(context, entity, ids[0]) if request.kind == PIN else ids
    beside = _pins_beside(context, entity, looked_at, values["term"]) if request.kind == PIN else []
    with _writing(context, key, "decide") as tx:
        done = decisions.of_request(tx, tenant, key)
        if done is not None and done.is_open:  # the same request, a moment ago
            return _repeated(context, done, request)
        changed = steward_reads.what_changed(tx, entity, looked_at, seen)
        if changed:
            raise Conflict("the records are not what you saw", changed, seen)
        answered = [one for one in decisions.for_records(tx, tenant, entity, ids) if _same(one, values)]
        replaced = sorted({one.decision_id for one in (*answered, *beside)})
        if replaced:
            decisions.close(tx, replaced, why=f"replaced: {why}", key=key)
        number = decisions.add(
            tx, {**values, "entity": entity, "reason": why, "key_hash": remembered, "request_key": key}
        )
        made = _one(tx, number)
    return Outcome(made, contradictions=_contradictions(context, entity, number))


def _stated(values: dict[str, Any]) -> dict[str, Any]:
    return {**values, "groups": tuple(tuple(group) for group in values.get("groups") or ())}


def _contradictions(context: StageContext, entity: str, number: int) -> tuple[Contradiction, ...]:
    """Return the contradictions that a decision takes part in."""
    found = constraints(decisions.open_decisions(context.store, context.tenant_id, entity)).contradictions
    return tuple(one for one in found if number in (*one.apart, *one.together))


def _repeated(context: StageContext, done: Decision, request: _Request) -> Outcome:
    """Return what the request did the first time; a key that stood for something else is refused.

    A golden id may mean another record by now: what it meant then is in the decision.
    """
    lasting = [name for name in request.names if not name.isdigit()]
    named = {one_record(context, entity_of(context), name).source_record_id for name in lasting}
    term = request.details[0] if request.kind == PIN else None
    if (
        done.entity != context.entity
        or (done.kind, done.term) != (request.kind, term)
        or not named <= set(done.records)
    ):
        raise FixConfig(
            f"the request key '{done.request_key}' was used for decision {done.decision_id}",
            why=f"that is a {done.kind} on other records or values", do="give each action a key of its own",
        )  # fmt: skip
    return Outcome(done, repeated=True)


def _same(made: Decision, values: dict[str, Any]) -> bool:
    """True when a decision says just what is asked for."""
    plain = ("kind", "left_id", "right_id", "term", "value", "expires_at")
    return made.groups == _stated(values)["groups"] and all(getattr(made, name) == values.get(name) for name in plain)


def _again(before: Decision, key: str) -> dict[str, Any]:
    """Return an earlier decision, of the same person and time, to bind once more."""
    kept = (
        "entity", "kind", "left_id", "right_id", "term", "value", "reason", "expires_at", "key_hash", "decided_at", "actor",
    )  # fmt: skip
    groups = [list(group) for group in before.groups] or None
    return {**{name: getattr(before, name) for name in kept}, "groups": groups, "request_key": key}


def _pinned_record(context: StageContext, entity: str, party: str, term: str) -> int:
    """Return the record that a pin is on: the one named, or of a golden record the one that gives the value now."""
    named = one_record(context, entity, party)
    if not party.isdigit():
        return named.source_record_id
    number = golden_id(context, entity, party)
    return steward_reads.origin(context.store, context.tenant_id, entity, number, term) or named.source_record_id


def _held(context: StageContext, entity: str, record: int) -> Sequence[int]:
    """Return the records of the golden record that holds this one: any of them may change the value that is pinned."""
    store, tenant = context.store, context.tenant_id
    number = steward_reads.records(store, tenant, [record])[record].entity_id
    held = [] if number is None else steward_reads.members(store, tenant, entity, [number])
    return sorted({record, *(one.source_record_id for one in held)})


def _pins_beside(context: StageContext, entity: str, held: Sequence[int], term: str) -> list[Decision]:
    """Return the open pins on this term of the golden record that holds these records."""
    pins = decisions.open_decisions(context.store, context.tenant_id, entity, [PIN])
    return [one for one in pins if one.term == term and one.left_id in held]


def _one(tx: WriteTransaction, number: int) -> Decision:
    found = decisions.numbered(tx, tx.tenant_id, number)
    if found is None:
        raise FixConfig(f"there is no decision {number}", do="`unisono decisions --all` shows the numbers")
    return found


def _reason(text: str) -> str:
    if not text.strip():
        raise FixConfig("a decision needs a reason", do="say why: who comes after you decides on it")
    return text.strip()


def _key(*parts: Any) -> str:
    """Return the key of a request that was given none: the same act on the same version is the same request."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


@contextmanager
def _writing(context: StageContext, key: str, cause: str) -> Iterator[WriteTransaction]:
    """Open a transaction; requests wait for each other in the store, only a request that is being handled is refused."""
    scope = f"steward/{zlib.crc32(key.encode()) % _SLOTS}"
    with (
        context.store.acquire(scope, now=context.now, tenant_id=context.tenant_id) as lease,
        context.store.write(lease, cause=cause, actor=context.actor) as tx,
    ):
        yield tx
