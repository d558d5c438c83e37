"""Over-merging is seen whatever caused it: planted faults ring the alarm, a healthy partition does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from pipelines.resolve import load_policy, resolve_table
from pipelines.resolve.alarms import MOST_SIZE, Alarm, alarms, size_limit, summary
from pipelines.resolve.cluster import LARGEST_COMPONENT
from pipelines.resolve.rules import Policy
from tests.resolve.people import resolve, table

Pair = tuple[int, int, str, str | None, str]
GIVEN = ("amara", "bela", "chidi", "doro", "efua", "fynn", "gudrun", "hiro", "ilse", "jovan", "kwame", "ludo", "mira")
FAMILY = (
    "abel",
    "brodsky",
    "castro",
    "dumont",
    "ekholm",
    "farkas",
    "grieg",
    "huxley",
    "ito",
    "jansen",
    "kovac",
    "lund",
)
KINDS = {
    "emails": "desk{0}@plant.example", "phones": "+4930900{0:04d}", "identifiers": "customer_id=plant{0}",
    "socials": "linkedin.com/in/plant{0}", "websites": "plant{0}.example",
}  # fmt: skip


def strangers(count: int, column: str) -> pa.Table:
    """People with nothing in common but one value, and a healthy neighbourhood of people with two records each."""
    value = KINDS[column].format(count)
    rows = [
        {
            "given_name": GIVEN[n % 13] + "xyz"[n // 156 % 3],
            "family_name": FAMILY[n % 12] + "uvw"[n // 52 % 3],
            column: value,
        }
        for n in range(count)
    ]
    healthy = [
        {"given_name": f"{GIVEN[n % 13]}o", "family_name": f"{FAMILY[n % 12]}sen", "emails": f"own{n}@home.example"}
        for n in range(30) for _ in range(2)
    ]  # fmt: skip
    return table(*rows, *healthy)


def careless() -> Policy:
    """A policy in which every limit has been lifted: one shared value links whoever holds it."""
    policy = load_policy()
    rules = tuple(replace(rule, limit=10**6, names="any", verified=False) for rule in policy.rules)
    return replace(policy, rules=rules, shared_value_names=10**6, blocked={})


@pytest.mark.slow
@pytest.mark.parametrize("count", [14, 30, 70, 200])
@pytest.mark.parametrize("column", sorted(KINDS))
def test_a_policy_without_limits_rings_the_alarm(column: str, count: int) -> None:
    records = strangers(count, column)

    careful, faulty = resolve(records), resolve_table(records, "person", careless())

    assert not careful.alarms
    assert "size" in {alarm.kind for alarm in faulty.alarms}
    assert 13 <= faulty.alarms[0].records <= count


def partition(sizes: list[int], pairs: list[Pair]) -> tuple[Alarm, ...]:
    labels = np.repeat(np.cumsum([0, *sizes[:-1]]), sizes)
    names = ["left_id", "right_id", "kind", "rule", "judgement"]
    kinds = [pa.int64(), pa.int64(), pa.string(), pa.string(), pa.string()]
    columns = zip(*pairs, strict=True) if pairs else [[]] * 5
    evidence = pa.table([pa.array(list(c), k) for c, k in zip(columns, kinds, strict=True)], names=names)
    ids = np.arange(sum(sizes)) * 10
    moved = [pa.array(np.asarray(evidence[side].to_numpy()) * 10) for side in names[:2]]
    return alarms(ids, labels, pa.table([*moved, *evidence.columns[2:]], names=names))


def complete(first: int, size: int) -> list[Pair]:
    return [(first + i, first + j, "scored", None, "positive") for i in range(size) for j in range(i + 1, size)]


def test_a_healthy_partition_rings_nothing() -> None:
    assert partition([3] * 40, [pair for n in range(40) for pair in complete(3 * n, 3)]) == ()
    assert partition([10] * 9, [pair for n in range(9) for pair in complete(10 * n, 10)]) == ()
    assert partition([8], [(0, n, "deterministic", "identifier", "positive") for n in range(1, 8)]) == ()


@pytest.mark.parametrize("size", [14, 20, 40])
def test_a_chain_is_not_one_party(size: int) -> None:
    found = partition([size] * 5, [(n, n + 1, "scored", None, "positive") for n in range(5 * size - 1)])

    assert {(alarm.kind, alarm.records) for alarm in found} == {("density", size)}
    assert len(found) == 5
    assert found[0].value < found[0].limit


def test_a_hub_that_others_hang_on_is_not_one_party() -> None:
    found = partition(
        [16] * 3, [(16 * n, 16 * n + leaf, "scored", None, "positive") for n in range(3) for leaf in range(1, 16)]
    )

    assert [alarm.kind for alarm in found] == ["density"] * 3


def test_what_may_never_be_one_party_and_is_rings_first() -> None:
    found = partition(
        [2, 2], [*complete(0, 2), *complete(2, 2), (2, 3, "deterministic", "unique_identifier", "negative")]
    )

    assert found == (Alarm("contradiction", 20, 2, 1.0, 0),)
    assert summary(found)["contradiction"] == 1


def test_the_limit_can_be_crossed_by_every_cluster_that_can_come_about() -> None:
    everywhere = np.array([LARGEST_COMPONENT] * 50)

    assert size_limit(everywhere) == MOST_SIZE < LARGEST_COMPONENT
