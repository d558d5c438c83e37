"""Paths in DuckDB SQL. Members and indexes become JSON pointers, so that no character in a name can mean anything."""

from __future__ import annotations

from connectors.sdk import paths
from connectors.sdk.mapping.duckdb_types import quote


def is_plain(path: paths.Path) -> bool:
    """Return True when the path is members and positions from the front only: one pointer reads it."""
    return all(isinstance(step, str) or (isinstance(step, int) and step >= 0) for step in path)


def pointer(path: paths.Path) -> str:
    """Return a plain path as an SQL literal that DuckDB's JSON functions take."""
    if not path:
        return "'$'"
    return quote("".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path))


def elements(document: str, path: paths.Path) -> str:
    """Return the list of JSON values that a path with ``[*]``, ``[?…]`` or ``[-n]`` selects (NULL when no list)."""
    if path and isinstance(path[-1], paths.Pieces | paths.Members):
        return _parts(document, path[:-1], path[-1])
    head, rest = _split(path)
    if not rest:
        return f"[json_extract({document}, {pointer(path)})]"
    found = _select(f"from_json(json_extract({document}, {pointer(head)}), '[\"JSON\"]')", rest[0])
    return _descend(found, rest[1:])


def _parts(document: str, path: paths.Path, last: paths.Pieces | paths.Members) -> str:
    """Return the list of a text's parts, or of an object's members as name and value."""
    if isinstance(last, paths.Pieces):
        parts = f"list_transform(string_split({text(document, path)}, {quote(last.separator)}), lambda s: trim(s))"
        return f"list_transform(list_filter({parts}, lambda s: s <> ''), lambda s: to_json(s))"
    names = f"list_filter(json_keys({document}, {pointer(path)}), lambda n: starts_with(n, {quote(last.prefix)}))"
    at = "'/' || replace(replace(n, '~', '~0'), '/', '~1')"
    inner = f"json_extract(json_extract({document}, {pointer(path)}), {at})"
    return f"list_transform({names}, lambda n: json_object('name', n, 'value', {inner}))"


def _descend(found: str, rest: paths.Path) -> str:
    if not rest:
        return found
    head, more = _split(rest)
    each = f"e{len(rest)}"
    if not more:
        return f"list_transform({found}, lambda {each}: json_extract({each}, {pointer(rest)}))"
    inner = f"from_json(json_extract({each}, {pointer(head)}), '[\"JSON\"]')"
    nested = f"list_transform({found}, lambda {each}: coalesce({_select(inner, more[0])}, []))"
    return _descend(f"flatten({nested})", more[1:])


def _split(path: paths.Path) -> tuple[paths.Path, paths.Path]:
    for index, step in enumerate(path):
        if not is_plain((step,)):
            return path[:index], path[index:]
    return path, ()


def _select(found: str, step: paths.Step) -> str:
    if isinstance(step, paths.Where):
        test = f"json_extract_string(w, {pointer((step.key,))}) = {quote(step.literal)}"
        return f"list_filter({found}, lambda w: {test})"
    if isinstance(step, int):
        return f"list_slice({found}, {step}, {step})"
    return found


def texts(document: str, path: paths.Path) -> str:
    """Return the list of non-null scalars, as text, that a path selects; NULL when there is none."""
    found = f"list_transform({elements(document, path)}, lambda t: nullif(json_extract_string(t, '$'), ''))"
    return f"list_filter({found}, lambda t: t IS NOT NULL)"


def text(document: str, path: paths.Path) -> str:
    """Return the first scalar, as text, that a path selects; null and empty text are NULL."""
    if is_plain(path):
        return f"nullif(json_extract_string({document}, {pointer(path)}), '')"
    return f"nullif(json_extract_string({elements(document, path)}[1], '$'), '')"


def types(document: str, path: paths.Path) -> str:
    """Return the list of JSON types at a path; missing values have none."""
    if is_plain(path):
        return f"[json_type({document}, {pointer(path)})]"
    return f"list_transform({elements(document, path)}, lambda t: json_type(t))"


def generalised(path: paths.Path) -> paths.Path:
    """Return the path with every position and filter widened to ``[*]``: the node of the merged structure."""
    return tuple(
        step if isinstance(step, str) else paths.Every() for step in path if not isinstance(step, paths.Pieces)
    )
