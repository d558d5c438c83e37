"""Fresh master stores for tests: ``sqlite_store``, ``postgres_store``, and ``store``, which runs a test on both.

The schema is built once per test session: on SQLite each test gets a copy, on PostgreSQL an emptied database.
"""

from __future__ import annotations

import itertools
import shutil
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import NullPool, create_engine

from pipelines.store import Store
from tests import _postgres

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_numbers = itertools.count(1)
_EMPTY_ALL = """
DO $$
DECLARE name text;
BEGIN
  PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid();
  SET LOCAL session_replication_role = replica;
  FOR name IN SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r' AND relname ~ '_y[0-9]{4}$' LOOP
    EXECUTE 'DROP TABLE ' || quote_ident(name);
  END LOOP;
  FOR name IN SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition
    AND relnamespace = 'public'::regnamespace AND relname !~ '^(alembic|store_info)' LOOP
    EXECUTE 'DELETE FROM ' || quote_ident(name);
  END LOOP;
END $$
"""


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sqlite-template")
    Store.open(f"sqlite:///{folder}/store.db").close()
    return folder


@pytest.fixture
def sqlite_url(_sqlite_template: Path, tmp_path: Path) -> str:
    """The URL of an empty SQLite store of this test's own."""
    folder = tmp_path / "store"
    shutil.copytree(_sqlite_template, folder)
    return f"sqlite:///{folder}/store.db"


@pytest.fixture
def sqlite_store(sqlite_url: str) -> Iterator[Store]:
    """An empty SQLite store of this test's own."""
    with Store.open(sqlite_url) as opened:
        yield opened


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL, without a database, of a PostgreSQL server of this test session's own."""
    with _postgres.server() as url:
        yield url


@pytest.fixture
def postgres_empty_url(postgres_server: str) -> Iterator[str]:
    """The URL of a database of this test's own without any table."""
    name = f"empty_{next(_numbers)}"
    _execute(f"{postgres_server}/postgres", f"CREATE DATABASE {name}")
    yield f"{postgres_server}/{name}"
    _execute(f"{postgres_server}/postgres", f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def _postgres_shared(postgres_server: str) -> str:
    _execute(f"{postgres_server}/postgres", "CREATE DATABASE store")
    Store.open(f"{postgres_server}/store").close()
    return f"{postgres_server}/store"


@pytest.fixture
def postgres_url(_postgres_shared: str) -> str:
    """The URL of a PostgreSQL store that holds nothing but its schema."""
    _execute(_postgres_shared, _EMPTY_ALL)
    return _postgres_shared


@pytest.fixture
def postgres_store(postgres_url: str) -> Iterator[Store]:
    """An empty PostgreSQL store of this test's own."""
    with Store.open(postgres_url) as opened:
        yield opened


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty store: the test runs on SQLite and on PostgreSQL."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An empty store: the test runs on SQLite and on PostgreSQL."""
    with Store.open(store_url) as opened:
        yield opened


def _execute(url: str, statement: str) -> None:
    address = url.replace("postgresql://", "postgresql+psycopg://")
    engine = create_engine(address, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)
