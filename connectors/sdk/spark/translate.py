"""A query of the definitions (DuckDB SQL) as a query of Spark 3.5 that gives the same, or a refusal that names why not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar, cast

from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB

from connectors.sdk.spark.functions import NAMED, PLAIN, RULES, NotOnSpark

Columns = Callable[[str], Sequence[str]]
"""Answers the columns of a table: Spark 3.5 has neither ``* REPLACE`` nor ``* EXCLUDE``."""


_NO_ESCAPE = frozenset("\a\v\f")
"""Characters that are written as escapes which Spark does not know: it would read a letter."""


class Definitions(DuckDB):
    """DuckDB's SQL as the definitions use it: ``len`` is of lists, ``length`` of texts."""

    class Parser(DuckDB.Parser):  # type: ignore[misc,valid-type]
        """Keeps apart what DuckDB's own parser takes for one function."""

        FUNCTIONS: ClassVar = {**DuckDB.Parser.FUNCTIONS, "LEN": exp.ArraySize.from_arg_list}


def parse(sql: str) -> list[exp.Expression]:
    """Return the statements of a text."""
    return [cast("exp.Expression", found) for found in Definitions().parse(sql) if found is not None]


def to_spark(
    query: str | exp.Expression,
    *,
    columns: Columns | None = None,
    variables: Mapping[str, str | None] | None = None,
    functions: Collection[str] = (),
) -> str:
    """Return the query for Spark.

    ``variables`` are put in for getvariable(); ``functions`` are names that the session knows besides.
    """
    tree = parse(query)[0] if isinstance(query, str) else query.copy()
    _expand_stars(tree, columns)
    tree = _without_qualify(tree)
    for each in reversed(list(tree.walk())):
        node = cast("exp.Expression", each)
        made = _translated(node, variables or {}, functions)
        if made is not node:
            tree = _put(tree, node, made)
    return str(tree.sql(dialect="spark"))


def _put(tree: exp.Expression, node: exp.Expression, made: exp.Expression) -> exp.Expression:
    if node is tree:
        return made
    node.replace(made)
    return tree


def _translated(node: Any, variables: Mapping[str, str | None], functions: Collection[str]) -> exp.Expression:
    rule = RULES.get(type(node))
    if rule is not None:
        return rule(node)
    if isinstance(node, exp.Anonymous):
        return _function(node, variables, functions)
    if type(node) not in PLAIN and not isinstance(node, exp.RegexpExtract):
        raise NotOnSpark(f"{type(node).__name__} in: {node.sql(dialect='duckdb')}")
    if isinstance(node, exp.Literal) and node.is_string and set(node.this) & _NO_ESCAPE:
        raise NotOnSpark(f"a control character in the text {node.this!r}")
    if isinstance(node, exp.CTE):
        node.set("materialized", None)
    return cast("exp.Expression", node)


def _function(node: Any, variables: Mapping[str, str | None], functions: Collection[str]) -> exp.Expression:
    name = node.name.lower()
    if name == "getvariable":
        value = variables.get(node.expressions[0].this)
        return exp.Null() if value is None else exp.Literal.string(value)
    if name in NAMED:
        return NAMED[name](node)
    if name in functions:
        return cast("exp.Expression", node)
    raise NotOnSpark(f"the function {node.name}() in: {node.sql(dialect='duckdb')}")


def _expand_stars(tree: exp.Expression, columns: Columns | None) -> None:
    """Write out ``* REPLACE`` and ``* EXCLUDE`` of a table."""
    for star in list(tree.find_all(exp.Star)):
        replaced = {one.alias: one.this for one in star.args.get("replace") or ()}
        left_out = {one.name for one in star.args.get("except_") or ()}
        if not replaced and not left_out:
            continue
        select = star.find_ancestor(exp.Select)
        whole = star.parent if isinstance(star.parent, exp.Column) else star
        if select is None or columns is None:
            raise NotOnSpark(f"the columns are not known: {star.sql(dialect='duckdb')}")
        table = whole.table if isinstance(whole, exp.Column) else select.args["from_"].this.name
        shown = [name for name in columns(table) if name not in left_out]
        named = [
            exp.alias_(replaced[name].copy(), name, quoted=True)
            if name in replaced
            else exp.column(name, table=table, quoted=True)
            for name in shown
        ]
        at = select.expressions.index(whole)
        select.set("expressions", [*select.expressions[:at], *named, *select.expressions[at + 1 :]])


def _without_qualify(tree: exp.Expression) -> exp.Expression:
    """Turn QUALIFY into a WHERE around the query, which shows the same columns."""
    for qualify in list(tree.find_all(exp.Qualify)):
        select = qualify.parent
        assert isinstance(select, exp.Select)
        names = _shown(tree, select)
        qualify.pop()
        inner = select.copy().select(exp.alias_(qualify.this, "qualifies"))
        outer = exp.select(*(exp.column(name, quoted=True) for name in names))
        tree = _put(tree, select, outer.from_(inner.subquery("qualified")).where("qualifies"))
    return tree


def _shown(tree: exp.Expression, select: exp.Select) -> list[str]:
    """Return the names that a select shows; a star is what the subquery that it reads shows."""
    source = select.args["from_"].this
    names: list[str] = []
    for shown in select.expressions:
        if isinstance(shown, exp.Star):
            known = {cte.alias: cte.this for cte in tree.find_all(exp.CTE)}
            if source.name not in known:
                raise NotOnSpark(f"the columns of {source.name} are not known")
            names += known[source.name].named_selects
        else:
            names.append(shown.alias_or_name)
    return names
