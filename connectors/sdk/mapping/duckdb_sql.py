"""Operators → DuckDB SQL expressions. A failed value travels as a text that begins with ERROR, until it is typed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Final

from connectors.sdk.mapping import transforms, tree
from connectors.sdk.mapping.duckdb_types import quote
from connectors.sdk.mapping.normalisers import ERROR, SEPARATOR

if TYPE_CHECKING:
    from collections.abc import Callable

    from connectors.sdk import paths

_SPACES: Final = "' ' || chr(9) || chr(10) || chr(11) || chr(12) || chr(13) || chr(160)"
_EMAIL: Final = r"^[^@\s<>(),;]+@[^@\s<>(),;]+\.[^@\s<>(),;.]+$"
_DOMAIN: Final = r"^(?:[a-z][a-z0-9+.-]*://)?(?:[^/@]*@)?(?:www\.)?([^/:?#@\s]+\.[^/:?#@\s.]+)\.?(?:[:/?#].*)?$"
_URL: Final = r"^([A-Za-z][A-Za-z0-9+.-]*://[^\s/?#]+\S*|[^\s/?#:@]+\.[^\s/?#:@.]+(?::\d+)?(?:[/?#]\S*)?)$"
_SCHEME: Final = r"^[A-Za-z][A-Za-z0-9+.-]*://"
_MAX_TARGETS: Final = 10
_NATIVE: Final[dict[str, Callable[..., str]]] = {
    "trim": lambda x: f"nullif(trim({x}, {_SPACES}), '')",
    "lower": lambda x: f"lower({x})",
    "upper": lambda x: f"upper({x})",
    "email": lambda x: f"nullif(regexp_extract(lower(trim({x}, {_SPACES})), {quote(_EMAIL)}), '')",
    "domain": lambda x: f"nullif(regexp_extract(lower(trim({x}, {_SPACES})), {quote(_DOMAIN)}, 1), '')",
    "url": lambda x: _url(f"nullif(regexp_extract(trim({x}, {_SPACES}), {quote(_URL)}), '')"),
    "digits": lambda x: f"nullif(regexp_replace({x}, '[^0-9]', '', 'g'), '')",
    "null_if": lambda x, *words: f"CASE WHEN {x} NOT IN ({', '.join(map(quote, words))}) THEN {x} END",
    "replace": lambda x, old, new: f"nullif(replace({x}, {quote(old)}, {quote(new)}), '')",
    "regex": lambda x, pattern, group: f"nullif(regexp_extract({x}, {quote(pattern)}, {group}), '')",
}


def _url(found: str) -> str:
    return f"CASE WHEN regexp_matches({found}, '{_SCHEME}') THEN {found} ELSE 'https://' || {found} END"


@dataclass(frozen=True)
class Sql:
    """An expression: its SQL, whether it gives a list, and whether its value may be a failure."""

    text: str
    is_list: bool = False
    fallible: bool = False


@dataclass(frozen=True)
class Target:
    """What a reference leads to: an object of the connector, or an identifier system."""

    object: str | None
    system: str | None


@dataclass(frozen=True)
class Call:
    """A Python function over columns of an emit's source: run on distinct argument tuples, joined back as ``column``.

    ``hook`` tells a connector's hook from a normaliser; ``path`` is where its failures are reported.
    """

    column: str
    function: str
    arguments: tuple[str, ...]
    is_list: bool = False
    hook: bool = False
    path: str = ""


@dataclass
class Emitter:
    """Emits one emit's expressions; ``column`` answers the column that holds a read's value.

    Python functions are not called from SQL: they are collected in ``calls``, in the order they must run.
    """

    column: Callable[[tree.Read], Sql]
    each: paths.Path | None
    targets: tuple[Target, ...] = ()
    calls: list[Call] = field(default_factory=list)
    _names: count[int] = field(default_factory=count)

    def call(
        self, function: str, arguments: tuple[str, ...], *, is_list: bool = False, hook: bool = False, path: str = ""
    ) -> str:
        """Return the column that will hold a Python function's answers; equal calls share one."""
        made = Call(f"c{len(self.calls)}", function, arguments, is_list, hook, path)
        for known in self.calls:
            if replace(known, column=made.column) == made:
                return known.column
        self.calls.append(made)
        return made.column

    def expression(self, node: tree.Expression) -> Sql:
        """Return the SQL of an expression."""
        return _EMITTERS[type(node)](self, node)

    def condition(self, node: tree.Condition) -> str:
        """Return the SQL of a condition; it is true or false, never NULL."""
        if isinstance(node, tree.Not):
            return f"NOT ({self.condition(node.of)})"
        if isinstance(node, tree.AnyOf | tree.AllOf):
            word = " OR " if isinstance(node, tree.AnyOf) else " AND "
            return "(" + word.join(self.condition(part) for part in node.conditions) + ")"
        value = self.expression(node.of)
        if isinstance(node, tree.Present):
            test = f"coalesce(len({value.text}) > 0, false)" if value.is_list else _is_there(value.text)
            return test if node.expected else f"NOT ({test})"
        listed = ", ".join(map(quote, node.values))
        test = f"list_has_any({value.text}, [{listed}])" if value.is_list else f"{value.text} IN ({listed})"
        return f"coalesce({test}, false)"

    def path_of(self, node: object, otherwise: str) -> str:
        """Return the vendor path that a failure of ``node`` is reported under."""
        found = tree.reads(node)
        return tree.written(found[0], self.each) if found else otherwise

    def mapped(self, value: Sql, function: Callable[[str], str]) -> Sql:
        """Apply a function on text to a value, or to each element of a list; failures pass unchanged."""
        if not value.is_list:
            return Sql(passing(value, function(value.text)), fallible=value.fallible)
        name = f"x{next(self._names)}"
        inner = passing(Sql(name, fallible=value.fallible), function(name))
        return Sql(f"list_transform({value.text}, lambda {name}: {inner})", is_list=True, fallible=value.fallible)


def passing(value: Sql, made: str) -> str:
    """Return ``made``, or the failure that ``value`` already is."""
    return (
        f"CASE WHEN starts_with({value.text}, '{ERROR}') THEN {value.text} ELSE {made} END" if value.fallible else made
    )


def failure(reason: str, path: str) -> str:
    """Return the SQL text of a failure with a fixed reason."""
    return quote(f"{ERROR}{reason}{SEPARATOR}{path}")


def _is_there(text: str) -> str:
    return f"coalesce({text} NOT IN ('[]', '{{}}'), false)"


def _read(emitter: Emitter, node: tree.Read) -> Sql:
    return emitter.column(node)


def _const(_emitter: Emitter, node: tree.Const) -> Sql:
    return Sql(quote(node.value) if node.value else "NULL::VARCHAR")


def _source_key(_emitter: Emitter, _node: tree.SourceKey) -> Sql:
    return Sql("source_key")


def _join(emitter: Emitter, node: tree.Join) -> Sql:
    parts = [emitter.expression(part) for part in node.parts]
    separator = quote(node.separator)
    texts = [f"array_to_string({part.text}, {separator})" if part.is_list else part.text for part in parts]
    made = f"nullif(concat_ws({separator}, {', '.join(texts)}), '')"
    failing = [Sql(text, fallible=True) for text, part in zip(texts, parts, strict=True) if part.fallible]
    for value in failing:
        made = passing(value, made)
    return Sql(made, fallible=bool(failing))


def _alike(parts: list[Sql]) -> list[Sql]:
    """Make all parts lists where one is."""
    if not any(part.is_list for part in parts):
        return parts
    return [
        part if part.is_list else Sql(f"CASE WHEN {part.text} IS NOT NULL THEN [{part.text}] END", True, part.fallible)
        for part in parts
    ]


def _first(emitter: Emitter, node: tree.First) -> Sql:
    parts = _alike([emitter.expression(part) for part in node.parts])
    return Sql(_coalesced(parts), parts[0].is_list, any(part.fallible for part in parts))


def _coalesced(parts: list[Sql]) -> str:
    """Return SQL of the first part that is not null.

    DuckDB 1.5's coalesce() frees the long texts that Python functions give before it copies them (values get mixed up,
    or it crashes); a concatenation owns its texts, and CASE copies.
    """
    if not parts[0].is_list:
        owned = ", ".join(f"{part.text} || ''" for part in parts)
        return f"coalesce({owned})"
    return f"CASE {' '.join(f'WHEN {part.text} IS NOT NULL THEN {part.text}' for part in parts)} END"


def _case(emitter: Emitter, node: tree.Case) -> Sql:
    values = [emitter.expression(branch.then) for branch in node.branches]
    values += [emitter.expression(node.otherwise)] if node.otherwise is not None else []
    parts = _alike(values)
    whens = [
        f"WHEN {emitter.condition(branch.when)} THEN {part.text}"
        for branch, part in zip(node.branches, parts, strict=False)
    ]
    otherwise = f" ELSE {parts[-1].text}" if node.otherwise is not None else ""
    return Sql(f"CASE {' '.join(whens)}{otherwise} END", parts[0].is_list, any(part.fallible for part in parts))


def _lookup(emitter: Emitter, node: tree.Lookup) -> Sql:
    value = emitter.expression(node.of)
    path = emitter.path_of(node, node.name)
    strict = node.otherwise == "error"

    def replaced(text: str) -> str:
        rows = " ".join(f"WHEN {quote(old)} THEN {quote(new)}" for old, new in node.values)
        unknown = failure(f"value not in lookup '{node.name}'", path) if strict else _otherwise(node, text)
        return f"CASE WHEN {text} IS NOT NULL THEN CASE {text} {rows} ELSE {unknown} END END"

    made = emitter.mapped(value, replaced)
    return Sql(made.text, made.is_list, value.fallible or strict)


def _otherwise(node: tree.Lookup, text: str) -> str:
    if node.otherwise == "keep":
        return text
    return quote(node.constant) if node.constant is not None else "NULL"


def unknown_in(emitter: Emitter, node: tree.Lookup) -> str:
    """Return SQL that is true where a lenient lookup met a value it does not know."""
    value = emitter.expression(node.of)
    listed = ", ".join(quote(old) for old, _ in node.values)
    if value.is_list:
        return f"len(list_filter({value.text}, lambda u: u NOT IN ({listed}))) > 0"
    return f"{value.text} NOT IN ({listed})"


def _split(emitter: Emitter, node: tree.Split) -> Sql:
    value = emitter.expression(node.of)
    parts = f"list_transform(string_split({value.text}, {quote(node.separator)}), lambda p: trim(p, {_SPACES}))"
    made = f"list_filter({parts}, lambda p: p <> '')"
    wrapped = f"CASE WHEN starts_with({value.text}, '{ERROR}') THEN [{value.text}] ELSE {made} END"
    return Sql(wrapped if value.fallible else made, is_list=True, fallible=value.fallible)


def _transform(emitter: Emitter, node: tree.Transform) -> Sql:
    value = emitter.expression(node.of)
    if node.name in _NATIVE:
        words = [word for word in node.arguments if isinstance(word, str)]
        return emitter.mapped(value, lambda text: _NATIVE[node.name](text, *words))
    others: tuple[str, ...] = ()
    if node.name == "phone":
        given = [emitter.expression(part).text for part in node.arguments if not isinstance(part, str)]
        others = (given[0] if given else "NULL::VARCHAR", "CAST(getvariable('default_region') AS VARCHAR)")
    column = emitter.call(node.name, (value.text, *others), is_list=value.is_list)
    return Sql(column, value.is_list, value.fallible)


def _hook(emitter: Emitter, node: tree.Hook) -> Sql:
    arguments = tuple(emitter.expression(part).text for part in node.arguments)
    return Sql(emitter.call(node.name, arguments, hook=True, path=emitter.path_of(node, node.name)), fallible=True)


def _scale(emitter: Emitter, node: tree.Scale) -> Sql:
    value = emitter.expression(node.of)
    return emitter.mapped(value, lambda text: f"{text} || 'e-{len(str(node.divisor)) - 1}'")


def _reference(emitter: Emitter, node: tree.Reference) -> Sql:
    value = emitter.expression(node.of)
    if len(emitter.targets) == 1:
        return value
    index = emitter.targets.index(Target(node.object, node.system))
    return emitter.mapped(value, lambda text: f"'{index}' || {text}")


def reference(targets: tuple[Target, ...], text: str) -> str:
    """Return SQL that turns a reference's text into the struct of a ref term."""
    key = text if len(targets) == 1 else f"substr({text}, 2)"

    def pick(values: list[str]) -> str:
        if len(targets) == 1:
            return values[0]
        rows = " ".join(f"WHEN '{index}' THEN {value}" for index, value in enumerate(values))
        return f"CASE substr({text}, 1, 1) {rows} END"

    columns = {
        "object": pick([quote(target.object) if target.object else "NULL" for target in targets]),
        "key": pick([f"nfc_normalize({key})" if target.object else "NULL" for target in targets]),
        "system": pick([quote(target.system) if target.system else "NULL" for target in targets]),
        "value": pick([f"nfc_normalize({key})" if target.system else "NULL" for target in targets]),
    }
    packed = ", ".join(f'"{name}" := CAST({value} AS VARCHAR)' for name, value in columns.items())
    return f"CASE WHEN {text} IS NOT NULL THEN struct_pack({packed}) END"


def targets_of(term: tree.Convert) -> tuple[Target, ...]:
    """Return the distinct targets of a term's references, in the order they are written."""
    found = [Target(node.object, node.system) for node in tree.walk(term) if isinstance(node, tree.Reference)]
    made = tuple(dict.fromkeys(found))
    if len(made) > _MAX_TARGETS:
        raise ValueError(f"'{term.term}' leads to {len(made)} different targets; at most {_MAX_TARGETS}")
    return made


def partial_reads(term: tree.Convert) -> tuple[tree.Read, str] | None:
    """Return the read and the transform of a plain chain that may silently give nothing; None when it cannot."""
    node: object = term.of.of if isinstance(term.of, tree.Reference) else term.of
    partial: str | None = None
    while isinstance(node, tree.Transform):
        if node.name == "null_if":
            return None
        partial = node.name if node.name in transforms.PARTIAL else partial
        node = node.of
    if partial is None or not isinstance(node, tree.Read) or node.shape is not tree.Shape.SCALAR:
        return None
    return node, partial


_EMITTERS: Final[dict[type, Callable[..., Sql]]] = {
    tree.Read: _read,
    tree.Const: _const,
    tree.SourceKey: _source_key,
    tree.Join: _join,
    tree.First: _first,
    tree.Case: _case,
    tree.Lookup: _lookup,
    tree.Split: _split,
    tree.Transform: _transform,
    tree.Hook: _hook,
    tree.Scale: _scale,
    tree.Reference: _reference,
}
