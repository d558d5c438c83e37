"""The twin enforces the vendors' real limits, and its log tells who did not keep them: with many pages, and without a quota."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from connectors.sdk.quota import AccountQuota
from pipelines.config import load_config
from tests.end_to_end import _twin
from tests.end_to_end._cli import write_home
from tests.end_to_end.test_twin_hostile import above_the_rate, extract_streams

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

_STREAMS = ["contacts", "companies", "deals", "tickets", "owners"]
_CLONES = "120"  # enough pages that the limit of 100 requests in 10 s is met at full speed


def _refused(home: Path) -> dict[str, int]:
    with _twin.running("--limits", "real", "--amplify", _CLONES, vendors=("hubspot",)) as twin:
        (row,) = twin.connections()
        config = load_config(write_home(home, [{**row, "streams": _STREAMS}]) / "unisono.yaml")
        reports = extract_streams(config)
        assert {report.completeness for report in reports.values()} == {"COMPLETE"}
        assert sum(report.counts["read"] for report in reports.values()) > 10_000
        return above_the_rate(twin)


def test_no_request_is_above_the_rate_where_the_rate_decides(tmp_path: Path) -> None:
    assert _refused(tmp_path / "home") == {}


def test_the_log_shows_who_goes_above_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(_self: Any, *_request: Any) -> None:
        return

    monkeypatch.setattr(AccountQuota, "acquire", at_once)

    assert _refused(tmp_path / "home").get("hubspot", 0) > 0
