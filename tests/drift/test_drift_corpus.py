"""The radar finds what was planted and is silent on clean reloads: precision and recall over the whole corpus."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache

import pyarrow as pa
import pytest

from connectors.sdk import paths
from pipelines.drift.compare import NOTE, Finding, Uses, compare
from pipelines.drift.model import Profile, without_words
from pipelines.drift.profile import profile
from tests.drift.corpus import Change, cases, load

pytestmark = pytest.mark.slow  # each goes through whole stages

USES = Uses(reads=lambda _: False, knows=lambda _: False, grows=lambda path: path == ("id",))


def profiled(size: int, seed: int, changes: list[Change]) -> Profile:
    records = load(size, seed, changes)
    table = pa.table({"source_key": [one["id"] for one in records], "payload": [json.dumps(one) for one in records]})
    return {path: without_words(node) for path, node in profile([table], size, lambda _: True).items()}


@cache
def base() -> Profile:
    return profiled(1_000, 1, [])


def alarms(seen: Profile) -> set[tuple[str, str]]:
    found: list[Finding] = compare(base(), {}, seen, USES)
    return {(paths.write(one.path), one.kind) for one in found if one.level != NOTE}


def score(size: int) -> tuple[float, float, list[str]]:
    counts: Counter[str] = Counter()
    wrong = []
    for number, (name, changes, expected) in enumerate(cases()):
        found = alarms(profiled(size, 100 + number, changes))
        counts.update(right=len(found & expected), false=len(found - expected), missed=len(expected - found))
        if found != expected:
            wrong.append(f"{name}: found {sorted(found - expected)}, missed {sorted(expected - found)}")
    told = counts["right"] + counts["false"]
    return counts["right"] / told, counts["right"] / (counts["right"] + counts["missed"]), wrong


def test_the_corpus_has_each_class_alone_and_together_and_clean_reloads():
    kinds = {kind for _, _, expected in cases() for _, kind in expected}

    assert kinds == {"added", "removed", "retyped", "widened", "nullability", "enum", "fill", "distribution"}
    assert len(list(cases())) >= 60
    assert sum(not expected for _, _, expected in cases()) >= 20


@pytest.mark.parametrize("size", [400])
def test_precision_and_recall_are_at_least_95_percent(size: int):
    precision, recall, wrong = score(size)

    assert precision >= 0.95, wrong
    assert recall >= 0.95, wrong
