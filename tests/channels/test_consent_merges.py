"""No merge loses an opt-out, and unmerging gives back each person's own consent: random histories, through the store.

Facts about another project's merge (Unomi, read in its source; IDENTITY.md U3): it compares the revocation's date with
the wall clock, throws where there is none, and where the surviving profile's consent has expired removes it without
taking the other's newer one. Here no clock is read, a missing time is the strictest one, and a merge writes no consent.

This is a seeded sample; ``make bench-consent`` runs the whole number.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from pipelines.channels import run
from pipelines.context import StageContext
from tests.channels import histories
from tests.channels.hub import at

if TYPE_CHECKING:
    from pipelines.store import Store

GROUPS = 100


def settle(store: Store, entities: histories.Numbers) -> dict[tuple[int, histories.Slot], str]:
    """Link the records so, run the stage, and return what the views answer."""
    histories.link(store, entities)
    config: Any = SimpleNamespace(channels=None)
    run(StageContext(config=config, store=store, now=lambda: at("2026-06-01"), entity="person"))
    return histories.answers(store)


def test_random_merges_lose_no_opt_out_and_unmerging_gives_back_each_persons_own(store: Store):
    world = histories.world(GROUPS, seed=4)
    histories.fill(store, world)
    before = settle(store, histories.apart(world))
    assert histories.judge(world, histories.apart(world), before)[1:] == (0, 0)

    for seed in (1, 2):
        entities = histories.merged(world, seed)
        verdict = histories.judge(world, entities, settle(store, entities))
        assert verdict.opt_outs > GROUPS / 2
        assert verdict[1:] == (0, 0)

    assert settle(store, histories.apart(world)) == before


def test_an_answer_that_forgets_one_refusal_is_counted_as_lost(sqlite_store: Store):
    world = histories.world(20, seed=4)
    histories.fill(sqlite_store, world)
    entities = histories.merged(world, 1)
    found = settle(sqlite_store, entities)
    slot = next(key for key, status in found.items() if status == "denied")

    assert histories.judge(world, entities, {**found, slot: "granted"})[1:] == (1, 1)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_worlds_hold_all_that_the_rule_speaks_of(seed: int):
    acts = histories.world(500, seed).acts

    assert {act.status for act in acts} == set(histories.STATUSES)
    assert {(act.kind is None, act.value is None) for act in acts} == {(True, True), (False, True), (False, False)}
    assert {act.authenticated for act in acts} == {None, False, True}
    assert None in {act.day for act in acts}
