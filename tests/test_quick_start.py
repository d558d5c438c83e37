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

import pytest

ROOT = Path(__file__).parent.parent
TIMEOUT_S = 240
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
def test_make_demo_shows_golden_people_of_five_vendors_and_where_a_record_came_from(
    first: subprocess.CompletedProcess[str],
):
    assert first.returncode == 0, first.stdout + first.stderr
    assert re.search(r"[\d,]+ customer records → [\d,]+ golden people", first.stdout)
    assert all(vendor in first.stdout for vendor in ("hubspot", "zendesk", "shopify", "klaviyo", "typeform"))
    assert "where each cell came from" in first.stdout


@pytest.mark.slow
def test_a_second_make_demo_loads_only_what_changed(copy: Path, first: subprocess.CompletedProcess[str]):
    assert first.returncode == 0

    second = _make(copy, "demo")

    loaded = re.search(r"This run loaded ([\d,]+) changed or new records", second.stdout)
    assert loaded, second.stdout + second.stderr
    assert 0 < int(loaded[1].replace(",", "")) < 1000


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
def test_make_ui_shows_the_golden_asset_on_the_demos_history(
    copy: Path, first: subprocess.CompletedProcess[str], browser: str, tmp_path: Path
):
    assert first.returncode == 0

    with _ui(copy) as url:
        page = subprocess.run(
            [
                browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                f"--user-data-dir={tmp_path}", "--virtual-time-budget=20000", "--dump-dom", f"{url}/assets/golden/person",
            ],
            capture_output=True, text=True, timeout=120, check=False,
        ).stdout  # fmt: skip

    assert "Row count" in page
    assert "One golden record per person" in page


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
