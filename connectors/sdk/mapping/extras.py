"""SQL over the documents for what the mapping does not read: leftover values, and values of the wrong kind."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from connectors.sdk import paths
from connectors.sdk.mapping import duckdb_paths as jp
from connectors.sdk.mapping.duckdb_types import quote
from connectors.sdk.mapping.shape import KINDS, DocumentShape

if TYPE_CHECKING:
    from collections.abc import Iterable

    from connectors.sdk.mapping.coverage import Expectation, Leftover

_WORDS = {"object": "an object", "array": "a list", "scalar": "one value"}


def leftover_sql(leftovers: tuple[Leftover, ...], shape: DocumentShape) -> str:
    """Return SQL giving rid and ``extras``: a JSON object {path: value} of the non-null leftovers, NULL when none."""
    plain = [item for item in leftovers if jp.is_plain(item.path) and not _mixed(item, shape)]
    vector = f"json_extract(payload, [{', '.join(jp.pointer(item.path) for item in plain)}])" if plain else "[]::JSON[]"
    values = {item.path: f"v[{index + 1}]" for index, item in enumerate(plain)}
    members = ", ".join(_member(item, values.get(item.path) or _value(item, shape)) for item in leftovers)
    return (
        f"SELECT rid, CASE WHEN members <> '' THEN '{{' || substr(members, 2) || '}}' END AS extras\n"
        f"FROM (SELECT rid, concat({members}) AS members FROM (SELECT rid, payload, {vector} AS v FROM documents))"
    )


def _member(item: Leftover, value: str) -> str:
    """Return SQL for one ``,"path":value`` of the object, empty where there is no value."""
    name = quote("," + json.dumps(paths.write(item.path), ensure_ascii=False) + ":")
    text = f"CAST({value} AS VARCHAR)"
    return f"CASE WHEN {text} NOT IN ('null', '[]', '{{}}') THEN {name} || {text} END"


def _mixed(item: Leftover, shape: DocumentShape) -> bool:
    """Return True when the node is a container somewhere whose inside is accounted for on its own."""
    return bool(shape.accounted(item.path)) and not item.whole


def _value(item: Leftover, shape: DocumentShape) -> str:
    if jp.is_plain(item.path):
        found = f"json_extract(payload, {jp.pointer(item.path)})"
        if not _mixed(item, shape):
            return found
        inside = ", ".join(quote(kind) for kind in sorted(shape.accounted(item.path)))
        return f"CASE WHEN json_type({found}) NOT IN ({inside}) THEN {found} END"
    found = _rest(item) if item.selectors else jp.elements("payload", item.path)
    kept = f"list_filter({found}, lambda r: r IS NOT NULL AND CAST(r AS VARCHAR) <> 'null')"
    return f"CASE WHEN len({kept}) > 0 THEN to_json({kept}) END"


def _rest(item: Leftover) -> str:
    """Return the values of those list elements that no selector of the mapping takes."""
    at = next(index for index, step in enumerate(item.path) if isinstance(step, paths.Every))
    base = jp.elements("payload", item.path[: at + 1])
    taken = " OR ".join(_taken(step, base) for step in item.selectors)
    others = f"list_filter({base}, lambda o, i: NOT coalesce({taken}, false))"
    inner = item.path[at + 1 :]
    return f"list_transform({others}, lambda o: json_extract(o, {jp.pointer(inner)}))" if jp.is_plain(inner) else others


def _taken(step: paths.Step, base: str) -> str:
    if isinstance(step, paths.Where):
        return f"json_extract_string(o, {jp.pointer((step.key,))}) = {quote(step.literal)}"
    return f"i = {step + 1}" if isinstance(step, int) and step >= 0 else f"i = len({base}) + {int(step) + 1}"  # type: ignore[arg-type]


@dataclass(frozen=True)
class WrongKind:
    """A node where the batch holds a kind of value nobody can take: SQL that is true there, and SQL of the value."""

    condition: str
    path: str
    reason: str
    lenient: bool
    raw: str


def retyped(expectations: list[Expectation], shape: DocumentShape) -> list[WrongKind]:
    """Return the checks that this batch needs; none as long as every node has the kind the mapping expects."""
    return [_wrong(item, kind, shape) for item in expectations for kind in sorted(shape.kinds(item.path) - item.kinds)]


def _wrong(item: Expectation, kind: str, shape: DocumentShape) -> WrongKind:
    """Return the check of one wrong kind; what it says depends on the record alone, not on the rest of the batch."""
    listed = ", ".join(quote(name) for name in sorted(shape.types[item.path]) if KINDS.get(name, "scalar") == kind)
    tests = [
        f"list_has_any({jp.types('payload', path)}, [{listed}])" for path in sorted(item.concrete, key=paths.write)
    ]
    raw = f"json_extract(payload, {jp.pointer(item.path)})"
    if not jp.is_plain(item.path):
        raw = f"to_json({jp.elements('payload', item.path)})"
    return WrongKind(
        condition=f"coalesce({' OR '.join(tests)}, false)",
        path=paths.write(item.path),
        reason=f"expected {_words(item.kinds)}, found {_WORDS[kind]}",
        lenient=item.lenient,
        raw=f"CAST({raw} AS VARCHAR)",
    )


def _words(kinds: Iterable[str]) -> str:
    return " or ".join(_WORDS[kind] for kind in sorted(kinds))
