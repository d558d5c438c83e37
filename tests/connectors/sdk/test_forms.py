"""Documents read into objects made for their stream mean what they mean as dicts: the same values, the same hash to the byte."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from connectors.sdk import canonical, forms, paths
from connectors.sdk.forms import Form
from connectors.sdk.records import canonical_hash

VOLATILE = (paths.parse("seen.at"), paths.parse("url"), paths.parse("never.there"), paths.parse("absent"))
MARK = paths.parse("flags.gone")
LOOKED_INTO = (*VOLATILE, MARK)
NAMES = ("id", "email", "ünïcode", "a b", "", "Z", "z", "a.b", "naïve", "€", "\U0001f600", "aa")
NUMBERS = ("0", "-0", "1", "1.10", "1e5", "1E+2", "-1.5e-7", "123456789012345678901234567890", "0.1000", "1e400")
TEXTS = ('"x"', '"M\\u00fcller"', '"Müller"', '"a\\/b"', '"tab\\t"', '""', '"\\ud83d\\ude00"', '"é\\u0301"')


def _value(draw: random.Random, level: int) -> str:
    """Return a JSON value as somebody may write it."""
    kind = draw.randrange(10)
    if kind < 4:
        return draw.choice(TEXTS)
    if kind < 6:
        return draw.choice(NUMBERS)
    if kind == 6 or level > 3:
        return draw.choice(("null", "true", "false", "[]", "{}"))
    if kind == 7:
        return "[" + ", ".join(_value(draw, level + 1) for _ in range(draw.randrange(4))) + "]"
    return _object(draw, draw.sample(NAMES, draw.randrange(5)), level + 1)


def _object(draw: random.Random, names: list[str], level: int, **more: str) -> str:
    """Return an object with members in any order, some with escapes in their names, now and then one twice."""
    members = [(name, _value(draw, level)) for name in names] + list(more.items())
    members += draw.sample(members, 1) if members and draw.random() < 0.1 else []
    draw.shuffle(members)
    space = draw.choice(("", " ", "\n\t"))
    written = [f"{json.dumps(name, ensure_ascii=draw.random() < 0.3)}{space}:{space}{value}" for name, value in members]
    return "{" + f",{space}".join(written) + "}"


def _document(draw: random.Random, names: list[str]) -> bytes:
    more = {
        "seen": draw.choice(('{"at": 1, "by": {"z": 1, "b": 2}}', '{"at": {"x": 1}}', "null", '"text"', "[1]")),
        "url": draw.choice(('"https://x.example"', "null", '{"a": 1}')),
        "flags": draw.choice(('{"gone": true, "new": 1}', '{"gone": null}', "{}", "null", "7")),
    }
    kept = {name: value for name, value in more.items() if draw.random() < 0.8}
    return _object(draw, [name for name in names if draw.random() < 0.8], 0, **kept).encode()


def _equal(form: Form, payloads: list[bytes]) -> bool:
    """Compare documents with what they are as dicts; return whether they were objects."""
    documents = form.read(payloads)
    assert documents.found(MARK) == [paths.find(MARK, canonical.decode(payload)) for payload in payloads]
    assert documents.digests(VOLATILE) == [canonical_hash(payload, VOLATILE) for payload in payloads]
    return isinstance(documents, forms._Objects)


@pytest.mark.parametrize("seed", range(40))
def test_documents_of_any_kind_have_the_hash_they_have_as_dicts(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "_WORTH", 0)
    monkeypatch.setattr(forms, "_LEARNINGS", 100)
    draw = random.Random(seed)
    names = draw.sample(NAMES, 6)
    form = Form(LOOKED_INTO)

    as_objects = sum(_equal(form, [_document(draw, names) for _ in range(20)]) for _ in range(30))

    assert as_objects >= 5, "what has been met in twenty documents is in the next twenty too, now and then"


def _contact(number: int, **more: Any) -> bytes:
    held = {"email": f"user{number}@example.com", "phone": None if number % 3 else "+1 555", "size": 1.10}
    return json.dumps({"id": str(number), "properties": held, "updatedAt": "2026-01-01T00:00:00Z", **more}).encode()


def test_a_stream_has_a_form_once_it_is_long_enough_to_be_worth_one() -> None:
    form = Form(())
    chunks = [[_contact(number + 100 * chunk) for number in range(100)] for chunk in range(8)]

    assert [_equal(form, chunk) for chunk in chunks] == [False] * 6 + [True] * 2


def test_a_member_that_is_new_is_learned_and_so_is_an_object_where_there_was_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forms, "_WORTH", 0)
    form = Form(())
    plain, more, other = [_contact(1)], [_contact(2, owner={"id": 7})], [_contact(3, owner="nobody")]

    assert [_equal(form, one) for one in (plain, plain, more, more, plain, other, other, more)] == [
        False, True, False, True, True, False, True, True,
    ]  # fmt: skip


def test_where_every_document_has_other_members_no_form_is_tried_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "_WORTH", 0)
    form = Form(())
    made = []
    monkeypatch.setattr(canonical, "decoder", lambda kind, make=canonical.decoder: made.append(1) or make(kind))

    found = [_equal(form, [_contact(number, **{f"field{number}": 1})]) for number in range(30)]

    assert (set(found), len(made)) == ({False}, forms._LEARNINGS)


@pytest.mark.parametrize("odd", [b"[1]", b'"text"', b"7", b"null"])
def test_what_is_no_object_costs_the_others_no_form(odd: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "_WORTH", 0)
    form = Form(())
    form.read([_contact(1)])

    assert form.read([_contact(2), odd]).digests(()) == [canonical_hash(_contact(2)), canonical_hash(odd)]
    assert _equal(form, [_contact(3)])


def test_what_is_no_json_is_refused_as_without_a_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "_WORTH", 0)
    form = Form(())
    form.read([_contact(1)])

    with pytest.raises(canonical.UNREADABLE):
        form.read([_contact(2), b'{"id": NaN}'])


@pytest.mark.parametrize("name", ['qu"ote', "back\\slash", "line\nbreak"])
@pytest.mark.parametrize("inside", [False, True])
def test_a_name_that_no_object_can_have_stays_in_a_dict(
    name: str, inside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "_WORTH", 0)
    form = Form(())
    payload = _contact(1, **({"held": {name: 1, "b": 2}} if inside else {name: 1}))
    form.read([payload])

    assert _equal(form, [payload]) is inside


@pytest.mark.parametrize("mark", ["gone", "seen.gone", "gone.at.all", "absent"])
@pytest.mark.parametrize("volatile", ["url", "seen.at", "seen", "seen.by.name"])
def test_what_a_path_leads_into_is_found_and_left_out(
    mark: str, volatile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "_WORTH", 0)
    mark_path, left_out = paths.parse(mark), [paths.parse(volatile)]
    form = Form([mark_path, *left_out])
    seen = {"at": 1, "gone": True, "by": {"name": "x", "id": 7}}
    payloads = [
        _contact(1, gone=True, seen=seen, url="u"), _contact(2, gone={"at": {"all": 1}}, seen=seen), _contact(3),
    ]  # fmt: skip
    form.read(payloads)

    documents = form.read(payloads)

    assert isinstance(documents, forms._Objects)
    assert documents.found(mark_path) == [paths.find(mark_path, canonical.decode(payload)) for payload in payloads]
    assert documents.digests(left_out) == [canonical_hash(payload, left_out) for payload in payloads]
