"""One asset per connection and stream: extract, then normalise; it raises on failure, so that freshness tells the truth."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from connectors.sdk.specs import StreamSpec
from dagster_project import describe, watch
from dagster_project.hub import Hub
from dagster_project.names import account_pool, stream_key
from pipelines import stages
from pipelines.config import ConnectionConfig, HubConfig
from pipelines.dlt_bridge.declare import DltStream
from pipelines.report import StageReport
from pipelines.store import Store
from pipelines.store.connection_health import read_health
from pipelines.store.facts import StreamFacts, stream_facts

_Outcome = dg.AssetCheckResult | dg.MaterializeResult  # type: ignore[type-arg]
_MAX_QUARANTINE_RATE = 0.05
_STALE_AFTER_CADENCES = 24
_EXPIRES_SOON = timedelta(minutes=5)


def build_ingest_assets(config: HubConfig) -> list[dg.AssetsDefinition]:
    """Return the assets of all connections in the order of the configuration."""
    return [_asset(connection, stream) for connection in config.connections for stream in connection.streams]


def _asset(connection: ConnectionConfig, stream: str) -> dg.AssetsDefinition:
    spec = connection.connector.manifest.streams[stream]
    key = stream_key(connection.name, stream)

    @dg.multi_asset(
        name="__".join(key.path),
        specs=[_spec(connection, stream, spec, key)],
        check_specs=_check_specs(key, spec),
        pool=account_pool(connection.name),
    )
    def stream_asset(context: dg.AssetExecutionContext, hub: Hub) -> Iterator[_Outcome]:
        with hub.context(context.run.run_id, progress=context.log.info) as unit:
            current = unit.config.connection(connection.name)
            reports = list(stages.ingest(unit, current, stream))
            extracted, normalised = reports[0], reports[-1]
            facts = stream_facts(unit.store, connection.name, stream, spec.object)
            health = _health(unit.store, connection.name)
            outlook = watch.Outlook.of(unit.store, connection.name, stream, tenant_id=unit.tenant_id)
        checks = [*_checks(key, spec, extracted, normalised, facts), *watch.results(key, outlook)]
        failure = _failure(reports, optional=spec.optional, health=health)
        if failure is not None:
            yield from checks  # a step that fails still says what it found
            raise failure
        yield dg.MaterializeResult(
            asset_key=key, metadata={**_metadata(extracted, normalised, facts), **health}, check_results=checks
        )

    return stream_asset


def _spec(connection: ConnectionConfig, stream: str, spec: StreamSpec, key: dg.AssetKey) -> dg.AssetSpec:
    manifest = connection.connector.manifest
    parents = [stream_key(connection.name, spec.parent.stream)] if spec.parent else []
    return dg.AssetSpec(
        key,
        deps=parents,
        group_name=connection.name,
        description=describe.stream(manifest, stream),
        kinds={"dlt" if isinstance(spec, DltStream) else "rest", manifest.name},
        owners=list(manifest.owners),
        tags={"category": manifest.category, "connector": manifest.name},
        metadata={
            "docs": dg.MetadataValue.url(manifest.docs),
            "connector_version": manifest.version,
            "object": spec.object,
        },
        freshness_policy=dg.FreshnessPolicy.time_window(fail_window=_cadence(spec) * 3, warn_window=_cadence(spec) * 2),
    )


def _check_specs(key: dg.AssetKey, spec: StreamSpec) -> list[dg.AssetCheckSpec]:
    expected = dg.AssetCheckSpec(
        "expected_records", asset=key, description="As many live records as the manifest expects."
    )
    return [
        dg.AssetCheckSpec("complete", asset=key, description="The read was proven complete."),
        dg.AssetCheckSpec("accounting", asset=key, description="Every record of the wire is accounted for."),
        dg.AssetCheckSpec("quarantine_rate", asset=key, description="At most 5 % of what was read is in quarantine."),
        dg.AssetCheckSpec("newest_source_timestamp", asset=key, description="The vendor's newest change is recent."),
        *watch.check_specs(key),
        *([expected] if spec.expect else []),
    ]


def _health(store: Store, connection: str) -> dict[str, dg.MetadataValue]:
    """Return how the connection is, for the page of its streams: also of those that just failed."""
    now = datetime.now(UTC)
    for one in read_health(store):
        if one.name == connection:
            state = dg.MetadataValue.text(one.state_at(now, _EXPIRES_SOON).value)
            found: dict[str, dg.MetadataValue] = {"connection_health": state}
            if one.limited_until is not None and one.limited_until > now:
                found["not_before"] = dg.MetadataValue.timestamp(one.limited_until)
            return found
    return {}


def _failure(
    reports: Sequence[StageReport], *, optional: bool, health: dict[str, dg.MetadataValue]
) -> dg.Failure | None:
    """Return why the step ends in failure, None if every report is well; an optional stream may be incomplete."""
    for report in reports:
        if report.error is not None:
            return dg.Failure(description=report.error, metadata=health)
        if not report.ok and not optional:
            reason = report.details.get("reason") or "the read did not reach its end"
            what = f"{report.connection}/{report.stream} ended {report.completeness}: {reason}"
            return dg.Failure(description=what, metadata=health)
    return None


def _metadata(extracted: StageReport, normalised: StageReport, facts: StreamFacts) -> dict[str, dg.MetadataValue]:
    found: dict[str, dg.MetadataValue] = {"dagster/row_count": dg.MetadataValue.int(facts.live_records)}
    for name, count in extracted.counts.items():
        found[f"extract_{name}"] = dg.MetadataValue.int(count)
    for name, count in normalised.counts.items():
        found[f"normalise_{name}"] = dg.MetadataValue.int(count)
    found["completeness"] = dg.MetadataValue.text(extracted.completeness or "UNKNOWN")
    found["seconds"] = dg.MetadataValue.float(round(extracted.seconds + normalised.seconds, 3))
    if facts.newest_record_time is not None:
        found["newest_source_timestamp"] = dg.MetadataValue.timestamp(facts.newest_record_time)
    unmapped = normalised.details.get("unmapped")
    if unmapped:
        found["unmapped_fields"] = dg.MetadataValue.json(unmapped)
    return found


def _checks(
    key: dg.AssetKey, spec: StreamSpec, extracted: StageReport, normalised: StageReport, facts: StreamFacts
) -> Iterator[dg.AssetCheckResult]:
    bad = extracted.counts.get("quarantined", 0) + normalised.counts.get("quarantined", 0)
    yield _result(
        key, "complete", passed=extracted.completeness == "COMPLETE", verdict=extracted.completeness or "UNKNOWN"
    )
    yield watch.accounting(key, (extracted, normalised))
    yield watch.deletes(key, extracted)
    rate = facts.open_quarantine / max(1, facts.live_records + facts.open_quarantine)
    yield _result(
        key,
        "quarantine_rate",
        passed=rate <= _MAX_QUARANTINE_RATE,
        warn=True,
        rate=round(rate, 4),
        now=bad,
        waiting=facts.open_quarantine,
    )
    yield _newest(key, spec, facts)
    if spec.expect:
        least = spec.expect.get("min_records", 0)
        yield _result(
            key, "expected_records", passed=facts.live_records >= least, warn=True, least=least, seen=facts.live_records
        )


def _newest(key: dg.AssetKey, spec: StreamSpec, facts: StreamFacts) -> dg.AssetCheckResult:
    """Compare the vendor's newest change with now: a fresh run over a stale source is still stale."""
    if facts.newest_record_time is None:
        return _result(key, "newest_source_timestamp", passed=True, newest="the vendor gives no time")
    age = datetime.now(UTC) - facts.newest_record_time
    limit = _cadence(spec) * _STALE_AFTER_CADENCES
    return _result(
        key,
        "newest_source_timestamp",
        passed=age <= limit,
        warn=True,
        newest=facts.newest_record_time.isoformat(),
        limit=str(limit),
    )


def _result(
    key: dg.AssetKey, name: str, *, passed: bool, warn: bool = False, **facts: str | float
) -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity.WARN if warn else dg.AssetCheckSeverity.ERROR
    return dg.AssetCheckResult(asset_key=key, check_name=name, passed=passed, severity=severity, metadata=dict(facts))


def _cadence(spec: StreamSpec) -> timedelta:
    """How often the stream should be read; once a day where the manifest does not say."""
    return spec.cadence or timedelta(days=1)
