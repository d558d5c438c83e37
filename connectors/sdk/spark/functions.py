"""What every function and operator of the definitions is on Spark 3.5; what is not here is refused, not guessed.

Each rule gets a node whose arguments are translated already. The comments say where Spark's own function of that name means
something else. Names that begin with ``unisono_`` are in ``Functions.java``, or are Python functions of the session.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from sqlglot import exp

from connectors.sdk.spark.patterns import java_pattern, java_replacement

Rule = Callable[[Any], exp.Expression]


class NotOnSpark(ValueError):
    """A definition uses something that has no exact form on Spark."""


def call(name: str, *arguments: exp.Expression) -> exp.Anonymous:
    """Return a call of a Spark function."""
    return exp.Anonymous(this=name, expressions=list(arguments))


def text(value: str) -> exp.Literal:
    """Return a text literal."""
    return exp.Literal.string(value)


def number(value: int) -> exp.Expression:
    """Return an integer literal."""
    return exp.Literal.number(value)


def _literal(node: Any, what: str) -> str:
    if not isinstance(node, exp.Literal) or not node.is_string:
        raise NotOnSpark(f"{what} must be written out, not computed")
    return str(node.this)


def _pattern(node: Any, around: str = "{}") -> exp.Literal:
    """Return a pattern for Java; ``around`` is what is put around it, in Java's own spelling."""
    try:
        return text(around.format(java_pattern(_literal(node, "a pattern"))))
    except ValueError as why:
        raise NotOnSpark(str(why)) from why


def _matches(node: Any) -> exp.Expression:
    return exp.RegexpLike(this=node.this, expression=_pattern(node.expression))


def _full_match(node: Any) -> exp.Expression:
    pattern = _literal(node.expression, "a pattern")
    return exp.RegexpLike(this=node.this, expression=_pattern(text(f"^(?:{pattern})$")))


def _extract(node: Any) -> exp.Expression:
    """Spark takes group 1 where none is named; of several groups one is taken by the dot behind (``_member``)."""
    group = node.args.get("group") or number(0)
    if isinstance(group, exp.Anonymous):
        return cast("exp.Expression", node)
    return call("regexp_extract", node.this, _pattern(node.expression), group)


def _member(node: Any) -> exp.Expression:
    """``regexp_extract(x, p, ['a', 'b']).b`` is the second group; other dots are members of a struct."""
    found = node.this
    if not isinstance(found, exp.RegexpExtract):
        return exp.Dot(this=node.this, expression=node.expression)
    names = [name.this for name in found.args["group"].expressions]
    return call("regexp_extract", found.this, _pattern(found.expression), number(1 + names.index(node.expression.name)))


def _replace_pattern(node: Any) -> exp.Expression:
    """Spark replaces all; the first only is what a pattern matches that takes in all before it."""
    replacement = java_replacement(_literal(node.args["replacement"], "a replacement"))
    if "g" in (node.args["modifiers"].this if node.args.get("modifiers") else ""):
        return call("regexp_replace", node.this, _pattern(node.expression), text(replacement))
    shifted = "$1" + re.sub(r"(?<!\\)\$(\d)", lambda found: f"${int(found[1]) + 1}", replacement)
    return call("regexp_replace", node.this, _pattern(node.expression, r"\A((?s:.*?))(?:{})"), text(shifted))


def _split(node: Any) -> exp.Expression:
    """Spark splits at a pattern, and drops nothing only when told so."""
    separator = re.sub(r"([^\w\s])", r"\\\1", _literal(node.expression, "a separator"))
    return call("split", node.this, text(separator), number(-1))


def _array(node: Any) -> exp.Expression:
    if node.expressions:
        return call("array", *node.expressions)
    return exp.cast(call("array"), exp.DataType.build("array<text>"))


def _nullif(node: Any) -> exp.Expression:
    """Comparing with the empty list is asking for its size."""
    other = node.expression
    if isinstance(other, exp.Cast) and isinstance(other.this, exp.Anonymous) and not other.this.expressions:
        size = exp.GT(this=call("size", node.this.copy()), expression=number(0))
        return exp.Case(ifs=[exp.If(this=size, true=node.this)])
    return call("nullif", node.this, other)


def _element(node: Any) -> exp.Expression:
    """The parser counts from zero already; beyond the end there is NULL in ``get`` only."""
    return call("get", node.this, node.expressions[0])


_SEPARATORS: Final = " \u00a0\u1680" + "".join(chr(code) for code in range(0x2000, 0x200B)) + "\u202f\u205f\u3000"


def _trim(node: Any) -> exp.Expression:
    """Without characters named DuckDB takes off every space separator, Spark the blank only."""
    return exp.Trim(this=node.this, expression=node.args.get("expression") or text(_SEPARATORS))


def _character(node: Any) -> exp.Expression:
    """As a literal, a vertical tab would be written as an escape that Spark reads as the letter ``v``."""
    return call("chr", node.expressions[0])


_INSTANTS: Final = (exp.DataType.Type.TIMESTAMPTZ, exp.DataType.Type.TIMESTAMP, exp.DataType.Type.TIMESTAMPNTZ)


def _cast(node: Any) -> exp.Expression:
    """Spark reads other forms of instants, and other offsets, than DuckDB does."""
    kind = node.to.this
    if kind in _INSTANTS:
        if isinstance(node, exp.TryCast):
            return call("timestamp_micros", call("unisono_instant", node.this))
        return cast("exp.Expression", node.this)  # what is cast here is an instant in UTC already
    if kind is exp.DataType.Type.UBIGINT:
        return exp.Cast(this=node.this, to=exp.DataType.build("bigint"))
    return exp.TryCast(this=node.this, to=node.to) if isinstance(node, exp.TryCast) else node


def _struct(node: Any) -> exp.Expression:
    members: list[exp.Expression] = []
    for part in node.expressions:
        members += [text(part.this.name), part.expression]
    return call("named_struct", *members)


def _list(node: Any) -> exp.Expression:
    """A list of nothing is NULL, and the order is that of the values: Spark has no other for a collected list."""
    value = node.this
    if isinstance(value, exp.Order):
        if [one.this for one in value.expressions] != [value.this]:
            raise NotOnSpark(f"another order than that of the values: {node.sql(dialect='duckdb')}")
        value = value.this
    parent = node.parent
    return call("array_sort", call("collect_list", value)) if isinstance(parent, exp.Filter) else _none_is_null(value)


def _none_is_null(value: exp.Expression, condition: exp.Expression | None = None) -> exp.Expression:
    listed: exp.Expression = call("collect_list", value)
    if condition is not None:
        listed = exp.Filter(this=listed, expression=condition)
    some = exp.GT(this=call("size", listed.copy()), expression=number(0))
    return exp.Case(ifs=[exp.If(this=some, true=call("array_sort", listed))])


def _filtered(node: Any) -> exp.Expression:
    """FILTER belongs to the aggregate inside what it became."""
    inner = node.this
    if isinstance(inner, exp.Anonymous) and inner.name == "array_sort":
        return _none_is_null(inner.expressions[0].expressions[0], node.expression)
    return cast("exp.Expression", node)


def _concat(node: Any) -> exp.Expression:
    """DuckDB's concat() skips what is NULL."""
    return call("concat_ws", text(""), *node.expressions)


def _list_concat(node: Any) -> exp.Expression:
    empty = exp.cast(call("array"), exp.DataType.build("array<text>"))
    return call("concat", *(exp.Coalesce(this=part, expressions=[empty.copy()]) for part in node.expressions))


def _json(node: Any) -> exp.Expression:
    """Spark writes lists and structs only: a list of one, without its brackets."""
    written = call("to_json", call("array", node.expressions[0]))
    return call("substr", written, number(2), exp.Sub(this=call("length", written.copy()), expression=number(2)))


def _strptime(node: Any) -> exp.Expression:
    formats = node.expressions[1]
    listed = formats.expressions if isinstance(formats, exp.Anonymous) else [formats]
    known = json.dumps([_literal(each, "a format") for each in listed])
    return call("timestamp_micros", call("unisono_strptime", node.expressions[0], text(known)))


def _in_zone(node: Any) -> exp.Expression:
    zone, local = node.expressions
    return call("timestamp_micros", call("unisono_in_zone", call("unix_micros", local), zone))


def _formatted(node: Any) -> exp.Expression:
    if _literal(node.args["format"], "a format") != "%Y-%m-%d":
        raise NotOnSpark(f"the format {node.args['format'].this}")
    return call("date_format", node.this, text("yyyy-MM-dd"))


def _sorted(node: Any) -> exp.Expression:
    ascending = node.args.get("asc")
    if isinstance(ascending, exp.Boolean) and not ascending.this:
        return call("sort_array", node.this, exp.false())
    return call("array_sort", node.this)


def _arg_min(node: Any) -> exp.Expression:
    order = node.expression
    by = call("struct", *order.expressions) if isinstance(order, exp.Tuple) else order
    return call("min_by", node.this, by)


def _renamed(name: str, *members: str) -> Rule:
    """Return the rule of a function that has another name and the same arguments, in the order of ``members``."""

    def rule(node: Any) -> exp.Expression:
        given = [node.args.get(member) for member in members]
        return call(name, *(part for part in given if part is not None))

    return rule


def _named(name: str) -> Rule:
    return lambda node: call(name, *node.expressions)


def _all(name: str) -> Rule:
    return lambda node: call(name, *([node.this] if node.this is not None else []), *node.expressions)


RULES: Final[Mapping[type[exp.Expression], Rule]] = {
    exp.RegexpLike: _matches,
    exp.RegexpFullMatch: _full_match,
    exp.RegexpExtract: _extract,
    exp.RegexpReplace: _replace_pattern,
    exp.Dot: _member,
    exp.Split: _split,
    exp.Array: _array,
    exp.Nullif: _nullif,
    exp.Bracket: _element,
    exp.Trim: _trim,
    exp.Chr: _character,
    exp.Cast: _cast,
    exp.TryCast: _cast,
    exp.Struct: _struct,
    exp.ArrayAgg: _list,
    exp.Filter: _filtered,
    exp.Concat: _concat,
    exp.ArrayConcat: lambda node: _list_concat(exp.Anonymous(expressions=[node.this, *node.expressions])),
    exp.TimeToStr: _formatted,
    exp.SortArray: _sorted,
    exp.ArgMin: _arg_min,
    exp.AtTimeZone: lambda node: node.this,  # of an instant in UTC; other zones go through timezone()
    exp.UnixToTime: _renamed("timestamp_micros", "this"),
    exp.ArraySize: _renamed("size", "this"),
    exp.Length: _renamed("length", "this"),
    exp.Lower: _renamed("unisono_lower", "this"),  # Spark's makes two characters of one, and looks at the neighbours
    exp.Upper: _renamed("unisono_upper", "this"),
    exp.Left: _renamed("left", "this", "expression"),
    exp.Right: _renamed("right", "this", "expression"),
    exp.Substring: _renamed("substr", "this", "start", "length"),
    exp.StrPosition: _renamed("instr", "this", "substr"),
    exp.SplitPart: _renamed("split_part", "this", "delimiter", "part_index"),
    exp.Pad: _renamed("lpad", "this", "expression", "fill_pattern"),
    exp.Translate: _renamed("translate", "this", "from_", "to"),
    exp.Replace: _renamed("replace", "this", "expression", "replacement"),
    exp.StartsWith: _renamed("startswith", "this", "expression"),
    exp.Contains: _renamed("contains", "this", "expression"),
    exp.MD5: _renamed("md5", "this"),
    exp.Abs: _renamed("abs", "this"),
    exp.Min: _renamed("min", "this"),
    exp.Sum: _renamed("sum", "this"),
    exp.AnyValue: _renamed("any_value", "this"),
    exp.IgnoreNulls: lambda node: call(node.this.name, *node.this.expressions, exp.true()),
    exp.LogicalOr: _renamed("bool_or", "this"),
    exp.Least: _all("least"),
    exp.ConcatWs: _all("concat_ws"),
    exp.ArrayToString: _renamed("array_join", "this", "expression"),
    exp.ArrayDistinct: _renamed("array_distinct", "this"),
    exp.ArrayOverlaps: _renamed("arrays_overlap", "this", "expression"),
    exp.ArrayFilter: _renamed("filter", "this", "expression"),
    exp.Transform: _renamed("transform", "this", "expression"),
    exp.Explode: _renamed("explode", "this"),
    exp.JarowinklerSimilarity: _renamed("unisono_jaro_winkler", "this", "expression"),  # Splink's differs in 10 %
    exp.Levenshtein: lambda node: call("levenshtein", _bytes(node.this), _bytes(node.expression)),
    exp.BitwiseLeftShift: _renamed("shiftleft", "this", "expression"),
    exp.BitwiseRightShift: _renamed("shiftright", "this", "expression"),
}


def _bytes(value: exp.Expression) -> exp.Expression:
    """Return the text whose characters are the bytes of a text: DuckDB counts those."""
    return call("decode", call("encode", value, text("UTF-8")), text("ISO-8859-1"))


NAMED: Final[Mapping[str, Rule]] = {
    "nfc_normalize": _named("unisono_nfc"),
    "strip_accents": _named("unisono_strip_accents"),
    "strlen": _named("octet_length"),
    "hash": _named("xxhash64"),  # compared with what the same engine gave only
    "list_intersect": _named("array_intersect"),
    "damerau_levenshtein": lambda node: call("damerau_levenshtein", *map(_bytes, node.expressions)),  # Splink's
    "to_json": _json,
    "try_strptime": _strptime,
    "timezone": _in_zone,
}
PLAIN: Final = frozenset(
    {
        exp.Add, exp.Alias, exp.And, exp.Anonymous, exp.Between, exp.BitwiseAnd, exp.BitwiseOr, exp.Boolean, exp.Case,
        exp.Coalesce, exp.Column, exp.Count, exp.CTE, exp.DataType, exp.DataTypeParam, exp.Distinct, exp.DPipe, exp.EQ,
        exp.From, exp.Group, exp.GT, exp.GTE, exp.Having, exp.Identifier, exp.If, exp.In, exp.Is, exp.Join, exp.Lambda,
        exp.Like, exp.Literal, exp.LT, exp.LTE, exp.Mul, exp.Neg, exp.NEQ, exp.Not, exp.Null, exp.Or, exp.Paren,
        exp.Order, exp.Ordered, exp.PropertyEQ, exp.Select, exp.Star, exp.Sub, exp.Subquery, exp.Table, exp.TableAlias,
        exp.Tuple, exp.Union, exp.Where, exp.Window, exp.With,
    }
)  # fmt: skip
"""What SQL itself consists of, and means the same on both engines."""
