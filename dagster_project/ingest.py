"""One asset per connection and stream: extract, then normalise; it raises on failure, so that freshness tells the truth."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from connectors.sdk.specs import StreamSpec
from dagster_project import describe
from dagster_project.hub import Hub
from dagster_project.names import account_pool, stream_key
from pipelines import stages
from pipelines.config import ConnectionConfig, HubConfig
from pipelines.report import StageReport
from pipelines.store.facts import StreamFacts, stream_facts

_MAX_QUARANTINE_RATE = 0.05
_STALE_AFTER_CADENCES = 24


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
    def stream_asset(context: dg.AssetExecutionContext, hub: Hub) -> dg.MaterializeResult:  # type: ignore[type-arg]
        with hub.context(context.run.run_id, progress=context.log.info) as unit:
            current = unit.config.connection(connection.name)
            extracted, normalised = stages.ingest(unit, current, stream)
            facts = stream_facts(unit.store, connection.name, stream, spec.object)
        _raise_on_failure((extracted, normalised), optional=spec.optional)
        return dg.MaterializeResult(
            asset_key=key,
            metadata=_metadata(extracted, normalised, facts),
            check_results=list(_checks(key, spec, extracted, normalised, facts)),
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
        kinds={"rest", manifest.name},
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
        *([expected] if spec.expect else []),
    ]


def _raise_on_failure(reports: Sequence[StageReport], *, optional: bool) -> None:
    """End the step in failure unless every report is well; an optional stream may be incomplete."""
    for report in reports:
        if report.error is not None:
            raise dg.Failure(description=report.error)
        if not report.ok and not optional:
            reason = report.details.get("reason") or "the read did not reach its end"
            raise dg.Failure(description=f"{report.connection}/{report.stream} ended {report.completeness}: {reason}")


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
    read = extracted.counts.get("read", 0)
    held = sum(
        extracted.counts.get(name, 0) for name in ("loaded", "unchanged", "duplicate", "filtered", "quarantined")
    )
    bad = extracted.counts.get("quarantined", 0) + normalised.counts.get("quarantined", 0)
    yield _result(
        key, "complete", passed=extracted.completeness == "COMPLETE", verdict=extracted.completeness or "UNKNOWN"
    )
    yield _result(key, "accounting", passed=read == held, read=read, accounted=held)
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
