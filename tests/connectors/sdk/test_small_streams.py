"""A small stream is listed whole: that costs no more than asking for changes, and shows what a search hides."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from connectors.sdk.catalog import find_connector
from connectors.sdk.engine import _Reading
from connectors.sdk.memory import MemoryCheckpoints
from connectors.sdk.partitions import Partition
from connectors.sdk.protocols import PartitionState

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KNOWN = PartitionState("", cursor="2026-01-01T00:00:00.000000Z", complete=True)


def _kinds(live: int, *, whole_below: int) -> tuple[bool, bool]:
    """Return whether changes, and whether everything, would be read."""
    stream = find_connector("hubspot").manifest.streams["deals"]
    stream = replace(stream, incremental=replace(stream.incremental, whole_below=whole_below))
    reading = object.__new__(_Reading)
    reading.stream, reading.checkpoints, reading.full, reading.now = stream, MemoryCheckpoints(), False, lambda: NOW
    reading.checkpoints.live = live
    return reading._wants_changes(Partition(""), KNOWN), reading._wants_all(KNOWN)


@pytest.mark.parametrize(("live", "kinds"), [(499, (False, True)), (500, (True, False))])
def test_a_stream_is_listed_whole_below_its_limit_and_asked_for_changes_from_it_on(live: int, kinds: tuple[bool, bool]):
    assert _kinds(live, whole_below=500) == kinds


def test_a_stream_without_a_limit_is_always_asked_for_changes():
    assert _kinds(0, whole_below=0) == (True, False)
