"""The kit notices published bugs: a seeded sample here, all of them in ``make bench-mutants``."""

from __future__ import annotations

import random
import re

import pytest

from connectors.sdk.testing.conformance import RULES
from tests.mutants.connectors import CONNECTOR_MUTANTS
from tests.mutants.engine import ENGINE_MUTANTS
from tests.mutants.model import Mutant, Seams, judge
from tests.mutants.rivals.declared import BASE, EQUIVALENTS, NOT_EXPRESSED, connector

pytestmark = pytest.mark.slow  # each goes through whole stages

MUTANTS = (*CONNECTOR_MUTANTS, *ENGINE_MUTANTS)
_SLOW = {
    "FIELD-STRANGE-SEEN",
    "FIELD-EXACT",
    "FIELD-NEW-REPORTED",
    "RECORD-WHOLE",
    "RECORD-POISON",
    "CON-FIELDS-ACCOUNTED",
    "PAGE-LOOP",
}
_QUICK = [mutant for mutant in MUTANTS if mutant.rule not in _SLOW]
SAMPLE = random.Random(20261122).sample(_QUICK, 30)


def test_there_are_forty_mutants_each_of_a_published_thread_and_a_known_rule():
    known = {rule.id for rule in RULES}

    assert len(MUTANTS) >= 40
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    assert all(mutant.rule in known for mutant in MUTANTS)
    assert all(re.fullmatch(r"[\w.-]+/[\w.-]+#\d+", mutant.thread) for mutant in MUTANTS)
    assert all(bool(mutant.edits) != bool(mutant.patch) for mutant in MUTANTS)


@pytest.mark.parametrize("mutant", SAMPLE, ids=lambda mutant: mutant.name)
def test_the_right_rule_notices(mutant):
    assert judge(mutant, only=(mutant.rule,)).killed


def test_a_change_that_breaks_nothing_kills_nothing():
    harmless = Mutant(
        "harmless",
        "nobody/nothing#1",
        "a title",
        "PAGE-EVERY-RECORD",
        edits=(("manifest.yaml", "title: Acme Cloud", "title: Acme"),),
    )

    assert judge(harmless, only=("PAGE-EVERY-RECORD", "KEY-UNIQUE")).broken == ()


def test_a_seam_that_has_gone_is_an_error_and_what_was_there_comes_back():
    class Owner:
        held = 1

    class Heir(Owner):
        pass

    seams = Seams()
    seams.set(Owner, "held", 2)
    seams.set(Heir, "held", 3)
    with pytest.raises(AttributeError):
        seams.set(Owner, "gone", 4)
    seams.restore()

    assert (Owner.held, Heir.held, "held" in Heir.__dict__) == (1, 1, False)


def test_every_connector_mutant_is_written_for_the_rivals_or_it_is_said_why_not():
    assert set(EQUIVALENTS) | set(NOT_EXPRESSED) == {mutant.name for mutant in CONNECTOR_MUTANTS}
    assert not set(EQUIVALENTS) & set(NOT_EXPRESSED)
    assert all(connector(name) != BASE for name in EQUIVALENTS)
