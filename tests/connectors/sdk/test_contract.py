"""The semantic version of a change: what breaks a reader is major, what adds is minor, the rest patch; the manifest must follow."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from connectors.sdk.catalog import ConnectorFolder
from connectors.sdk.contract import compare
from tests._hub import MANIFEST, MAPPING

SCHEMA = {
    "required": ["id"],
    "properties": {"id": {"type": "string"}, "kind": {"type": ["string", "null"], "enum": ["a", "b", None]}},
}
STABLE = MANIFEST.replace("version: 0.1.0", "version: 1.4.2")


def folder(place: Path, manifest: str = STABLE, mapping: str = MAPPING, schema: object = SCHEMA) -> ConnectorFolder:
    root = place / "toy"
    (root / "schema").mkdir(parents=True)
    (root / "manifest.yaml").write_text(manifest, encoding="utf-8")
    (root / "mapping.yaml").write_text(mapping, encoding="utf-8")
    (root / "schema" / "people.json").write_text(json.dumps(schema), encoding="utf-8")
    return ConnectorFolder(root)


def _schema(**change: object) -> dict[str, object]:
    return {**SCHEMA, **change}


NO_NOTES = STABLE[: STABLE.index("  notes:")]
CHANGES = {
    "a stream is gone": ({"manifest": NO_NOTES, "mapping": MAPPING[: MAPPING.index("  notes:")]}, "major", "stream notes is gone"),
    "another key": ({"manifest": STABLE.replace("key: id", "key: uid", 1)}, "major", "key ['id'] became ['uid']"),
    "another object": ({"manifest": STABLE.replace("object: note", "object: memo")}, "major", "object note became memo"),
    "a term is gone": ({"mapping": MAPPING.replace(", birth_date: born", "")}, "major", "term birth_date is gone"),
    "a term is new": ({"mapping": MAPPING.replace("birth_date: born", "birth_date: born, gender: sex")}, "minor", "term gender is new"),
    "a term is made of another field": ({"mapping": MAPPING.replace("given_name: first", "given_name: name")}, "minor", "['name'] instead of ['first']"),
    "another row key": ({"mapping": MAPPING.replace("key: {const: email}", "key: {const: mail}")}, "major", "the rows' key: changed"),
    "an option is required": ({"manifest": STABLE.replace("required: [token]", "required: [token, site]").replace("properties: {token:", "properties: {site: {type: string, title: S, description: S.}, token:")}, "major", "option site is required now"),
    "an option is new": ({"manifest": STABLE.replace("properties: {token:", "properties: {site: {type: string, title: S, description: S.}, token:")}, "minor", "option site is new"),
    "incremental now": ({"manifest": STABLE.replace("    path: /notes\n", "    path: /notes\n    incremental: {cursor_path: updated, start_param: since}\n")}, "minor", "is incremental now"),
    "a type is refused": ({"schema": _schema(properties={**SCHEMA["properties"], "kind": {"type": "string", "enum": ["a", "b", None]}})}, "major", "types null|string became string"),
    "a type more": ({"schema": _schema(properties={**SCHEMA["properties"], "id": {"type": ["string", "integer"]}})}, "minor", "types string became integer|string"),
    "a word is gone": ({"schema": _schema(properties={**SCHEMA["properties"], "kind": {"type": ["string", "null"], "enum": ["a", None]}})}, "major", "values None|a|b became None|a"),
    "more is required of the vendor": ({"schema": _schema(required=["id", "kind"])}, "major", "kind is required of the vendor now"),
    "another page size": ({"manifest": STABLE.replace("    path: /notes\n", "    path: /notes\n    page_size: 50\n")}, "patch", "promises did not"),
    "nothing": ({"manifest": STABLE + "# a comment\n"}, "none", None),
}  # fmt: skip


@pytest.mark.parametrize(("change", "needed", "told"), CHANGES.values(), ids=CHANGES)
def test_each_change_asks_for_its_part_of_the_version(tmp_path: Path, change: dict, needed: str, told: str | None):
    verdict = compare(folder(tmp_path / "old"), folder(tmp_path / "new", **change))

    assert (verdict.needed, verdict.ok) == (needed, needed == "none")
    assert told is None or any(told in one.what for one in verdict.changes), verdict.changes


@pytest.mark.parametrize(
    ("old", "new", "ok"),
    [
        ("1.4.2", "2.0.0", True), ("1.4.2", "1.5.0", False), ("1.4.2", "1.4.3", False), ("1.4.2", "1.4.2", False),
        ("1.4.2", "0.9.0", False), ("0.1.0", "0.2.0", True), ("0.1.0", "0.1.1", False), ("0.1.0", "1.0.0", True),
    ],
)  # fmt: skip
def test_a_breaking_change_needs_a_major_raise_and_before_1_0_a_minor_one(tmp_path: Path, old: str, new: str, ok: bool):
    before = MANIFEST.replace("version: 0.1.0", f"version: {old}")
    after = MANIFEST.replace("version: 0.1.0", f"version: {new}").replace("object: note", "object: memo")

    verdict = compare(folder(tmp_path / "old", before), folder(tmp_path / "new", after))

    assert (verdict.needed, verdict.ok) == ("major", ok)


def test_a_version_may_not_fall_even_when_nothing_changed(tmp_path: Path):
    older = STABLE.replace("1.4.2", "1.4.1")

    assert not compare(folder(tmp_path / "old"), folder(tmp_path / "new", older)).ok


@pytest.mark.parametrize(("new", "ok"), [("1.4.2", False), ("1.4.3", False), ("1.5.0", True)])
def test_a_former_version_that_todays_rules_refuse_asks_for_a_minor_raise(tmp_path: Path, new: str, ok: bool):
    refused = STABLE.replace("object: note", "objekt: note")
    assert refused != STABLE

    verdict = compare(folder(tmp_path / "old", refused), folder(tmp_path / "new", STABLE.replace("1.4.2", new)))

    assert (verdict.old_version, verdict.needed, verdict.ok) == ("1.4.2", "minor", ok)
    assert "today's rules refuse it" in verdict.changes[0].what
