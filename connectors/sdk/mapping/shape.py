"""What a batch's documents look like: every node with the JSON types seen there and how often. Set-based throughout."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from connectors.sdk import paths
from connectors.sdk.mapping.duckdb_paths import pointer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_CHILDREN: Final = 400
_ROWS_AT_ONCE: Final = 10_000
MAX_DEPTH: Final = 12
KINDS: Final = {"OBJECT": "object", "ARRAY": "array", "NULL": "null"}


@dataclass
class DocumentShape:
    """Nodes by generalised path (``[*]`` for every list): JSON type → count.

    ``roots`` are the types of the documents themselves. An object with more members than MAX_CHILDREN, of which no one
    reads any, is kept as one value (``opaque``).
    """

    types: dict[paths.Path, Counter[str]] = field(default_factory=dict)
    roots: Counter[str] = field(default_factory=Counter)
    opaque: set[paths.Path] = field(default_factory=set)

    def kinds(self, path: paths.Path) -> set[str]:
        """Return object, array, scalar: the kinds of non-null values seen at a node."""
        return {KINDS.get(kind, "scalar") for kind in self.types.get(path, ())} - {"null"}

    def accounted(self, path: paths.Path) -> set[str]:
        """Return the container types at a node whose inside has nodes of its own."""
        inside = self._inside.get(path, set())
        return inside - {"OBJECT"} if path in self.opaque else inside

    @cached_property
    def _inside(self) -> dict[paths.Path, set[str]]:
        found: dict[paths.Path, set[str]] = {}
        for path in self.types:
            if path:
                found.setdefault(path[:-1], set()).add("OBJECT" if isinstance(path[-1], str) else "ARRAY")
        return found

    def objects(self) -> set[paths.Path]:
        """Return the nodes that held objects whose members are known."""
        return {path for path, seen in self.types.items() if "OBJECT" in seen and path not in self.opaque}

    def leaves(self) -> dict[paths.Path, int]:
        """Return the nodes that hold a value of their own, with how often; an always-empty container is one."""
        found = {}
        for path, seen in self.types.items():
            inside = self.accounted(path)
            own = sum(number for kind, number in seen.items() if kind not in inside)
            if path and own:
                found[path] = own
        return found


def discover(
    connection: Any, table: str, column: str, known: Iterable[paths.Path], *, likely: Iterable[paths.Path] = ()
) -> DocumentShape:
    """Return the shape of the JSON documents of ``table.column``; ``known`` are nodes worth looking into at once.

    ``likely`` are nodes that documents like these had objects at: the shape is the same without, it takes more passes.
    """
    shape = DocumentShape()
    hints = set(known)
    _Explorer(connection, shape, hints, hints.union(likely)).explore(f"SELECT {column} AS d FROM {table}", ())
    return shape


@dataclass
class _Explorer:
    connection: Any
    shape: DocumentShape
    hints: set[paths.Path]
    likely: set[paths.Path]

    def explore(self, relation: str, prefix: paths.Path) -> None:
        """Walk objects level by level, then the elements of each list found."""
        objects = [()] + [path for path in self._below(prefix) if path]
        seen: set[paths.Path] = set(objects)
        lists: list[paths.Path] = []
        while objects:
            members = self._members(relation, prefix, objects)
            objects = []
            asked = members if prefix or self.shape.roots else [(), *members]
            for path, types in self._types(relation, asked).items():
                if not path:
                    self.shape.roots = types
                    continue
                self.shape.types[(*prefix, *path)] = types
                if "ARRAY" in types:
                    lists.append(path)
                if "OBJECT" in types and path not in seen and len(path) < MAX_DEPTH:
                    objects.append(path)
                    seen.add(path)
        self._lists(relation, prefix, [path for path in lists if len(prefix) + len(path) < MAX_DEPTH])

    def _below(self, prefix: paths.Path) -> list[paths.Path]:
        """Return the known objects inside ``prefix`` that no further list separates from it, outer ones first."""
        inner = [path[len(prefix) :] for path in self.likely if path[: len(prefix)] == prefix]
        return sorted((path for path in inner if all(isinstance(step, str) for step in path)), key=len)

    def _members(self, relation: str, prefix: paths.Path, objects: list[paths.Path]) -> list[paths.Path]:
        pointers = ", ".join(pointer(path) for path in objects)
        names: list[dict[str, None]] = [{} for _ in objects]
        for (row,) in self.connection.execute(
            f"SELECT DISTINCT json_keys(d, [{pointers}]) FROM ({relation})"
        ).fetchall():
            for found, keys in zip(names, row or (), strict=False):
                found.update(dict.fromkeys(keys or ()))
        members = []
        for path, found in zip(objects, names, strict=True):
            if any((*prefix, *path[:end]) in self.shape.opaque for end in range(1, len(path))):
                continue
            if len(found) > MAX_CHILDREN and path and (*prefix, *path) not in self.hints:
                self.shape.opaque.add((*prefix, *path))
            else:
                members += [(*path, name) for name in found]
        return list(dict.fromkeys(members))

    def _types(self, relation: str, members: list[paths.Path]) -> dict[paths.Path, Counter[str]]:
        if not members:
            return {}
        pointers = ", ".join(pointer(path) for path in members)
        found: dict[paths.Path, Counter[str]] = {path: Counter() for path in members}
        made = self.connection.execute(f"SELECT json_type(d, [{pointers}]) AS kinds FROM ({relation})")
        for batch in made.to_arrow_reader(_ROWS_AT_ONCE):
            coded = batch.column(0).flatten().dictionary_encode()
            kinds = coded.dictionary.to_pylist()
            codes = coded.indices.fill_null(len(kinds)).to_numpy().reshape(-1, len(members))
            # One number for each pair of member and kind: counting them needs no row for each value.
            pairs = codes + np.arange(len(members)) * (len(kinds) + 1)
            counts = np.bincount(pairs.ravel(), minlength=len(members) * (len(kinds) + 1)).reshape(len(members), -1)
            for index, kind in zip(*np.nonzero(counts[:, : len(kinds)]), strict=True):
                found[members[index]][kinds[kind]] += int(counts[index, kind])
        return {path: types for path, types in found.items() if types}

    def _lists(self, relation: str, prefix: paths.Path, lists: Sequence[paths.Path]) -> None:
        """Look at the elements of each of these lists as documents of their own; all lists are cut out at once."""
        if not lists:
            return
        name = f"lists_{len(self.shape.types)}_{len(prefix)}"
        pointers = ", ".join(pointer(path) for path in lists)
        self.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT json_extract(d, [{pointers}]) AS lists FROM ({relation})"
        )
        for number, path in enumerate(lists, 1):
            self._list(f"SELECT lists[{number}] AS d FROM {name}", (*prefix, *path, paths.Every()))
        self.connection.execute(f"DROP TABLE {name}")

    def _list(self, relation: str, every: paths.Path) -> None:
        """Look at the elements of the lists of a relation; what is no list there has none."""
        name = f"shape_{len(self.shape.types)}_{len(every)}"
        self.connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE {name} AS SELECT d, coalesce(json_type(d), 'NULL') AS kind
            FROM (SELECT unnest(json_extract(d, '$[*]')) AS d FROM ({relation}))"""
        )
        types = self.connection.execute(f"SELECT kind, count(*) FROM {name} GROUP BY ALL").fetchall()
        if types:
            self.shape.types[every] = Counter(dict(types))
        kinds = {kind for kind, _ in types}
        if "OBJECT" in kinds:
            self.explore(f"SELECT d FROM {name} WHERE kind = 'OBJECT'", every)
        if "ARRAY" in kinds and len(every) < MAX_DEPTH:
            self._list(f"SELECT d FROM {name} WHERE kind = 'ARRAY'", (*every, paths.Every()))
        self.connection.execute(f"DROP TABLE {name}")
