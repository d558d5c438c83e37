"""JSON Schemas of canonical rows, as ``unisono map`` prints them and apps may check them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from canonical_model.vocabulary import load_vocabulary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from canonical_model.vocabulary import Entity, Term

_DECIMAL = {"type": "string", "pattern": r"^(0|-?(0\.\d*[1-9]|[1-9]\d*(\.\d*[1-9])?))$"}
_DAY = r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?"
_REFERENCE = {
    "type": "object",
    "oneOf": [
        {
            "required": ["object", "key"],
            "additionalProperties": False,
            "properties": {"object": {"type": "string"}, "key": {"type": "string"}},
        },
        {
            "required": ["system", "value"],
            "additionalProperties": False,
            "properties": {"system": {"type": "string"}, "value": {"type": "string"}},
        },
    ],
}
_TYPES: Mapping[str, dict[str, Any]] = {
    "text": {"type": "string", "minLength": 1},
    "code": {"type": "string"},
    "boolean": {"type": "boolean"},
    "integer": {"type": "integer"},
    "decimal": _DECIMAL,
    "money": _DECIMAL,
    "currency": {"type": "string", "pattern": "^[A-Z]{3}$"},
    "country": {"type": "string", "pattern": "^[A-Z]{2}$"},
    "date": {"type": "string", "pattern": f"^{_DAY}$"},
    "time": {"type": "string", "pattern": r"^([01]\d|2[0-3]):[0-5]\d$"},
    "instant": {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z$"},
    "json": {},
    "party_ref": _REFERENCE,
    "ref": _REFERENCE,
}
_EXTRAS = {"type": "object", "description": "Source fields without a term, by their path."}


def json_schema(entity: str) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of one row of the entity in canonical JSON form.

    A null term is left out of a row, so that only terms without which the row means nothing are required.
    """
    vocabulary = load_vocabulary()
    return entity_schema(vocabulary.entity(entity), vocabulary.version)


def entity_schema(entity: Entity, version: str) -> dict[str, Any]:
    """Return the row schema of an entity that need not be part of the installed vocabulary."""
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:unisono:vocabulary:{version}:{entity.name}",
        "title": entity.title,
        "description": entity.brief,
        "x-kind": entity.kind,
        "x-golden": entity.golden,
        "type": "object",
        "additionalProperties": False,
        "properties": {name: term_schema(term) for name, term in entity.terms.items()} | {"extras": _EXTRAS},
    }
    required = [term.name for term in entity.terms.values() if term.required and term.default is None]
    return schema | ({"required": required} if required else {})


def term_schema(term: Term) -> dict[str, Any]:
    """Return the schema of one term's value, with its meaning and its classes as annotations."""
    value = dict(_TYPES[term.type])
    if term.values:
        value = {"enum": list(term.values)}
    bounds = {"minimum": term.minimum, "maximum": term.maximum}
    value |= {name: bound for name, bound in bounds.items() if bound is not None}
    if term.multi:
        value = {"type": "array", "minItems": 1, "uniqueItems": True, "items": value}
    notes = {
        "x-type": term.type,
        "x-stability": term.stability,
        "x-personal": term.personal,
        "x-currency": term.currency,
        "x-to": term.to,
        "x-default": term.default,
        "x-renamed-to": term.renamed_to,
    }
    return {
        "description": term.brief,
        **value,
        "examples": [list(term.examples)] if term.multi else list(term.examples),
        **({"deprecated": True} if term.stability == "deprecated" else {}),
        **{key: note for key, note in notes.items() if note is not None},
    }
