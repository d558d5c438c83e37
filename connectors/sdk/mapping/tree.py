"""The mapping as a tree of operators: what to compute, never how. Emitters (DuckDB now, Spark later) turn it into code.

Every expression gives text (or a list of texts) until ``Convert`` gives it the type of its term. An expression may
fail; a failure carries its reason and the vendor path to the quarantine, and only where the failing branch was taken.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

from connectors.sdk import paths

if TYPE_CHECKING:
    from collections.abc import Iterator


class Root(StrEnum):
    """Where a path starts."""

    RECORD = "record"
    ELEMENT = "element"
    PARENT = "parent"


class Shape(StrEnum):
    """What a path is expected to find: one scalar, a list of scalars, any JSON value, or only its presence."""

    SCALAR = "scalar"
    LIST = "list"
    JSON = "json"
    ANY = "any"


@dataclass(frozen=True)
class Read:
    """The value at a path; JSON null, a missing member and empty text are null."""

    root: Root
    path: paths.Path
    shape: Shape = Shape.SCALAR
    lenient: bool = False


@dataclass(frozen=True)
class Const:
    """A fixed value."""

    value: str


@dataclass(frozen=True)
class Join:
    """Texts put together; nulls are skipped, nothing at all is null."""

    parts: tuple[Expression, ...]
    separator: str


@dataclass(frozen=True)
class First:
    """The first part that is not null."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class Branch:
    """One ``when … then …`` of a Case."""

    when: Condition
    then: Expression


@dataclass(frozen=True)
class Case:
    """The value of the first branch whose condition holds, else ``otherwise`` (null when None)."""

    branches: tuple[Branch, ...]
    otherwise: Expression | None


@dataclass(frozen=True)
class Lookup:
    """A vendor's word replaced by ours; ``otherwise`` is error, keep, null or const (with ``constant``)."""

    of: Expression
    name: str
    values: tuple[tuple[str, str], ...]
    otherwise: str
    constant: str | None = None


@dataclass(frozen=True)
class Split:
    """Text cut into a list; parts are trimmed, empty ones dropped."""

    of: Expression
    separator: str


@dataclass(frozen=True)
class Transform:
    """A named pure function on text, applied to each element of a list; the names are in ``transforms.py``."""

    of: Expression
    name: str
    arguments: tuple[Expression | str, ...] = ()


@dataclass(frozen=True)
class Hook:
    """A function of the connector's hooks.py, applied to distinct argument tuples."""

    name: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True)
class Scale:
    """A number in minor units divided by ``divisor``, exactly."""

    of: Expression
    divisor: int


@dataclass(frozen=True)
class Reference:
    """A reference to another source record, by the vendor's object and key, or by an identifier's system and value."""

    of: Expression
    object: str | None = None
    system: str | None = None


@dataclass(frozen=True)
class SourceKey:
    """The key of the record itself (terms with ``default: self``)."""


@dataclass(frozen=True)
class Convert:
    """An expression with the type of its term: survives exactly, or fails (``lenient``: null and a warning)."""

    of: Expression
    term: str
    type: str
    multi: bool = False
    required: bool = False
    values: tuple[str, ...] = ()
    format: str | None = None
    zone: str | None = None
    lenient: bool = False
    minimum: int | None = None
    maximum: int | None = None


@dataclass(frozen=True)
class Present:
    """True when the value is there and neither null nor empty."""

    of: Expression
    expected: bool = True


@dataclass(frozen=True)
class OneOf:
    """True when the value, as text, is one of ``values``; of a list: when any element is."""

    of: Expression
    values: tuple[str, ...]


@dataclass(frozen=True)
class Not:
    """True when the condition is false."""

    of: Condition


@dataclass(frozen=True)
class AnyOf:
    """True when at least one condition holds."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class AllOf:
    """True when every condition holds."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class HashKey:
    """Row key from the row's own terms, plus its ordinal among equal rows of the record."""


@dataclass(frozen=True)
class Emit:
    """Rows of one entity: one per record, or one per element of ``each``, where ``when`` holds."""

    entity: str
    terms: tuple[Convert, ...]
    key: Expression | HashKey
    each: paths.Path | None = None
    when: Condition | None = None


@dataclass(frozen=True)
class Ignore:
    """Paths left out on purpose; ``prefix`` means every member whose name begins with the last step."""

    path: paths.Path
    reason: str
    prefix: bool = False
    text: str = ""


@dataclass(frozen=True)
class StreamTree:
    """Everything one stream emits, what it leaves out (``ignores``) and what belongs in extras (``keeps``)."""

    stream: str
    object: str
    emits: tuple[Emit, ...]
    ignores: tuple[Ignore, ...] = ()
    key: tuple[paths.Path, ...] = ()
    engine_paths: tuple[paths.Path, ...] = ()
    keeps: tuple[Ignore, ...] = ()


Expression: TypeAlias = (
    Read | Const | Join | First | Case | Lookup | Split | Transform | Hook | Scale | Reference | SourceKey
)
Condition: TypeAlias = Present | OneOf | Not | AnyOf | AllOf


def walk(node: Any) -> Iterator[Any]:
    """Yield ``node`` and every operator below it, parents first."""
    yield node
    for field in fields(node):
        value = getattr(node, field.name)
        children = value if isinstance(value, tuple) else (value,)
        for child in children:
            if hasattr(child, "__dataclass_fields__"):
                yield from walk(child)


def reads(node: Any) -> list[Read]:
    """Return every path an operator reads, in the order it is written."""
    return [part for part in walk(node) if isinstance(part, Read)]


def full_path(read: Read, each: paths.Path | None) -> paths.Path:
    """Return where a read is in the whole record; element paths are put behind ``each``."""
    return (*(each or ()), *read.path) if read.root is Root.ELEMENT else read.path


def written(read: Read, each: paths.Path | None) -> str:
    """Return a read's path as an author would write it at record level; the parent's begin with ``_parent``."""
    if read.root is Root.PARENT:
        return "_parent" + ("." + paths.write(read.path) if read.path else "")
    return paths.write(full_path(read, each))
