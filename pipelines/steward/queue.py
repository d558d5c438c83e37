"""The review queue: what a person's answer is worth most, ranked by expected error times reach.

Expected error: how likely what stands now is wrong (a pair not linked that has odds of being one; a cluster that hangs on
one weak link; people who contradict each other; an alarm). Reach: how many records and facts the answer touches. The queue
is a read over evidence, decisions and crosswalk; nothing is stored, so nothing in it is stale.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pipelines.resolve.decisions import constraints
from pipelines.steward.naming import entity_of
from pipelines.store import decisions, identity, review_reads
from pipelines.store.decisions import IDENTITY_KINDS, PIN, Decision

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pipelines.context import StageContext
    from pipelines.resolve.decisions import Constraints

    Row = Mapping[str, Any]

CONFLICT, REOPENED, ALARM, WEAK_LINK, MAYBE_SAME = "conflict", "reopened", "alarm", "weak_link", "maybe_same"
SHARE = 0.02
LEAST_ERROR = 0.1
LARGEST = 25
LOOKED_AT = 5_000
_EVEN = 0.5


@dataclass(frozen=True)
class Item:
    """One question: about which records and entities, why it is asked, and what the answer is worth."""

    kind: str
    records: tuple[int, ...]
    entities: tuple[int, ...]
    why: str
    error: float
    reach: int = 0
    decisions: tuple[int, ...] = ()

    @property
    def worth(self) -> float:
        """Expected error times reach."""
        return self.error * self.reach


@dataclass(frozen=True)
class Queue:
    """The questions, most worth first; ``seen`` is the version they rest on, ``left_out`` how many were worth too little."""

    items: list[Item]
    seen: int
    pairs: int
    left_out: int = 0
    counts: dict[str, int] = field(default_factory=dict)


def review(context: StageContext, *, share: float = SHARE) -> Queue:
    """Return what is worth a person's time: at most ``share`` of the ledger's pairs, and whatever only people can resolve."""
    store, tenant, entity = context.store, context.tenant_id, entity_of(context)
    seen = identity.last_change(store, tenant)
    open_ = decisions.open_decisions(store, tenant, entity, (*IDENTITY_KINDS, PIN))
    bound = constraints(one for one in open_ if one.kind in IDENTITY_KINDS)
    again = _reopened(context, entity, open_)
    must = [*_contradictions(bound), *again, *_pins_at_odds(context, open_)]
    may = [*_alarms(context, entity, bound), *_grey(context, entity, bound, _answered(context, open_, again))]
    may = sorted(may, key=lambda one: (-one.error, one.records))[:LOOKED_AT]
    ranked = _ranked(context, [*must, *may])
    pairs = review_reads.pairs(store, tenant, entity)
    room = max(math.ceil(share * pairs) - len(must), 0)
    kept = [one for one in ranked if one.kind in (CONFLICT, REOPENED)]
    kept += [one for one in ranked if one.kind not in (CONFLICT, REOPENED)][:room]
    counts = {kind: sum(one.kind == kind for one in kept) for kind in sorted({one.kind for one in kept})}
    return Queue(sorted(kept, key=_rank), seen, pairs, len(ranked) - len(kept), counts)


def probability(weight: float) -> float:
    """Return the chance that log2 odds stand for."""
    return 1 / (1 + math.pow(2.0, -weight))


def _rank(item: Item) -> tuple[float, str, tuple[int, ...]]:
    return -item.worth, item.kind, item.records


def _ranked(context: StageContext, items: list[Item]) -> list[Item]:
    """Add the entities that hold the records now, and the reach."""
    store, tenant = context.store, context.tenant_id
    held = review_reads.entities_of(store, tenant, {record for one in items for record in one.records})
    reached = review_reads.reach(store, store.vocabulary, tenant, set(held.values()))
    found = []
    for one in items:
        entities = tuple(sorted({held[record] for record in one.records if record in held}))
        found.append(replace(one, entities=entities, reach=max(sum(reached[entity] for entity in entities), 1)))
    return sorted(found, key=_rank)


def _contradictions(bound: Constraints) -> Iterator[Item]:
    """People against each other: one question for each group of records that is held apart."""
    told: dict[tuple[int, ...], set[int]] = defaultdict(set)
    for one in bound.contradictions:
        told[one.records] |= {*one.apart, *one.together}
    for records, numbers in told.items():
        said = tuple(sorted(numbers))
        yield Item(CONFLICT, records, (), f"decisions {_listed(said)} contradict each other", 1.0, decisions=said)


def _reopened(context: StageContext, entity: str, open_: list[Decision]) -> list[Item]:
    """Return the decisions on records whose key data are not what the person saw; they bind until they are answered."""
    named = {record for one in open_ for record in one.records}
    hashes = decisions.key_hashes(context.store, context.tenant_id, entity, named)
    found = []
    for one in open_:
        changed = decisions.changed_key_data(one.key_hash, hashes)
        if changed:
            why = f"decision {one.decision_id} ({one.kind}) is asked again: the key data of {_records(changed)} changed"
            found.append(Item(REOPENED, one.records, (), why, _EVEN, decisions=(one.decision_id,)))
    return found


def _pins_at_odds(context: StageContext, open_: list[Decision]) -> Iterator[Item]:
    """Different pins on one cell: two records that each had theirs are one entity now."""
    now = context.now()
    pins = [one for one in open_ if one.kind == PIN and (one.expires_at is None or one.expires_at > now)]
    held = review_reads.entities_of(context.store, context.tenant_id, {one.records[0] for one in pins})
    cells: dict[tuple[int, str], list[Decision]] = defaultdict(list)
    for one in pins:
        if one.records[0] in held:
            cells[held[one.records[0]], one.term or ""].append(one)
    for (_, term), same in sorted(cells.items()):
        if any(one.value != same[0].value for one in same):
            numbers = tuple(one.decision_id for one in same)
            records = tuple(sorted({one.records[0] for one in same}))
            yield Item(CONFLICT, records, (), f"pins {_listed(numbers)} differ on {term}", 1.0, decisions=numbers)


def _alarms(context: StageContext, entity: str, bound: Constraints) -> Iterator[Item]:
    """Entities that look like several: larger than people are, or with identifiers that only one party can have.

    What a person said is one party rings no more.
    """
    store, tenant, sure = context.store, context.tenant_id, _sure(bound)
    against = review_reads.against(store, tenant, entity).to_pylist()
    inside: dict[int, Row] = {}
    for one in against:
        left, right = _ends(one)
        if sure.get(left, left) != sure.get(right, right):
            inside.setdefault(one["left_entity"], one)
    for number, pair in sorted(inside.items()):
        why = f"entity {number} holds different values of an identifier that a party has one of"
        yield Item(ALARM, _ends(pair), (), why, 1 - LEAST_ERROR)
    large = review_reads.sizes(store, tenant, entity, at_least=LARGEST + 1)
    links = _by_entity(review_reads.positive(store, tenant, entity, large).to_pylist()) if large else {}
    for number, size in sorted(large.items()):
        weakest = _bridge(links.get(number, []), sure)
        if weakest is not None:
            why = f"entity {number} holds {size} records: more than {LARGEST} is rarely one party"
            yield Item(ALARM, _ends(weakest), (), why, _EVEN)


def _grey(context: StageContext, entity: str, bound: Constraints, answered: set[tuple[int, int]]) -> Iterator[Item]:
    """Pairs of entities with odds of being one, and entities that hang on one link which may be wrong."""
    edge = math.log2((1 - LEAST_ERROR) / LEAST_ERROR)
    rows = review_reads.grey(context.store, context.tenant_id, entity, -edge, edge).to_pylist()
    best: dict[tuple[int, int], Row] = {}
    for row in rows:
        ends = min(row["left_entity"], row["right_entity"]), max(row["left_entity"], row["right_entity"])
        if ends[0] != ends[1] and ends not in answered and (ends not in best or row["weight"] > best[ends]["weight"]):
            best[ends] = row
    for row in best.values():
        chance = probability(row["weight"])
        why = f"not linked, with a chance of {chance:.0%} to be one"
        yield Item(MAYBE_SAME, _ends(row), (), why, min(chance, _EVEN) if row["judgement"] == "positive" else chance)
    yield from _weak_links(context, entity, rows, bound)


def _weak_links(context: StageContext, entity: str, rows: list[Row], bound: Constraints) -> Iterator[Item]:
    """Of each entity with a weak link: the link without which it would fall in two, if that is a weak one."""
    weak = {
        row["left_entity"]
        for row in rows
        if row["judgement"] == "positive" and row["left_entity"] == row["right_entity"]
    }
    if not weak:
        return
    links = _by_entity(
        review_reads.positive(context.store, context.tenant_id, entity, [int(one) for one in weak]).to_pylist()
    )
    sure = _sure(bound)
    for number, inside in sorted(links.items()):
        bridge = _bridge(inside, sure)
        if bridge is not None and 1 - probability(_weight(bridge)) >= LEAST_ERROR:
            error = 1 - probability(_weight(bridge))
            yield Item(
                WEAK_LINK, _ends(bridge), (), f"entity {number} hangs on this link; wrong with {error:.0%}", error
            )


def _bridge(links: list[Row], sure: Mapping[int, int]) -> Row | None:
    """Return the weakest link of the strongest tree that holds the records together."""
    group: dict[int, int] = {}

    def head(record: int) -> int:
        while group.setdefault(record, record) != record:
            record = group[record]
        return record

    for record, other in sure.items():
        group[head(record)] = head(other)
    weakest = None
    for link in sorted(links, key=lambda one: (-_weight(one), _ends(one))):
        left, right = head(int(link["left_id"])), head(int(link["right_id"]))
        if left != right:
            group[right], weakest = left, link
    return weakest


def _sure(bound: Constraints) -> dict[int, int]:
    """Return of each record that a person put with others the first of them."""
    return {record: group[0] for group in bound.groups for record in group}


def _answered(context: StageContext, open_: list[Decision], again: Iterable[Item]) -> set[tuple[int, int]]:
    """Return the pairs of entities about which a person has said something that still holds."""
    asked = {number for one in again for number in one.decisions}
    said = [one for one in open_ if one.kind in IDENTITY_KINDS and one.decision_id not in asked]
    held = review_reads.entities_of(
        context.store, context.tenant_id, {record for one in said for record in one.records}
    )
    ends: set[tuple[int, int]] = set()
    for one in said:
        entities = sorted({held[record] for record in one.records if record in held})
        ends |= {(a, b) for n, a in enumerate(entities) for b in entities[n + 1 :]}
    return ends


def _by_entity(rows: list[Row]) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        found[int(row["left_entity"])].append(row)
    return found


def _weight(link: Row) -> float:
    """Return the odds of a link; what is certain has no weight in the ledger."""
    return math.inf if link["weight"] is None else float(link["weight"])


def _ends(row: Row) -> tuple[int, int]:
    left, right = int(row["left_id"]), int(row["right_id"])
    return min(left, right), max(left, right)


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))


def _records(numbers: Iterable[int]) -> str:
    return ", ".join(f"r{one}" for one in numbers)
