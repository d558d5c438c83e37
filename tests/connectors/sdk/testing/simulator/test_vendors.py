"""The shipped shapes: every stream of every vendor is served, read by the real engine, valid by its schema."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from connectors.sdk.engine import read_stream
from connectors.sdk.manifest import connect, load_manifest
from connectors.sdk.memory import MemoryCheckpoints, MemoryTokens
from connectors.sdk.protocols import Completeness, ParentRecord
from connectors.sdk.quota import AccountQuota
from connectors.sdk.testing.simulator import DEFAULT_NOW, Simulator, World, demo_connections
from connectors.sdk.testing.simulator.shape import CONNECTORS, find_shapes

SHAPES = find_shapes()
CLEAN = World(people=60, shapes=SHAPES, spoil=False)
STREAMS = [(name, stream) for name, shape in SHAPES.items() for stream in shape.served()]


def _manifest(name: str) -> Any:
    return load_manifest(CONNECTORS / name / "manifest.yaml")


class Reader:
    """Reads a vendor's streams with the engine, as a sync would."""

    def __init__(self, connection: dict[str, Any]) -> None:
        self.manifest = _manifest(connection["connector"])
        name, config, base_url = connection["name"], connection["config"], connection["base_url"]
        self.settings = connect(self.manifest, name=name, connection_id=name, config=config, base_url=base_url)
        self.records: dict[str, dict[str, ParentRecord]] = {}
        self.checkpoints: dict[str, MemoryCheckpoints] = {}

    def read(self, stream: str, now: datetime) -> tuple[int, set[Completeness | None]]:
        return asyncio.run(self._read(stream, now))

    async def _read(self, stream: str, now: datetime) -> tuple[int, set[Completeness | None]]:
        parent = self.manifest.streams[stream].parent
        parents = {parent.stream: list(self.records[parent.stream].values())} if parent else {}
        earlier = self.checkpoints.get(stream)
        checkpoints = self.checkpoints[stream] = MemoryCheckpoints(parents)
        checkpoints.states = earlier.states if earlier else {}
        held, problems, ends = self.records.setdefault(stream, {}), 0, set()
        pages = read_stream(
            self.manifest.streams[stream], self.settings, checkpoints=checkpoints, tokens=MemoryTokens(),
            quota=AccountQuota(), now=lambda: now,
        )  # fmt: skip
        async for page in pages:
            checkpoints.save(page)
            problems += sum(record.problem is not None for record in page.records)
            held.update(
                (r.key, ParentRecord(r.key, r.payload, r.hash or "")) for r in page.records if r.key and not r.problem
            )
            ends |= {page.completeness} - {None}
        return problems, ends


@pytest.mark.parametrize("connector", sorted(SHAPES))
def test_the_engine_reads_every_stream_completely_and_then_only_what_changed(connector: str) -> None:
    shapes = {connector: SHAPES[connector]}
    simulator = Simulator(World(people=80, shapes=shapes))
    now = DEFAULT_NOW + timedelta(hours=1)
    later = now + timedelta(days=1)
    held = simulator.app.holdings[connector].records

    with simulator as base_url:
        reader = Reader(demo_connections(base_url, shapes)[0])
        for stream in reader.manifest.streams:
            problems, ends = reader.read(stream, now)
            assert ends <= {Completeness.COMPLETE}, stream
            assert len(reader.records[stream]) == len(held(stream)) - problems, stream
        before = {stream: dict(records) for stream, records in reader.records.items()}
        changed = simulator.app.advance(1, 12, later)
        for stream in reader.manifest.streams:
            reader.read(stream, later + timedelta(hours=1))

    assert changed
    for change in changed:
        assert (change.key not in before[change.stream]) is change.new
        assert reader.records[change.stream][change.key] != before[change.stream].get(change.key)


@pytest.mark.parametrize(("connector", "stream"), STREAMS)
def test_records_are_valid_by_the_connectors_schema(connector: str, stream: str) -> None:
    schema = json.loads(Path(CONNECTORS, connector, "schema", f"{stream}.json").read_text(encoding="utf-8"))

    records = [json.loads(payload) for _, payload, _ in CLEAN.payloads(connector, stream)]

    errors = [error.message for record in records for error in Draft202012Validator(schema).iter_errors(record)]
    assert errors[:3] == []
    assert records


def test_the_demo_has_the_six_connections_with_credentials_that_its_manifests_accept() -> None:
    connections = demo_connections("http://127.0.0.1:1")

    assert [c["name"] for c in connections] == ["acme", "hubspot", "klaviyo", "shopify", "typeform", "zendesk"]
    for connection in connections:
        Reader(connection)


def test_the_demo_has_about_ten_bad_records() -> None:
    spoils = [spoil for shape in SHAPES.values() for stream in shape.streams.values() for spoil in stream.spoil]

    assert 8 <= len(spoils) <= 16
