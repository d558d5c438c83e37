"""The twin enforces the vendors' real limits, and its log tells who did not keep them: the check of the hostile run can fail."""

from __future__ import annotations

import shutil
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from connectors.sdk.catalog import find_connectors
from pipelines.config import load_config
from tests.end_to_end import _twin
from tests.end_to_end._cli import write_home
from tests.end_to_end.test_twin_hostile import above_the_rate, extract_streams

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

_BURST, _PERIOD_S = 100, 10
_MOST = 1_000  # requests; the vendor allows 100 in 10 s


def test_the_log_shows_who_asks_faster_than_the_vendor_allows() -> None:
    with _twin.running("--limits", "real", vendors=("hubspot",)) as twin:
        (row,) = twin.connections()
        assert above_the_rate(twin) == {}

        refused = next((n for n in range(1, _MOST) if _status(row) == 429), None)

        assert refused is not None, "the machine is too slow to go above the rate"
        assert refused > _BURST
        assert above_the_rate(twin) == {"hubspot": 1}


def test_the_engine_reaches_what_the_vendor_allows_and_stays_below_it(tmp_path: Path) -> None:
    """Pages of one record make more requests than the vendor takes in one go: without the limit some would be refused."""
    slow = tmp_path / "connectors" / "hubspot_one_by_one"
    shutil.copytree(find_connectors()["hubspot"].path, slow)
    manifest = slow / "manifest.yaml"
    whole = manifest.read_text(encoding="utf-8")
    for old, new in (("page_size: 100,", "page_size: 1,"), ("name: hubspot\n", f"name: {slow.name}\n")):
        assert whole.count(old) == 1
        whole = whole.replace(old, new)
    manifest.write_text(whole, encoding="utf-8")
    with _twin.running("--limits", "real", vendors=("hubspot",)) as twin:
        (row,) = twin.connections()
        row |= {"connector": slow.name, "streams": ["contacts", "companies"]}
        home = write_home(tmp_path / "home", [row], connector_paths=[str(slow.parent)])
        began = time.monotonic()

        reports = extract_streams(load_config(home / "unisono.yaml"))

        took = time.monotonic() - began
        asked = len([one for one in twin.ask("log") if one["vendor"] == "hubspot"])
        # (Not COMPLETE: that a full page is the last one, the vendor does not say.)
        held = {f"hubspot/{name}": len(twin.records("hubspot", name)) for name in ("contacts", "companies")}
        assert {name: (report.counts["loaded"], report.error) for name, report in reports.items()} == {
            name: (count, None) for name, count in held.items()
        }
        assert above_the_rate(twin) == {}
        assert asked > _BURST
        assert took >= (asked - _BURST) * _PERIOD_S / _BURST  # it was the limit that held it back


def _status(row: dict[str, object]) -> int:
    config = row["config"]
    assert isinstance(config, dict)
    request = urllib.request.Request(
        f"{row['base_url']}/crm/v3/objects/contacts?limit=1",
        headers={"Authorization": f"Bearer {config['access_token']}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as why:
        return why.code
