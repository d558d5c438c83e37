"""The common vocabulary: entities and their terms, read once from ``entities/*.yaml``.

A file that says something unknown, contradictory or incomplete is refused with its name, its line and what is allowed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from canonical_model.checking import VocabularyError, checked_yaml, refuse

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = Path(__file__).parent
TERM_TYPES = (
    "text", "code", "boolean", "integer", "decimal", "money", "currency", "country", "date", "time", "instant", "json",
    "party_ref", "ref",
)  # fmt: skip
KINDS = ("party", "attribute", "fact", "event", "reference")


@dataclass(frozen=True)
class Term:
    """One term of an entity: what its value means, how it is written, how personal and how stable it is.

    ``values`` lists the allowed codes, ``minimum`` and ``maximum`` bound an integer, ``currency`` names the sibling that
    holds a money term's currency, ``to`` the entity a reference leads to (``None`` on a ``party_ref`` = any party),
    ``default`` is ``"self"`` where a missing reference means the record itself, ``renamed_to`` the term that replaces a
    deprecated one.
    """

    name: str
    type: str
    brief: str
    examples: tuple[Any, ...]
    stability: str
    personal: str
    required: bool = False
    multi: bool = False
    default: str | None = None
    values: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    currency: str | None = None
    to: str | None = None
    renamed_to: str | None = None

    @property
    def is_ref(self) -> bool:
        """True when the value is a reference to another source record."""
        return self.type in ("party_ref", "ref")

    @property
    def bounds(self) -> str:
        """Which integers are allowed, in words; empty where all are."""
        if self.minimum is None:
            return "" if self.maximum is None else f"at most {self.maximum}"
        return f"at least {self.minimum}" if self.maximum is None else f"from {self.minimum} to {self.maximum}"


@dataclass(frozen=True, eq=False)
class Entity:
    """One kind of thing that sources describe; ``golden`` says whether it is survived into golden records."""

    name: str
    kind: str
    title: str
    brief: str
    golden: bool
    terms: Mapping[str, Term]

    def term(self, name: str) -> Term:
        """Return the named term; an unknown name is answered with the known ones."""
        if name not in self.terms:
            message = f"entity '{self.name}' has no term '{name}'; known: {', '.join(self.terms)}"
            raise VocabularyError(message)
        return self.terms[name]


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """All entities of one version, in alphabetical order."""

    version: str
    entities: Mapping[str, Entity] = field(repr=False)

    def entity(self, name: str) -> Entity:
        """Return the named entity; an unknown name is answered with the known ones."""
        if name not in self.entities:
            message = f"no entity '{name}' in vocabulary {self.version}; known: {', '.join(self.entities)}"
            raise VocabularyError(message)
        return self.entities[name]


@cache
def load_vocabulary() -> Vocabulary:
    """Return the vocabulary of this installation; read and checked once per process."""
    return read_vocabulary(FOLDER)


def read_vocabulary(folder: Path) -> Vocabulary:
    """Read ``entities/*.yaml`` and ``changelog.yaml`` of a folder; the version is the changelog's newest."""
    entities = [_read_entity(path) for path in sorted((folder / "entities").glob("*.yaml"))]
    known = {entity.name for entity in entities}
    for entity in entities:
        _check_entity(entity, known, folder / "entities" / f"{entity.name}.yaml")
    return Vocabulary(
        version=read_changelog(folder)[-1]["version"],
        entities=MappingProxyType({entity.name: entity for entity in entities}),
    )


def read_changelog(folder: Path = FOLDER) -> list[dict[str, Any]]:
    """Return the versions of the vocabulary, oldest first, as the changelog states them."""
    path = folder / "changelog.yaml"
    versions: list[dict[str, Any]] = checked_yaml(path, "changelog")["versions"]
    return versions


def _read_entity(path: Path) -> Entity:
    data = checked_yaml(path, "entity")
    if data["entity"] != path.stem:
        refuse(path, f"entity '{data['entity']}' does not match the file name; allowed: '{path.stem}'", ("entity",))
    terms = {name: _term(name, facts) for name, facts in data["terms"].items()}
    return Entity(
        name=data["entity"],
        kind=data["kind"],
        title=data["title"],
        brief=data["brief"],
        golden=data.get("golden", False),
        terms=MappingProxyType(terms),
    )


def _term(name: str, facts: Mapping[str, Any]) -> Term:
    lists = {key: tuple(facts[key]) for key in ("examples", "values") if key in facts}
    return Term(**{"name": name, **facts, **lists})


def _check_entity(entity: Entity, known: set[str], path: Path) -> None:
    for term in entity.terms.values():
        for problem in _problems(term, entity, known):
            refuse(path, f"term '{term.name}': {problem}", ("terms", term.name))
    if entity.kind == "event" and not _is_instant(entity.terms.get("occurred_at")):
        refuse(path, "an entity of kind event needs a required term 'occurred_at' of type instant", ("terms",))


def _is_instant(term: Term | None) -> bool:
    return term is not None and term.type == "instant" and term.required


def _problems(term: Term, entity: Entity, known: set[str]) -> list[str]:
    """Say what one term contradicts in its neighbours; its own shape is checked by the JSON Schema."""
    found = []
    if term.currency is not None and getattr(entity.terms.get(term.currency), "type", None) != "currency":
        currencies = [name for name, other in entity.terms.items() if other.type == "currency"]
        found.append(f"currency '{term.currency}' is not a currency term; allowed: {', '.join(currencies) or 'none'}")
    if term.minimum is not None and term.maximum is not None and term.minimum > term.maximum:
        found.append(f"minimum {term.minimum} is above the maximum; allowed: up to {term.maximum}")
    if term.to is not None and term.to not in known:
        found.append(f"to '{term.to}' is not an entity; allowed: {', '.join(sorted(known))}")
    if term.renamed_to is not None and term.renamed_to not in entity.terms:
        found.append(f"renamed_to '{term.renamed_to}' is not a term; allowed: {', '.join(entity.terms)}")
    if entity.golden and term.is_ref:
        found.append("a golden entity cannot hold references; allowed: every type but party_ref and ref")
    return found
