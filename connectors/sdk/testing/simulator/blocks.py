"""The world: people and organisations in blocks, and each vendor's records about them.

A block is built from (seed, block number) alone, so a world of any size is streamed block by block in constant
memory. Its facts never leave it; staff and written tables belong to the first block and are shared.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .generate import Scene, add_column, child_rows
from .shape import Shape, StreamShape, shown_shapes
from .spoil import spoiled
from .world.dirt import Dirt
from .world.organizations import build_organizations, build_staff
from .world.people import build_people
from .world.rows import Link, Rows, table
from .world.views import view_organizations, view_people, view_staff

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .world.material import Rng

BLOCK = 2_000
DEFAULT_NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
_FACTS = 1_000_000
Payload = tuple[str, bytes, bytes | None]


@dataclass(frozen=True)
class Made:
    """The rows of one stream in one block, with the stream's shape to render them by."""

    shape: StreamShape
    rows: Rows

    def keys(self) -> list[str]:
        """Return each record's key as text."""
        return list(map(str, self.rows.column("id")))

    def entities(self) -> list[str | None]:
        """Return the true thing that each record is about: ``person-7``, ``organization-3``, ``staff-5``."""
        return entities(self.rows)


@dataclass(frozen=True)
class Truth:
    """One record's true identity."""

    connection: str
    stream: str
    source_key: str
    entity: str


def entities(rows: Rows) -> list[str | None]:
    """Return the true thing that each row is about; null for rows about none."""
    result: list[str | None] = [None] * rows.count
    for link, name in (("org", "organization"), ("person", "person"), ("staff", "staff")):
        if link in rows.links:
            numbers = rows.column(f"{link}.number")
            result = [old if n is None else f"{name}-{n}" for n, old in zip(numbers, result, strict=True)]
    if "staff" in rows.links:
        persons = rows.column("staff.person.number")
        result = [old if n is None else f"person-{n}" for n, old in zip(persons, result, strict=True)]
    return result


class World:
    """A seeded world of ``people`` persons as several vendors know them; equal arguments give equal bytes."""

    def __init__(
        self,
        seed: int = 7,
        people: int = BLOCK,
        *,
        now: datetime = DEFAULT_NOW,
        shapes: Mapping[str, Shape] | None = None,
        spoil: bool = True,
    ) -> None:
        self.seed, self.people, self.now, self.spoil = seed, people, now, spoil
        self.shapes = dict(shown_shapes() if shapes is None else shapes)
        self.now_ms = int(now.timestamp() * 1000)
        self.first_block = Block(self, 0)

    def blocks(self) -> Iterator[Block]:
        """Return the blocks in order; only the first stays in memory."""
        yield self.first_block
        for number in range(1, -(-self.people // BLOCK)):
            yield Block(self, number)

    def rng(self, *where: int | str) -> Rng:
        """Return the random draws that belong to one place of this world."""
        numbers = [zlib.crc32(w.encode()) if isinstance(w, str) else w for w in where]
        return np.random.default_rng([self.seed, *numbers])

    def made(self, connection: str, stream: str) -> Iterator[Made]:
        """Return the rows of a stream, block after block and part after part."""
        shape = self._shape(connection)
        for part in shape.parts(stream):
            blocks = [self.first_block] if shape.is_global(part) else self.blocks()
            for block in blocks:
                yield Made(shape.streams[part], block.rows(connection, part))

    def payloads(self, connection: str, stream: str) -> Iterator[Payload]:
        """Return (source key, record, record of the parent or None) for each record of a stream."""
        for made in self.made(connection, stream):
            texts = self.render(made)
            parents = self._parents(connection, made)
            for key, text, parent in zip(made.keys(), texts, parents, strict=True):
                yield key, text.encode(), parent

    def render(self, made: Made) -> list[str]:
        """Return the records' JSON texts, with the shape's deliberate bad records in the first block."""
        texts = made.shape.template.render(made.rows)
        first = made.rows is self.first_block.known(made.shape)
        return spoiled(texts, made.shape.spoil) if first and self.spoil else texts

    def truth(self, connection: str, stream: str) -> Iterator[Truth]:
        """Return what each record of a stream is truly about; records about nobody are left out."""
        for made in self.made(connection, stream):
            for key, entity in zip(made.keys(), made.entities(), strict=True):
                if entity is not None:
                    yield Truth(connection, stream, key, entity)

    def _shape(self, connection: str) -> Shape:
        if connection not in self.shapes:
            message = f"no vendor {connection!r} in this world; known: {', '.join(sorted(self.shapes))}"
            raise KeyError(message)
        return self.shapes[connection]

    def _parents(self, connection: str, made: Made) -> Sequence[bytes | None]:
        nested = made.shape.nested
        if nested is None:
            return [None] * made.rows.count
        link = made.rows.link(nested["link"])
        texts = self.render(Made(self._shape(connection).streams[nested["stream"]], link.rows))
        return [None if at is None else texts[at].encode() for at in link.at]


class Block:
    """Up to ``BLOCK`` people, their organisations, and each vendor's rows about them, made when asked for."""

    def __init__(self, world: World, number: int) -> None:
        self.world, self.number = world, number
        first = number * BLOCK
        count = min(BLOCK, world.people - first)
        rng = world.rng("truth", number)
        self.organizations = build_organizations(max(3, count * 15 // 100), number * BLOCK, rng)
        self.people = build_people(count, first, self.organizations, rng)
        self.staff: Rows = world.first_block.staff if number else build_staff(self.people, rng)
        self._rows: dict[tuple[str, str], Rows] = {}

    def known(self, shape: StreamShape) -> Rows | None:
        """Return the rows of a stream if they were made here."""
        return self._rows.get((shape.vendor, shape.name))

    def rows(self, connection: str, stream: str) -> Rows:
        """Return the rows of one stream in this block."""
        if (connection, stream) not in self._rows:
            shape = self.world.shapes[connection]
            if self.number and shape.is_global(stream):
                return self.world.first_block.rows(connection, stream)
            self._rows[connection, stream] = self._build(shape, shape.streams[stream])
        return self._rows[connection, stream]

    def _build(self, shape: Shape, stream: StreamShape) -> Rows:
        spec = stream.rows
        if "of" in spec:
            parent = self.rows(shape.vendor, spec["of"])
            if parent.children is None:
                message = f"{shape.vendor}.{spec['of']} cannot have children"
                raise KeyError(message)
            return parent.children(stream.name)[0]
        if "view" not in spec:
            return self._table(shape, stream)
        rng = self.world.rng(shape.vendor, stream.name, self.number)
        source, _ = self.source(spec["view"])
        hits = np.flatnonzero(rng.random(source.count) < spec.get("share", 1.0))
        again = hits[rng.random(len(hits)) < spec.get("again", 0.0)]
        numbers = [2 * int(n) for n in hits] + [2 * int(n) + 1 for n in again]
        return self.view(shape, stream, [n // 2 for n in numbers], numbers, self.world.now_ms, rng)

    def source(self, view: str) -> tuple[Rows, str]:
        """Return the true rows behind a view, and what one of them is called."""
        sources = {
            "people": (self.people, "person"),
            "organizations": (self.organizations, "organization"),
            "staff": (self.staff, "staff"),
        }
        return sources[view]

    def view(
        self, shape: Shape, stream: StreamShape, at: list[int], numbers: list[int], now: int, rng: Rng, step: int = 0
    ) -> Rows:
        """Return rows for chosen true things as this stream's system knows them."""
        kind, dirt = stream.rows["view"], Dirt.of(stream.rows.get("dirt", {}))
        if kind == "people":
            rows = view_people(self.people, at, dirt, now, rng)
        elif kind == "organizations":
            rows = view_organizations(self.organizations, at, dirt, now, rng)
        else:
            rows = view_staff(self.staff, at, now, rng)
        rows.columns["number"] = [n + 2 * self.number * BLOCK for n in numbers]
        return self.finish(shape, stream, rows, now, step)

    def _table(self, shape: Shape, stream: StreamShape) -> Rows:
        made = [{"number": number} for number in range(stream.rows.get("make", 0))]
        rows = table(stream.rows.get("table", made))
        rows.columns.setdefault("number", list(range(rows.count)))
        rng = self.world.rng(shape.vendor, stream.name, "times")
        day = 86_400_000
        age = sorted(rng.integers(30 * day, 900 * day, rows.count).tolist(), reverse=True)
        rows.columns.setdefault("created", [self.world.now_ms - a for a in age])
        since = [int(a * u) for a, u in zip(age, rng.random(rows.count).tolist(), strict=True)]
        rows.columns.setdefault("updated", [self.world.now_ms - s for s in since])
        return self.finish(shape, stream, rows, self.world.now_ms, 0)

    def finish(self, shape: Shape, stream: StreamShape, rows: Rows, now: int, step: int) -> Rows:
        """Add id, children and the columns of ``let:``; ``step`` tells later rows from the first ones."""
        made: dict[str, tuple[Rows, Sequence[int]]] = {}

        def children(name: str) -> tuple[Rows, Sequence[int]]:
            if name not in made:
                made[name] = self.children(shape, shape.streams[name], rows, now, step)
            return made[name]

        rows.children = children
        rows.columns["now"] = [now] * rows.count
        if "id" not in rows.columns:
            rows.columns["id"] = stream.id.values(rows)
        self.add(shape, stream, stream.let, rows, now, step)
        return rows

    def add(
        self, shape: Shape, stream: StreamShape, columns: Mapping[str, Any], rows: Rows, now: int, step: int
    ) -> None:
        """Add generated columns to rows of a stream, each made when first asked for."""

        def add(name: str, spec: Any) -> None:
            rng = self.world.rng(shape.vendor, stream.name, name, self.number, step)
            add_column(name, spec, rows, Scene(now, rng, lambda other: self.rows(shape.vendor, other)))

        for name, spec in columns.items():
            rows.pending[name] = partial(add, name, spec)

    def children(
        self, shape: Shape, stream: StreamShape, parent: Rows, now: int, step: int
    ) -> tuple[Rows, Sequence[int]]:
        """Return the child rows of ``parent`` in ``stream`` and each one's parent position."""
        rng = self.world.rng(shape.vendor, stream.name, "rows", self.number, step)
        first = self.number * _FACTS + (500_000 + step * 1_000 if step else 0)
        scene = Scene(now, rng, lambda other: self.rows(shape.vendor, other))
        rows, at = child_rows(stream.rows, parent, first, scene)
        rows.links[stream.rows["of"]] = Link(parent, at)
        return self.finish(shape, stream, rows, now, step), at
