"""A made-up vendor in a folder, and one-line ways to map records with it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from canonical_model import load_vocabulary
from connectors.sdk.catalog import ConnectorFolder
from connectors.sdk.mapping import BATCH, CompiledStream, MappedBatch, compile_stream, json_rows

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = """
name: {name}
title: Vendor
version: 0.1.0
category: crm
summary: Made up.
docs: https://vendor.example
api_version: "1"
owners: ["team:test"]
base_url: https://vendor.example
config: {{type: object, additionalProperties: false, required: [t], properties: {{t: {{type: string, secret: true, title: T, description: T}}}}}}
auth: [{{when: [t], type: bearer, token: "{{config.t}}"}}]
limits: {{concurrency: 1}}
streams:
  things: {{object: thing, title: Things, description: Things., key: id, record_time: null, path: /things, data_selector: data, paginator: {{type: single_page}}}}
  parts:
    {{object: part, title: Parts, description: Parts., key: id, record_time: null, path: "/things/{{parent.thing_id}}/parts", data_selector: data,
      paginator: {{type: single_page}}, parent: {{stream: things, bind: {{thing_id: id}}}}}}
"""
NOW = datetime(2026, 1, 5, 10, tzinfo=UTC)


def folder(root: Path, mapping: str, hooks: str | None = None) -> ConnectorFolder:
    """Write a vendor's folder whose mapping.yaml holds ``mapping`` below its head."""
    path = root / "vendor"
    path.mkdir(exist_ok=True)
    (path / "manifest.yaml").write_text(MANIFEST.format(name="vendor"))
    (path / "mapping.yaml").write_text(f"connector: vendor\nversion: 1\n{mapping}")
    if hooks is not None:
        (path / "hooks.py").write_text(hooks)
    return ConnectorFolder(path)


@dataclass(frozen=True)
class Outcome:
    """One batch's result, easy to assert on."""

    batch: MappedBatch

    def rows(self, entity: str) -> list[dict[str, Any]]:
        """Rows of an entity in canonical JSON form, in the order of their keys."""
        table = self.batch.rows[entity]
        return sorted(
            json_rows(load_vocabulary().entities[entity], table),
            key=lambda row: (row["source_key"], row.get("row_key", "")),
        )

    def only(self, entity: str) -> dict[str, Any]:
        """The entity's single row."""
        (row,) = self.rows(entity)
        return row

    @property
    def quarantine(self) -> dict[str, tuple[str, str]]:
        """source_key → (reason, path)."""
        return {row["source_key"]: (row["reason"], row["path"]) for row in self.batch.quarantine.to_pylist()}


def batch_of(payloads: list[Any], *, parents: list[Any] | None = None, ops: list[str] | None = None) -> pa.Table:
    """Return a batch of records; a text is taken as the payload itself, anything else is written as JSON."""
    texts = [payload if isinstance(payload, str) else json.dumps(payload) for payload in payloads]
    count = len(texts)
    columns = {
        "source_key": [str(index) for index in range(count)],
        "payload": texts,
        "parent": [None if parent is None else json.dumps(parent) for parent in (parents or [None] * count)],
        "record_time": [NOW] * count,
        "op": ops or ["upsert"] * count,
        "ordinal": list(range(count)),
    }
    return pa.table(columns, schema=BATCH)


@dataclass(frozen=True)
class Mapper:
    """One compiled stream."""

    compiled: CompiledStream

    def __call__(
        self, *payloads: Any, parents: list[Any] | None = None, ops: list[str] | None = None, **settings: Any
    ) -> Outcome:
        return Outcome(self.compiled.run(batch_of(list(payloads), parents=parents, ops=ops), **settings))


def mapper(root: Path, mapping: str, *, stream: str = "things", hooks: str | None = None) -> Mapper:
    """Compile one stream of a mapping."""
    return Mapper(compile_stream(folder(root, mapping, hooks).mapping, stream, load_vocabulary()))
