"""The migrations lead exactly to the tables, on both stores: a vocabulary change without a migration fails here."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect

from pipelines.store import Store, entity_tables, migrate, partitions, tables, views
from pipelines.store.engine import begin_write, open_engine, store_url
from tests.store.rows import DAY, INSTANT, T, intern, writing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow  # each migrates a store


def differences(engine: Engine, part: migrate.Part) -> list[object]:
    ours = set(part.metadata.tables)
    with engine.connect() as connection:
        options = {"compare_type": True, "include_name": lambda name, kind, _parents: kind != "table" or name in ours}
        context = MigrationContext.configure(connection, opts={**options, "version_table": part.version_table})
        return list(compare_metadata(context, part.metadata))


@contextmanager
def migrated(url: str, part: migrate.Part) -> Iterator[Engine]:
    """Offer an empty database after all migrations, which a store that is made anew does not go through."""
    engine = open_engine(store_url(url))
    try:
        with begin_write(engine) as connection, connection.begin():
            migrate._command("upgrade", part, connection, "head")
        yield engine
    finally:
        engine.dispose()


@pytest.mark.parametrize("part", [migrate.STORE, migrate.CONTROL], ids=lambda part: part.name)
def test_the_migrations_lead_to_the_declared_schema(tmp_path: Path, part: migrate.Part):
    with migrated(f"sqlite:///{tmp_path}/migrated.db", part) as engine:
        assert migrate.revision(engine, part) == migrate.head(part)
        assert differences(engine, part) == []


@pytest.mark.postgres
def test_the_migrations_lead_to_the_declared_schema_on_postgresql(postgres_empty_url: str):
    for part in (migrate.STORE, migrate.CONTROL):
        with migrated(postgres_empty_url, part) as engine:
            assert differences(engine, part) == []


def test_a_store_made_anew_has_the_schema_of_a_migrated_one(sqlite_store: Store, tmp_path: Path):
    with migrated(f"sqlite:///{tmp_path}/migrated.db", migrate.STORE) as engine:
        assert shape(sqlite_store.engine) == shape(engine)


def shape(engine: Engine) -> dict[str, object]:
    """Return what a reader or writer of each table can tell: columns with type, NULL and key; indexes; constraints."""
    with engine.connect() as connection:
        found = inspect(connection)
        return {
            name: (
                sorted(
                    (c["name"], str(c["type"]), c["nullable"] and not c["primary_key"], c["primary_key"])
                    for c in found.get_columns(name)
                ),
                sorted((i["name"] or "", i["column_names"], i["unique"]) for i in found.get_indexes(name)),
                sorted(u["column_names"] for u in found.get_unique_constraints(name)),
            )
            for name in found.get_table_names()
        }


def test_the_schema_of_a_store_made_anew_is_the_declared_one(store: Store):
    assert differences(store.engine, migrate.STORE) == []
    assert differences(store.control, migrate.CONTROL) == []


def test_a_term_without_a_migration_is_noticed(sqlite_store: Store):
    with sqlite_store.engine.begin() as connection:
        views.drop_all(connection)
        connection.exec_driver_sql("ALTER TABLE person DROP COLUMN gender")

    assert "gender" in str(differences(sqlite_store.engine, migrate.STORE))


def test_opening_a_current_store_changes_nothing_and_makes_lost_views_anew(store: Store):
    assert migrate.revision(store.engine) == migrate.head()
    with begin_write(store.engine) as connection, connection.begin():
        views.drop_all(connection)
        connection.execute(tables.store_info.update().values(value="older"))

    with Store.open(store.url.render_as_string(hide_password=False)) as again:
        assert again.query("SELECT * FROM v1_person").rows == []
    with store.engine.begin() as connection:
        connection.execute(tables.store_info.delete())


@pytest.mark.postgres
def test_an_empty_postgresql_database_is_brought_up(postgres_empty_url: str):
    with Store.open(postgres_empty_url) as store:
        found = set(inspect(store.engine).get_table_names())

    assert set(tables.metadata.tables) | set(tables.control.tables) <= found
    assert {f"{table.name}_default" for table in partitions.event_tables()} <= found


@pytest.mark.slow
def test_several_processes_may_create_one_store_at_once(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/deep/store.db"
    code = "import sys; from pipelines.store import Store; Store.open(sys.argv[1]).close()"
    running = [subprocess.Popen([sys.executable, "-W", "ignore", "-c", code, url]) for _ in range(3)]

    assert [each.wait() for each in running] == [0, 0, 0]


def test_downgrading_leaves_an_empty_database(sqlite_store: Store):
    with begin_write(sqlite_store.engine) as connection, connection.begin():
        views.drop_all(connection)
        migrate._command("downgrade", migrate.STORE, connection, "base")

    assert inspect(sqlite_store.engine).get_table_names() == ["alembic_version"]


@pytest.mark.postgres
def test_events_go_to_the_partition_of_their_year(postgres_store: Store):
    ids = intern(postgres_store, "1")
    years = (1066, 2025, 2026)
    moments = pa.array([DAY.replace(year=year) for year in years], INSTANT)
    rows = {"source_record_id": ids * 3, "row_key": ["a", "b", "c"], "type": ["note"] * 3, "occurred_at": moments}
    with writing(postgres_store) as tx:
        tx.upsert(T["interaction"], pa.table(rows))

    with postgres_store.engine.connect() as connection:
        found = (
            connection.exec_driver_sql("SELECT tableoid::regclass::text FROM interaction ORDER BY occurred_at")
            .scalars()
            .all()
        )
    assert found == ["interaction_default", "interaction_y2025", "interaction_y2026"]


def test_every_table_of_the_vocabulary_has_tenant_change_and_history_columns():
    for entity in tables_of_entities():
        assert {"tenant_id", "change_seq", "actor", "cause", "known_from"} <= set(entity.c.keys())
        assert next(iter(entity.primary_key.columns)).name == "tenant_id"


def tables_of_entities():
    names = entity_tables.load_vocabulary().entities
    return [T[f"{name}{suffix}"] for name in names for suffix in ("", "_version")]
