"""What a pair counts for in the partition: the steps sum up, whatever evidence there is."""

from __future__ import annotations

from decimal import Decimal
from itertools import product
from typing import Any

import numpy as np
import pytest

from pipelines.resolve import cluster
from pipelines.resolve.cluster import CERTAIN, CLIP, FORBIDDEN, Decided, Edges
from pipelines.resolve.counted import counted
from pipelines.store.pair_reads import Edge


def edge(kind: str, rule: str, judgement: str) -> Edge:
    return Edge(left_id=1, right_id=2, kind=kind, rule=rule, judgement=judgement, weight=None, model_id=None)


RULE, OTHER = edge("deterministic", "email", "positive"), edge("deterministic", "phone", "positive")
AGAINST = edge("deterministic", "national_id", "negative")
MATCH, NO_MATCH = edge("steward", "match", "positive"), edge("steward", "no_match", "negative")
UNSURE = edge("steward", "unsure", "unsure")


@pytest.mark.parametrize(
    ("score", "direct", "total"),
    [
        ("3.250", [], "3.250"),
        ("17.004", [], CLIP),
        ("-22.5", [], -CLIP),
        (None, [], -CLIP),
        ("-2.100", [RULE], CERTAIN),
        (None, [RULE, OTHER], CERTAIN),
        ("9.001", [RULE, AGAINST], FORBIDDEN),
        ("9.001", [RULE, UNSURE], 0),
        ("9.001", [RULE, NO_MATCH], FORBIDDEN),
        ("-3.000", [MATCH], "-3.000"),
    ],
)
def test_a_pair_counts_for_what_the_partition_makes_of_it(score: str | None, direct: list[Edge], total: Any) -> None:
    told = counted(None if score is None else Decimal(score), direct)

    assert told["total"] == Decimal(str(total))
    names = [step["name"] for step in told["steps"]]
    assert all(each.rule in names for each in direct)


def test_the_steps_always_sum_to_the_total() -> None:
    scores = (None, Decimal("-30.125"), Decimal("0.000"), Decimal("5.999"), Decimal("12.345"))
    for score, *chosen in product(scores, *[(None, one) for one in (RULE, OTHER, AGAINST, MATCH, NO_MATCH, UNSURE)]):
        told = counted(score, [one for one in chosen if one is not None])
        running = Decimal(0)
        for step in told["steps"]:
            running += step["weight"]
            assert step["total"] == running
        assert told["total"] == running


@pytest.mark.parametrize("against", [False, True])
def test_the_partition_counts_a_pair_so(against: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    monkeypatch.setattr(
        cluster, "agglomerate", lambda found, _strengths, _: (seen.append(found[0, 0, 1]), np.array([[0, 0, 0]]))[1]
    )
    apart = Edges(np.array([0]), np.array([1]), np.zeros(1)) if against else Edges.none()
    certain = Edges(np.array([0]), np.array([1]), np.array([CERTAIN]))
    scored = Edges(np.array([1]), np.array([2]), np.array([9.0]))
    inside = Edges(np.array([0, 1, 0]), np.array([1, 2, 2]), np.array([-2.1, 9.0, -1.0]))

    cluster.partition(3, scored, certain, lambda _: apart, 0.0, lambda _l, _r: inside, Decided.nothing())

    assert Decimal(str(seen[0])) == counted(Decimal("-2.1"), [RULE, *([AGAINST] if against else [])])["total"]
