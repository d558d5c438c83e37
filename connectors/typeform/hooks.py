"""Which metric an answer feeds: the form says it, since an opinion scale may or may not be an NPS."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

NPS_STEPS = 11


def answer_metric(question: str | None, kind: str | None, fields: str | None) -> str:
    """Return nps, rating or none: the metric of ``question``, of type ``kind``, on a form with ``fields``."""
    known = _metrics(fields or "[]").get(question or "")
    return known or _metric(kind, {})


def response_metric(answers: str | None, fields: str | None) -> str | None:
    """Return nps when the response answers an NPS question, else ``None``."""
    return None if response_score(answers, fields) is None else "nps"


def response_score(answers: str | None, fields: str | None) -> str | None:
    """Return the number given to the first NPS question that the response answers."""
    for answer in json.loads(answers or "[]"):
        field = answer.get("field") or {}
        number = answer.get("number")
        if number is not None and answer_metric(field.get("id"), field.get("type"), fields) == "nps":
            return str(number)
    return None


@lru_cache(maxsize=64)
def _metrics(fields: str) -> Mapping[str, str]:
    """Return the metric of every question of a form by its id."""
    questions = _flat(json.loads(fields))
    return {field["id"]: _metric(field.get("type"), field.get("properties") or {}) for field in questions}


def _flat(fields: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield questions and, after each group, the questions inside it."""
    for field in fields:
        yield field
        yield from _flat((field.get("properties") or {}).get("fields") or [])


def _metric(kind: str | None, properties: Mapping[str, Any]) -> str:
    from_zero = properties.get("steps") == NPS_STEPS and not properties.get("start_at_one")
    if kind == "nps" or (kind == "opinion_scale" and from_zero):
        return "nps"
    return "rating" if kind in ("opinion_scale", "rating") else "none"
