"""One run of drift over one stream: profile the new segments, compare, record, and remember."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from connectors.sdk import paths
from pipelines.context import StageContext
from pipelines.drift import declared, model
from pipelines.drift.compare import LEVELS, NOTE, Finding, compare
from pipelines.drift.model import Profile
from pipelines.drift.profile import profile
from pipelines.drift.stats import MIN_RECORDS
from pipelines.landing import Landing
from pipelines.report import StageReport
from pipelines.store import Lease, heads, profiles, reads

_STAGE = "drift"
_COLUMNS = ["source_key", "op", "payload"]


class Unit:
    """Looks at one stream of one connection under its lease."""

    def __init__(self, context: StageContext, lease: Lease) -> None:
        assert context.connection is not None
        assert context.stream is not None
        self.context, self.lease, self.store = context, lease, context.store
        self.connection, self.stream = context.connection, context.stream
        self.landing = Landing(context.config.landing_url)

    def run(self) -> StageReport:
        """Profile and compare what is new; the watermark is committed with what was learnt."""
        manifest = self.connection.connector.manifest
        with self.store.write(self.lease, cause=self.context.cause, actor=self.context.actor) as tx:
            self.connection_id = reads.register_connection(tx, self.connection.name, manifest.name, manifest.major)
        unit, tenant_id = f"{self.connection_id}/{self.stream}", self.context.tenant_id
        watermark = self.store.watermark(_STAGE, unit, tenant_id=tenant_id)
        segments = heads.segments_after(self.store, self.connection_id, self.stream, watermark, tenant_id=tenant_id)
        total = sum(segment.records for segment in segments)
        if not total:
            return self._report(0, {}, [], 0)
        try:
            seen = self._profile(segments, total)
        except duckdb.Error as why:
            return self._unreadable(total, why, unit, segments)
        base, recent = self._kept("base"), self._kept("recent")
        found = self._findings(base, recent, seen)
        load_id = profiles.last_load_id(self.store, self.connection_id, self.stream, tenant_id=tenant_id)
        with self.store.write(self.lease, cause=self.context.cause, actor=self.context.actor) as tx:
            place = (tx, self.connection_id, self.stream)
            new = profiles.record(*place, load_id, [_as_row(one) for one in found])
            healed = self._healed(seen)
            profiles.close_events(tx, healed, profiles.HEALED)
            for span, rows in self._remember(base, recent, seen, found).items():
                profiles.replace_nodes(*place, span, rows, load_id)
            tx.set_watermark(_STAGE, unit, max(segment.change_seq for segment in segments))
        return self._report(total, seen, found, new)

    def _profile(self, segments: Sequence[heads.CommittedSegment], total: int) -> Profile:
        vocabulary = self.store.vocabulary
        may_keep = declared.keeper(self.connection.connector, self.stream, vocabulary)
        return profile(self._parts(segments), total, may_keep)

    def _unreadable(
        self, total: int, why: duckdb.Error, unit: str, segments: Sequence[heads.CommittedSegment]
    ) -> StageReport:
        """Say that payloads cannot be profiled and go on: normalise tells their records apart."""
        with self.store.write(self.lease, cause=self.context.cause, actor=self.context.actor) as tx:
            tx.set_watermark(_STAGE, unit, max(segment.change_seq for segment in segments))
        report = self._report(total, {}, [], 0)
        return replace(report, details={"not_profiled": str(why).splitlines()[0]})

    def _parts(self, segments: Sequence[heads.CommittedSegment]) -> Iterator[pa.Table]:
        """Yield the payloads of what the vendor holds; what it says of a deleted record is no sample of its records."""
        names = dict.fromkeys(str(file["name"]) for segment in segments for file in segment.files)
        for name in names:  # a file is committed whole, in one transaction, whatever partitions share it
            rows = self.landing.read(name, _COLUMNS)
            yield rows.filter(pc.equal(rows.column("op"), "upsert"))

    def _kept(self, span: str) -> Profile:
        rows = profiles.nodes(self.store, self.connection_id, self.stream, span, tenant_id=self.context.tenant_id)
        return {paths.parse(path): model.as_node(row) for path, row in rows.items()}

    def _findings(self, base: Profile, recent: Profile, seen: Profile) -> list[Finding]:
        """Return one finding per path and kind: what the schema forbids says more than that it is new."""
        connector = self.connection.connector
        uses = declared.uses_of(connector, self.stream)
        told = declared.against_schema(declared.schema_of(connector, self.stream), seen, uses)
        found = {(one.path, one.kind): one for one in compare(base, recent, seen, uses)}
        for one in told:
            other = found.get((one.path, one.kind))
            level = max(one.level, other.level if other else NOTE, key=LEVELS.index)
            found[one.path, one.kind] = Finding(one.path, one.kind, level, one.detail, one.mapped)
        return list(found.values())

    def _healed(self, seen: Profile) -> list[int]:
        """Return the open events about paths that were gone and are back."""
        known = profiles.events(self.store, self.connection_id, self.stream, tenant_id=self.context.tenant_id)
        gone = [one for one in known if one.kind == "removed" and "declared" not in one.detail]
        back = {paths.write(path) for path, node in seen.items() if node.filled}
        return [one.drift_event_id for one in gone if one.path in back]

    def _remember(
        self, base: Profile, recent: Profile, seen: Profile, found: Sequence[Finding]
    ) -> dict[str, Mapping[str, Mapping[str, Any]]]:
        """Return the profiles to keep: small loads wait together until they can be judged, then join what is known."""
        window = model.merged(recent, seen)
        alarmed = any(one.level != NOTE for one in found)
        if base and model.records(window) < MIN_RECORDS and not alarmed:
            return {"recent": _rows(window, base)}
        known = model.merged(base, window)
        for one in found:
            if one.level != NOTE and one.kind != "enum":
                _begin_anew(known, window, one)
        return {"base": _rows(known, {}), "recent": {}}

    def _report(self, total: int, seen: Profile, found: Sequence[Finding], new: int) -> StageReport:
        levels = Counter(one.level for one in found)
        told = [
            {"path": paths.write(one.path), "change": one.kind, "level": one.level, "mapped": one.mapped, **one.detail}
            for one in sorted(found, key=lambda one: (-LEVELS.index(one.level), paths.write(one.path)))
            if one.level != NOTE
        ]
        return StageReport(
            _STAGE, self.connection.name, self.stream,
            counts={"profiled": total, "paths": len(seen), "new": new, **{f"{name}s": levels[name] for name in LEVELS}},
            details={"drift": told} if told else {},
        )  # fmt: skip


def _rows(nodes: Profile, known: Profile) -> dict[str, Mapping[str, Any]]:
    """Return nodes as they are kept; words that a closed list is ``known`` to have may stay."""
    return {paths.write(path): model.as_row(model.without_words(node, known.get(path))) for path, node in nodes.items()}


def _begin_anew(known: Profile, window: Profile, finding: Finding) -> None:
    """Make what is known of a path what the present loads show: it is told once, and is the normal from now on."""
    whole = finding.kind in ("added", "removed", "retyped")
    path = finding.path
    for one in [one for one in known if one == path or (whole and one[: len(path)] == path)]:
        if one not in window:
            del known[one]
        else:
            known[one] = window[one] if whole else model.at_level_of(known[one], window[one])


def _as_row(one: Finding) -> dict[str, Any]:
    return {
        "path": paths.write(one.path), "kind": one.kind, "level": one.level, "mapped": one.mapped,
        "signature": one.signature, "detail": dict(one.detail),
    }  # fmt: skip
