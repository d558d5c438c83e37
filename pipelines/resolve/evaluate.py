"""The SQL that makes a normal form, evaluated for one record in Python: one definition, no statement to be planned.

DuckDB parses an expression; what it means is said here, node by node, and a property test holds it to DuckDB. A node that
nothing of ours uses is refused when the expression is compiled, never while a record waits.
"""

from __future__ import annotations

import json
import operator
from typing import TYPE_CHECKING, Any

from pipelines.resolve.functions import FUNCTIONS, hash_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import duckdb

    Row = Mapping[str, Any]
    Expression = Callable[[Row], Any]
    Node = Mapping[str, Any]

_COMPARED = {
    "COMPARE_EQUAL": operator.eq,
    "COMPARE_NOTEQUAL": operator.ne,
    "COMPARE_GREATERTHAN": operator.gt,
    "COMPARE_GREATERTHANOREQUALTO": operator.ge,
    "COMPARE_LESSTHAN": operator.lt,
    "COMPARE_LESSTHANOREQUALTO": operator.le,
}


def compiled(con: duckdb.DuckDBPyConnection, expressions: Iterable[str]) -> list[Expression]:
    """Return each SQL expression as a function of a row; a column that the row lacks is NULL."""
    listed = list(expressions)
    if not listed:
        return []
    found = con.execute("SELECT json_serialize_sql(?)", [f"SELECT {', '.join(listed)}"]).fetchone()
    tree = json.loads(found[0]) if found else {}
    if tree.get("error"):
        message = f"an expression of a normal form cannot be parsed: {tree.get('error_message')}"
        raise ValueError(message)
    return [_node(node) for node in tree["statements"][0]["node"]["select_list"]]


def _node(node: Node) -> Expression:
    make = _NODES.get(node["class"])
    if make is None:
        raise _unknown(node)
    return make(node)


def _unknown(node: Node) -> NotImplementedError:
    what = node.get("function_name", node["type"])
    return NotImplementedError(f"no Python form of {what!r} in an expression of a normal form")


def _constant(node: Node) -> Expression:
    value = None if node["value"]["is_null"] else node["value"]["value"]
    return lambda _row: value


def _column(node: Node) -> Expression:
    name = node["column_names"][-1]
    return lambda row: row.get(name)


def _function(node: Node) -> Expression:
    name, children = node["function_name"], node["children"]
    special = _SPECIAL.get(name)
    if special is not None:
        return special(children)
    call, given = FUNCTIONS.get(name), [_node(child) for child in children]
    if call is None:
        raise _unknown(node)
    if len(given) == 1:
        return _of_one(call, given[0])

    def evaluated(row: Row) -> Any:
        values = [each(row) for each in given]
        return None if None in values else call(*values)

    return evaluated


def _of_one(call: Callable[[Any], Any], given: Expression) -> Expression:
    def evaluated(row: Row) -> Any:
        value = given(row)
        return None if value is None else call(value)

    return evaluated


def _nullif(children: list[Node]) -> Expression:
    one, other = (_node(child) for child in children)

    def evaluated(row: Row) -> Any:
        value = one(row)
        return None if value == other(row) else value

    return evaluated


def _list_value(children: list[Node]) -> Expression:
    given = [_node(child) for child in children]
    return lambda row: [each(row) for each in given]


def _list_concat(children: list[Node]) -> Expression:
    given = [_node(child) for child in children]
    return lambda row: [value for each in given for value in each(row) or ()]


def _hash(children: list[Node]) -> Expression:
    given = [_node(child) for child in children]
    return lambda row: hash_of(*(each(row) for each in given))


def _like(children: list[Node]) -> Expression:
    """Hold a text to a pattern of the form ``%…%…%``: parts that come one after the other."""
    if children[1]["class"] != "CONSTANT":
        raise _unknown(children[1])
    text, wanted = _node(children[0]), str(children[1]["value"]["value"])
    parts = wanted.split("%")
    if len(parts) < 3 or parts[0] or parts[-1] or "_" in wanted:  # noqa: PLR2004  one % at each end
        message = f"no Python form of LIKE {wanted!r}"
        raise NotImplementedError(message)

    def evaluated(row: Row) -> bool | None:
        value, at = text(row), 0
        for part in parts if value is not None else ():
            at = value.find(part, at)
            if at < 0:
                return False
            at += len(part)
        return None if value is None else True

    return evaluated


def _each(children: list[Node], *, keep: bool) -> Expression:
    """Apply a lambda to every value of a list, and return what it gives or (``keep``) the values of which it is true."""
    values, name, body = _node(children[0]), children[1]["lhs"]["column_names"][-1], _node(children[1]["expr"])

    def evaluated(row: Row) -> Any:
        listed = values(row)
        if listed is None:
            return None
        inner = dict(row)
        result = []
        for value in listed:
            inner[name] = value
            found = body(inner)
            if not keep:
                result.append(found)
            elif found:
                result.append(value)
        return result

    return evaluated


def _case(node: Node) -> Expression:
    cases = [(_node(each["when_expr"]), _node(each["then_expr"])) for each in node["case_checks"]]
    otherwise = _node(node["else_expr"])

    def evaluated(row: Row) -> Any:
        for when, then in cases:
            if when(row):
                return then(row)
        return otherwise(row)

    return evaluated


def _operator(node: Node) -> Expression:
    kind, given = node["type"], [_node(child) for child in node["children"]]
    first = given[0]
    if kind == "OPERATOR_COALESCE":
        return lambda row: next((value for each in given if (value := each(row)) is not None), None)
    if kind == "OPERATOR_NOT":
        return lambda row: None if (value := first(row)) is None else not value
    if kind == "OPERATOR_IS_NOT_NULL":
        return lambda row: first(row) is not None
    if kind == "OPERATOR_IS_NULL":
        return lambda row: first(row) is None
    if kind == "ARRAY_EXTRACT":
        return _element(first, given[1])
    if kind in ("COMPARE_IN", "COMPARE_NOT_IN"):
        return _among(first, given[1:], inside=kind == "COMPARE_IN")
    raise _unknown(node)


def _element(values: Expression, place: Expression) -> Expression:
    def evaluated(row: Row) -> Any:
        listed, at = values(row), place(row)
        return listed[at - 1] if listed is not None and len(listed) >= at else None

    return evaluated


def _among(value: Expression, others: list[Expression], *, inside: bool) -> Expression:
    def evaluated(row: Row) -> bool | None:
        wanted = value(row)
        if wanted is None:
            return None
        known = [other(row) for other in others]
        if wanted in known:
            return inside
        return None if None in known else not inside

    return evaluated


def _comparison(node: Node) -> Expression:
    compare = _COMPARED.get(node["type"])
    if compare is None:
        raise _unknown(node)
    left, right = _node(node["left"]), _node(node["right"])

    def evaluated(row: Row) -> bool | None:
        one, other = left(row), right(row)
        return None if one is None or other is None else bool(compare(one, other))

    return evaluated


def _conjunction(node: Node) -> Expression:
    """Join conditions; the one that decides (false for AND, true for OR) ends it, else NULL does."""
    decisive = node["type"] == "CONJUNCTION_OR"
    given = [_node(child) for child in node["children"]]

    def evaluated(row: Row) -> bool | None:
        unknown = False
        for each in given:
            value = each(row)
            if value is None:
                unknown = True
            elif bool(value) is decisive:
                return decisive
        return None if unknown else not decisive

    return evaluated


def _cast(node: Node) -> Expression:
    child, kind = _node(node["child"]), node["cast_type"]["id"]
    if kind == "VARCHAR":
        return lambda row: None if (value := child(row)) is None else str(value)
    if kind in ("LIST", "UNBOUND", "USER"):
        return child
    raise _unknown({**node, "function_name": f"a cast to {kind}"})


_NODES: Mapping[str, Callable[[Node], Expression]] = {
    "CONSTANT": _constant,
    "COLUMN_REF": _column,
    "FUNCTION": _function,
    "CASE": _case,
    "OPERATOR": _operator,
    "COMPARISON": _comparison,
    "CONJUNCTION": _conjunction,
    "CAST": _cast,
}
_SPECIAL: Mapping[str, Callable[[list[Node]], Expression]] = {
    "nullif": _nullif,
    "list_value": _list_value,
    "list_concat": _list_concat,
    "hash": _hash,
    "~~": _like,
    "list_transform": lambda children: _each(children, keep=False),
    "list_filter": lambda children: _each(children, keep=True),
}
