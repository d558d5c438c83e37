"""The twin enforces the vendors' real limits, and its log tells who did not keep them: the check of the hostile run can fail."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest

from tests.end_to_end import _twin
from tests.end_to_end.test_twin_hostile import above_the_rate

pytestmark = pytest.mark.slow

_MOST = 1_000  # requests; the vendor allows 100 in 10 s


def test_the_log_shows_who_asks_faster_than_the_vendor_allows() -> None:
    with _twin.running("--limits", "real", vendors=("hubspot",)) as twin:
        (row,) = twin.connections()
        assert above_the_rate(twin) == {}

        refused = next((n for n in range(1, _MOST) if _status(row) == 429), None)

        assert refused is not None, "the machine is too slow to go above the rate"
        assert refused > 100
        assert above_the_rate(twin) == {"hubspot": 1}


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
