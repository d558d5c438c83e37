"""A hub whose connections dlt reads: configuration and mapping are written as a user would write them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines import extract, normalise
from pipelines.config import HubConfig, load_config
from pipelines.context import StageContext
from pipelines.landing import Landing
from pipelines.report import StageReport
from pipelines.store import Store, heads

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MAPPING = """\
connector: legacy
version: 1
streams:
  customers:
    emit:
      - entity: person
        terms: {given_name: first, family_name: last, birth_date: born}
      - entity: contact_point
        when: {path: email, present: true}
        key: {const: email}
        terms: {kind: {const: email}, value: email, value_norm: {path: email, transform: [email]}, verified: {const: true}}
    ignore:
      - {path: id, reason: the key}
      - {path: updated_at, reason: the record time}
"""


@dataclass
class DltHub:
    """A folder with unisono.yaml and mapping.yaml, and the store of a test."""

    folder: Path
    store: Store
    config: HubConfig

    def context(self, stream: str = "customers", *, full: bool = False) -> StageContext:
        base = StageContext(config=self.config, store=self.store, now=lambda: NOW, full=full)
        return base.for_stream(self.config.connections[0], stream)

    def extract(self, stream: str = "customers", *, full: bool = False) -> StageReport:
        return extract.run(self.context(stream, full=full))

    def normalise(self, stream: str = "customers") -> StageReport:
        return normalise.run(self.context(stream))

    def landed(self, stream: str = "customers") -> list[dict[str, Any]]:
        """Return every payload that was landed, in the order of landing."""
        segments = heads.segments_after(self.store, "legacy", stream, 0)
        files = [file["name"] for segment in segments for file in segment.files]
        lake = Landing(self.config.landing_url)
        texts = [text for name in dict.fromkeys(files) for text in lake.read(name).column("payload").to_pylist()]
        return [json.loads(text) for text in texts]

    def quarantined(self) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.store.query("SELECT reason, path FROM v1_quarantine").rows]


def dlt_hub(folder: Path, store: Store, block: dict[str, Any], mapping: str = MAPPING, **connection: Any) -> DltHub:
    """Write the files of a hub with one connection, ``legacy``, and read them back."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mapping.yaml").write_text(mapping, encoding="utf-8")
    row = {"name": "legacy", "dlt": block, "mapping": "mapping.yaml", "timezone": "UTC", **connection}
    document = {"store": str(store.url), "landing": "landing", "connections": [row]}
    (folder / "unisono.yaml").write_text(json.dumps(document, indent=1), encoding="utf-8")
    return DltHub(folder, store, load_config(folder / "unisono.yaml"))
