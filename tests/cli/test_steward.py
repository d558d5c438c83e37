"""``unisono quarantine``, ``drift`` and ``connectors diff``: what a steward and an author see and can do."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from connectors.sdk.errors import FixConfig
from pipelines import extract, normalise
from pipelines.cli.app import app
from pipelines.store import profiles
from tests._hub import MANIFEST, MAPPING, Hub

pytestmark = pytest.mark.slow  # each goes through whole stages

ADA = {"id": 1, "first": "Ada", "last": "Byron", "born": "never", "updated": "2026-01-01T00:00:00Z"}
CONFIG = """\
store: "{store}"
landing: landing
connector_paths: [connectors]
connections: [{{name: toy, connector: toy, streams: [people], config: {{token: t}}}}]
"""


@pytest.fixture
def steward(sqlite_hub: Hub) -> Hub:
    """A hub with one record in quarantine, and the configuration on disk that commands read."""
    sqlite_hub.config.path.write_text(CONFIG.format(store=sqlite_hub.store.url), encoding="utf-8")
    sqlite_hub.vendor.pages = [sqlite_hub.page([ADA])]
    extract.run(sqlite_hub.context())
    normalise.run(sqlite_hub.context())
    return sqlite_hub


def run(hub: Hub, *words: str) -> Result:
    return CliRunner().invoke(app, ["--config", str(hub.config.path), *words])


def rows(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_list_counts_by_reason_and_names_each_entry(steward: Hub):
    shown = run(steward, "quarantine", "list", "toy/people").stdout
    (row,) = rows(run(steward, "quarantine", "list", "--json"))

    assert "1  toy/people  normalise  born: " in shown
    assert (row["id"], row["source_key"], row["path"], row["mapping_version"], row["schema_version"]) == (
        1,
        "1",
        "born",
        1,
        "0.1.0",
    )
    assert row["load_id"] == 1
    assert rows(run(steward, "quarantine", "list", "--reason", "no such reason", "--json")) == []


def test_show_prints_the_record_as_the_vendor_sent_it(steward: Hub):
    assert run(steward, "quarantine", "show", "1").stdout.endswith(json.dumps(ADA) + "\n")
    assert rows(run(steward, "quarantine", "show", "1", "--json"))[0]["raw"] == json.dumps(ADA)


def test_an_unknown_entry_or_place_is_an_error_that_says_where_to_look(steward: Hub):
    assert isinstance(run(steward, "quarantine", "show", "99").exception, FixConfig)
    assert "no connection 'nowhere'" in str(run(steward, "quarantine", "list", "nowhere").exception)


def test_replay_after_a_fix_of_the_mapping_reaches_the_golden_record(steward: Hub):
    still = run(steward, "quarantine", "replay")
    steward.remap(MAPPING.replace("birth_date: born", "birth_date: {path: born, invalid: warn}"))
    done = run(steward, "quarantine", "replay")

    assert (still.exit_code, done.exit_code) == (1, 0)
    assert steward.store.query("SELECT given_name FROM v1_person").rows == [("Ada",)]
    assert rows(run(steward, "quarantine", "list", "--all", "--json"))[0]["resolution"] == "replayed"
    assert "nothing to replay" in run(steward, "quarantine", "replay").stderr


def test_a_discarded_entry_is_audited_and_does_not_come_back(steward: Hub):
    refused = run(steward, "quarantine", "discard", "1", "--reason", " ")
    done = run(steward, "quarantine", "discard", "1", "--reason", "test data")
    normalise.run(steward.context(full=True))

    assert (refused.exit_code, done.exit_code) == (2, 0)
    assert rows(run(steward, "quarantine", "list", "--json")) == []
    (row,) = rows(run(steward, "quarantine", "list", "--all", "--json"))
    assert (row["resolution"], row["resolution_note"], row["resolved_by"][:5]) == ("discarded", "test data", "user:")


def test_drift_lists_changes_and_announcements_and_ends_1_while_a_mapped_path_is_broken(steward: Hub):
    finding = {
        "path": "last",
        "kind": "removed",
        "level": "error",
        "mapped": True,
        "signature": "s",
        "detail": {"was_in": 1.0},
    }
    notice = {"endpoint": "/people", "header": "sunset", "value": "soon", "link": None, "due_at": None}
    with steward.store.acquire("x") as lease, steward.store.write(lease, cause="test") as tx:
        profiles.record(tx, "toy", "people", 1, [finding])
        profiles.keep_notices(tx, "toy", "people", [notice])

    shown = run(steward, "drift", "toy/people")
    types = [row["type"] for row in rows(run(steward, "drift", "--json"))]
    accepted = run(steward, "drift", "--accept")
    after = run(steward, "drift")

    assert (shown.exit_code, accepted.exit_code, after.exit_code) == (1, 0, 0)
    assert "error  toy/people  last  removed (mapped): was_in 1.0" in shown.stdout
    assert types == ["drift", "notice"]
    assert "removed" not in after.stdout
    assert "sunset: soon" in after.stdout


def test_connectors_diff_ends_1_until_the_version_is_raised(tmp_path: Path):
    texts = {"old": MANIFEST, "new": MANIFEST.replace("object: note", "object: memo")}
    for name, text in texts.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.yaml").write_text(text, encoding="utf-8")
        (tmp_path / name / "mapping.yaml").write_text(MAPPING, encoding="utf-8")
    words = ["connectors", "diff", str(tmp_path / "old"), str(tmp_path / "new")]

    lazy = CliRunner().invoke(app, [*words, "--json"])
    (tmp_path / "new" / "manifest.yaml").write_text(texts["new"].replace("0.1.0", "0.2.0"), encoding="utf-8")
    raised = CliRunner().invoke(app, words)

    assert (lazy.exit_code, raised.exit_code) == (1, 0), repr(raised.exception)
    assert json.loads(lazy.stdout)["needed"] == "major"
    assert "object note became memo" in raised.stdout


def test_connectors_diff_compares_the_work_tree_with_a_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    toy = tmp_path / "connectors" / "toy"
    toy.mkdir(parents=True)
    (toy / "manifest.yaml").write_text(MANIFEST, encoding="utf-8")
    (toy / "mapping.yaml").write_text(MAPPING, encoding="utf-8")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *words], cwd=tmp_path, check=True)
    (toy / "manifest.yaml").write_text(MANIFEST.replace("object: note", "object: memo"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    changed = CliRunner().invoke(app, ["connectors", "diff", "--since", "main"])
    unknown = CliRunner().invoke(app, ["connectors", "diff", "--since", "nowhere"])

    assert changed.exit_code == 1
    assert "toy" in changed.stdout
    assert "git does not know 'nowhere'" in str(unknown.exception)
