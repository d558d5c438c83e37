"""A load's profile: set-based in DuckDB over the landed payloads, never record by record.

Which members there are is asked of every record. Types, what is inside lists, and values are read from a sample of about
SAMPLE records, chosen by a hash of the key: the same records for the same load. Up to SAMPLE records everything is exact.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa

from connectors.sdk.mapping.duckdb_paths import is_plain, pointer
from connectors.sdk.mapping.shape import discover
from connectors.sdk.paths import Path
from pipelines.drift.model import MAX_VALUES, SCALARS, Node, Profile

SAMPLE = 2_500
_CHUNK = 8_192
_FIRST_LOOK = 500
_MAX_OBJECTS = 200
_NAMES = {
    "VARCHAR": "string", "BIGINT": "integer", "UBIGINT": "integer", "HUGEINT": "integer", "UHUGEINT": "integer",
    "DOUBLE": "number", "BOOLEAN": "boolean", "OBJECT": "object", "ARRAY": "array", "NULL": "null",
}  # fmt: skip
_PERCENTS = f"[{', '.join(str(index / 100) for index in range(101))}]"
_NUMERIC_SHARE = 0.95
_WORD = r"^[\w .:/+-]{1,40}$"
_LONG_NUMBER = r"[0-9]{7}"


def profile(parts: Iterable[pa.Table], total: int, may_keep: Callable[[Path], bool]) -> Profile:
    """Return the profile of payloads that come in ``parts`` (columns source_key and payload), ``total`` of them in all.

    ``may_keep`` says of a path whether the words found there may be kept; personal values never are.
    """
    connection = duckdb.connect(config={"threads": 2})
    try:
        return _Profiler(connection, may_keep, -(-total // SAMPLE) or 1).run(parts)
    finally:
        connection.close()


@dataclass
class _Profiler:
    connection: Any
    may_keep: Callable[[Path], bool]
    every: int
    _objects: list[Path] = field(default_factory=list)
    _known: set[Path] = field(default_factory=set)
    _rare: dict[Path, Counter[str]] = field(default_factory=dict)

    def run(self, parts: Iterable[pa.Table]) -> Profile:
        number = self._take(parts)
        shape = discover(self.connection, "sampled", "d", ())
        sampled = sum(shape.roots.values())
        found = {path: Node(0, _types(types)) for path, types in shape.types.items()}
        found[()] = Node(sampled, _types(shape.roots))
        self._add_rare(found, number / max(1, sampled))
        for path, node in found.items():
            found[path] = node if not path else Node(max(_parents(found, path), node.present), node.types)
        self._values(found)
        return found

    def _take(self, parts: Iterable[pa.Table]) -> int:
        """Keep the sample; ask all records for members that the first look has not shown."""
        self.connection.execute("CREATE TEMP TABLE sampled (d VARCHAR)")
        number = 0
        for part in parts:
            number += part.num_rows
            self._register(part)
            chosen = "" if self.every == 1 else f"WHERE hash(source_key) % {self.every} = 0"
            self.connection.execute(f"INSERT INTO sampled SELECT payload FROM part {chosen}")
            if self.every > 1:
                self._ask_all()
        return number

    def _register(self, part: pa.Table) -> None:
        batches = part.select(["source_key", "payload"]).combine_chunks().to_batches(max_chunksize=_CHUNK)
        self.connection.register("part", pa.Table.from_batches(batches, part.select(["source_key", "payload"]).schema))

    def _ask_all(self) -> None:
        """Count, in every record of a part, the members that are new since the first look."""
        if not self._objects:
            self.connection.execute(
                f"CREATE OR REPLACE TEMP TABLE look AS SELECT payload AS d FROM part LIMIT {_FIRST_LOOK}"
            )
            shape = discover(self.connection, "look", "d", ())
            plain = [path for path, types in shape.types.items() if "OBJECT" in types and is_plain(path)]
            self._objects = [(), *(path for path in plain if path not in shape.opaque)]
            self._known = set(shape.types)
        new = [path for path in self._members(self._objects) if path not in self._known]
        for path, types in self._types_of(list(dict.fromkeys([*self._rare, *new]))).items():
            self._rare.setdefault(path, Counter()).update(types)
            if "OBJECT" in types and path not in self._objects and len(self._objects) < _MAX_OBJECTS:
                self._objects.append(path)

    def _add_rare(self, found: Profile, share: float) -> None:
        """Add the members that no sampled record has, their counts brought to the size of the sample."""
        for path, types in self._rare.items():
            if path not in found:
                counts = {kind: max(1, round(count / share)) for kind, count in _types(types).items()}
                found[path] = Node(0, counts)

    def _members(self, objects: list[Path]) -> list[Path]:
        pointers = ", ".join(pointer(path) for path in objects)
        names: list[dict[str, None]] = [{} for _ in objects]
        for (row,) in self.connection.execute(f"SELECT DISTINCT json_keys(payload, [{pointers}]) FROM part").fetchall():
            for seen, keys in zip(names, row or (), strict=False):
                seen.update(dict.fromkeys(keys or ()))
        return [(*path, name) for path, seen in zip(objects, names, strict=True) for name in seen]

    def _types_of(self, members: list[Path]) -> dict[Path, Counter[str]]:
        if not members:
            return {}
        pointers = ", ".join(pointer(path) for path in members)
        rows = self.connection.execute(
            f"SELECT i, kind, count(*) FROM (SELECT unnest(json_type(payload, [{pointers}])) AS kind, "
            f"unnest(range({len(members)})) AS i FROM part) WHERE kind IS NOT NULL GROUP BY ALL"
        ).fetchall()
        found: dict[Path, Counter[str]] = {}
        for index, kind, number in rows:
            found.setdefault(members[index], Counter())[kind] += number
        return found

    def _values(self, found: Profile) -> None:
        """Add what the scalars outside lists look like: empty texts, short lists of words, percentiles."""
        leaves = [path for path, node in found.items() if path and is_plain(path) and node.kinds & {*SCALARS}]
        leaves = [path for path in leaves if not found[path].kinds - {*SCALARS}]
        if not leaves:
            return
        pointers = ", ".join(pointer(path) for path in leaves)
        self.connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE leaf AS SELECT i, v, count(*) AS n FROM (
                  SELECT unnest(range({len(leaves)})) AS i, unnest(json_extract_string(d, [{pointers}])) AS v FROM sampled)
                WHERE v IS NOT NULL GROUP BY ALL"""
        )
        words = self._words(leaves)
        for index, empty, number, numeric, numbers, lengths in self._sketches():
            node, path = found[leaves[index]], leaves[index]
            is_numeric = numeric >= _NUMERIC_SHARE * max(1, number)
            found[path] = Node(
                node.parents, node.types, empty, words.get(index, {}) if self.may_keep(path) else None,
                (numeric, tuple(numbers)) if is_numeric and numbers else None,
                (number, tuple(lengths)) if lengths and "string" in node.kinds else None,
            )  # fmt: skip

    def _words(self, leaves: list[Path]) -> dict[int, dict[str, int]]:
        rows = self.connection.execute(
            f"""SELECT i, v, n FROM leaf WHERE v <> '' AND i IN (
                  SELECT i FROM leaf WHERE v <> '' GROUP BY i HAVING count(*) <= {2 * MAX_VALUES}
                  AND bool_and(regexp_full_match(v, '{_WORD}') AND NOT regexp_matches(v, '{_LONG_NUMBER}')))"""
        ).fetchall()
        found: dict[int, dict[str, int]] = {}
        for index, value, number in rows:
            if self.may_keep(leaves[index]):
                found.setdefault(index, {})[value] = number
        return found

    def _sketches(self) -> Iterator[tuple[Any, ...]]:
        """Yield index, empty texts, texts, numbers, and percentiles of numbers and of lengths, of every leaf."""
        rows = self.connection.execute(
            f"""SELECT i, count(*) FILTER (v = ''), count(*) FILTER (v <> ''), count(x),
                  quantile_disc(x, {_PERCENTS}) FILTER (x IS NOT NULL), quantile_disc(length(v), {_PERCENTS}) FILTER (v <> '')
                FROM (SELECT i, v, n, TRY_CAST(v AS DOUBLE) AS x, unnest(range(n)) FROM leaf
                      WHERE v NOT IN ('NaN', 'nan', 'inf', '-inf', 'Infinity', '-Infinity')) GROUP BY i"""
        ).fetchall()
        for index, empty, number, numeric, numbers, lengths in rows:
            yield index, int(empty or 0), int(number or 0), int(numeric or 0), numbers, lengths


def _types(seen: Counter[str]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for kind, number in seen.items():
        found[_NAMES.get(kind, "string")] += number
    return dict(found)


def _parents(found: Profile, path: Path) -> int:
    parent = found.get(path[:-1])
    return 0 if parent is None else parent.types.get("object" if isinstance(path[-1], str) else "array", 0)
