"""``each:`` over the parts of a text and over the members of an object; lists that stay whole in extras."""

from __future__ import annotations

import json

import pytest

from connectors.sdk.catalog import find_connector
from connectors.sdk.mapping import map_lines

pytestmark = pytest.mark.slow  # many mappings are compiled

TIMES = {"createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z"}


def rows(connector, stream, record):
    preview = map_lines(find_connector(connector), stream, [json.dumps(record)])
    found = list(preview.rows)
    assert preview.report["quarantined"] == []
    return found, preview.report


def contact(**properties):
    return {"id": "1", "properties": properties, **TIMES}


def test_each_part_of_a_text_is_a_row_and_empty_parts_are_none():
    found, _ = rows("hubspot", "contacts", contact(hs_additional_emails=" a@x.example;;B@x.example "))

    values = [item["row"]["value"] for item in found if item["entity"] == "contact_point"]
    assert sorted(values) == ["B@x.example", "a@x.example"]


def test_a_missing_text_has_no_parts():
    found, _ = rows("hubspot", "contacts", contact(hs_additional_emails=None))

    assert [item for item in found if item["entity"] == "contact_point"] == []


def test_each_member_with_the_prefix_is_a_row_and_none_is_unmapped():
    properties = {
        "hs_email_optout_7": "true",
        "hs_email_optout_8": "false",
        "hs_email_optout_a/~b": "true",
        "other": "x",
    }

    found, report = rows("hubspot", "contacts", contact(**properties))

    topics = [item["row"]["topic"] for item in found if item["entity"] == "consent"]
    assert sorted(topics) == ["7", "a/~b"]
    assert report["unmapped"] == {"properties.other": 1}


def test_an_object_where_text_was_expected_is_quarantined_with_its_path():
    preview = map_lines(find_connector("hubspot"), "contacts", [json.dumps(contact(hs_additional_emails={"a": 1}))])

    assert list(preview.rows) == []
    assert preview.report["quarantined"][0]["path"] == "properties.hs_additional_emails"


def test_a_member_that_becomes_an_object_is_quarantined_with_its_path():
    preview = map_lines(
        find_connector("hubspot"), "contacts", [json.dumps(contact(hs_email_optout_7={"value": "true"}))]
    )

    assert list(preview.rows) == []
    assert preview.report["quarantined"][0]["path"] == "properties.hs_email_optout_7"


def test_elements_of_a_list_nobody_reads_stay_together_in_extras():
    fields = [{"id": 1, "value": None}, {"id": 2, "value": "b"}]
    ticket = {
        "id": 5,
        "status": "open",
        "created_at": TIMES["createdAt"],
        "updated_at": TIMES["updatedAt"],
        "custom_fields": fields,
    }

    found, _ = rows("zendesk", "tickets", ticket)

    assert found[0]["row"]["extras"] == {"custom_fields": fields}
