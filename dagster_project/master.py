"""The master half of the graph: canonical entities, identity, golden records, how they are related."""

from collections.abc import Mapping, Sequence

import dagster as dg

from canonical_model import Entity, Vocabulary
from dagster_project import describe
from dagster_project.hub import Hub
from dagster_project.names import MASTER_POOL, canonical_key, channels_key, golden_key, identity_key, stream_key
from pipelines import stages
from pipelines.config import HubConfig
from pipelines.influence.health import Health, health
from pipelines.report import StageReport
from pipelines.store import channel_reads, household_reads
from pipelines.store.facts import EntityFacts, GoldenFacts, entity_facts, golden_facts

_EVIDENCE_ENTITIES = ("contact_point", "party_identifier", "party_role")
_CHANNEL_ENTITIES = ("contact_point", "consent", "preference", "interaction", "message")
_RELATION_ENTITIES = ("relationship", "opportunity", "ticket", "interaction_participant")


def build_master_assets(config: HubConfig, vocabulary: Vocabulary) -> list[dg.AssetsDefinition]:
    """Return one asset per canonical entity that a connection feeds, then identity and golden of the parties."""
    feeds = describe.sources(config)
    fed = [entity for entity in vocabulary.entities.values() if feeds.get(entity.name)]
    parties = [entity for entity in fed if entity.golden]
    names = {entity.name for entity in fed}
    return [
        *(_canonical(config, entity, feeds[entity.name]) for entity in fed),
        *(_identity(entity, names) for entity in parties),
        *(_golden(entity, names) for entity in parties),
        *(_channels(entity, names) for entity in parties if "contact_point" in names),
        *([_influence(parties, names)] if "relationship" in names else []),
        *([_households()] if {"person", "contact_point"} <= names else []),
    ]


def _canonical(config: HubConfig, entity: Entity, feeds: Sequence[tuple[str, str]]) -> dg.AssetsDefinition:
    key = canonical_key(entity.name)
    spec = dg.AssetSpec(
        key,
        deps=[stream_key(connection, stream) for connection, stream in feeds],
        group_name="canonical",
        description=f"Source rows of {entity.title}. {entity.brief}",
        kinds={"table"},
        owners=["team:data-stewards"],
        metadata={
            "dagster/column_schema": describe.column_schema(entity),
            "dagster/column_lineage": describe.canonical_lineage(config, entity.name),
            "dagster/table_name": entity.name,
        },
    )

    @dg.multi_asset(
        name=f"canonical__{entity.name}", specs=[spec], check_specs=_canonical_check_specs(key), pool=MASTER_POOL
    )
    def canonical_asset(context: dg.AssetExecutionContext, hub: Hub) -> dg.MaterializeResult:  # type: ignore[type-arg]
        with hub.context(context.run.run_id, progress=context.log.info) as unit:
            facts = entity_facts(unit.store, entity.name)
        return dg.MaterializeResult(
            asset_key=key,
            metadata={
                "dagster/row_count": facts.live_rows,
                "dagster/column_lineage": describe.canonical_lineage(config, entity.name),
                "source_records": facts.source_records,
                "superseded_versions": facts.versions,
            },
            check_results=_canonical_checks(key, facts),
        )

    return canonical_asset


def _canonical_check_specs(key: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    return [
        dg.AssetCheckSpec("schema", asset=key, description="Required terms are there and codes are of the vocabulary."),
        dg.AssetCheckSpec("uniqueness", asset=key, description="One current row per source record and row key."),
        dg.AssetCheckSpec(
            "referential_integrity", asset=key, description="Every reference leads to a source record or its stub."
        ),
        dg.AssetCheckSpec(
            "references_arrived", asset=key, description="Referenced records have been read, not only stubs."
        ),
    ]


def _canonical_checks(key: dg.AssetKey, facts: EntityFacts) -> list[dg.AssetCheckResult]:
    return [
        _result(key, "schema", passed=not facts.schema_faults, faults=facts.schema_faults),
        _result(key, "uniqueness", passed=facts.duplicate_keys == 0, duplicates=facts.duplicate_keys),
        _result(key, "referential_integrity", passed=not facts.orphan_references, orphans=facts.orphan_references),
        _result(key, "references_arrived", passed=not facts.stub_references, warn=True, stubs=facts.stub_references),
    ]


def _identity(entity: Entity, fed: set[str]) -> dg.AssetsDefinition:
    key = identity_key(entity.name)
    inputs = [entity.name, *(name for name in _EVIDENCE_ENTITIES if name in fed)]
    spec = dg.AssetSpec(
        key,
        deps=[canonical_key(name) for name in inputs],
        group_name="identity",
        description=f"Which source records are one {entity.title.lower()}: evidence ledger, crosswalk, stable ids.",
        kinds={"splink"},
        owners=["team:data-stewards"],
    )
    check = dg.AssetCheckSpec(
        "every_record_has_one_identity", asset=key, description="Each live source record is in one entity."
    )

    @dg.multi_asset(name=f"identity__{entity.name}", specs=[spec], check_specs=[check], pool=MASTER_POOL)
    def identity_asset(context: dg.AssetExecutionContext, hub: Hub) -> dg.MaterializeResult:  # type: ignore[type-arg]
        with hub.context(context.run.run_id, progress=context.log.info) as unit:
            report = _run(stages.run_stage(stages.RESOLVE, unit.for_entity(entity.name)))
            facts = golden_facts(unit.store, entity.name)
        result = _result(key, check.name, passed=facts.unlinked_records == 0, unlinked=facts.unlinked_records)
        metadata = {"dagster/row_count": facts.linked_records, "entities": facts.entities, **_counts(report)}
        return dg.MaterializeResult(asset_key=key, metadata=metadata, check_results=[result])

    return identity_asset


def _golden(entity: Entity, fed: set[str]) -> dg.AssetsDefinition:
    key = golden_key(entity.name)
    spec = dg.AssetSpec(
        key,
        deps=[
            identity_key(entity.name),
            *(canonical_key(name) for name in (entity.name, "contact_point") if name in fed),
        ],
        group_name="golden",
        description=f"One golden record per {entity.title.lower()}, each cell with its source, its rule and since when.",
        kinds={"golden"},
        owners=["team:data-stewards"],
        metadata={
            "dagster/column_schema": describe.column_schema(entity),
            "dagster/column_lineage": describe.golden_lineage(entity),
            "dagster/table_name": f"v1_{entity.name}",
        },
    )
    check = dg.AssetCheckSpec(
        "every_identity_is_golden", asset=key, description="Each live entity has exactly one golden record."
    )

    @dg.multi_asset(name=f"golden__{entity.name}", specs=[spec], check_specs=[check], pool=MASTER_POOL)
    def golden_asset(context: dg.AssetExecutionContext, hub: Hub) -> dg.MaterializeResult:  # type: ignore[type-arg]
        with hub.context(context.run.run_id, progress=context.log.info) as unit:
            report = _run(stages.run_stage(stages.GOLDEN, unit.for_entity(entity.name)))
            facts = golden_facts(unit.store, entity.name)
        return dg.MaterializeResult(
            asset_key=key,
            metadata={
                "dagster/row_count": facts.golden_rows,
                "dagster/column_lineage": describe.golden_lineage(entity),
                "stubs": facts.stub_rows,
                **_counts(report),
            },
            check_results=[_golden_result(key, check.name, facts)],
        )

    return golden_asset


def _golden_result(key: dg.AssetKey, name: str, facts: GoldenFacts) -> dg.AssetCheckResult:
    passed = facts.entities_without_golden == 0 and facts.golden_without_entity == 0
    return _result(
        key, name, passed=passed, missing=facts.entities_without_golden, left_over=facts.golden_without_entity
    )


def _channels(entity: Entity, fed: set[str]) -> dg.AssetsDefinition:
    key = channels_key(entity.name)
    spec = dg.AssetSpec(
        key,
        deps=[golden_key(entity.name), *(canonical_key(name) for name in _CHANNEL_ENTITIES if name in fed)],
        group_name="golden",
        description=f"How each {entity.title.lower()} can be reached and likes to be: contact points and preferences.",
        kinds={"golden"},
        owners=["team:data-stewards"],
        metadata={"dagster/table_name": "v1_golden_contact_point"},
    )
    checks = [
        dg.AssetCheckSpec("no_point_is_left_over", asset=key, description="Each contact point is of a live entity."),
        dg.AssetCheckSpec("somebody_is_reachable", asset=key, description="Some party has a usable contact point."),
        dg.AssetCheckSpec("consents_agree", asset=key, description="No party both allowed and refused the same thing."),
    ]

    @dg.multi_asset(name=f"channels__{entity.name}", specs=[spec], check_specs=checks, pool=MASTER_POOL)
    def channels_asset(context: dg.AssetExecutionContext, hub: Hub) -> dg.MaterializeResult:  # type: ignore[type-arg]
        with hub.context(context.run.run_id, progress=context.log.info) as unit:
            report = _run(stages.run_stage(stages.CHANNELS, unit.for_entity(entity.name)))
            found = channel_reads.counts(unit.store, unit.tenant_id, entity.name)
        return dg.MaterializeResult(
            asset_key=key, metadata={**found, **_counts(report)}, check_results=_channel_results(key, found)
        )

    return channels_asset


def _channel_results(key: dg.AssetKey, found: Mapping[str, int]) -> list[dg.AssetCheckResult]:
    parties, reachable = found["parties"], found["reachable"]
    share = round(reachable / parties, 4) if parties else 0.0
    somebody = reachable > 0 or parties == 0
    return [
        _result(key, "no_point_is_left_over", passed=found["left_over"] == 0, left_over=found["left_over"]),
        _result(
            key, "somebody_is_reachable", passed=somebody, warn=True, share=share, reachable=reachable,
            permitted=found["permitted"],
        ),
        _result(
            key, "consents_agree", passed=found["contradictory"] == 0, warn=True, contradictory=found["contradictory"]
        ),
    ]  # fmt: skip


def _influence(parties: Sequence[Entity], fed: set[str]) -> dg.AssetsDefinition:
    key = golden_key("relationship")
    spec = dg.AssetSpec(
        key,
        deps=[
            *(golden_key(entity.name) for entity in parties),
            *(canonical_key(name) for name in _RELATION_ENTITIES if name in fed),
        ],
        group_name="golden",
        description="How golden parties are related: dated, weighted relations, and account hierarchies without circles.",
        kinds={"golden"},
        owners=["team:data-stewards"],
        metadata={"dagster/table_name": "v1_relationship"},
    )
    checks = [
        dg.AssetCheckSpec("no_circles", asset=key, description="No account stands above itself at any time."),
        dg.AssetCheckSpec("no_orphans", asset=key, description="Both ends of every relation are golden entities."),
        dg.AssetCheckSpec("no_broken_circles", asset=key, description="No source states a circle that had to be cut."),
    ]

    @dg.multi_asset(name="golden__relationship", specs=[spec], check_specs=checks, pool=MASTER_POOL)
    def influence_asset(context: dg.AssetExecutionContext, hub: Hub) -> dg.MaterializeResult:  # type: ignore[type-arg]
        with hub.context(context.run.run_id, progress=context.log.info) as unit:
            report = _run(stages.run_stage(stages.INFLUENCE, unit))
            found = health(unit.store, tenant_id=unit.tenant_id)
        metadata = {"dagster/row_count": sum(found.relations.values()), **found.relations, **_counts(report)}
        return dg.MaterializeResult(asset_key=key, metadata=metadata, check_results=_influence_results(key, found))

    return influence_asset


def _households() -> dg.AssetsDefinition:
    key = golden_key("household")
    spec = dg.AssetSpec(
        key,
        deps=[golden_key("person"), channels_key("person")],
        group_name="golden",
        description="Golden persons who live together, each with the reasons; it joins no persons and shares no consent.",
        kinds={"golden"},
        owners=["team:data-stewards"],
        metadata={"dagster/table_name": "v1_household"},
    )
    check = dg.AssetCheckSpec("members_are_golden", asset=key, description="Every member is a live golden person.")

    @dg.multi_asset(name="golden__household", specs=[spec], check_specs=[check], pool=MASTER_POOL)
    def household_asset(context: dg.AssetExecutionContext, hub: Hub) -> dg.MaterializeResult:  # type: ignore[type-arg]
        with hub.context(context.run.run_id, progress=context.log.info) as unit:
            report = _run(stages.run_stage(stages.HOUSEHOLDS, unit))
            loose = household_reads.loose_members(unit.store, unit.tenant_id)
        result = _result(key, check.name, passed=loose == 0, loose=loose)
        return dg.MaterializeResult(asset_key=key, metadata=_counts(report), check_results=[result])

    return household_asset


def _influence_results(key: dg.AssetKey, found: Health) -> list[dg.AssetCheckResult]:
    return [
        _result(key, "no_circles", passed=found.circles == 0, circles=found.circles, links=found.links),
        _result(key, "no_orphans", passed=found.loose_ends == 0, loose_ends=found.loose_ends),
        _result(key, "no_broken_circles", passed=found.cut == 0, warn=True, cut=found.cut),
    ]


def _run(report: StageReport) -> StageReport:
    if report.error is not None:
        raise dg.Failure(description=report.error)
    return report


def _counts(report: StageReport) -> dict[str, int | float]:
    return {**report.counts, "seconds": round(report.seconds, 3)}


def _result(key: dg.AssetKey, name: str, *, passed: bool, warn: bool = False, **facts: object) -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity.WARN if warn else dg.AssetCheckSeverity.ERROR
    return dg.AssetCheckResult(asset_key=key, check_name=name, passed=passed, severity=severity, metadata=facts)  # type: ignore[arg-type]
