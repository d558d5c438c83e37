"""What a mapping means: every record accounted for, rows per entity, keys, references, leftovers."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from connectors.sdk.mapping import run
from tests.connectors.sdk.mapping.vendor import Mapper, Outcome, batch_of, mapper

HOOKS = """
def initials(first: str | None, last: str | None) -> str | None:
    if first == "boom":
        raise RuntimeError("no")
    return ((first or "")[:1] + (last or "")[:1]) or None
"""
EVERYTHING = """
lookups:
  use: {values: {office: work}, otherwise: {const: other}}
  strict: {values: {m: male, f: female}, otherwise: error}
  kept: {values: {a: b}, otherwise: keep}
streams:
  things:
    emit:
      - entity: person
        terms:
          given_name: name.first
          full_name: {join: [name.first, name.last], with: " "}
          middle_name: {hook: initials, args: [name.first, name.last]}
          gender: {path: sex, lookup: strict}
          status: {path: state, lookup: kept}
          job_title: {first: [job, "roles[?kind=='main'].title", "roles[0].title"]}
          birth_date: {path: born, format: "%d/%m/%Y", invalid: warn}
          language: {path: lang, transform: [language], invalid: warn}
          tags: {path: tags, split: ","}
      - entity: contact_point
        each: emails[*]
        key: address
        terms: {kind: {const: email}, value: address, use: {path: type, lookup: use}, rank: {case: [{when: {path: $.vip, equals: true}, then: {const: 1}}], else: {const: 2}}}
      - entity: contact_point
        each: phones[*]
        key: hash
        terms: {kind: {const: phone}, value: number, value_norm: {path: number, transform: [phone]}}
      - entity: relationship
        when: {any: [{path: boss, present: true}, {path: boss_mail, present: true}]}
        key: {const: boss}
        terms:
          type: {const: hierarchy}
          to_party: {case: [{when: {path: boss, present: true}, then: {ref: {object: thing, key: boss}}}], else: {ref: {system: email, value: boss_mail}}}
    ignore:
      - {path: id, reason: key of the record}
      - {path: internal_*, reason: the vendor's own}
"""


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Mapper:
    return mapper(tmp_path_factory.mktemp("everything"), EVERYTHING, hooks=HOOKS)


RECORDS = [
    {"id": 0, "name": {"first": "Ada", "last": "Lovelace"}, "sex": "f", "emails": [{"address": "a@x.org", "type": "office"}]},
    {"id": 1, "name": {"first": "Bo"}, "sex": "x"},
    {"id": 2, "name": "Cy"},
    {"id": 3, "emails": {"address": "d@x.org"}},
    {"id": 4, "emails": [{"address": "e@x.org", "type": "yard"}, {"type": "office"}]},
    '{"id": 5, "name": {"first": "\\ud800"}}',
    '{"id": 6, "name": {"first": "a\\u0000b"}}',
    '["not", "an", "object"]',
    '{"id": 8, "name"',
    {"id": 9, "name": {"first": "boom"}},
    {"id": 10, "born": "31/12/1815", "lang": "EN_gb", "tags": "b, a,,b", "state": "zzz", "extra": {"deep": [1, 2]}, "internal_x": 1},
    {"id": 11, "born": "soon", "lang": "klingonese", "extra": 7, "phones": [{"number": "+44 20 7946 0958"}, {"number": "+44 20 7946 0958"}]},
    {"id": 12, "boss": 7, "boss_mail": "Boss@X.org", "roles": [{"kind": "side", "title": "s"}, {"kind": "main", "title": "m"}]},
    {"id": 13, "boss_mail": "Boss@X.org", "roles": [{"kind": "side", "title": "s"}, {"kind": "side", "title": "t"}]},
    {"id": 14, "emails": [{"address": "z@x.org", "type": "office"}, {"address": "z@x.org", "type": "home"}]},
    {"id": 15, "emails": [{"address": "z@x.org"}, {"address": "z@x.org"}]},
]  # fmt: skip


@pytest.fixture(scope="module")
def outcome(everything: Mapper) -> Outcome:
    return everything(*RECORDS)


def test_every_record_is_mapped_or_quarantined_and_never_both(outcome):
    with_rows = {key for table in outcome.batch.rows.values() for key in table.column("source_key").to_pylist()}

    assert outcome.batch.read == len(RECORDS) == outcome.batch.mapped + outcome.batch.quarantine.num_rows
    assert not with_rows & set(outcome.quarantine)
    assert {row["source_key"] for row in outcome.rows("person")} == {str(i) for i in range(len(RECORDS))} - set(
        outcome.quarantine
    )


def test_each_bad_record_says_why_and_where(outcome):
    assert outcome.quarantine == {
        "1": ("value not in lookup 'strict'", "sex"),
        "2": ("expected an object, found one value", "name"),
        "3": ("expected a list, found an object", "emails"),
        "4": ("row key of contact_point is missing", "emails[*].address"),
        "5": ("not valid JSON (or a lone surrogate)", ""),
        "6": ("text with a NUL character", ""),
        "7": ("not a JSON object", ""),
        "8": ("not valid JSON (or a lone surrogate)", ""),
        "9": ("hook initials failed: RuntimeError", "name.first"),
        "14": ("two different rows of contact_point under one row key", ""),
    }


def test_a_record_alone_gives_what_it_gives_in_a_batch_in_any_order(everything, outcome):
    backwards = Outcome(everything.compiled.run(_reversed(RECORDS)))
    alone = [
        everything(*[record if index == number else '{"id": 0}' for index, record in enumerate(RECORDS)])
        for number in (0, 3, 10, 11, 13)
    ]

    assert backwards.quarantine == outcome.quarantine
    for entity in outcome.batch.rows:
        assert backwards.rows(entity) == outcome.rows(entity)
    for number, single in zip((0, 3, 10, 11, 13), alone, strict=True):
        for entity in outcome.batch.rows:
            assert _of(single, entity, number) == _of(outcome, entity, number)
        assert single.quarantine.get(str(number)) == outcome.quarantine.get(str(number))


@pytest.mark.parametrize("small", [1, 128])
def test_records_give_the_same_in_whatever_chunks_they_come(everything, outcome, monkeypatch, small):
    """Chunks above the limit are read as they come, smaller ones are put together first."""
    monkeypatch.setattr(run, "SMALL", small)
    size = 5
    batch = batch_of(RECORDS)
    chunked = pa.concat_tables([batch.slice(start, size) for start in range(0, len(RECORDS), size)])

    made = Outcome(everything.compiled.run(chunked))

    assert chunked.column("payload").num_chunks > 1
    assert made.quarantine == outcome.quarantine
    for entity in outcome.batch.rows:
        assert made.rows(entity) == outcome.rows(entity)


def _reversed(records):
    return batch_of(records).take(list(reversed(range(len(records)))))


def _of(outcome: Outcome, entity: str, number: int) -> list[dict[str, object]]:
    return [row for row in outcome.rows(entity) if row["source_key"] == str(number)]


def test_terms_are_joined_looked_up_transformed_and_split(outcome):
    people = {row["source_key"]: row for row in outcome.rows("person")}

    assert people["0"] | {"source_key": "0"} == {
        "source_key": "0", "full_name": "Ada Lovelace", "given_name": "Ada", "middle_name": "AL", "gender": "female",
    }  # fmt: skip
    assert people["10"]["birth_date"] == "1815-12-31"
    assert people["10"]["language"] == "en-GB"
    assert people["10"]["tags"] == ["a", "b"]
    assert people["12"]["job_title"] == "m"
    assert people["13"]["job_title"] == "s"


def test_a_list_becomes_rows_with_references_to_their_record(outcome):
    assert _of(outcome, "contact_point", 0) == [
        {
            "source_key": "0",
            "row_key": "a@x.org",
            "party": {"object": "thing", "key": "0"},
            "kind": "email",
            "value": "a@x.org",
            "use": "work",
            "rank": 2,
        }
    ]


def test_hash_keys_come_from_content_and_number_equal_rows(outcome):
    first, second = _of(outcome, "contact_point", 11)

    assert first["value_norm"] == "+442079460958"
    assert second["row_key"] == first["row_key"] + "-2"


def test_equal_rows_under_one_key_are_kept_once_and_counted(outcome):
    assert len(_of(outcome, "contact_point", 15)) == 1
    assert outcome.batch.warnings["contact_point", "equal rows under one key: one kept"] == 1


def test_a_reference_leads_to_an_object_or_to_a_normalised_identifier(outcome):
    targets = {row["source_key"]: row["to_party"] for row in outcome.rows("relationship")}

    assert targets == {"12": {"object": "thing", "key": "7"}, "13": {"system": "email", "value": "boss@x.org"}}


def test_a_lenient_value_that_fails_is_null_counted_and_kept_in_extras(outcome):
    person = _of(outcome, "person", 11)[0]

    assert "birth_date" not in person
    assert person["extras"]["born"] == "soon"
    assert person["extras"]["lang"] == "klingonese"
    assert outcome.batch.warnings["born", "does not fit the format %d/%m/%Y"] == 1


def test_a_lookup_that_lets_unknown_words_pass_counts_them(outcome):
    assert _of(outcome, "person", 10)[0]["status"] == "zzz"
    assert outcome.batch.warnings["state", "value not in lookup 'kept': kept"] == 1


def test_what_is_neither_mapped_nor_ignored_is_kept_in_extras_and_counted(outcome):
    assert _of(outcome, "person", 11)[0]["extras"]["extra"] == 7
    assert _of(outcome, "person", 10)[0]["extras"] == {"extra.deep": [1, 2]}
    assert outcome.batch.unmapped["extra"] == 1
    assert outcome.batch.ignored["internal_x"] == 1


def test_elements_that_a_filter_passes_over_are_not_lost(outcome):
    assert _of(outcome, "person", 13)[0]["extras"]["roles[*].title"] == ["t"]


def test_a_deleted_record_gives_its_key_and_no_rows(everything):
    outcome = everything({"id": 0}, {"id": 1}, ops=["delete", "upsert"])

    assert outcome.batch.deleted == ("0",)
    assert [row["source_key"] for row in outcome.rows("person")] == ["1"]
    assert (outcome.batch.read, outcome.batch.mapped) == (2, 2)


def test_one_record_that_breaks_the_engine_is_quarantined_alone(everything, monkeypatch):
    import duckdb

    from connectors.sdk.mapping import run

    looked = run._Run._look

    def breaking(self, live, reader):
        if any("poison" in payload for payload in live.column("payload").to_pylist()):
            raise duckdb.InvalidInputException("made up")
        return looked(self, live, reader)

    monkeypatch.setattr(run._Run, "_look", breaking)
    outcome = everything({"id": 0}, {"id": 1, "x": "poison"}, {"id": 2})

    assert outcome.quarantine == {"1": ("cannot be mapped: made up", "")}
    assert [row["source_key"] for row in outcome.rows("person")] == ["0", "2"]
    assert outcome.batch.read == 3


def test_names_with_any_character_are_read_and_reported_exactly(tmp_path):
    odd = mapper(tmp_path, """
streams:
  things:
    emit: [{entity: person, terms: {given_name: '"a.b"."c/d~e"', family_name: '"hs-x"."*"'}}]
    ignore: [{path: id, reason: key of the record}]
""")  # fmt: skip
    outcome = odd({"id": 1, "a.b": {"c/d~e": "yes"}, "hs-x": {"*": "star", "quote\"'": 1}, "Name": 1, "name": 2})

    person = outcome.only("person")
    assert (person["given_name"], person["family_name"]) == ("yes", "star")
    assert person["extras"] == {'"hs-x"."quote\\"\'"': 1, "Name": 1, "name": 2}


def test_the_parents_record_is_read_but_not_accounted_for(tmp_path):
    parts = mapper(tmp_path, """
streams:
  things: {emit: [{entity: person, terms: {given_name: x}}]}
  parts:
    emit:
      - entity: message
        terms: {occurred_at: at, body: text, channel: _parent.channel, ticket: {ref: {object: thing, key: _parent.id}}}
""", stream="parts")  # fmt: skip
    record = {"id": 1, "at": "2026-01-01T00:00:00Z", "text": "hi"}
    outcome = parts(record, record, record, parents=[{"id": 7, "channel": "web", "more": 1}, None, {"id": {"a": 1}}])

    assert [(row.get("channel"), row.get("ticket")) for row in outcome.rows("message")][:2] == [
        ("web", {"object": "thing", "key": "7"}),
        (None, None),
    ]
    assert outcome.batch.unmapped == {}


def test_extras_go_to_the_first_row_a_record_has(tmp_path):
    sparse = mapper(tmp_path, """
streams:
  things:
    emit:
      - {entity: person, when: {path: human, equals: "yes"}, terms: {given_name: name}}
      - {entity: party_role, key: {const: r}, terms: {role: {const: customer}}}
""")  # fmt: skip
    outcome = sparse({"id": 0, "human": "yes", "more": 1}, {"id": 1, "human": "no", "more": 2})

    assert [row["extras"] for row in outcome.rows("person")] == [{"more": 1}]
    assert [row.get("extras") for row in outcome.rows("party_role")] == [None, {"more": 2}]


def test_long_real_numbers_keep_every_digit_in_extras(everything):
    payload = '{"id": 1, "big": 0.1000000000000000055511151231257827, "plain": 0.25}'

    assert everything(payload).only("person")["extras"] == {
        "big": "0.1000000000000000055511151231257827",
        "plain": 0.25,
    }


def test_an_empty_batch_gives_empty_tables_with_all_columns(everything):
    outcome = everything()

    assert outcome.batch.read == 0
    assert {"source_key", "row_key", "record_time", "given_name", "extras"} <= set(
        outcome.batch.rows["person"].schema.names
    )


def test_the_report_of_a_batch_is_json_ready(outcome):
    assert json.dumps({"unmapped": dict(outcome.batch.unmapped), "ignored": dict(outcome.batch.ignored)})


def test_odd_shapes_in_one_batch_lose_nothing(everything):
    wide = {"id": 1, "bag": {f"key {number}": number for number in range(1500)}}
    deep = '{"id": 2, "bag": ' + "[" * 150 + "1" + "]" * 150 + "}"
    outcome = everything(wide, deep, {"id": 3, "bag": "text"})

    extras = [row["extras"] for row in outcome.rows("person")]
    assert extras[0] == {"bag": wide["bag"]}
    assert "1" in json.dumps(extras[1])
    assert extras[2] == {"bag": "text"}
