"""Which leaves of a batch are mapped, which are ignored with a reason, and which nobody said anything about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from connectors.sdk import paths
from connectors.sdk.mapping import duckdb_paths as jp
from connectors.sdk.mapping import tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from connectors.sdk.mapping.shape import DocumentShape


@dataclass(frozen=True)
class Expectation:
    """What kinds of JSON value the mapping can take at one node, and how the node is read."""

    path: paths.Path
    kinds: frozenset[str]
    lenient: bool
    concrete: frozenset[paths.Path]


@dataclass(frozen=True)
class Leftover:
    """A leaf nobody reads; ``selectors`` are the positions or filters of the list elements that somebody does read.

    ``whole``: a list in one piece, although its inside has leaves of its own.
    """

    path: paths.Path
    count: int
    selectors: tuple[paths.Step, ...] = ()
    whole: bool = False


@dataclass(frozen=True)
class Coverage:
    """Leaves by what becomes of them; both ``unmapped`` and ``kept`` go to extras, only the former are reported."""

    unmapped: tuple[Leftover, ...]
    kept: tuple[Leftover, ...]
    ignored: Mapping[str, int]
    used: frozenset[str]


class Reader:
    """What one stream's mapping reads and ignores."""

    def __init__(self, stream: tree.StreamTree) -> None:
        self.stream = stream
        found = [
            (tree.full_path(read, emit.each), read)
            for emit in stream.emits
            for read in tree.reads(emit)
            if read.root is not tree.Root.PARENT
        ]
        self.reads = [(path, read) for path, read in found if not _of_members(path)]
        self.eaches = {emit.each for emit in stream.emits if emit.each is not None}
        self._members = [each for each in self.eaches if _of_members(each)]
        self._valued = [
            (each, read.lenient)
            for each in self._members
            for path, read in found
            if path == (*each, "value") and read.shape not in (tree.Shape.JSON, tree.Shape.ANY)
        ]
        self._patterns = self._build_patterns()

    def _build_patterns(self) -> list[tuple[paths.Path, bool]]:
        """Return (path, whole): where a read takes what is there; ``whole`` when also everything below.

        What a hook makes of a list is its secret: the members inside are accounted for on their own.
        """
        handed = {
            read
            for emit in self.stream.emits
            for node in tree.walk(emit)
            if isinstance(node, tree.Hook)
            for read in tree.reads(node)
        }
        found = [(path, read.shape is tree.Shape.JSON and read not in handed) for path, read in self.reads]
        found += [(path, False) for path in self.stream.engine_paths]
        for path in [*(path for path, _ in self.reads), *self.eaches]:
            for index, step in enumerate(path):
                if isinstance(step, paths.Where):
                    found.append(((*path[:index], paths.Every(), step.key), False))
        return found

    def values(self) -> set[paths.Path]:
        """Return the nodes whose own scalar or scalars become a term's value."""
        taken = (tree.Shape.SCALAR, tree.Shape.LIST)
        return {jp.generalised(path) for path, read in self.reads if read.shape in taken}

    def depends_on(self, path: paths.Path) -> bool:
        """Return True when some read takes the node, something below it, or all of what it lies in."""
        return any(_reads(jp.generalised(pattern), path, whole=whole) for pattern, whole in self._patterns)

    def objects(self) -> set[paths.Path]:
        """Return the nodes that reads pass through: worth looking into without asking first."""
        return {
            jp.generalised(path[:end])
            for path, _ in self.reads
            for end in range(1, len(path))
            if isinstance(path[end], str)
        }

    def expectations(self) -> list[Expectation]:
        """Return what the mapping can take at each node it touches."""
        kinds: dict[paths.Path, set[str]] = {}
        lenient: dict[paths.Path, bool] = {}
        concrete: dict[paths.Path, set[paths.Path]] = {}
        for path, kind, soft in self._wants():
            node = jp.generalised(path)
            kinds.setdefault(node, set()).update(kind)
            lenient[node] = lenient.get(node, True) and soft
            concrete.setdefault(node, set()).add(path)
        return [Expectation(node, frozenset(kinds[node]), lenient[node], frozenset(concrete[node])) for node in kinds]

    def of_members(self, nodes: Iterable[paths.Path]) -> list[Expectation]:
        """Return what is expected of each member, among ``nodes``, whose own value an ``each:`` over members reads."""
        return [
            Expectation(node, frozenset({"scalar"}), lenient, frozenset({node}))
            for node in nodes
            for each, lenient in self._valued
            if len(node) == len(each) and _is_member(each, node)
        ]

    def _wants(self) -> Iterable[tuple[paths.Path, set[str], bool]]:
        for path, read in self.reads:
            for end in range(1, len(path)):
                yield path[:end], {_holder(path[end])}, False
            any_kind = read.shape in (tree.Shape.JSON, tree.Shape.ANY)
            if path:
                yield path, {"scalar", "object", "array"} if any_kind else {"scalar"}, read.lenient
        for path in self.eaches:
            yield path[:-1], {_holder(path[-1])}, False

    def cover(self, shape: DocumentShape) -> Coverage:
        """Say for each leaf of a batch what becomes of it."""
        unmapped: list[Leftover] = []
        kept: list[Leftover] = []
        ignored: dict[str, int] = {}
        used: set[str] = set()
        for leaf, number in sorted(shape.leaves().items(), key=lambda item: paths.write(item[0])):
            selectors = self._selectors(leaf)
            if selectors == ():
                continue
            rule = next((item for item in self.stream.ignores if ignores(item, leaf)), None)
            if rule is not None:
                ignored[paths.write(leaf)] = number
                used.add(rule.text)
            else:
                wanted = any(ignores(item, leaf) for item in self.stream.keeps)
                (kept if wanted else unmapped).append(Leftover(leaf, number, selectors or ()))
        return Coverage(self._whole_lists(unmapped, shape), self._whole_lists(kept, shape), ignored, frozenset(used))

    def _whole_lists(self, leftovers: list[Leftover], shape: DocumentShape) -> tuple[Leftover, ...]:
        """Put the leaves of a list that nobody looks into together again: what is in one element belongs together."""
        found: dict[paths.Path, Leftover] = {}
        for item in leftovers:
            head = self._untouched_list(item.path, shape)
            if head is None:
                found[item.path] = item
            else:
                found[head] = Leftover(head, shape.types[head]["ARRAY"], whole=True)
        return tuple(found.values())

    def _untouched_list(self, leaf: paths.Path, shape: DocumentShape) -> paths.Path | None:
        end = next((index for index, step in enumerate(leaf) if isinstance(step, paths.Every)), None)
        if end is None or shape.kinds(leaf[:end]) != {"array"}:
            return None
        rules = [rule.path for rule in (*self.stream.ignores, *self.stream.keeps)]
        spoken_of = [*(path for path, _ in self.reads), *self.eaches, *(path for path in rules if len(path) > end)]
        touched = any(jp.generalised(path)[: end + 1] == leaf[: end + 1] for path in spoken_of)
        return None if touched else leaf[:end]

    def _selectors(self, leaf: paths.Path) -> tuple[paths.Step, ...] | None:
        """Return () when the leaf is read, None when it is not, else which of its list's elements are."""
        if any(_is_member(each, leaf) for each in self._members):
            return ()
        partly: list[paths.Step] = []
        for path, whole in self._patterns:
            if not _reads(jp.generalised(path), leaf, whole=whole):
                continue
            narrow = [step for step in path[: len(leaf)] if not isinstance(step, str | paths.Every)]
            if not narrow or len(path) > len(leaf):
                return ()
            partly.append(narrow[0])
        return tuple(dict.fromkeys(partly)) or None


def _reads(pattern: paths.Path, leaf: paths.Path, *, whole: bool) -> bool:
    """Return True when the pattern takes the leaf, lies below it (an empty container), or takes all below itself."""
    if len(pattern) >= len(leaf):
        return pattern[: len(leaf)] == leaf
    return whole and leaf[: len(pattern)] == pattern


def _of_members(path: paths.Path) -> bool:
    return any(isinstance(step, paths.Members) for step in path)


def _is_member(each: paths.Path, leaf: paths.Path) -> bool:
    """Return True when the leaf is, or lies below, one of the members that an ``each:`` goes through."""
    *head, last = each
    inside = len(leaf) >= len(each) and leaf[: len(head)] == tuple(head)
    return inside and isinstance(last, paths.Members) and str(leaf[len(head)]).startswith(last.prefix)


def _holder(step: paths.Step) -> str:
    """Return the kind of JSON value that a step goes into."""
    if isinstance(step, paths.Pieces):
        return "scalar"
    return "object" if isinstance(step, str | paths.Members) else "array"


def ignores(rule: tree.Ignore, leaf: paths.Path) -> bool:
    """Return True when the rule covers the leaf: its path, what is below, or names that begin like its last step."""
    path = jp.generalised(rule.path)
    if not rule.prefix:
        return leaf[: len(path)] == path
    if len(leaf) < len(path) or leaf[: len(path) - 1] != path[:-1]:
        return False
    last, begin = leaf[len(path) - 1], path[-1]
    return isinstance(last, str) and isinstance(begin, str) and last.startswith(begin)
