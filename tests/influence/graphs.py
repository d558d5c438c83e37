"""Random dated graphs from a seed, and what must hold of each; the benchmark runs many more seeds than the tests."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

from pipelines.influence.hierarchy import Link, acyclic
from pipelines.influence.settle import FIRST, LAST, Piece, Span, settle
from tests.influence.hub import day

BEGIN = day("2020-01-01")
DAYS = 400


def instant(number: int) -> datetime:
    return BEGIN + timedelta(days=number)


def spans(chance: random.Random, others: int = 4) -> list[Span]:
    """Rivals of one subject: dated, half dated, undated, with ties in every decider but the reference."""
    return [_span(chance, row, chance.randrange(others)) for row in range(chance.randint(1, 7))]


def _span(chance: random.Random, row: int, other: int) -> Span:
    start, end = sorted(chance.sample(range(DAYS), 2))
    return Span(
        row, other,
        instant(start) if chance.random() < 0.7 else None,
        instant(end) if chance.random() < 0.5 else None,
        instant(chance.randrange(DAYS)) if chance.random() < 0.8 else None,
        chance.choice((0.25, 0.5)), chance.choice((1, 2)), f"{chance.randrange(3)}/{row:02}",
    )  # fmt: skip


def holders(pieces: Iterable[Piece], at: datetime) -> list[int]:
    """Rows that count and hold at an instant."""
    return [
        piece.row for piece in pieces if piece.conflict != "overruled" and covers(piece.valid_from, piece.valid_to, at)
    ]


def covers(start: datetime | None, end: datetime | None, at: datetime) -> bool:
    return (start is None or start <= at) and (end is None or at < end)


def parent_links(chance: random.Random, size: int = 9) -> list[Link]:
    """Parent links of ``size`` organisations, settled so that each child has one parent at a time; full of circles."""
    links: list[Link] = []
    for child in range(size):
        rivals = [one for one in spans(chance, size) if one.other != child]
        for piece in settle(rivals) if rivals else []:
            if piece.conflict != "overruled":
                span = next(one for one in rivals if one.row == piece.row)
                links.append(_link(child, span, piece))
    return links


def _link(child: int, span: Span, piece: Piece) -> Link:
    claim = piece.valid_from or span.evidence_at
    return Link(child, span.other, piece.valid_from, piece.valid_to, span.strength, claim, f"{child}/{span.first_ref}")


def at_time(links: Iterable[Link], at: datetime) -> dict[int, int]:
    """Child → parent of the links that hold; a child with two parents fails."""
    tree: dict[int, int] = {}
    for link in links:
        if link.cut is None and covers(link.valid_from, link.valid_to, at):
            assert link.child not in tree
            tree[link.child] = link.parent
    return tree


def top_of(tree: dict[int, int], child: int) -> int:
    """Walk up; more steps than organisations means a circle."""
    for _ in range(len(tree) + 1):
        if child not in tree:
            return child
        child = tree[child]
    raise AssertionError("a circle")


def check_settled(seed: int) -> None:
    """At any instant at most one holds; nobody holds outside the time they state; nothing that was said is lost."""
    rivals = spans(random.Random(seed))
    pieces = settle(rivals)
    assert {piece.row for piece in pieces} == {one.row for one in rivals}
    for number in range(-1, DAYS + 1):
        at = instant(number)
        held = holders(pieces, at)
        stated = [one for one in rivals if covers(one.valid_from, one.valid_to, at)]
        assert len(held) <= 1
        assert set(held) <= {one.row for one in stated}
        dated = [one for one in stated if one.valid_from is not None]
        if dated:
            latest = max(one.valid_from for one in dated if one.valid_from)
            winner = rivals[held[0]]
            assert (winner.valid_from or winner.evidence_at or latest) >= latest


def check_acyclic(seed: int) -> None:
    """No circle at any instant; what is cut would have closed one; kept and cut together are what was said."""
    links = parent_links(random.Random(seed))
    opened = acyclic(links)
    for number in range(-1, DAYS + 1, 7):
        at = instant(number)
        tree = at_time(opened, at)
        for child in tree:
            top_of(tree, child)
        cut = [link for link in opened if link.cut and covers(link.valid_from, link.valid_to, at)]
        assert all(top_of(tree, link.parent) == link.child for link in cut)
        assert tree | {link.child: link.parent for link in cut} == at_time(links, at)


def check_reparenting(seed: int) -> None:
    """A new parent from a date changes no tree before that date."""
    chance = random.Random(seed)
    links = parent_links(chance)
    deal, child, parent = instant(chance.randrange(DAYS)), *chance.sample(range(9), 2)
    after = [_until(link, deal) if link.child == child else link for link in links]
    after = [
        link for link in after if link.valid_from is None or link.valid_to is None or link.valid_from < link.valid_to
    ]
    after = [link for link in after if link.child != child or (link.valid_from or FIRST) < deal]
    after.append(Link(child, parent, deal, None, 1.0, deal, f"{child}/new"))
    old, new = acyclic(links), acyclic(after)
    for number in range(-1, DAYS + 1, 7):
        if instant(number) < deal:
            assert at_time(old, instant(number)) == at_time(new, instant(number))
    assert at_time(new, LAST - timedelta(days=1))[child] == parent


def _until(link: Link, end: datetime) -> Link:
    until = min(link.valid_to or end, end)
    return Link(link.child, link.parent, link.valid_from, until, link.strength, link.claim, link.ref)


def random_tree(chance: random.Random, size: int, *, reach: int | None = None) -> dict[int, int]:
    """Child → parent; ``reach`` = 1 makes a chain, without it a bush."""
    return {child: chance.randrange(max(0, child - (reach or child)), child) for child in range(1, size)}


def sums_by_hand(tree: dict[int, int], own: dict[int, int]) -> dict[int, int]:
    total: dict[int, int] = defaultdict(int)
    for node, value in own.items():
        total[node] += value
        above = tree.get(node)
        while above is not None:
            total[above] += value
            above = tree.get(above)
    return total
