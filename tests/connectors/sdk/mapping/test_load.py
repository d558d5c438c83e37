"""A mapping that cannot be meant is refused with file:line, what was seen and what is allowed."""

from __future__ import annotations

import pytest

from canonical_model import load_vocabulary
from connectors.sdk.mapping import MappingError, compile_stream
from tests.connectors.sdk.mapping.vendor import folder

PERSON = "streams:\n  things:\n    emit:\n      - entity: person\n        terms: {%s}\n"


@pytest.mark.parametrize(
    ("mapping", "line", "words"),
    [
        (PERSON % "given_nam: a", 7, ["no term of person 'given_nam'", "did you mean 'given_name'"]),
        ("streams:\n  things:\n    emit: [{entity: persn, terms: {given_name: a}}]\n", 5, ["no entity 'persn'", "person"]),
        ("streams:\n  thing:\n    emit: [{entity: person, terms: {given_name: a}}]\n", 4, ["no stream 'thing'", "things"]),
        (PERSON % "given_name: a..b", 7, ["not a path"]),
        (PERSON % "given_name: {path: a, lookup: x}", 7, ["no lookup 'x'"]),
        (PERSON % "given_name: {path: a, transform: [shout]}", 7, ["no transform 'shout'", "upper"]),
        (PERSON % "given_name: {path: a, transform: [{regex: {pattern: '('}}]}", 7, ["not a regular expression"]),
        (PERSON % "given_name: {hook: f}", 7, ["no function in hooks.py 'f'"]),
        (PERSON % "given_name: {path: a, const: b}", 7, ["an expression needs one of path", "seen path and const"]),
        (PERSON % "given_name: {path: a, with: b}", 7, ["'with' does not go with 'path'"]),
        (PERSON % "given_name: {pth: a}", 7, ["unknown key 'pth'", "did you mean 'path'"]),
        (PERSON % "given_name: 'a[*]'", 7, ["gives many values"]),
        (PERSON % "given_name: {path: a, split: ','}", 7, ["takes one value"]),
        (PERSON % "given_name: {path: a, scale: 100}", 7, ["'scale' on 'given_name', which is text"]),
        (PERSON % "given_name: {path: a, format: epoch_s}", 7, ["'format' on 'given_name'"]),
        (PERSON % "given_name: {first: [{path: a, invalid: warn}]}", 7, ["'invalid' inside another expression"]),
        (PERSON % "given_name: {ref: {object: thing, key: a}}", 7, ["'given_name' takes text, no ref"]),
        (PERSON % "given_name: _parent.a", 7, ["this stream has no parent"]),
        (PERSON % "given_name: '@'", 7, ["the element of `each:`"]),
        (PERSON % "given_name: a, given_name: b", 7, ["given twice"]),
        ("streams:\n  things:\n    emit:\n      - {entity: party_role, terms: {role: {const: boss}}}\n", 6, ["no value of 'role' 'boss'", "customer"]),
        ("streams:\n  things:\n    emit:\n      - {entity: consent, terms: {purpose: {const: marketing}}}\n", 6, ["consent needs the term 'channel'"]),
        ("streams:\n  things:\n    emit:\n      - {entity: person, each: a, key: b, terms: {given_name: a}}\n", 6, ["'a' is one value", "a[*]"]),
        ("streams:\n  things:\n    emit:\n      - {entity: person, each: 'a[*]', terms: {given_name: a}}\n", 6, ["needs a `key:`"]),
        ("streams:\n  things:\n    emit:\n      - {entity: relationship, terms: {type: {const: other}, to_party: {ref: {object: thng, key: a}}}}\n", 6, ["no object of this connector 'thng'", "thing"]),
        ("streams:\n  things:\n    emit: [{entity: person, when: {path: a}, terms: {given_name: a}}]\n", 5, ["needs one test"]),
        ("streams:\n  things:\n    emit: [{entity: person, terms: {given_name: a}}]\n    ignore: [{path: x}]\n", 6, ["missing key 'reason'"]),
    ],
)  # fmt: skip
def test_a_fault_is_named_with_its_line_and_what_is_allowed(tmp_path, mapping, line, words):
    with pytest.raises(MappingError) as caught:
        _ = folder(tmp_path, mapping).mapping

    message = str(caught.value)
    assert f"mapping.yaml:{line}:" in message
    for word in words:
        assert word in message


def test_two_rows_of_one_entity_need_different_keys(tmp_path):
    emit = "      - {entity: party_role, key: {const: a}, terms: {role: {const: customer}}}\n"

    with pytest.raises(MappingError, match="two rows of party_role have the key 'a'"):
        _ = folder(tmp_path, "streams:\n  things:\n    emit:\n" + emit + emit).mapping


def test_a_pattern_that_only_python_understands_is_refused_when_compiling(tmp_path):
    mapping = folder(tmp_path, PERSON % "given_name: {path: a, transform: [{regex: {pattern: '(?=x)y'}}]}").mapping

    with pytest.raises(MappingError, match="does not compile"):
        compile_stream(mapping, "things", load_vocabulary())


def test_lineage_names_the_vendor_paths_of_every_term(tmp_path):
    mapping = folder(tmp_path, """
streams:
  things:
    emit:
      - {entity: person, terms: {full_name: {join: [a.b, "c[0]"]}}}
      - {entity: contact_point, each: "mails[*]", key: hash, terms: {kind: {const: email}, value: address, verified: $.sure}}
""").mapping  # fmt: skip

    lineage = mapping.lineage("things")

    assert lineage["person", "full_name"] == ["a.b", "c[0]"]
    assert lineage["contact_point", "value"] == ["mails[*].address"]
    assert lineage["contact_point", "verified"] == ["sure"]
    assert lineage["contact_point", "party"] == ["id"]


def test_the_tree_holds_no_sql_so_that_another_engine_can_emit_it(tmp_path):
    mapping = folder(tmp_path, PERSON % "given_name: {path: a, transform: [trim]}").mapping

    assert "SELECT" not in repr(mapping.stream("things"))
    assert "SELECT" in compile_stream(mapping, "things", load_vocabulary()).sql
