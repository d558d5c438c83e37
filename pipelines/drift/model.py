"""What is known of a stream's payloads: one node per path, each a few counts and sketches, small whatever the stream's size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from connectors.sdk.paths import Path

SCALARS = ("string", "integer", "number", "boolean")
MAX_VALUES = 20
_WEIGHT = 50_000
_CLOSED_RECORDS, _CLOSED_EACH, _JUDGED_RECORDS = 50, 10, 400
_POINTS = 101

Sketch: TypeAlias = tuple[int, tuple[float, ...]]
"""How many values there were, and their 0th to 100th percentile."""


@dataclass(frozen=True)
class Node:
    """One path: in how many parents it could have been, the JSON types seen there, empty texts, and what values look like.

    ``values`` are the words of a short list with their counts; empty where there are too many or they are no words, None
    where they are not known: personal, or too few to tell.
    """

    parents: int
    types: Mapping[str, int] = field(default_factory=dict)
    empty: int = 0
    values: Mapping[str, int] | None = None
    numbers: Sketch | None = None
    lengths: Sketch | None = None

    @property
    def present(self) -> int:
        """How often the path was there, null included."""
        return sum(self.types.values())

    @property
    def nulls(self) -> int:
        """How often it was null."""
        return self.types.get("null", 0)

    @property
    def filled(self) -> int:
        """How often it held something."""
        return self.present - self.nulls - self.empty

    @property
    def kinds(self) -> frozenset[str]:
        """The types seen, null left out."""
        return frozenset(kind for kind, count in self.types.items() if count and kind != "null")


Profile: TypeAlias = dict[Path, Node]
"""Nodes by path, ``[*]`` for every list; the root ``()`` counts the records."""


def records(profile: Profile) -> int:
    """Return how many records a profile stands for."""
    return profile[()].parents if () in profile else 0


def merged(old: Profile, new: Profile) -> Profile:
    """Return both together; what only one of them knows counts as absent in the other's parents."""
    found = {path: _together(old.get(path), new.get(path), path, old, new) for path in {**old, **new}}
    return _capped(found)


def _together(old: Node | None, new: Node | None, path: Path, olds: Profile, news: Profile) -> Node:
    if old is None or new is None:
        node = old or new
        assert node is not None
        return replace(node, parents=node.parents + holders(news if new is None else olds, path))
    types = {kind: old.types.get(kind, 0) + new.types.get(kind, 0) for kind in {**old.types, **new.types}}
    return Node(
        old.parents + new.parents, types, old.empty + new.empty, _values(old, new),
        _sketches(old.numbers, new.numbers), _sketches(old.lengths, new.lengths),
    )  # fmt: skip


def holders(profile: Profile, path: Path) -> int:
    """Return in how many places of a profile the path could have been: the objects or lists it lies in."""
    if not path:
        return 0
    parent = profile.get(path[:-1])
    return 0 if parent is None else parent.types.get("object" if isinstance(path[-1], str) else "array", 0)


def _values(old: Node, new: Node) -> Mapping[str, int] | None:
    if old.values is None or new.values is None:
        return new.values if old.values is None else old.values
    if (not old.values and old.filled) or (not new.values and new.filled):
        return {}
    found = {value: old.values.get(value, 0) + new.values.get(value, 0) for value in {**old.values, **new.values}}
    return found if len(found) <= 2 * MAX_VALUES else {}


def is_closed(node: Node) -> bool:
    """Return whether a node's words look like a closed list: few, each seen more than once, and often on the whole."""
    if not node.values or "string" not in node.kinds or len(node.values) > MAX_VALUES:
        return False
    number = sum(node.values.values())
    return number >= max(_CLOSED_RECORDS, _CLOSED_EACH * len(node.values)) and min(node.values.values()) > 1


def without_words(node: Node, known: Node | None = None) -> Node:
    """Return a node to be kept: words stay only where they are a closed list, so that no name or address does."""
    if node.values is None or is_closed(node) or node.kinds == {"boolean"}:
        return node
    if known is not None and is_closed(known) and node.values and set(node.values) <= set(known.values or ()):
        return node
    return replace(node, values={} if node.filled >= _JUDGED_RECORDS else None)


def at_level_of(old: Node, new: Node) -> Node:
    """Return a node with the counts of ``new`` that still knows every type and word of ``old``."""
    types = {**dict.fromkeys(old.types, 1), **new.types}
    words = {**dict.fromkeys(old.values, 2), **new.values} if old.values and new.values else new.values
    return replace(new, types=types, values=words)


def _sketches(old: Sketch | None, new: Sketch | None) -> Sketch | None:
    """Return the percentiles of two sets of values from theirs, each point standing for its share."""
    if old is None or new is None:
        return old or new
    weighted = sorted((point, number / len(points)) for number, points in (old, new) for point in points)
    total, reached, made = old[0] + new[0], 0.0, []
    step = iter(weighted)
    point, weight = next(step)
    for index in range(_POINTS):
        wanted = (index + 0.5) / _POINTS * total
        while reached + weight < wanted:
            reached += weight
            following = next(step, None)
            if following is None:
                break
            point, weight = following
        made.append(point)
    return total, tuple(made)


def _capped(profile: Profile) -> Profile:
    """Scale a profile down so that it never weighs more than so many records: what was long ago fades."""
    number = records(profile)
    if number <= _WEIGHT:
        return profile
    share = _WEIGHT / number
    return {path: _scaled(node, share) for path, node in profile.items()}


def _scaled(node: Node, share: float) -> Node:
    def less(count: int) -> int:
        return max(1, round(count * share)) if count else 0

    return Node(
        less(node.parents),
        {kind: less(count) for kind, count in node.types.items()},
        less(node.empty),
        None if node.values is None else {value: less(count) for value, count in node.values.items()},
        None if node.numbers is None else (less(node.numbers[0]), node.numbers[1]),
        None if node.lengths is None else (less(node.lengths[0]), node.lengths[1]),
    )


def as_row(node: Node) -> dict[str, Any]:
    """Return a node as the store keeps it."""
    return {
        "parents": node.parents, "types": dict(node.types), "empty": node.empty,
        "values": None if node.values is None else dict(node.values),
        "numbers": None if node.numbers is None else [node.numbers[0], list(node.numbers[1])],
        "lengths": None if node.lengths is None else [node.lengths[0], list(node.lengths[1])],
    }  # fmt: skip


def as_node(row: Mapping[str, Any]) -> Node:
    """Return a node that the store kept."""
    numbers, lengths = row["numbers"], row["lengths"]
    return Node(
        row["parents"], row["types"], row["empty"], row["values"],
        None if numbers is None else (numbers[0], tuple(numbers[1])),
        None if lengths is None else (lengths[0], tuple(lengths[1])),
    )  # fmt: skip
