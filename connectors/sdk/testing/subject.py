"""The connector under check: its files, read once, and replays shared by all rules."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from canonical_model import load_vocabulary
from connectors.sdk import paths
from connectors.sdk.catalog import ConnectorFolder
from connectors.sdk.errors import UnisonoError
from connectors.sdk.manifest import load_manifest
from connectors.sdk.mapping import CompiledStream, compile_stream
from connectors.sdk.mapping import Mapping as FieldMapping
from connectors.sdk.testing.behaviour.fields import Tries, try_fields
from connectors.sdk.testing.behaviour.ground import Ground
from connectors.sdk.testing.behaviour.truth import Pair, held_and_read
from connectors.sdk.testing.fixtures import Case, Replay, find_cases, replay_stream
from connectors.sdk.testing.report import NotApplicable
from connectors.sdk.yaml_lines import load_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from connectors.sdk.mapping.tree import StreamTree
    from connectors.sdk.protocols import RawRecord
    from connectors.sdk.specs import Manifest, StreamSpec


class Blocked(Exception):
    """A rule needs something that another rule found broken."""


@dataclass(frozen=True)
class Subject:
    """One connector folder; everything on it is computed at most once."""

    folder: Path

    @cached_property
    def manifest_problem(self) -> str | None:
        """What is wrong with the manifest; None when it loads."""
        try:
            load_manifest(self.folder / "manifest.yaml")
        except UnisonoError as error:
            return str(error)
        return None

    @cached_property
    def connector(self) -> ConnectorFolder:
        """The folder as the catalogue knows it."""
        return ConnectorFolder(self.folder)

    @property
    def manifest(self) -> Manifest:
        """The manifest, or Blocked."""
        if self.manifest_problem is not None:
            raise Blocked
        return self.connector.manifest

    @cached_property
    def mapping_problem(self) -> str | None:
        """What is wrong with the mapping; None when it loads and every stream of it compiles."""
        if self.manifest_problem is not None:
            raise Blocked
        try:
            self.compiled  # noqa: B018  compiling is the check
        except UnisonoError as error:
            return str(error)
        return None

    @cached_property
    def compiled(self) -> Mapping[str, CompiledStream]:
        """Every mapped stream, compiled."""
        mapping = self.connector.mapping
        return {stream: compile_stream(mapping, stream, load_vocabulary()) for stream in mapping.streams}

    @property
    def mapping(self) -> FieldMapping:
        """The mapping, or Blocked."""
        if self.mapping_problem is not None:
            raise Blocked
        return self.connector.mapping

    @cached_property
    def ground(self) -> Ground:
        """The vendor as simulator.yaml describes it; NotApplicable when nobody wrote one."""
        return Ground.of(self)

    @cached_property
    def cases(self) -> tuple[Case, ...]:
        """All fixtures."""
        return tuple(find_cases(self.folder))

    def cases_of(self, stream: str) -> list[Case]:
        """Return the fixtures of one stream."""
        return [case for case in self.cases if case.stream == stream]

    def mapped_streams(self) -> Iterator[tuple[StreamSpec, StreamTree]]:
        """Yield the streams that have both a manifest entry and a mapping."""
        for name, stream in self.mapping.streams.items():
            yield self.manifest.streams[name], stream

    @cached_property
    def replays(self) -> Mapping[str, Replay]:
        """What the fixtures of each mapped stream give."""
        return {spec.name: self.replay(spec.name) for spec, _ in self.mapped_streams()}

    def replay(self, stream: str, *, backwards: bool = False) -> Replay:
        """Map a stream's fixtures now."""
        return replay_stream(
            self.manifest.streams[stream], self.compiled[stream], self.cases_of(stream), backwards=backwards
        )

    def tries(self, stream: str) -> Tries:
        """Return what becomes of every leaf of a stream's fixtures under every change; worked out once."""
        if stream not in self._tries:
            beside = [record for _, *pair in self.pairs(stream) for record in pair]
            self._tries[stream] = try_fields(self.compiled[stream], self.good(stream), beside)
        return self._tries[stream]

    def good(self, stream: str) -> list[RawRecord]:
        """Return the records of a stream's fixtures that can be mapped, in order."""
        spec = self.manifest.streams[stream]
        records = [record for case in self.cases_of(stream) for record in case.records(spec)]
        return [record for record in records if record.problem is None]

    def pairs(self, stream: str) -> list[Pair]:
        """Return records as they came from the vendor of simulator.yaml, each beside what the vendor holds of it."""
        if stream not in self._pairs:
            try:
                self._pairs[stream] = held_and_read(self.ground, stream)
            except NotApplicable:
                self._pairs[stream] = []
        return self._pairs[stream]

    @cached_property
    def _pairs(self) -> dict[str, list[Pair]]:
        return {}

    @cached_property
    def _tries(self) -> dict[str, Tries]:
        return {}

    def schema_file(self, stream: str) -> Path:
        """Return where a stream's JSON Schema is kept."""
        return self.folder / "schema" / f"{stream}.json"

    def schema(self, stream: str) -> dict[str, Any]:
        """Return a stream's JSON Schema, or Blocked."""
        try:
            found = json.loads(self.schema_file(stream).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise Blocked from error
        if not isinstance(found, dict):
            raise Blocked
        return found

    def text(self, name: str) -> str:
        """Return a file's text, empty when there is none."""
        file = self.folder / name
        return file.read_text(encoding="utf-8") if file.exists() else ""

    @cached_property
    def quality(self) -> dict[str, Any]:
        """The content of quality.yaml; empty when there is none."""
        if not (self.folder / "quality.yaml").exists():
            return {}
        data, _ = load_yaml(self.folder / "quality.yaml")
        return data if isinstance(data, dict) else {}


def declares(schema: Mapping[str, Any], path: paths.Path) -> bool:
    """Return True when a JSON Schema names every member on the way to ``path``."""
    here: Any = schema
    for step in path:
        here = (here.get("properties") or {}).get(step) if isinstance(step, str) else here.get("items")
        if not isinstance(here, dict):
            return False
    return True


def required_members(schema: Mapping[str, Any], prefix: paths.Path = ()) -> Iterator[paths.Path]:
    """Yield the path of every member that a JSON Schema requires."""
    for name in schema.get("required") or ():
        yield (*prefix, name)
    for name, inner in (schema.get("properties") or {}).items():
        if isinstance(inner, dict):
            yield from required_members(inner, (*prefix, name))
    if isinstance(schema.get("items"), dict):
        yield from required_members(schema["items"], (*prefix, paths.Every()))
