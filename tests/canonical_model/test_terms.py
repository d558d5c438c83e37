"""Every term is described, its examples are valid, and the changelog accounts for every term and version."""

from __future__ import annotations

from itertools import pairwise

import pytest
from jsonschema import Draft202012Validator

from canonical_model import Entity, Term, json_schema, load_vocabulary
from canonical_model.vocabulary import read_changelog

ENTITIES = list(load_vocabulary().entities.values())
each_entity = pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.name)


def example(term: Term) -> object:
    """One valid value of a term."""
    return [term.examples[0]] if term.multi else term.examples[0]


@each_entity
def test_every_term_has_brief_type_stability_personal_class_and_examples(entity: Entity) -> None:
    for term in entity.terms.values():
        assert term.brief.endswith("."), f"{entity.name}.{term.name}: a brief is a sentence"
        assert term.type
        assert term.stability
        assert term.personal
        assert term.examples


@each_entity
def test_examples_are_valid_against_the_type_of_their_term(entity: Entity) -> None:
    schema = json_schema(entity.name)
    Draft202012Validator.check_schema(schema)
    for name, value in schema["properties"].items():
        for shown in value.get("examples", []):
            problems = [error.message for error in Draft202012Validator(value).iter_errors(shown)]
            assert not problems, f"{entity.name}.{name}: {problems}"


@each_entity
def test_a_row_of_examples_is_a_valid_row_and_an_unknown_term_is_not(entity: Entity) -> None:
    check = Draft202012Validator(json_schema(entity.name))
    row = {term.name: example(term) for term in entity.terms.values()}
    assert check.is_valid(row)
    assert check.is_valid(row | {"extras": {"properties.shoe_size": "43"}})
    assert not check.is_valid(row | {"no_such_term": "x"})


@pytest.mark.parametrize(
    ("entity", "row", "valid"),
    [
        ("person", {"birth_date": "1815-12"}, True),
        ("person", {"birth_date": "1815-13"}, False),
        ("person", {"full_name": None}, False),
        ("person", {"tags": []}, False),
        ("person", {"created_at": "2026-01-31T09:30:00Z"}, False),
        ("organization", {"annual_revenue": "1200000.50"}, False),
        ("organization", {"annual_revenue": "-0.5", "currency": "EUR"}, True),
        ("organization", {"annual_revenue": 12}, False),
        ("contact_point", {"kind": "email", "value": "a@example.org"}, True),
        ("contact_point", {"value": "a@example.org"}, False),
        ("contact_point", {"kind": "fax"}, False),
        ("preference", {"kind": "quiet_hours", "time_from": "20:00", "time_to": "09:00"}, True),
        ("preference", {"kind": "quiet_hours", "time_from": "25:00"}, False),
        ("preference", {"kind": "frequency", "max_messages": 0, "per_days": 7}, True),
        ("preference", {"kind": "frequency", "max_messages": -1, "per_days": 7}, False),
        ("preference", {"kind": "frequency", "max_messages": 1, "per_days": 3661}, False),
        ("relationship", {"type": "employment", "to_party": {"object": "company", "key": "2"}}, True),
        ("relationship", {"type": "employment", "to_party": {"object": "company"}}, False),
    ],
)
def test_row_schemas_tell_canonical_values_from_others(entity: str, row: dict[str, object], valid: bool) -> None:
    assert Draft202012Validator(json_schema(entity)).is_valid(row) is valid


def replay() -> set[str]:
    """Return the terms (entity.term) that exist after the changelog's last version."""
    terms: set[str] = set()
    for version in read_changelog():
        terms |= {f"{entity}.{name}" for entity, names in version.get("added", {}).items() for name in names}
        for renamed in version.get("renamed", []):
            assert renamed["from"] in terms, f"{version['version']} renames {renamed['from']}, which was never added"
            terms.add(renamed["to"])
    return terms


def test_changelog_accounts_for_every_term_of_every_entity() -> None:
    assert replay() == {f"{entity.name}.{name}" for entity in ENTITIES for name in entity.terms}


def test_changelog_versions_rise_and_the_last_is_the_vocabulary_s() -> None:
    versions = [tuple(map(int, version["version"].split("."))) for version in read_changelog()]
    assert all(older < newer for older, newer in pairwise(versions))
    assert load_vocabulary().version == ".".join(map(str, versions[-1]))


def test_changelog_names_every_deprecated_and_renamed_term() -> None:
    log = read_changelog()
    deprecated = {entry["term"] for version in log for entry in version.get("deprecated", [])}
    renamed = {entry["from"]: entry["to"] for version in log for entry in version.get("renamed", [])}
    for entity in ENTITIES:
        for term in entity.terms.values():
            name = f"{entity.name}.{term.name}"
            assert (term.stability == "deprecated") == (name in deprecated | renamed.keys())
            assert renamed.get(name) == (f"{entity.name}.{term.renamed_to}" if term.renamed_to else None)
