"""``kill -9`` at seeded points of fetch, land, checkpoint, token save and commit: the next run makes good, on both stores.

A sample of what ``python -m tests.benchmarks.bench_kills`` does at 200 points a store.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.benchmarks.bench_kills import SEED
from tests.end_to_end._kill_trials import FIRST, LATER, WEIGHTS, Rig, draw

if TYPE_CHECKING:
    from pathlib import Path

SAMPLE = 10
_COUNTS = {f"{kind}: {what}": n for kind in WEIGHTS for what, n in (("before", 3), ("after", 40))}


@pytest.mark.slow
@pytest.mark.parametrize("kind_of_store", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_after_a_kill_anywhere_the_next_run_leaves_what_an_uninterrupted_one_does(
    kind_of_store: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = request.getfixturevalue("postgres_server") if kind_of_store == "postgres" else None
    with Rig(tmp_path, url) as rig:
        verdicts = [rig.judge(trial) for trial in draw(rig.counts, SAMPLE, SEED + len(kind_of_store))]
    assert len(verdicts) == SAMPLE
    assert all(verdict.killed for verdict in verdicts), "each trial killed a process"
    assert {str(verdict.killed): verdict.faults for verdict in verdicts if verdict.faults} == {}


def test_two_hundred_points_are_of_every_kind_and_of_every_point_of_a_kind() -> None:
    trials = draw({FIRST: _COUNTS, LATER: _COUNTS}, 200, SEED)
    points = Counter(trial.kills[0].point for trial in trials)
    assert set(points) == set(_COUNTS)
    assert {trial.scenario for trial in trials} == {FIRST, LATER}
    assert all(1 <= kill.nth <= _COUNTS[kill.point] for trial in trials for kill in trial.kills)
    assert {len(trial.kills) for trial in trials} == {1, 2, 3}, "some runs after a kill are killed too"
    assert draw({FIRST: _COUNTS, LATER: _COUNTS}, 200, SEED) == trials, "a seed names its trials"
