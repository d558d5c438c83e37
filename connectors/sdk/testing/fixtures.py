"""Fixtures replay: ``fixtures/<stream>/<case>.json`` in the vendor's shape, ``<case>.expected.json`` what comes out.

A case is a bare record, ``{"record": …, "parent": …}``, or ``{"page": …, "parent": …}``: a whole response, from which
the manifest's data_selector takes the records. ``python -m connectors.sdk.testing.fixtures NAME… --update`` writes the
expected files.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from canonical_model import load_vocabulary
from connectors.sdk.body import Body
from connectors.sdk.catalog import ConnectorFolder, find_connector, find_connectors
from connectors.sdk.errors import FixConnector
from connectors.sdk.mapping import CompiledStream, MappedBatch, compile_stream, json_rows
from connectors.sdk.mapping.preview import split_line, to_batch
from connectors.sdk.records import RecordReader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from connectors.sdk.protocols import RawRecord
    from connectors.sdk.specs import StreamSpec

EXPECTED = ".expected.json"
Outcome = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Case:
    """One fixture file of one stream."""

    stream: str
    file: Path

    @property
    def name(self) -> str:
        """Name of the case, as it is shown: stream/case."""
        return f"{self.stream}/{self.file.stem}"

    @property
    def expected_file(self) -> Path:
        """Where the rows that must come out are kept."""
        return self.file.with_name(self.file.stem + EXPECTED)

    @cached_property
    def expected(self) -> Outcome | None:
        """What must come out; None while nobody has said so."""
        if not self.expected_file.exists():
            return None
        found: Outcome = json.loads(self.expected_file.read_text(encoding="utf-8"))
        return found

    def records(self, spec: StreamSpec) -> list[RawRecord]:
        """Return the case's records as the fetch engine would have cut them."""
        reader = RecordReader(spec, None)
        return [record for payload, parent in self._payloads(spec) for record in reader.cut([payload], parent).records]

    def _payloads(self, spec: StreamSpec) -> Iterator[tuple[bytes, bytes | None]]:
        content = self.file.read_bytes().strip()
        try:
            members = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
        except msgspec.DecodeError as error:
            raise FixConnector(
                "is not a JSON object", where=str(self.file), why=str(error), do="write one record or {record, parent}"
            ) from error
        if "page" not in members or not set(members) <= {"page", "parent"}:
            yield split_line(content)
            return
        parent = bytes(members["parent"]) if "parent" in members else None
        for raw in Body(bytes(members["page"])).cut(spec.request.data_selector) or ():  # type: ignore[union-attr]
            yield bytes(raw), parent


def find_cases(folder: Path) -> list[Case]:
    """Return every case below ``fixtures/``, in order."""
    files = sorted((folder / "fixtures").glob("*/*.json"))
    return [Case(file.parent.name, file) for file in files if not file.name.endswith(EXPECTED)]


@dataclass(frozen=True)
class Replay:
    """What came out of all cases of one stream, mapped as one batch."""

    outcomes: Mapping[str, Outcome]
    batch: MappedBatch


def replay_stream(
    spec: StreamSpec, compiled: CompiledStream, cases: Sequence[Case], *, backwards: bool = False
) -> Replay:
    """Map all cases of a stream at once; ``backwards`` in the opposite order, which must change nothing."""
    numbered = list(enumerate((case, record) for case in cases for record in case.records(spec)))
    good = [(number, record) for number, (_, record) in numbered if record.problem is None]
    batch = compiled.run(to_batch(reversed(good) if backwards else good))
    outcomes: dict[str, Outcome] = {case.name: {"rows": [], "quarantined": []} for case in cases}
    names = {number: case.name for number, (case, _) in numbered}
    for number, (_, record) in numbered:
        if record.problem is not None:
            outcomes[names[number]]["quarantined"].append(_problem(record.key, *record.problem))
    _share_out(outcomes, names, compiled, batch)
    return Replay({name: canonical(outcome) for name, outcome in outcomes.items()}, batch)


def _share_out(
    outcomes: Mapping[str, Outcome], names: Mapping[int, str], compiled: CompiledStream, batch: MappedBatch
) -> None:
    for row in batch.quarantine.to_pylist():
        outcomes[names[row["ordinal"]]]["quarantined"].append(_problem(row["source_key"], row["reason"], row["path"]))
    for entity, table in batch.rows.items():
        ordinals = table.column("ordinal").to_pylist()
        for ordinal, row in zip(ordinals, json_rows(compiled.vocabulary.entities[entity], table), strict=True):
            outcomes[names[ordinal]]["rows"].append({"entity": entity, "row": row})


def _problem(key: str | None, reason: str, path: str) -> dict[str, Any]:
    return {"source_key": key, "reason": reason, "path": path}


def canonical(outcome: Outcome) -> Outcome:
    """Return an outcome with its lists in the one order that expected files have."""
    return {part: sorted(items, key=lambda item: json.dumps(item, sort_keys=True)) for part, items in outcome.items()}


def _replay(connector: ConnectorFolder, stream: str, cases: Sequence[Case]) -> Replay:
    compiled = compile_stream(connector.mapping, stream, load_vocabulary())
    return replay_stream(connector.manifest.streams[stream], compiled, cases)


def write_expected(connector: ConnectorFolder) -> list[Path]:
    """Write the expected files from what comes out now; return those that changed."""
    changed = []
    cases = find_cases(connector.path)
    for stream in dict.fromkeys(case.stream for case in cases):
        own = [case for case in cases if case.stream == stream]
        outcomes = _replay(connector, stream, own).outcomes
        for case in own:
            text = json.dumps(outcomes[case.name], ensure_ascii=False, indent=2) + "\n"
            if not case.expected_file.exists() or case.expected_file.read_text(encoding="utf-8") != text:
                case.expected_file.write_text(text, encoding="utf-8")
                changed.append(case.expected_file)
    return changed


def main(arguments: Sequence[str] | None = None) -> int:
    """Show, or with ``--update`` write, what the fixtures of the named connectors give."""
    parser = argparse.ArgumentParser(prog="python -m connectors.sdk.testing.fixtures", description=main.__doc__)
    parser.add_argument("names", nargs="*", help="connectors; all when none is named")
    parser.add_argument("--update", action="store_true", help="write <case>.expected.json")
    options = parser.parse_args(arguments)
    connectors = [find_connector(name) for name in options.names] or list(find_connectors().values())
    for connector in connectors:
        if options.update:
            sys.stdout.writelines(f"{path}\n" for path in write_expected(connector))
            continue
        for case in find_cases(connector.path):
            outcome = _replay(connector, case.stream, [case]).outcomes[case.name]
            sys.stdout.write(f"# {connector.name} {case.name}\n{json.dumps(outcome, ensure_ascii=False, indent=2)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
