"""Rules about single fields: every leaf of every fixture is taken away, made null, retyped and changed; nothing may go unseen.

All variants of a stream are mapped in one batch, beside its fixtures in the opposite order.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import jsonschema

from connectors.sdk import paths
from connectors.sdk.mapping import json_rows
from connectors.sdk.mapping.coverage import Reader, ignores
from connectors.sdk.mapping.duckdb_paths import generalised
from connectors.sdk.mapping.preview import to_batch
from connectors.sdk.testing.report import Judged, Skip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from connectors.sdk.mapping import CompiledStream
    from connectors.sdk.mapping.run import MappedBatch
    from connectors.sdk.protocols import RawRecord
    from connectors.sdk.testing.report import Word
    from connectors.sdk.testing.subject import Subject

NEW: Final = "unisono_new_field"
STRANGE: Final = "unisono-strange-value"
BIG: Final = 9_007_199_254_740_993
_GONE: Final = object()
Outcome = list[tuple[str, dict[str, Any]]] | str


@dataclass(frozen=True)
class Variant:
    """One record with one leaf changed."""

    leaf: paths.Path
    kind: str
    record: RawRecord


@dataclass
class Tried:
    """What became of one leaf under each change: the rows, or why the record was quarantined."""

    base: Outcome
    without: bytes = b"{}"
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def matters(self) -> bool:
        """Return whether any change of the leaf shows anywhere."""
        return any(outcome != self.base for outcome in self.outcomes.values())

    def lost(self, kind: str) -> bool:
        """Return whether a changed value vanished: mapped as if the leaf had not been there, although it counts."""
        gone, changed = self.outcomes.get("missing"), self.outcomes.get(kind)
        return changed is not None and changed == gone and gone != self.base and not isinstance(changed, str)


@dataclass
class Tries:
    """All leaves of one stream; ``again`` is what each fixture's record gives here, ``beside`` what other records give."""

    leaves: dict[paths.Path, Tried]
    unmapped: frozenset[str]
    warned: frozenset[paths.Path]
    values: frozenset[paths.Path]
    new_kept: bool
    again: list[Outcome]
    beside: list[Outcome]


def try_fields(compiled: CompiledStream, records: list[RawRecord], beside: list[RawRecord]) -> Tries:
    """Map, in one batch: the records backwards, every variant of every leaf that is not ignored, and other records."""
    good = [record for record in records if record.op == "upsert"]
    variants = list(_variants(compiled, good))
    made = compiled.run(to_batch(list(enumerate([*reversed(records), *(one.record for one in variants), *beside]))))
    outcomes = by_record(compiled, made, len(records) + len(variants) + len(beside))
    again = outcomes[: len(records)][::-1]
    bases = {id(record): outcome for record, outcome in zip(records, again, strict=True)}
    leaves: dict[paths.Path, Tried] = {}
    new_kept = False
    for variant, outcome in zip(variants, outcomes[len(records) :], strict=False):
        base = bases[_origin(variant)]
        if isinstance(base, str):
            continue
        if variant.kind == "new":
            new_kept = new_kept or NEW in json.dumps(outcome)
        else:
            tried = leaves.setdefault(variant.leaf, Tried(base))
            tried.outcomes[variant.kind] = outcome
            if variant.kind == "missing":
                tried.without = variant.record.payload
    warned = frozenset(generalised(paths.parse(path)) for path, _ in made.warnings)
    values = frozenset(Reader(compiled.tree).values())
    rest = outcomes[len(records) + len(variants) :]
    return Tries(leaves, frozenset(made.unmapped), warned, values, new_kept, again, rest)


def _origin(variant: Variant) -> int:
    origin: Any = variant.record.cursor
    return int(origin)


def _variants(compiled: CompiledStream, records: list[RawRecord]) -> Iterator[Variant]:
    seen: set[paths.Path] = set()
    for record in records:
        content = json.loads(record.payload)
        if not seen:
            yield Variant((NEW,), "new", _with(record, {**content, NEW: "?"}))
        for path, value in _leaves(content, ()):
            leaf = generalised(path)
            if leaf in seen or any(ignores(rule, leaf) for rule in compiled.tree.ignores):
                continue
            seen.add(leaf)
            for kind, changed in _changes(value):
                yield Variant(leaf, kind, _with(record, _set(content, path, changed)))


def _changes(value: Any) -> Iterator[tuple[str, Any]]:
    yield "missing", _GONE
    yield "retyped", {STRANGE: True}
    if isinstance(value, bool):
        yield "changed", not value
        yield "strange", STRANGE
    elif isinstance(value, int):
        yield "changed", BIG
        yield "rounded", BIG - 1
    elif isinstance(value, str):
        yield "strange", STRANGE
        yield "changed", _like(value)


def _like(text: str) -> str:
    """Return another text that looks alike: the last digit or letter changed."""
    if text in ("true", "false"):
        return "false" if text == "true" else "true"
    for at in range(len(text) - 1, -1, -1):
        if text[at].isdigit():
            return f"{text[:at]}{(int(text[at]) + 1) % 10}{text[at + 1 :]}"
        if text[at].isalpha():
            return f"{text[:at]}{'b' if text[at] != 'b' else 'c'}{text[at + 1 :]}"
    return f"{text}a"


def _leaves(value: Any, path: paths.Path) -> Iterator[tuple[paths.Path, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, (*path, name))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from _leaves(inner, (*path, at))
    elif value is not None and value != "":
        yield path, value


def _set(content: Any, path: paths.Path, value: Any) -> Any:
    changed = copy.deepcopy(content)
    *way, last = path
    holder = changed
    for step in way:
        holder = holder[step]
    if value is _GONE and isinstance(last, str):
        del holder[last]
    else:
        holder[last] = None if value is _GONE else value
    return changed


def _with(record: RawRecord, content: Any) -> RawRecord:
    """Return the record with other content; ``cursor`` remembers which record it was made from."""
    return record._replace(payload=json.dumps(content, ensure_ascii=False).encode(), cursor=str(id(record)))


def by_record(compiled: CompiledStream, batch: MappedBatch, count: int) -> list[Outcome]:
    """Return what each record of a batch gave: its rows in one order, or why it was quarantined."""
    found: list[Outcome] = [[] for _ in range(count)]
    for row in batch.quarantine.to_pylist():
        found[row["ordinal"]] = f"{row['reason']} at '{row['path']}'"
    for entity, table in batch.rows.items():
        shown = json_rows(compiled.vocabulary.entities[entity], table)
        for at, row in zip(table.column("ordinal").to_pylist(), shown, strict=True):
            rows = found[at]
            if not isinstance(rows, str):
                rows.append((entity, row))
    return [one if isinstance(one, str) else sorted(one, key=repr) for one in found]


def _each(judge: Callable[[Subject, str, Tries], Iterator[str]]) -> Callable[[Subject], Iterator[Word]]:
    def check(subject: Subject) -> Iterator[Word]:
        for spec, _ in subject.mapped_streams():
            tries = subject.tries(spec.name)
            if not tries.leaves:
                yield Skip(spec.name, "no fixture shows a good record")
                continue
            yield Judged(spec.name)
            yield from (f"stream '{spec.name}': {one}" for one in judge(subject, spec.name, tries))

    return check


def _retyped(_subject: Subject, _stream: str, tries: Tries) -> Iterator[str]:
    for leaf, tried in tries.leaves.items():
        if tried.lost("retyped") and leaf not in tries.warned:
            yield f"'{paths.write(leaf)}' becomes an object, and it is as if it were not there"


def _strange(_subject: Subject, _stream: str, tries: Tries) -> Iterator[str]:
    for leaf, tried in tries.leaves.items():
        if leaf in tries.values and leaf not in tries.warned and tried.lost("strange"):
            yield f"'{paths.write(leaf)}' has a value never seen before, and it is as if it were not there"


def _exact(_subject: Subject, _stream: str, tries: Tries) -> Iterator[str]:
    for leaf, tried in tries.leaves.items():
        changed, rounded = tried.outcomes.get("changed"), tried.outcomes.get("rounded")
        if rounded is not None and changed == rounded != tried.base and not isinstance(changed, str):
            yield f"'{paths.write(leaf)}': {BIG} and {BIG - 1} give the same rows"


def _matters(_subject: Subject, _stream: str, tries: Tries) -> Iterator[str]:
    for leaf, tried in tries.leaves.items():
        if not tried.matters() and paths.write(leaf) not in tries.unmapped:
            yield f"'{paths.write(leaf)}' counts as mapped, and no change of it shows in any row"


def _missing(subject: Subject, stream: str, tries: Tries) -> Iterator[str]:
    validator = jsonschema.Draft202012Validator(subject.schema(stream))
    for leaf, tried in tries.leaves.items():
        said = tried.outcomes["missing"]
        if isinstance(said, str) and validator.is_valid(json.loads(tried.without)):
            yield f"without '{paths.write(leaf)}' a record is quarantined ({said}), and schema/{stream}.json does not require it"


def _new(_subject: Subject, _stream: str, tries: Tries) -> Iterator[str]:
    if NEW not in tries.unmapped:
        yield "a new field of the vendor is not reported"
    elif not tries.new_kept:
        yield "a new field of the vendor is reported, but its value is not kept with the row"


CHECKS = {
    "FIELD-NEW-REPORTED": _each(_new),
    "FIELD-RETYPED-SEEN": _each(_retyped),
    "FIELD-STRANGE-SEEN": _each(_strange),
    "FIELD-EXACT": _each(_exact),
    "FIELD-MISSING-OK": _each(_missing),
    "FIELD-COUNTS": _each(_matters),
}
