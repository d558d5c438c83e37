"""Tokens are saved by one process only; a request budget is shared by all."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from pipelines.store.control_state import block_quota, load_token, save_token, take_quota
from tests.store.rows import DAY

if TYPE_CHECKING:
    from pipelines.store import Store


def test_a_token_is_saved_only_over_the_version_that_was_read(store: Store):
    assert load_token(store, "crm") is None
    assert save_token(store, "crm", {"access": "a"}, expected_version=0)
    assert not save_token(store, "crm", {"access": "b"}, expected_version=0)
    assert save_token(store, "crm", {"access": "c"}, expected_version=1)
    assert not save_token(store, "crm", {"access": "d"}, expected_version=1)

    found = load_token(store, "crm")

    assert found is not None
    assert (found.value, found.version) == ({"access": "c"}, 2)


def take(store: Store, seconds: float, n: int = 1) -> float:
    return take_quota(store, "crm", n, limit=3, per_seconds=10, now=DAY + timedelta(seconds=seconds))


def test_a_budget_is_never_exceeded_within_its_window(store: Store):
    assert [take(store, 0, 2), take(store, 1), take(store, 2)] == [0.0, 0.0, 8.0]
    assert take(store, 10) == 0.0


def test_a_request_larger_than_the_budget_is_let_through_alone(store: Store):
    assert take(store, 0, 5) == 0.0
    assert take(store, 1) == 9.0


def test_a_vendors_wish_to_wait_binds_every_process(store: Store):
    block_quota(store, "crm", DAY + timedelta(seconds=30))

    assert take(store, 0) == pytest.approx(30.0)
    assert take(store, 31) == 0.0
