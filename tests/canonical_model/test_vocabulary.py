"""The loader refuses what it does not understand, and says where and what is allowed."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

import canonical_model
from canonical_model import KINDS, TERM_TYPES, VocabularyError, load_vocabulary
from canonical_model.checking import checked_yaml
from canonical_model.vocabulary import FOLDER, read_vocabulary

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the vocabulary's sources that a test may spoil."""
    shutil.copytree(FOLDER / "entities", tmp_path / "entities")
    shutil.copy(FOLDER / "changelog.yaml", tmp_path)
    return tmp_path


def spoil(folder: Path, entity: str, old: str, new: str) -> Path:
    """Replace one text of an entity's file that must be there."""
    path = folder / "entities" / f"{entity}.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


def test_public_names_are_sorted_and_exist() -> None:
    constants = [name for name in canonical_model.__all__ if name.isupper()]
    rest = [name for name in canonical_model.__all__ if not name.isupper()]
    assert canonical_model.__all__ == [*sorted(constants), *sorted(rest)]
    assert all(hasattr(canonical_model, name) for name in canonical_model.__all__)


def test_vocabulary_is_read_once_and_in_order() -> None:
    vocabulary = load_vocabulary()
    assert vocabulary is load_vocabulary()
    assert list(vocabulary.entities) == sorted(vocabulary.entities)


def test_unknown_entity_and_term_are_answered_with_the_known_ones() -> None:
    with pytest.raises(VocabularyError, match=r"no entity 'persn' .* known: .*person"):
        load_vocabulary().entity("persn")
    with pytest.raises(VocabularyError, match=r"'person' has no term 'nmae'; known: full_name"):
        load_vocabulary().entity("person").term("nmae")


def test_terms_and_entities_cannot_be_changed() -> None:
    person = load_vocabulary().entity("person")
    with pytest.raises(AttributeError):
        person.terms["full_name"].brief = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        person.terms["other"] = person.terms["full_name"]  # type: ignore[index]


def test_loader_and_schema_agree_on_types_and_kinds() -> None:
    schema = canonical_model.checking._validator("entity").schema
    assert tuple(schema["properties"]["kind"]["enum"]) == KINDS
    assert tuple(schema["$defs"]["term"]["properties"]["type"]["enum"]) == TERM_TYPES


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("kind: party", "kind: party\ncolour: red", r"person\.yaml:1: unknown key 'colour'; allowed: entity, kind"),
        ("kind: party", "kind: partie", r"person\.yaml:2: kind: 'partie' is not known; allowed: party"),
        ("entity: person", "entity: persona", r"person\.yaml:1: entity: .*allowed: 'person'"),
        (
            "full_name: {type: text",
            "full_name: {typ: text",
            r"person\.yaml:7: terms\.full_name: .*'typ'; allowed: type",
        ),
        ("full_name: {type: text", "full_name: {type: string", r":7: terms\.full_name\.type: 'string' .*allowed: text"),
        ("full_name: {type: text", "full_name: {type: code", r"terms\.full_name: 'values' is a required property"),
        ("full_name: {type: text", "full_name: {type: text, to: person", r"to and default are allowed on references"),
        ("full_name: {type: text", "full_name: {type: money, currency: given_name", r"'given_name' is not a currency"),
        (
            "full_name: {type: text",
            "full_name: {type: text, minimum: 1",
            r"minimum and maximum are allowed on a term of type integer",
        ),
        (
            "full_name: {type: text",
            "full_name: {type: integer, minimum: 2, maximum: 1",
            r"minimum 2 is above the maximum",
        ),
        ("full_name: {type: text", "full_name: {type: party_ref", r"golden entity cannot hold references"),
        ("given_name:", "full_name:", r"person\.yaml:8: key 'full_name' stands twice"),
        ("terms:", "terms: [", r"not readable as YAML"),
    ],
)
def test_a_wrong_entity_file_is_refused_with_line_and_what_is_allowed(
    folder: Path, old: str, new: str, said: str
) -> None:
    spoil(folder, "person", old, new)
    with pytest.raises(VocabularyError, match=said):
        read_vocabulary(folder)


def test_a_reference_to_no_entity_is_refused(folder: Path) -> None:
    spoil(folder, "refund", "to: order", "to: ordr")
    with pytest.raises(VocabularyError, match=r"refund\.yaml:\d+: terms\.order: .*'ordr' is not an entity; allowed: "):
        read_vocabulary(folder)


def test_an_event_needs_its_instant(folder: Path) -> None:
    spoil(folder, "message", "occurred_at: {type: instant", "occurred_at: {type: text")
    with pytest.raises(VocabularyError, match=r"message\.yaml:.*'occurred_at' of type instant"):
        read_vocabulary(folder)


def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text("", encoding="utf-8")
    with pytest.raises(VocabularyError, match=r"empty\.yaml:1: None is not of type 'object'"):
        checked_yaml(path, "entity")
