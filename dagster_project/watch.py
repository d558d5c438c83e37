"""The checks that look ahead: drift of the payloads, and what the vendor announces in its headers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg

from pipelines.report import StageReport
from pipelines.store import Store
from pipelines.store.facts import connection_names
from pipelines.store.profiles import DriftEvent, Notice, events, notices

_MOST = 20


@dataclass(frozen=True)
class Outlook:
    """What is open about one stream: drift that nobody accepted, and announcements."""

    drift: Sequence[DriftEvent]
    notices: Sequence[Notice]

    @classmethod
    def of(cls, store: Store, connection: str, stream: str, *, tenant_id: int = 1) -> Outlook:
        """Read it from the store."""
        ids = {name: identity for identity, name in connection_names(store, tenant_id=tenant_id).items()}
        place = (ids.get(connection, connection), stream)
        found = [one for one in events(store, *place, tenant_id=tenant_id) if one.level != "note"]
        return cls(found, notices(store, *place, tenant_id=tenant_id))


def check_specs(key: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """Return what is checked of every stream."""
    drift = "The payloads look as declared and as before; an error where a path that the mapping reads broke."
    announced = "The vendor announces no end of what this stream uses."
    gone = "No delete waits for a person's word, and no live record lies below a deleted parent."
    return [
        dg.AssetCheckSpec("deletes", asset=key, description=gone),
        dg.AssetCheckSpec("drift", asset=key, description=drift),
        dg.AssetCheckSpec("announcements", asset=key, description=announced),
    ]


def results(key: dg.AssetKey, outlook: Outlook) -> Iterator[dg.AssetCheckResult]:
    """Return the verdicts; both stay until the steward accepts the drift, or the vendor stops announcing."""
    broken = any(one.level == "error" for one in outlook.drift)
    yield dg.AssetCheckResult(
        asset_key=key,
        check_name="drift",
        passed=not outlook.drift,
        severity=dg.AssetCheckSeverity.ERROR if broken else dg.AssetCheckSeverity.WARN,
        metadata={f"{one.path} {one.kind}": _told(one) for one in outlook.drift[:_MOST]},
    )
    now = datetime.now(UTC)
    yield dg.AssetCheckResult(
        asset_key=key,
        check_name="announcements",
        passed=not outlook.notices,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={f"{one.endpoint} {one.header}": _announced(one, now) for one in outlook.notices[:_MOST]},
    )


def deletes(key: dg.AssetKey, extracted: StageReport) -> dg.AssetCheckResult:
    """Return whether the fuse held back deletes (an error), or records outlived their parents unexplained (a warning)."""
    told = extracted.details.get("deletes", {})
    waits, orphaned = told.get("waiting", 0), told.get("orphaned", 0)
    do = {}
    if waits:
        do = {"do": f"if they are really gone: unisono sync --accept-deletes {extracted.connection}/{extracted.stream}"}
    elif orphaned:
        do = {"do": "say deleted: {with_parent: true} or {with_parent: false} in the stream's manifest"}
    return dg.AssetCheckResult(
        asset_key=key, check_name="deletes", passed=not (waits or orphaned),
        severity=dg.AssetCheckSeverity.ERROR if waits else dg.AssetCheckSeverity.WARN,
        metadata={**told, **do},
    )  # fmt: skip


def accounting(key: dg.AssetKey, reports: Sequence[StageReport]) -> dg.AssetCheckResult:
    """Return the verdict on the account of a load, stage by stage."""
    faults = {report.stage: report.imbalance for report in reports if report.imbalance is not None}
    counts = {f"{report.stage}_{name}": count for report in reports for name, count in report.counts.items()}
    return dg.AssetCheckResult(
        asset_key=key, check_name="accounting", passed=not faults, severity=dg.AssetCheckSeverity.ERROR,
        metadata={**counts, **{f"{stage}_fault": fault for stage, fault in faults.items()}},
    )  # fmt: skip


def _told(one: DriftEvent) -> str:
    return f"{one.level}{', mapped' if one.mapped else ''}, since {one.first_seen_at.date().isoformat()}"


def _announced(one: Notice, now: datetime) -> str:
    left = one.days_left(now)
    return one.value if left is None else f"{one.value} ({left} days left)"
