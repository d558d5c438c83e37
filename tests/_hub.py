"""A small hub for tests of the stages: one made-up connector, a store, and pages that a test writes by hand."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.sdk.catalog import ConnectorFolder
from connectors.sdk.protocols import Completeness, Page, Problem, RawRecord, ReadKind
from connectors.sdk.records import RecordReader
from pipelines import extract
from pipelines.config import ConnectionConfig, HubConfig
from pipelines.context import StageContext
from pipelines.store import Store

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MANIFEST = """\
name: toy
title: Toy
version: 0.1.0
category: crm
summary: A connector that exists in tests only.
docs: https://toy.example/docs
api_version: "1"
owners: ["team:tests"]
base_url: https://toy.example
config:
  type: object
  additionalProperties: false
  required: [token]
  properties: {token: {type: string, secret: true, title: Token, description: A token.}}
auth: [{when: [token], type: bearer, token: "{config.token}"}]
limits: {concurrency: 2}
streams:
  people:
    object: person
    title: People
    description: People.
    key: id
    record_time: updated
    path: /people
    data_selector: items
    paginator: {type: cursor, cursor_path: next, cursor_param: after}
    deleted: {path: gone, equals: "true"}
  notes:
    object: note
    title: Notes
    description: Notes on people.
    key: id
    record_time: updated
    path: /notes
    data_selector: items
    paginator: {type: cursor, cursor_path: next, cursor_param: after}
"""
MAPPING = """\
connector: toy
version: 1
streams:
  people:
    emit:
      - entity: person
        terms: {given_name: first, family_name: last, birth_date: born}
      - entity: contact_point
        when: {path: email, present: true}
        key: {const: email}
        terms: {kind: {const: email}, value: email, value_norm: {path: email, transform: [email]}, verified: {const: true}}
    ignore:
      - {path: id, reason: the key}
      - {path: updated, reason: the record time}
      - {path: gone, reason: says that the record was deleted}
  notes:
    emit:
      - entity: interaction
        terms: {type: {const: note}, occurred_at: updated, body: text, party: {ref: {object: person, key: about}}}
    ignore: [{path: id, reason: the key}]
"""


@dataclass
class Vendor:
    """What the fetch engine will yield: pages a test wrote; then ``error``, if any."""

    pages: list[Page] = field(default_factory=list)
    error: Exception | None = None
    seen: list[Any] = field(default_factory=list)

    async def read_stream(self, stream: Any, connection: Any, *, checkpoints: Any, **_: Any) -> AsyncIterator[Page]:
        self.seen.append(checkpoints.partition(""))
        for page in self.pages:
            yield page
        if self.error is not None:
            raise self.error


@dataclass
class Hub:
    """A store, a landing, the toy connector and its vendor."""

    config: HubConfig
    store: Store
    vendor: Vendor

    @property
    def connection(self) -> ConnectionConfig:
        return self.config.connections[0]

    def context(self, stream: str = "people", *, full: bool = False) -> StageContext:
        base = StageContext(config=self.config, store=self.store, now=lambda: NOW, full=full)
        return base.for_stream(self.connection, stream)

    def page(
        self,
        records: Iterable[dict[str, Any]],
        *,
        stream: str = "people",
        after: str | None = None,
        partition: str = "",
    ) -> Page:
        """A page of JSON records; ``after`` is where the next one begins, None ends the read COMPLETE."""
        return page_of(
            self.connection, stream, [json.dumps(one).encode() for one in records], after=after, partition=partition
        )

    def remap(self, text: str) -> None:
        """Change mapping.yaml, as a connector's author would."""
        folder = self.connection.connector.path
        (folder / "mapping.yaml").write_text(text, encoding="utf-8")
        fresh = ConnectionConfig(
            name="toy", connector=ConnectorFolder(folder), config=self.connection.config, where="unisono.yaml:3"
        )
        self.config = HubConfig(self.config.path, self.config.store_url, self.config.landing_url, (fresh,))


def page_of(
    connection: ConnectionConfig, stream: str, payloads: list[bytes], *, after: str | None, partition: str
) -> Page:
    spec = connection.connector.manifest.streams[stream]
    records = tuple(raw_record(spec, payload) for payload in payloads)
    done = after is None
    return Page(
        partition=partition,
        kind=ReadKind.SNAPSHOT,
        records=records,
        wire=len(records),
        position=None if done else {"kind": "SNAPSHOT", "at": {"after": after}},
        cursor=None,
        completeness=Completeness.COMPLETE if done else None,
    )


def raw_record(spec: Any, payload: bytes) -> RawRecord:
    return RecordReader(spec, None).cut([payload]).records[0]


def bad_record(payload: bytes, reason: str) -> RawRecord:
    return RawRecord(key=None, payload=payload, problem=Problem(reason, ""))


def make_hub(folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """Write the toy connector below ``folder`` and let extract read from a hand-written vendor."""
    toy = folder / "connectors" / "toy"
    toy.mkdir(parents=True)
    (toy / "manifest.yaml").write_text(MANIFEST, encoding="utf-8")
    (toy / "mapping.yaml").write_text(MAPPING, encoding="utf-8")
    connection = ConnectionConfig(
        name="toy",
        connector=ConnectorFolder(toy),
        streams=("people", "notes"),
        config={"token": "t"},
        where="unisono.yaml:3",
    )
    config = HubConfig(folder / "unisono.yaml", str(store.url), str(folder / "landing"), (connection,))
    vendor = Vendor()
    monkeypatch.setattr(extract, "read_stream", vendor.read_stream)
    return Hub(config, store, vendor)


HubMaker = Callable[..., Hub]
