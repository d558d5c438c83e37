"""Words and shapes for the catalogue: descriptions, column schemas and column lineage from manifests and vocabulary."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import dagster as dg

from canonical_model import Entity, Term
from connectors.sdk.specs import Manifest
from dagster_project.names import canonical_key, stream_key
from pipelines.config import HubConfig


def stream(manifest: Manifest, name: str) -> str:
    """Return what a steward reads on a stream's page; lists show its first paragraph as it is written: no Markdown there."""
    spec = manifest.streams[name]
    how = "incremental" if spec.incremental else "read whole each time"
    child = f", children of `{spec.parent.stream}`" if spec.parent else ""
    title = f"{spec.title} of {manifest.title}. {spec.description}"
    return f"{title}\n\n`{spec.request.method} {spec.request.path}`, {how}{child}. [API]({manifest.docs})"


def column_schema(entity: Entity) -> dg.TableSchema:
    """Return the columns of an entity with type, meaning, personal-data class and constraints."""
    return dg.TableSchema(columns=[_column(term) for term in entity.terms.values()])


def _column(term: Term) -> dg.TableColumn:
    kind = f"list of {term.type}" if term.multi else term.type
    other = [f"one of {', '.join(term.values)}"] if term.values else []
    return dg.TableColumn(
        name=term.name,
        type=kind,
        description=term.brief,
        constraints=dg.TableColumnConstraints(nullable=not term.required, other=other),
        tags={"personal": term.personal, "stability": term.stability},
    )


def sources(config: HubConfig) -> Mapping[str, list[tuple[str, str]]]:
    """Return which (connection, stream) feeds which entity, from the mappings."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for connection in config.connections:
        for name in connection.streams:
            for entity in connection.connector.mapping.entities(name):
                found[entity].append((connection.name, name))
    return found


def canonical_lineage(config: HubConfig, entity: str) -> dg.TableColumnLineage:
    """Return for each term the vendor fields it is made of."""
    deps: dict[str, list[dg.TableColumnDep]] = defaultdict(list)
    for connection in config.connections:
        for name in connection.streams:
            for (target, term), paths in connection.connector.mapping.lineage(name).items():
                if target == entity:
                    key = stream_key(connection.name, name)
                    deps[term].extend(dg.TableColumnDep(asset_key=key, column_name=path) for path in paths)
    return dg.TableColumnLineage(deps_by_column=dict(deps))


def golden_lineage(entity: Entity) -> dg.TableColumnLineage:
    """Return for each golden column the canonical column it is chosen from."""
    key = canonical_key(entity.name)
    deps = {name: [dg.TableColumnDep(asset_key=key, column_name=name)] for name in entity.terms}
    points = canonical_key("contact_point")
    for column, term in (
        ("primary_email", "value_norm"),
        ("primary_phone", "value_norm"),
        ("city", "city"),
        ("country", "country"),
    ):
        deps[column] = [dg.TableColumnDep(asset_key=points, column_name=term)]
    return dg.TableColumnLineage(deps_by_column=deps)
