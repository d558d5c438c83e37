"""Any history of statements, merges and unmerges leads to what everything made anew gives."""

from __future__ import annotations

import pytest

from pipelines.store import Store
from tests.influence.histories import check_history

pytestmark = pytest.mark.slow  # each goes through whole stages


@pytest.mark.parametrize("seed", range(2))
def test_changes_only_give_what_everything_anew_gives_and_unmerge_restores(store: Store, seed: int) -> None:
    check_history(store, seed, steps=12)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 103))
def test_longer_histories_too(sqlite_store: Store, seed: int) -> None:
    check_history(sqlite_store, seed, steps=30)
