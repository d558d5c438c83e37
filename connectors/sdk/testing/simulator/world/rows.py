"""Rows of generated things, held by column, with links to the rows that they belong to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Column = Sequence[Any]


@dataclass(frozen=True)
class Link:
    """For each row, the position of the row it points to (``None``: points to nothing)."""

    rows: Rows
    at: Sequence[int | None]


@dataclass
class Rows:
    """Columns of equal length; ``column("owner.id")`` follows the link ``owner``.

    ``children`` gives, for a child stream's name, its rows and the position of each one's parent. ``pending`` columns
    and links are made when first asked for: what nobody renders costs nothing.
    """

    count: int
    columns: dict[str, Column]
    links: dict[str, Link] = field(default_factory=dict)
    children: Callable[[str], tuple[Rows, Sequence[int]]] | None = None
    pending: dict[str, Callable[[], None]] = field(default_factory=dict)

    def column(self, path: str) -> Column:
        """Return the values of ``path``; an unknown name is an error that lists the known ones."""
        head, _, rest = path.partition(".")
        self.settle(head)
        if path in self.columns:
            return self.columns[path]
        if not rest or head not in self.links:
            known = ", ".join(sorted((*self.columns, *(f"{name}.…" for name in self.links))))
            message = f"no column {path!r}; known: {known}"
            raise KeyError(message)
        link = self.links[head]
        values = link.rows.column(rest)
        return [None if i is None else values[i] for i in link.at]

    def link(self, name: str) -> Link:
        """Return a link by name."""
        self.settle(name)
        return self.links[name]

    def settle(self, name: str) -> None:
        """Make the pending column or link ``name``, if there is one."""
        make = self.pending.pop(name, None)
        if make is not None:
            make()

    def take(self, positions: Sequence[int], **replaced: Column) -> Rows:
        """Return these rows only, with the ``replaced`` columns instead of their own."""
        for name in list(self.pending):
            self.settle(name)
        columns = {name: [values[i] for i in positions] for name, values in self.columns.items()}
        links = {name: Link(link.rows, [link.at[i] for i in positions]) for name, link in self.links.items()}
        return Rows(len(positions), {**columns, **replaced}, links, self._children_of(positions))

    def _children_of(self, positions: Sequence[int]) -> Callable[[str], tuple[Rows, Sequence[int]]]:
        def children(stream: str) -> tuple[Rows, Sequence[int]]:
            if self.children is None:
                message = f"these rows have no child stream {stream!r}"
                raise KeyError(message)
            rows, parents = self.children(stream)
            place = {parent: i for i, parent in enumerate(positions)}
            kept = [i for i, parent in enumerate(parents) if parent in place]
            return rows.take(kept), [place[parents[i]] for i in kept]

        return children


def table(rows: Sequence[Mapping[str, Any]]) -> Rows:
    """Build rows from a written table; a name missing in one line is null there."""
    names = dict.fromkeys(name for row in rows for name in row)
    return Rows(len(rows), {name: [row.get(name) for row in rows] for name in names})
