"""The README's quick start, run as a newcomer would: in a fresh copy of the project."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk.testing.simulator import World
from pipelines import demo

pytestmark = pytest.mark.demo

ROOT = Path(__file__).parent.parent
TIMEOUT_S = 240
_STATES = ("prefer", "call", "quiet", "mails_a_week")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def _quick_start() -> list[str]:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"## Quick start.*?```sh\n(.*?)```", readme, re.DOTALL)
    assert block
    return [line.split("#")[0].strip() for line in block[1].splitlines()]


def _make(folder: Path, target: str) -> subprocess.CompletedProcess[str]:
    """Run a target; the environment is the one that runs the tests, so that it is not built twice."""
    command = ["make", "--no-print-directory", "--assume-old=.venv/.ready", target]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, env=_environment()
    )


def _environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in ("UNISONO_CONFIG", "DAGSTER_HOME")}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clone")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in (name for name in listed if (ROOT / name).is_file()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "data").mkdir()  # two workers may run a demo at the same moment: each has a port of its own
    (folder / "data" / "demo.json").write_text(json.dumps({"port": _free_port(), "runs": 0}), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def first(copy: Path) -> subprocess.CompletedProcess[str]:
    return _make(copy, "demo")


def test_the_quick_start_names_the_two_commands_and_the_ui():
    assert _quick_start() == ["make demo", "make ui", "make test"]


@pytest.mark.slow
def test_make_demo_shows_golden_people_of_six_vendors_and_where_a_record_came_from(
    first: subprocess.CompletedProcess[str],
):
    assert first.returncode == 0, first.stdout + first.stderr
    assert re.search(r"[\d,]+ customer records → [\d,]+ golden people", first.stdout)
    assert all(vendor in first.stdout for vendor in ("acme", "hubspot", "zendesk", "shopify", "klaviyo", "typeform"))
    assert "where each cell came from" in first.stdout


@pytest.mark.slow
def test_the_demos_influence_map_shows_who_reports_to_whom_as_the_vendor_says(
    copy: Path, first: subprocess.CompletedProcess[str]
):
    assert first.returncode == 0
    golden = {row["source_key"]: row["entity_id"] for row in _query(copy, _ACME_PEOPLE)}
    said = {golden[str(user["id"])]: user["manager_email"].lower() for user in _users() if user["manager_email"]}
    holders: dict[str, set[int]] = {}  # golden people whom nothing merged may have one address
    for row in _query(copy, "SELECT value_norm, entity_id FROM v1_golden_contact_point WHERE kind = 'email'"):
        holders.setdefault(row["value_norm"], set()).add(row["entity_id"])

    lines = _query(copy, "SELECT from_id, to_id FROM v1_relationship WHERE type = 'reports_to'")
    right = [row for row in lines if row["to_id"] in holders.get(said.get(row["from_id"], ""), ())]
    firm = _query(copy, _ORGANIZATION_WITH_A_MANAGER)[0]
    members = {row["person_id"]: row for row in _unisono(copy, "influence", firm["organization_id"])}

    assert len(said) > 100
    assert len(right) > 0.95 * len(said)
    assert {row["from_id"] for row in lines} <= said.keys()
    assert members[firm["from_id"]]["reports_to"] == firm["to_id"]


@pytest.mark.slow
def test_the_demos_people_are_kept_to_what_they_state(copy: Path, first: subprocess.CompletedProcess[str]):
    assert first.returncode == 0
    golden = {row["source_key"]: row["entity_id"] for row in _query(copy, _ACME_PEOPLE)}
    users = _users()
    night = next(user for user in users if user["contact"] and (user["contact"]["quiet"] or {}).get("from") == "21:00")

    stating = _query(copy, "SELECT entity_id FROM v1_golden_preference WHERE stated IS NOT NULL")
    rows = _unisono(copy, "explain", "person", golden[str(night["id"])], "channels")
    (told,) = [row for row in rows if row["what"] == "stated" and row["kind"] == "quiet_hours"]
    (preference,) = [row for row in rows if row["what"] == "preference"]

    assert {row["entity_id"] for row in stating} == {golden[str(each["id"])] for each in users if _says(each)}
    assert (told["time_from"], told["time_to"], told["counts"]) == ("21:00", "07:30", True)
    assert told["source"].endswith(f"user/{night['id']}")
    assert (preference["quiet_from"], preference["quiet_to"]) == ("21:00", "08:00")  # until 8 is the company's rule


@pytest.mark.slow
def test_a_household_of_the_demo_is_explained(copy: Path, first: subprocess.CompletedProcess[str]):
    assert first.returncode == 0
    household = _query(copy, "SELECT household_id, members FROM v1_household ORDER BY members DESC, household_id")[0]

    (told,) = _unisono(copy, "explain", "household", household["household_id"])
    (same,) = _unisono(copy, "explain", "household", told["members"][0]["person_id"])

    assert len(told["members"]) == household["members"]
    assert {end for link in told["links"] for end in (link["left"], link["right"])} == {
        member["person_id"] for member in told["members"]
    }
    assert all(link["common"] for link in told["links"])
    assert same["members"] == told["members"]


@pytest.mark.slow
def test_a_second_make_demo_loads_only_what_changed(copy: Path, first: subprocess.CompletedProcess[str]):
    assert first.returncode == 0

    second = _make(copy, "demo")

    loaded = re.search(r"This run loaded ([\d,]+) changed or new records", second.stdout)
    assert loaded, second.stdout + second.stderr
    assert 0 < int(loaded[1].replace(",", "")) < 1000


_ACME_PEOPLE = "SELECT source_key, entity_id FROM v1_crosswalk WHERE connector = 'acme' AND object = 'user'"
_ORGANIZATION_WITH_A_MANAGER = """
    SELECT e.to_id AS organization_id, r.from_id, r.to_id FROM v1_relationship AS r
    JOIN v1_relationship AS e ON e.from_id = r.from_id AND e.type = 'employment'
    JOIN v1_relationship AS m ON m.from_id = r.to_id AND m.type = 'employment' AND m.to_id = e.to_id
    WHERE r.type = 'reports_to' ORDER BY 1, 2 LIMIT 1"""


def _users() -> list[dict[str, Any]]:
    """Acme's users, but for those deleted, as the demo serves them before its world moves on."""
    world = World(demo.SEED, demo.PEOPLE)
    users = [json.loads(payload) for _, payload, _ in world.payloads("acme", "users")]
    return [user for user in users if user["state"] != "deleted"]


def _says(user: dict[str, Any]) -> bool:
    return bool(user["contact"]) and any(user["contact"][name] is not None for name in _STATES)


def _query(folder: Path, sql: str) -> list[dict[str, Any]]:
    return _unisono(folder, "query", " ".join(sql.split()))


def _unisono(folder: Path, *words: object) -> list[dict[str, Any]]:
    main = ["-c", "from pipelines.cli import main; main()", "--config", "data/unisono.yaml"]
    command = [sys.executable, *main, *map(str, words), "--json"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, env=_environment()
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def browser() -> str:
    """Path of a Chromium; without one the test is left out, in CI it fails."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None and os.environ.get("CI") == "true":
        pytest.fail("no Chromium: apt-get install chromium")
    if found is None:
        pytest.skip("no Chromium: apt-get install chromium")
    return found


@pytest.mark.slow
@pytest.mark.browser
def test_make_ui_shows_the_golden_asset_and_the_timeline_on_the_demos_history(
    copy: Path, first: subprocess.CompletedProcess[str], browser: str, tmp_path: Path
):
    assert first.returncode == 0

    with _ui(copy) as url:
        page = _page(browser, f"{url}/assets/golden/person", tmp_path)
        timeline = _page(browser, f"{url}/overview/timeline", tmp_path)

    assert "Row count" in page
    assert "One golden record per person" in page
    assert all(f"/jobs/{job}" in timeline for job in ("ingest", "master"))
    assert "No runs" not in timeline


def _page(browser: str, url: str, profile: Path) -> str:
    return subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={profile}", "--virtual-time-budget=20000", "--dump-dom", url,
        ],
        capture_output=True, text=True, timeout=120, check=False,
    ).stdout  # fmt: skip


@contextmanager
def _ui(folder: Path) -> Iterator[str]:
    port = _free_port()
    process = subprocess.Popen(
        ["make", "--assume-old=.venv/.ready", "ui"], cwd=folder, env={**_environment(), "UNISONO_UI_PORT": str(port)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        _wait_for(f"http://127.0.0.1:{port}/server_info", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=60)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
        else:
            return
    pytest.fail(f"{url} did not answer")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
