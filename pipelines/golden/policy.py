"""The survivorship policy: ``policy.yaml``, changed by a file of the user's, checked with file and line."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from canonical_model import load_vocabulary
from connectors.sdk.errors import FixConfig
from connectors.sdk.yaml_lines import load_yaml, suggest, validate
from pipelines.golden.rules import KEY_BITS, RULES, bits
from pipelines.golden.trust import Trust

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from connectors.sdk.yaml_lines import Locate

DEFAULT = Path(__file__).with_name("policy.yaml")
ADDRESS = ("street", "street_2", "city", "region", "postcode", "country")
CONTACT_SOURCES = {"primary_email": "email", "primary_phone": "phone"} | dict.fromkeys(ADDRESS, "address")
RECORD = "record"
UNION = "union"
LIST = "list"
_SCHEMA = json.loads(Path(__file__).with_name("policy.schema.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Choice:
    """What is chosen at once: one attribute, or the whole of a group, and the rules that choose it.

    ``source`` says among which rows: the source records themselves, or their contact points of one kind; ``once``
    promises that no source record has two of these rows.
    """

    name: str
    columns: tuple[str, ...]
    types: tuple[str, ...]
    source: str
    rules: tuple[str, ...]
    trust: Mapping[str, Trust] = field(default_factory=dict)
    trust_default: Trust = Trust(50)  # noqa: RUF009  frozen itself
    compose: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    once: bool = False

    @property
    def is_group(self) -> bool:
        """True when several columns are chosen together."""
        return len(self.columns) > 1

    @property
    def union(self) -> bool:
        """True when the values of all sources are kept."""
        return UNION in self.rules

    @property
    def ranking(self) -> tuple[str, ...]:
        """The rules that can order candidates; trust cannot where no source is trusted otherwise than the others."""
        idle = {UNION} if self.trust or self.trust_default.decays else {UNION, "trust"}
        return tuple(rule for rule in self.rules if rule not in idle)

    @property
    def decays(self) -> bool:
        """True when the age of a value matters beside its order in time."""
        return "trust" in self.rules and any(trust.decays for trust in (self.trust_default, *self.trust.values()))

    @property
    def quoted(self) -> tuple[str, ...]:
        """The columns as SQL names."""
        return tuple(f'"{column}"' for column in self.columns)

    @property
    def present(self) -> str:
        """The SQL condition that a row holds a value of the choice."""
        return "(" + " OR ".join(f"{column} IS NOT NULL" for column in self.quoted) + ")"

    @property
    def time_terms(self) -> tuple[str, ...]:
        """The terms of the candidate row whose times tell since when each column has had its value."""
        return ("value",) if self.source in ("email", "phone") else self.columns

    @property
    def since(self) -> str:
        """The SQL name of the column that says since when the candidate has had its value."""
        return f'"since {self.name}"'


@dataclass(frozen=True)
class Policy:
    """All choices of one entity; together they fill every golden column exactly once."""

    entity: str
    choices: tuple[Choice, ...]

    def of(self, source: str) -> tuple[Choice, ...]:
        """Return the choices that are made among the rows of one source."""
        return tuple(choice for choice in self.choices if choice.source == source)

    def choice(self, column: str) -> Choice:
        """Return the choice that fills a golden column; an unknown one is answered with the known ones."""
        for choice in self.choices:
            if column in choice.columns:
                return choice
        raise FixConfig(f"golden {self.entity} has no attribute '{column}'", do=suggest(column, list(self.types)))

    @property
    def decays(self) -> bool:
        """True when a choice asks how old a value is beside the newest evidence of its entity."""
        return any(choice.decays for choice in self.choices)

    @cached_property
    def types(self) -> dict[str, str]:
        """The survived columns of the golden row with their vocabulary types, in the row's order."""
        found = {c: t for choice in self.choices for c, t in zip(choice.columns, choice.types, strict=True)}
        return {column: found[column] for column in golden_columns(self.entity) if column in found}


def golden_columns(entity: str) -> dict[str, str]:
    """Return the columns that are survived, with their types: the entity's terms, then what contact points give."""
    terms = load_vocabulary().entity(entity).terms
    contact = {column: "country" if column == "country" else "text" for column in CONTACT_SOURCES}
    return {name: LIST if term.multi else term.type for name, term in terms.items()} | contact


def load_policy(entity: str, path: Path | None = None, known_sources: Collection[str] | None = None) -> Policy:
    """Return the policy of one entity; ``path`` names the user's file, which may say only what differs.

    ``known_sources`` are the names that ``trust:`` may use; anything the files get wrong raises FixConfig.
    """
    if path is None:
        return _shipped(entity)
    policy, own = _default(), _read(path, known_sources)
    laid_over = {
        "trust": policy["trust"] | own.get("trust", {}),
        "rules": own.get("rules", policy["rules"]),
        "entities": {
            name: _merged(policy["entities"].get(name, {}), own.get("entities", {}).get(name, {}))
            for name in policy["entities"].keys() | own.get("entities", {}).keys()
        },
    }
    return _policy(entity, laid_over)


@cache
def _default() -> Mapping[str, Any]:
    """Return what the shipped policy says: read once, never changed."""
    return _read(DEFAULT, None)


@cache
def _shipped(entity: str) -> Policy:
    return _policy(entity, _default())


def _merged(ours: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Lay the user's part of an entity over ours: a group of the user's takes its terms out of our choices."""
    groups = {name: group for name, group in own.get("groups", {}).items() if group is not None}
    taken = {term for group in groups.values() for term in group["terms"]} | own.get("attributes", {}).keys()
    kept = {
        name: group
        for name, group in ours.get("groups", {}).items()
        if name not in own.get("groups", {}) and not taken & set(group["terms"])
    }
    attributes = {name: rules for name, rules in ours.get("attributes", {}).items() if name not in taken}
    return {"groups": kept | groups, "attributes": attributes | own.get("attributes", {})}


def _policy(entity: str, data: Mapping[str, Any]) -> Policy:
    part = data["entities"].get(entity, {})
    choices = [
        _choice(name, tuple(group["terms"]), entity, group, data) for name, group in part.get("groups", {}).items()
    ]
    grouped = {column for choice in choices for column in choice.columns}
    for column in golden_columns(entity):
        if column not in grouped:
            facts = part.get("attributes", {}).get(column) or {"rules": _default_rules(entity, column, data)}
            choices.append(_choice(column, (column,), entity, facts, data))
    return Policy(entity, tuple(choices))


def _default_rules(entity: str, column: str, data: Mapping[str, Any]) -> list[str]:
    term = load_vocabulary().entity(entity).terms.get(column)
    return [UNION, "recent"] if term is not None and term.multi else data["rules"]


def _choice(
    name: str, columns: tuple[str, ...], entity: str, facts: Mapping[str, Any], data: Mapping[str, Any]
) -> Choice:
    types = golden_columns(entity)
    trust = {source: Trust.of(told) for source, told in {**data["trust"], **facts.get("trust", {})}.items()}
    return Choice(
        name=name,
        columns=columns,
        types=tuple(types[column] for column in columns),
        source=CONTACT_SOURCES.get(columns[0], RECORD),
        rules=tuple(facts["rules"]),
        trust={source: told for source, told in trust.items() if source != "default"},
        trust_default=trust.get("default", Trust(50)),
        compose={term: tuple(parts) for term, parts in facts.get("compose", {}).items()},
    )


def _read(path: Path, known_sources: Collection[str] | None) -> dict[str, Any]:
    data, locate = load_yaml(path, error=FixConfig)
    validate(data if data is not None else {}, _SCHEMA, locate, error=FixConfig)
    _check_trust(data, (), locate, known_sources)
    for entity, part in data.get("entities", {}).items():
        _check_entity(entity, part, locate, known_sources)
    return dict(data)


def _check_entity(entity: str, part: Mapping[str, Any], locate: Locate, known_sources: Collection[str] | None) -> None:
    golden = [known.name for known in load_vocabulary().entities.values() if known.golden]
    if entity not in golden:
        where = locate.where(("entities", entity))
        raise FixConfig(f"no golden entity '{entity}'", where=where, do=suggest(entity, golden))
    seen: dict[str, str] = {}
    for kind in ("groups", "attributes"):
        for name, facts in part.get(kind, {}).items():
            if facts is None:
                continue
            at = ("entities", entity, kind, name)
            columns = tuple(facts["terms"]) if kind == "groups" else (name,)
            for column in columns:
                _check_column(column, entity, seen, name, locate.where(at))
            _check_trust(facts, at, locate, known_sources)
            _check_choice(columns, entity, facts, locate.where((*at, "rules")))


def _check_column(column: str, entity: str, seen: dict[str, str], name: str, where: str) -> None:
    known = list(golden_columns(entity))
    if column not in known:
        raise FixConfig(f"golden {entity} has no attribute '{column}'", where=where, do=suggest(column, known))
    if column in seen:
        do = f"name '{column}' in one place only"
        raise FixConfig(f"'{column}' is chosen by '{seen[column]}' and by '{name}'", where=where, do=do)
    seen[column] = name


def _check_choice(columns: tuple[str, ...], entity: str, facts: Mapping[str, Any], where: str) -> None:
    """Refuse a group of mixed sources, parts that are not in the group, and rules that cannot judge these values."""
    if len({CONTACT_SOURCES.get(column, RECORD) for column in columns}) > 1:
        do = "a group holds terms of the record, or terms of the address"
        raise FixConfig("a group mixes terms of the record with contact points", where=where, do=do)
    parts = {part for term, found in facts.get("compose", {}).items() for part in (term, *found)}
    if not parts <= set(columns):
        outside = ", ".join(sorted(parts - set(columns)))
        raise FixConfig(f"compose names '{outside}' outside of the group", where=where, do=suggest("", columns))
    choice = _choice(columns[0], columns, entity, {"rules": facts["rules"]}, {"trust": {}})
    multi = all(getattr(load_vocabulary().entity(entity).terms.get(column), "multi", False) for column in columns)
    fitting = [name for name, rule in RULES.items() if rule.suits(choice)] + ([UNION] if multi else [])
    for rule in choice.rules:
        if rule not in fitting:
            what, do = f"the rule '{rule}' cannot judge {', '.join(columns)}", f"use: {', '.join(fitting)}"
            raise FixConfig(what, where=where, do=do)
    if bits(choice.ranking) > KEY_BITS:
        do = "leave one out; the last ones decide least"
        raise FixConfig("these rules together are too long", where=where, do=do)


def _check_trust(
    facts: Mapping[str, Any], at: tuple[str, ...], locate: Locate, known_sources: Collection[str] | None
) -> None:
    for name, told in facts.get("trust", {}).items():
        where = locate.where((*at, "trust", name))
        if isinstance(told, dict):
            _check_decay(name, told, where)
        if known_sources is not None and name != "default" and name not in known_sources:
            do = suggest(name, sorted(known_sources))
            raise FixConfig(f"no connection or connector '{name}'", where=where, do=do)


def _check_decay(name: str, told: Mapping[str, float], where: str) -> None:
    if told.get("min", 0) > told["max"]:
        raise FixConfig(
            f"the lowest trust in '{name}' is above the highest", where=where, do="let max be the higher one"
        )
    if len(told.keys() & {"half_life_days", "decay_days"}) != 1:
        raise FixConfig(
            f"how the trust in '{name}' fades is not clear", where=where, do="give half_life_days or decay_days"
        )
