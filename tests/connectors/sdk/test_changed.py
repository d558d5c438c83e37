"""A changed copy is what ``dataclasses.replace`` makes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from connectors.sdk.changed import changed
from connectors.sdk.progress import Progress
from connectors.sdk.protocols import ReadKind

FIRST = Progress(ReadKind.BACKFILL, datetime(2026, 1, 1, tzinfo=UTC), at={"cursor": "1"})


def test_a_copy_differs_in_the_given_fields_alone() -> None:
    assert changed(FIRST, seen=7, at=None) == replace(FIRST, seen=7, at=None)
    assert FIRST.at == {"cursor": "1"}


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(TypeError, match="Progress has no field sene"):
        changed(FIRST, sene=7)
