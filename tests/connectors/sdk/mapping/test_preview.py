"""``unisono map`` shows what becomes of each line: rows, or the reason why not."""

from __future__ import annotations

import json

from connectors.sdk.mapping import map_lines
from tests.connectors.sdk.mapping.vendor import folder

MAPPING = """
streams:
  things: {emit: [{entity: person, terms: {given_name: name}}], ignore: [{path: noise, reason: not of use}]}
  parts: {emit: [{entity: message, terms: {occurred_at: at, channel: _parent.channel}}]}
"""


def test_each_line_is_mapped_or_named_with_its_reason(tmp_path):
    lines = [
        '{"id": 1, "name": "Ada", "noise": 1, "more": 2}',
        "",
        "{oops",
        '{"name": "no key"}',
        '{"id": 2, "name": {"first": "Bo"}}',
    ]

    preview = map_lines(folder(tmp_path, MAPPING), "things", lines)
    rows = list(preview.rows)

    assert rows == [{"entity": "person", "row": {"source_key": "1", "given_name": "Ada", "extras": {"more": 2}}}]
    report = json.loads(json.dumps(preview.report))
    assert (report["read"], report["mapped"]) == (4, 1)
    assert [(item["line"], item["path"]) for item in report["quarantined"]] == [(3, ""), (4, "id"), (5, "name")]
    assert report["unmapped"] == {"more": 1, "name.first": 1}
    assert report["ignored"] == {"noise": 1}


def test_a_line_may_bring_its_parent(tmp_path):
    line = json.dumps({"record": {"id": 1, "at": "2026-01-01T00:00:00Z"}, "parent": {"id": 7, "channel": "web"}})

    preview = map_lines(folder(tmp_path, MAPPING), "parts", [line.encode()])

    assert [row["row"]["channel"] for row in preview.rows] == ["web"]
