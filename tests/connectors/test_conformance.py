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
from connectors.sdk.testing import fixtures, tiers
from connectors.sdk.testing.conformance import RULES, Status, check, write_pages
from connectors.sdk.testing.report import TIERS
from connectors.sdk.testing.rules import BEHAVIOUR
from tests.mutants.connectors import CONNECTOR_MUTANTS
from tests.mutants.engine import ENGINE_MUTANTS

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.slow  # all rules on a connector

CONNECTORS = find_connectors()
ROOT = Path(__file__).parents[2]


BEHAVIOURAL = {rule for rule in BEHAVIOUR if not rule.startswith("FIELD-")}
FILES = [rule.id for rule in RULES if rule.id not in BEHAVIOURAL]


@pytest.mark.slow
@pytest.mark.parametrize("name", CONNECTORS)
def test_connector_keeps_every_bronze_rule_and_its_tier_is_the_shipped_one(name):
    report = check(CONNECTORS[name].path)

    assert report.ok, report.text()
    assert report.tier in TIERS
    assert tiers.known_tier(CONNECTORS[name].path) == report.tier, (
        "run: python -m connectors.sdk.testing.conformance --tiers"
    )


@pytest.mark.parametrize("name", CONNECTORS)
def test_connector_reads_its_own_vendor_whole(name):
    """A quick part of the whole check above: pages, keys, cursors and secrets before the vendor of simulator.yaml."""
    report = check(
        CONNECTORS[name].path,
        only=("PAGE-EVERY-RECORD", "KEY-UNIQUE", "CURSOR-ALL-CHANGES", "SECRET-REDIRECT", "CONFIG-KEYS-NEEDED"),
    )

    assert report.ok, report.text()
    assert all(result.judged for result in report.results), report.text(every=True)


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


def test_the_completed_scaffold_lacks_gold_only_for_want_of_a_description_of_its_vendor(good):
    report = check(good)

    assert report.ok, report.text()
    assert report.tier == "silver"
    assert [one.rule.id for one in report.results if one.status is Status.FAIL] == ["CON-VENDOR-DESCRIBED"]
    assert report.result("PAGE-EVERY-RECORD").judged, "a connector outside the repository is read, too"


def test_a_rule_without_ground_says_why_and_never_that_it_passed(good):
    result = check(good, only=["CURSOR-TIES", "CHILD-EVERY-PARENT"]).result("CURSOR-TIES")

    assert result.status is Status.NOT_APPLICABLE
    assert "simulator.yaml" in result.reason


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

    report = check(broken, only=FILES)

    assert report.status(rule) is Status.FAIL, report.text()
    assert not report.ok
    assert report.tier == "none"


def test_every_rule_is_proven_to_fail_here_or_by_a_mutant():
    """What has neither an edit here nor a mutant is proven by a test of its own, named beside it."""
    proven = {rule for rule, _ in BREAKAGES} | {mutant.rule for mutant in (*CONNECTOR_MUTANTS, *ENGINE_MUTANTS)}

    assert {rule.id for rule in RULES} - proven == {*PROVEN_BELOW, *NOT_PROVEN}
    assert all(test.__module__ == __name__ for test in PROVEN_BELOW.values())


def test_a_hook_that_remembers_is_found_out(broken):
    replace("mapping.yaml", "given_name: first_name", "given_name: {hook: count, args: [id]}")(broken)
    (broken / "hooks.py").write_text(
        "CALLS = []\n\n\ndef count(_id: str | None) -> str | None:\n    CALLS.append(1)\n    return str(len(CALLS))\n"
    )

    assert check(broken, only=FILES).status("CON-MAP-DETERMINISTIC") is Status.FAIL


def test_a_long_stream_is_only_a_warning(broken):
    lines = "\n".join(f"      - {{path: field_{number}, reason: made up for length}}" for number in range(70))
    replace("mapping.yaml", "ignore: []", f"ignore:\n{lines}")(broken)

    assert check(broken, only=FILES).status("CON-STREAM-SHORT") is Status.WARN


def test_an_exemption_needs_a_reason_and_ends_when_the_rule_passes(broken):
    (broken / SCHEMA).unlink()
    (broken / "quality.yaml").write_text(
        'CON-SCHEMA-PRESENT: {exempt: "the vendor publishes none"}\nCON-LINKS-PRESENT: {exempt: "not needed"}\n'
    )

    report = check(broken, only=FILES)

    assert report.tier == "none", "an exempt rule is not a kept one"
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

    text = check(broken, only=FILES).text()

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


def test_an_optional_field_that_stops_a_record_is_found(broken):
    text = (
        (broken / "mapping.yaml")
        .read_text()
        .replace(
            "entity: contact_point\n        when: {path: email, present: true}\n        key: {const: email}",
            "entity: contact_point\n        key: {path: email, transform: [email]}",
        )
    )
    (broken / "mapping.yaml").write_text(text)

    assert check(broken, only=["FIELD-MISSING-OK"]).status("FIELD-MISSING-OK") is Status.FAIL


def test_a_tier_is_remembered_for_the_very_files_it_was_computed_for(broken, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    report = check(broken, only=["CON-MANIFEST-VALID"])
    assert tiers.known_tier(broken) == tiers.UNCHECKED

    tiers.remember([(broken, report)])
    assert tiers.known_tier(broken) == report.tier

    (broken / "README.md").write_text("other")
    assert tiers.known_tier(broken) == tiers.UNCHECKED


def test_a_wrong_description_of_the_vendor_is_a_finding_and_ends_nothing(broken):
    (broken / "simulator.yaml").write_text("vendor: tiny\n")

    report = check(broken, only=["CON-VENDOR-DESCRIBED", "CURSOR-TIES", "CON-KEY-PRESENT"])

    assert report.status("CURSOR-TIES") is Status.FAIL
    assert "simulator.yaml" in report.result("CURSOR-TIES").findings[0]
    assert report.status("CON-KEY-PRESENT") is Status.PASS


def test_the_tables_of_a_connector_that_lies_elsewhere_are_written_as_the_rule_says(broken, capsys):
    breakage = replace("README.md", "| contacts |", "| contact |")
    breakage(broken)
    assert check(broken, only=FILES).status("CON-README-CURRENT") is Status.FAIL

    assert docs.main([str(broken)]) == 0
    assert check(broken, only=FILES).status("CON-README-CURRENT") is Status.PASS

    assert docs.main(["no-such-vendor"]) == 2
    assert "there is no connector 'no-such-vendor'" in capsys.readouterr().err


PROVEN_BELOW = {
    "CON-STREAM-SHORT": test_a_long_stream_is_only_a_warning,
    "CON-MAP-DETERMINISTIC": test_a_hook_that_remembers_is_found_out,
    "CON-VENDOR-DESCRIBED": test_the_completed_scaffold_lacks_gold_only_for_want_of_a_description_of_its_vendor,
    "FIELD-MISSING-OK": test_an_optional_field_that_stops_a_record_is_found,
}
NOT_PROVEN = {
    "FIELD-RETYPED-SEEN": "no single seam loses an object that comes where a value was: without the check of kinds its own text "
    "stands there, and without that, too, it is kept in extras",
    "FIELD-COUNTS": "every scalar path that a mapping reads refuses an object in its place, and that counts as a change that "
    "shows: a wrong condition, a shadowed fallback or a hook without eyes for its argument all pass. Without that, keys and "
    "fallbacks of all connectors would be findings; the rule needs to know what the manifest reads",
}
