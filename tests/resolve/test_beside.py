"""What is done beside a resolution: begun when its tables are there, and its failure is the resolution's."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from pipelines.resolve import blocking
from pipelines.resolve.engine import resolve_table
from pipelines.resolve.rules import load_policy
from tests.resolve.test_alarms import strangers

pytestmark = pytest.mark.slow  # each resolves anew


class _Work:
    """Reads what it is promised, and fails where it is told to."""

    def __init__(self, fails_at: str = "") -> None:
        self.fails_at, self.seen = fails_at, dict[str, int]()

    def records(self, con: Any, _features: Any) -> None:
        self._look(con, "records", "norm JOIN match USING (rid)")

    def keys(self, con: Any, _model: Any) -> None:
        self._look(con, "keys", "keyed")

    def _look(self, con: Any, step: str, tables: str) -> None:
        self.seen[step] = con.execute(f"SELECT count(*) FROM {tables}").fetchone()[0]
        if step == self.fails_at:
            raise OSError(step)


def test_both_steps_find_the_tables_they_are_promised() -> None:
    work, records = _Work(), strangers(70, "emails")

    resolve_table(records, "person", replace(load_policy(), training_rows=50), meanwhile=work)

    assert work.seen["records"] == records.num_rows
    assert work.seen["keys"] > 0


@pytest.mark.parametrize("step", ["records", "keys"])
def test_a_failure_beside_the_resolution_is_raised_by_it(step: str) -> None:
    policy = replace(load_policy(), training_rows=50)

    with pytest.raises(OSError, match=step):
        resolve_table(strangers(70, "emails"), "person", policy, meanwhile=_Work(step))


def test_under_a_stored_model_nothing_is_begun_beside_the_search_for_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both need most of the memory: of a million records one of them would not get it."""
    records, policy = strangers(70, "emails"), replace(load_policy(), training_rows=50)
    model = resolve_table(records, "person", policy).model
    work, begun = _Work(), list[bool]()
    search = blocking.build_pairs

    def searched(*given: Any) -> None:
        search(*given)
        time.sleep(0.5)  # what was begun before has said so by now
        begun.append(bool(work.seen))

    monkeypatch.setattr(blocking, "build_pairs", searched)
    resolve_table(records, "person", policy, model, meanwhile=work)

    assert begun == [False]
    assert work.seen["records"] == records.num_rows
    assert work.seen["keys"] > 0


def test_of_few_records_no_index_is_begun() -> None:
    work = _Work()

    resolve_table(strangers(14, "emails"), "person", load_policy(), meanwhile=work)

    assert work.seen == {}
