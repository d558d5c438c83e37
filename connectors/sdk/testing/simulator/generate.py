"""Columns and rows of streams, generated from the words of a simulator.yaml (``rows:`` and ``let:``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .template import Constant, TemplateError, parse_value
from .world.material import Rng, flags, texts
from .world.rows import Column, Link, Rows

DAY_MS = 86_400_000
_TRUTHS = ("person", "org", "staff")
Streams = Callable[[str], Rows]


@dataclass(frozen=True)
class Scene:
    """What a generator may look at beside its rows: the clock, its own random draws and the other streams."""

    now: int
    rng: Rng
    streams: Streams


def add_column(name: str, spec: Any, rows: Rows, scene: Scene) -> None:
    """Add the column (or the link) ``name`` to ``rows`` as ``spec`` says."""
    if not isinstance(spec, dict):
        rows.columns[name] = parse_value(spec).values(rows)
        return
    kinds = sorted(set(spec) & set(_KINDS) - {"chance"}) or ["chance"]
    if len(kinds) != 1 or set(spec) - {kinds[0], "chance", "when"}:
        message = f"let.{name}: {sorted(map(str, spec))}; allowed: one of {sorted(_KINDS)}, with chance or when"
        raise TemplateError(message)
    values = _KINDS[kinds[0]](spec[kinds[0]], rows, scene)
    if isinstance(values, Link):
        kept = _kept(spec, rows, scene)
        rows.links[name] = Link(values.rows, [v if k else None for v, k in zip(values.at, kept, strict=True)])
    elif kinds == ["chance"]:
        rows.columns[name] = values
    else:
        kept = _kept(spec, rows, scene)
        rows.columns[name] = [v if k else None for v, k in zip(values, kept, strict=True)]


def _kept(spec: Mapping[str, Any], rows: Rows, scene: Scene) -> Sequence[bool]:
    kept = flags(spec.get("chance", 1.0), rows.count, scene.rng)
    if "when" not in spec:
        return kept
    return [bool(k and flag) for k, flag in zip(kept, parse_value(spec["when"]).values(rows), strict=True)]


def _choice(spec: Any, rows: Rows, scene: Scene) -> Column:
    weights = spec if isinstance(spec, dict) else dict.fromkeys(spec, 1)
    options, p = list(weights), np.array(list(weights.values()), dtype=float)
    return [options[i] for i in scene.rng.choice(len(options), size=rows.count, p=p / p.sum()).tolist()]


def _integer(spec: Any, rows: Rows, scene: Scene) -> Column:
    return list(scene.rng.integers(spec[0], spec[1] + 1, rows.count).tolist())


def _money(spec: Any, rows: Rows, scene: Scene) -> Column:
    low, high = np.log(spec[0]), np.log(spec[1])
    return list(np.exp(scene.rng.uniform(low, high, rows.count)).astype(np.int64).tolist())


def _time(spec: Any, rows: Rows, scene: Scene) -> Column:
    after = [scene.now if v is None else v for v in rows.column(spec["after"])]
    steps = scene.rng.exponential(spec["days"] * DAY_MS / 3, rows.count).astype(np.int64).tolist()
    top = scene.now if spec.get("past", True) else None
    return [
        a + s if top is None else max(a, min(a + s, top - s % 3_600_000)) for a, s in zip(after, steps, strict=True)
    ]


def _words(spec: Any, rows: Rows, scene: Scene) -> Column:
    options = texts()[spec]
    return [options[i] for i in scene.rng.integers(0, len(options), rows.count).tolist()]


def _chance(spec: Any, rows: Rows, scene: Scene) -> Column:
    return flags(spec, rows.count, scene.rng)


def _few(spec: Any, rows: Rows, scene: Scene) -> Column:
    options, (low, high) = spec["of"], spec["count"]
    sizes = scene.rng.integers(low, high + 1, rows.count).tolist()
    starts = scene.rng.integers(0, len(options), rows.count).tolist()
    return [sorted((options * 2)[s : s + n]) for s, n in zip(starts, sizes, strict=True)]


def _some(spec: Any, rows: Rows, scene: Scene) -> Link:
    other = scene.streams(spec)
    at: Sequence[int | None] = [None] * rows.count
    return Link(other, scene.rng.integers(0, other.count, rows.count).tolist() if other.count else at)


def _link(spec: Any, rows: Rows, scene: Scene) -> Link:
    """Link to the rows of another stream about the same person, organisation or employee."""
    other = scene.streams(spec["to"])
    place: dict[int | None, int] = {}
    for i, truth in enumerate(other.links[spec["by"]].at):
        place.setdefault(truth, i)
    return Link(other, [None if t is None else place.get(t) for t in rows.links[spec["by"]].at])


def _above(spec: Any, rows: Rows, _scene: Scene) -> Link:
    """Link to the row at one ``each``-th of this one's place: the rows form a tree, its first rows have nothing above.

    With ``by`` the rows about each organisation (or whatever the link points to) form a tree of their own; a row that
    points to none stands in no tree.
    """
    each, by = (spec["each"], spec["by"]) if isinstance(spec, dict) else (spec, None)
    if by is None:
        return Link(rows, [place // each if place >= each else None for place in range(rows.count)])
    trees: dict[int, list[int]] = {}
    for row, truth in enumerate(rows.links[by].at):
        if truth is not None:
            trees.setdefault(truth, []).append(row)
    above: list[int | None] = [None] * rows.count
    for tree in trees.values():
        for place, row in enumerate(tree[1:], 1):
            above[row] = tree[(place - 1) // each]
    return Link(rows, above)


def _children(spec: Any, rows: Rows) -> tuple[Rows, Sequence[int]]:
    if rows.children is None:
        message = f"rows without children cannot sum over {spec['of']}"
        raise TemplateError(message)
    return rows.children(spec["of"])


def _sum(spec: Any, rows: Rows, _scene: Scene) -> Column:
    children, parents = _children(spec, rows)
    totals = [0] * rows.count
    for at, value in zip(parents, children.column(spec["value"]), strict=True):
        totals[at] += value or 0
    return totals


def _count(spec: Any, rows: Rows, _scene: Scene) -> Column:
    """Count the rows' children in a stream."""
    _, parents = _children({"of": spec}, rows)
    return list(np.bincount(np.asarray(parents, dtype=np.int64), minlength=rows.count).tolist())


_KINDS: dict[str, Callable[[Any, Rows, Scene], Any]] = {
    "choice": _choice,
    "integer": _integer,
    "money": _money,
    "time": _time,
    "words": _words,
    "chance": _chance,
    "few": _few,
    "some": _some,
    "link": _link,
    "above": _above,
    "sum": _sum,
    "count": _count,
    "value": lambda spec, rows, _scene: (parse_value(spec) if isinstance(spec, str) else Constant(spec)).values(rows),
}


def child_rows(spec: Mapping[str, Any], parent: Rows, first: int, scene: Scene) -> tuple[Rows, list[int]]:
    """Return the rows that belong to ``parent``'s rows, and the position of each one's parent.

    ``count: [a, b]`` or ``mean``: how many a parent; ``share``: the part of the parents that have any at all;
    ``days``: written in the last so many days; ``within``: written so many days after the parent.
    """
    counts = _counts(spec, parent.count, scene.rng)
    parents = np.repeat(np.arange(parent.count), counts)
    began = np.array([scene.now if v is None else v for v in parent.column("created")], dtype=np.int64)[parents]
    created = _created(spec, began, scene)
    created = created[np.lexsort((created, parents))]
    at = parents.tolist()
    about = {name: link for name, link in parent.links.items() if name in _TRUTHS}
    links = {name: Link(link.rows, [link.at[i] for i in at]) for name, link in about.items()}
    columns: dict[str, Column] = {
        "number": list(range(first, first + len(at))),
        "place": _places(at),
        "created": created.tolist(),
        "updated": created.tolist(),
    }
    return Rows(len(at), columns, {**links, "parent": Link(parent, at)}), at


def _places(parents: list[int]) -> list[int]:
    """Return each row's place among its parent's rows, from 0."""
    places, last, place = [], -1, 0
    for parent in parents:
        place = place + 1 if parent == last else 0
        last = parent
        places.append(place)
    return places


def _counts(spec: Mapping[str, Any], parents: int, rng: Rng) -> Any:
    if "count" in spec:
        counts = rng.integers(spec["count"][0], spec["count"][1] + 1, parents)
    else:
        counts = rng.poisson(spec["mean"], parents)
    return counts * (rng.random(parents) < spec.get("share", 1.0))


def _created(spec: Mapping[str, Any], began: Any, scene: Scene) -> Any:
    room = np.maximum(scene.now - began, 1)
    if "within" in spec:
        steps = scene.rng.exponential(spec["within"] * DAY_MS / 3, len(began)).astype(np.int64)
        return began + np.minimum(steps, room)
    span = np.minimum(room, spec.get("days", 365) * DAY_MS)
    return scene.now - (span * scene.rng.random(len(began))).astype(np.int64)
