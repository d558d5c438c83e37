"""Every connector keeps every rule, and every rule can fail."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from connectors.sdk import docs
from connectors.sdk.catalog import find_connectors
from connectors.sdk.scaffold import new_connector
from connectors.sdk.testing import fixtures
from connectors.sdk.testing.conformance import RULES, Status, check, write_pages

if TYPE_CHECKING:
    from collections.abc import Callable

CONNECTORS = find_connectors()
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", CONNECTORS)
def test_connector_keeps_every_rule(name):
    report = check(CONNECTORS[name].path)

    assert report.ok, report.text()
    assert report.tier == "bronze"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small connector that keeps every rule: the scaffold, with what its check asks for."""
    folder = new_connector("tiny", tmp_path_factory.mktemp("good"))
    record = {
        "id": 1,
        "first_name": "Ada",
        "last_name": "Lovelace",
        "email": "Ada@Example.org",
        "created_at": None,
        "updated_at": "2026-01-01T00:00:00Z",
    }
    case = folder / "fixtures" / "contacts" / "full.json"
    case.parent.mkdir(parents=True)
    case.write_text(json.dumps(record))
    readme = folder / "README.md"
    readme.write_text(readme.read_text() + "\nSee https://developers.tiny.example.\n")
    readme.write_text(docs.readme_tables(folder))
    fixtures.write_expected(fixtures.ConnectorFolder(folder))
    return folder


@pytest.fixture
def broken(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "tiny"))


def test_the_completed_scaffold_keeps_every_rule(good):
    report = check(good)

    assert report.ok, report.text()
    assert {result.status for result in report.results} == {Status.PASS}


def replace(file: str, old: str, new: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new))

    return edit


def write(file: str, text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / file).write_text(text) and None


def remove(file: str) -> Callable[[Path], None]:
    return lambda folder: (folder / file).unlink()


STREAM = "  others: {object: other, title: O, description: O., key: id, record_time: null, path: /o, data_selector: data, paginator: {type: single_page}}\n"
FULL = "fixtures/contacts/full.json"
EXPECTED = "fixtures/contacts/full.expected.json"
SCHEMA = "schema/contacts.json"
BREAKAGES = [
    ("CON-MANIFEST-VALID", replace("manifest.yaml", "title: Tiny", "titel: Tiny")),
    ("CON-NAME-IS-FOLDER", lambda folder: [replace(file, "connector: tiny" if "map" in file else "name: tiny", "connector: huge" if "map" in file else "name: huge")(folder) for file in ("manifest.yaml", "mapping.yaml")]),
    ("CON-LINKS-PRESENT", replace("README.md", "https://", "www.")),
    ("CON-MAPPING-VALID", replace("mapping.yaml", "given_name:", "given:")),
    ("CON-STREAMS-MAPPED", replace("manifest.yaml", "streams:\n", "streams:\n" + STREAM)),
    ("CON-SCHEMA-PRESENT", remove(SCHEMA)),
    ("CON-SCHEMA-MINIMAL", replace(SCHEMA, '"required": ["id"', '"required": ["nickname", "id"')),
    ("CON-FIXTURES-PRESENT", remove(FULL)),
    ("CON-FIXTURES-FIT", replace(FULL, '"Ada"', "17")),
    ("CON-FIXTURES-MATCH", replace(EXPECTED, '"Ada"', '"Eda"')),
    ("CON-FIELDS-ACCOUNTED", replace(FULL, '"id": 1', '"id": 1, "nickname": "A"')),
    ("CON-IGNORES-USED", replace("mapping.yaml", "ignore: []", "ignore: [{path: nickname, reason: not used}]")),
    ("CON-KEY-PRESENT", replace(SCHEMA, '"id": {', '"idd": {')),
    ("CON-CURSOR-DECLARED", replace(SCHEMA, '"updated_at": {', '"updated": {')),
    ("CON-SECRETS-MARKED", replace("manifest.yaml", "secret: true, ", "")),
    ("CON-NO-SECRETS", replace("README.md", "## Limits", "## Limits\n\nBearer abcdefghijklmnopqrstuvwx")),
    ("CON-README-SECTIONS", replace("README.md", "## Scopes", "## Rights")),
    ("CON-README-CURRENT", replace("README.md", "| contacts |", "| contact |")),
    ("CON-HOOKS-PURE", write("hooks.py", "import os\n\n\ndef f(x):\n    return open(x)\n")),
    ("CON-QUALITY-VALID", write("quality.yaml", "CON-NO-SUCH-RULE: done\n")),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "breakage"), BREAKAGES, ids=[rule for rule, _ in BREAKAGES])
def test_a_breach_is_found_by_its_rule(broken, rule, breakage):
    breakage(broken)

    report = check(broken)

    assert report.status(rule) is Status.FAIL, report.text()
    assert not report.ok
    assert report.tier == "none"


def test_every_rule_but_two_is_proven_to_fail_above():
    """Long streams only warn; that mapping depends on order is proven below with an impure hook."""
    assert {rule.id for rule in RULES} - {rule for rule, _ in BREAKAGES} == {
        "CON-STREAM-SHORT",
        "CON-MAP-DETERMINISTIC",
    }


def test_a_hook_that_remembers_is_found_out(broken):
    replace("mapping.yaml", "given_name: first_name", "given_name: {hook: count, args: [id]}")(broken)
    (broken / "hooks.py").write_text(
        "CALLS = []\n\n\ndef count(_id: str | None) -> str | None:\n    CALLS.append(1)\n    return str(len(CALLS))\n"
    )

    assert check(broken).status("CON-MAP-DETERMINISTIC") is Status.FAIL


def test_a_long_stream_is_only_a_warning(broken):
    lines = "\n".join(f"      - {{path: field_{number}, reason: made up for length}}" for number in range(70))
    replace("mapping.yaml", "ignore: []", f"ignore:\n{lines}")(broken)

    assert check(broken).status("CON-STREAM-SHORT") is Status.WARN


def test_an_exemption_needs_a_reason_and_ends_when_the_rule_passes(broken):
    (broken / SCHEMA).unlink()
    (broken / "quality.yaml").write_text(
        'CON-SCHEMA-PRESENT: {exempt: "the vendor publishes none"}\nCON-LINKS-PRESENT: {exempt: "not needed"}\n'
    )

    report = check(broken)

    assert report.status("CON-SCHEMA-PRESENT") is Status.EXEMPT
    assert report.status("CON-LINKS-PRESENT") is Status.FAIL
    assert "delete the exemption" in report.text()


def test_what_cannot_be_judged_is_blocked_not_passed(broken):
    (broken / "manifest.yaml").write_text("name: tiny\n")

    report = check(broken)

    assert report.status("CON-MAPPING-VALID") is Status.BLOCKED
    assert report.as_json()["tier"] == "none"


def test_the_report_names_rule_and_page(broken):
    (broken / SCHEMA).unlink()

    text = check(broken).text()

    assert "CON-SCHEMA-PRESENT" in text
    assert "docs/rules/CON-SCHEMA-PRESENT.md" in text


def test_the_pages_of_the_rules_are_current():
    assert write_pages(ROOT, only_check=True) == [], "run: python -m connectors.sdk.testing.conformance --pages ."


def test_a_page_fixture_gives_its_records_by_the_data_selector(broken):
    record = json.loads((broken / FULL).read_text())
    (broken / "fixtures" / "contacts" / "page.json").write_text(
        json.dumps({"page": {"data": [record, {**record, "id": 2}], "next_cursor": None}})
    )

    fixtures.write_expected(fixtures.ConnectorFolder(broken))

    rows = json.loads((broken / "fixtures" / "contacts" / "page.expected.json").read_text())["rows"]
    assert [row["row"]["source_key"] for row in rows if row["entity"] == "person"] == ["1", "2"]
