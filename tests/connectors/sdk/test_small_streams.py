"""A small stream is listed whole: that costs no more than asking for changes, and shows what a search hides."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from connectors.sdk.catalog import find_connector
from connectors.sdk.engine import _Reading
from connectors.sdk.memory import MemoryCheckpoints
from connectors.sdk.protocols import PartitionState, ReadKind

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KNOWN = PartitionState("", cursor="2026-01-01T00:00:00.000000Z", complete=True)


def _kind(live: int, *, whole_below: int) -> ReadKind:
    stream = find_connector("hubspot").manifest.streams["deals"]
    stream = replace(stream, incremental=replace(stream.incremental, whole_below=whole_below))
    reading = object.__new__(_Reading)
    reading.stream, reading.checkpoints, reading.full, reading.now = stream, MemoryCheckpoints(), False, lambda: NOW
    reading.checkpoints.live = live
    return reading._start(KNOWN).kind


@pytest.mark.parametrize(("live", "kind"), [(499, ReadKind.SNAPSHOT), (500, ReadKind.INCREMENTAL)])
def test_a_stream_is_listed_whole_below_its_limit_and_asked_for_changes_from_it_on(live: int, kind: ReadKind):
    assert _kind(live, whole_below=500) is kind


def test_a_stream_without_a_limit_is_always_asked_for_changes():
    assert _kind(0, whole_below=0) is ReadKind.INCREMENTAL
