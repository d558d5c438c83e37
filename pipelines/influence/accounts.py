"""Account hierarchies for people and programs: the tree around an organisation at an instant, and roll-ups over it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from canonical_model import Entity, load_vocabulary
from connectors.sdk.errors import FixConfig
from connectors.sdk.yaml_lines import suggest
from pipelines.influence.rules import HIERARCHIES
from pipelines.influence.tree import Ids, Place, Tree
from pipelines.store import influence_queries
from pipelines.store.arrow_in import rescaled
from pipelines.store.types import SCALE

if TYPE_CHECKING:
    from pipelines.store import Store

_FEW = 2_000


@dataclass(frozen=True)
class Measure:
    """Which facts are counted and what of them is summed: ``value`` is a number or a money term, or ``None``."""

    entity: str
    party: str
    value: str | None = None
    unit: str | None = None
    scale: int = 0

    @staticmethod
    def named(text: str) -> Measure:
        """Read ``opportunity.amount``, ``order`` (only counted) or ``ticket@requester`` (through which party)."""
        what, _, party = text.partition("@")
        name, _, value = what.partition(".")
        entities = load_vocabulary().entities
        facts = sorted(one for one, entity in entities.items() if entity.kind in ("fact", "event") and _parties(entity))
        if name not in facts:
            raise FixConfig(f"'{name}' is no fact that names a party", where=text, do=suggest(name, facts))
        through = _party(entities[name], party)
        if not value:
            return Measure(name, through)
        return _with_value(entities[name], value, through)


class Sum(NamedTuple):
    """How many facts and their total, in one unit (a currency, or empty)."""

    facts: int
    total: Decimal


class Rollup:
    """Facts of an organisation and of all that stood below it, per unit; numbers are made when they are asked for."""

    def __init__(self, tree: Tree, start: int, facts: pa.Table, scale: int) -> None:
        self._tree, self._start, self._scale = tree, start, scale
        self._inside = tree.inside(start)
        self._own = {unit: (counts, totals) for unit, counts, totals in self._by_unit(facts)}
        self._below = {unit: (tree.sums(counts), tree.sums(totals)) for unit, (counts, totals) in self._own.items()}

    @property
    def places(self) -> Iterator[Place]:
        """The organisation and all below it, parents before children."""
        return self._tree.below(self._start)

    def own(self, entity_id: int) -> dict[str, Sum]:
        """Return what an organisation has itself, by unit."""
        return self._sums(self._own, entity_id)

    def total(self, entity_id: int) -> dict[str, Sum]:
        """Return what an organisation has with all below it, by unit."""
        return self._sums(self._below, entity_id)

    def _by_unit(self, facts: pa.Table) -> Iterator[tuple[str, Ids, Ids]]:
        units = facts.column("unit").fill_null("")
        for unit in sorted(pc.unique(units).to_pylist()):
            rows = facts.filter(pc.equal(units, unit))
            keys = rows.column("entity_id").to_numpy()
            columns = (rows.column(name).to_numpy() for name in ("facts", "total"))
            counts, totals = (np.where(self._inside, self._tree.aligned(keys, column), 0) for column in columns)
            if counts.any():
                yield unit, counts, totals

    def _sums(self, columns: Mapping[str, tuple[Ids, Ids]], entity_id: int) -> dict[str, Sum]:
        place = int(np.searchsorted(self._tree.ids, entity_id))
        if place == len(self._tree) or self._tree.ids[place] != entity_id or not self._inside[place]:
            return {}
        return {
            unit: Sum(int(counts[place]), Decimal(int(totals[place])).scaleb(-self._scale))
            for unit, (counts, totals) in columns.items()
            if counts[place]
        }


def account_tree(store: Store, kind: str, as_of: datetime, *, known: int | None = None, tenant_id: int = 1) -> Tree:
    """Return a hierarchy (legal, sales, billing) as it was at an instant, as known now or at a ``change_seq``."""
    if kind not in HIERARCHIES:
        raise FixConfig(f"there is no hierarchy '{kind}'", do=suggest(kind, HIERARCHIES))
    rows = influence_queries.hierarchy_links(store, tenant_id, kind, as_of, known=known)
    return Tree(rows.column("entity_id").to_numpy(), rows.column("parent_id").to_numpy())


def roll_up(
    store: Store, entity_id: int, measure: Measure, kind: str, as_of: datetime, *, tenant_id: int = 1
) -> Rollup:
    """Sum facts over an organisation and all that stood below it at an instant; currencies are never added up."""
    tree = account_tree(store, kind, as_of, tenant_id=tenant_id).with_member(entity_id)
    inside = tree.ids[tree.inside(entity_id)]
    rows = influence_queries.fact_sums(
        store, tenant_id, measure.entity, measure.party, value=measure.value, unit=measure.unit,
        ids=pa.array(inside) if len(inside) <= _FEW else None,
    )  # fmt: skip
    totals = rows.column("total")
    whole = rescaled(totals, 0).cast(pa.int64()) if pa.types.is_decimal(totals.type) else totals.cast(pa.int64())
    place = rows.column_names.index("total")
    return Rollup(tree, entity_id, rows.set_column(place, "total", whole), measure.scale)


def _parties(entity: Entity) -> list[str]:
    return [term.name for term in entity.terms.values() if term.type == "party_ref"]


def _party(entity: Entity, asked: str) -> str:
    """Return the party asked for; else the one that is an organisation; else the first."""
    known = _parties(entity)
    if asked and asked not in known:
        raise FixConfig(f"{entity.name} has no party '{asked}'", do=suggest(asked, known))
    bodies = [name for name in known if entity.terms[name].to == "organization"]
    return asked or (bodies or known)[0]


def _with_value(entity: Entity, value: str, party: str) -> Measure:
    numbers = [term.name for term in entity.terms.values() if term.type in ("money", "decimal", "integer")]
    if value not in numbers:
        raise FixConfig(f"{entity.name}.{value} is no number", do=suggest(value, numbers))
    term = entity.terms[value]
    return Measure(entity.name, party, value, term.currency, 0 if term.type == "integer" else SCALE)
