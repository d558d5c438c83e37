"""Values that a person pins: of the term's type in the vocabulary, in canonical form, or refused."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import jsonschema

from canonical_model import load_vocabulary
from canonical_model.row_schema import term_schema
from connectors.sdk.errors import FixConfig
from connectors.sdk.yaml_lines import suggest
from pipelines.store.entity_tables import GOLDEN_CONTACT

_MOMENTS, _WHOLE_DATE = ("date", "instant"), len("2026-01-31")
_TEXTS = ("text", "code", "currency", "country", "date", "time", "instant", "decimal", "money")


def checked_value(entity: str, term: str, value: Any) -> Any:
    """Return the value in its canonical form; one that is not of the term's type raises FixConfig naming the type."""
    schema = _schema(entity, term)
    try:
        jsonschema.validate(value, schema)
        if schema.get("x-type") in _MOMENTS and len(value) >= _WHOLE_DATE:
            datetime.fromisoformat(value)
    except (jsonschema.ValidationError, ValueError) as error:
        raise FixConfig(
            f"{value!r} is no value of {entity}.{term}", why=getattr(error, "message", str(error)),
            do=f"write it as {schema.get('x-type', 'text')}, for instance {schema['examples'][0]!r}",
        ) from error  # fmt: skip
    return value


def read_value(entity: str, term: str, text: str) -> Any:
    """Return what a person typed as a value of the term: text as it stands, anything else as JSON."""
    kind = _schema(entity, term)
    if kind.get("type") == "array":
        given = json.loads(text) if text.lstrip().startswith("[") else [part.strip() for part in text.split(",")]
        return checked_value(entity, term, given)
    if kind.get("x-type", "text") in _TEXTS:
        return checked_value(entity, term, text)
    try:
        return checked_value(entity, term, json.loads(text))
    except json.JSONDecodeError:
        return checked_value(entity, term, text)


def checked_expiry(expires_at: datetime | None, now: datetime) -> datetime | None:
    """Return the expiry; one that has passed already, or has no time zone, raises FixConfig."""
    if expires_at is None:
        return None
    if expires_at.tzinfo is None:
        raise FixConfig(f"the expiry {expires_at} has no time zone", do="write it as 2027-01-31T00:00:00Z")
    if expires_at <= now:
        raise FixConfig(
            f"a pin that ends at {expires_at} would never count", why=f"it is {now}", do="give a later expiry"
        )
    return expires_at


def _schema(entity: str, term: str) -> dict[str, Any]:
    terms = load_vocabulary().entity(entity).terms
    if term in GOLDEN_CONTACT and term not in terms:
        return {"type": "string", "minLength": 1, "examples": ["text"]}
    if term not in terms or terms[term].is_ref:
        known = [name for name, one in terms.items() if not one.is_ref]
        raise FixConfig(f"golden {entity} has no attribute '{term}'", do=suggest(term, [*known, *GOLDEN_CONTACT]))
    return term_schema(terms[term])
