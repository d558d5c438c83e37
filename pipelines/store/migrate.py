"""Schema changes: Alembic run from code, so that opening a store brings it up to date.

An empty database gets the tables as they are declared, at once; a store that has a revision goes by the migrations. That
both lead to the same is a test.

    python -m pipelines.store.migrate "what changed"     write the next migration from the tables (``make migration``)

Two histories: ``store`` (the master store) and ``control`` (leases, tokens, quota; a file of its own on SQLite).
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Connection, Engine, MetaData, String, Table, inspect, text

from connectors.sdk.errors import StoreFailure
from pipelines.store import partitions, views
from pipelines.store.engine import begin_write, open_engine, store_url
from pipelines.store.failures import translated
from pipelines.store.tables import control, metadata

HERE = Path(__file__).with_name("migrations")
_LOCK_NUMBER = 7_236_911


@dataclass(frozen=True)
class Part:
    """One history of migrations and the tables it leads to."""

    name: str
    metadata: MetaData

    @property
    def version_table(self) -> str:
        """The table that holds the revision."""
        return "alembic_version" if self.name == "store" else f"alembic_version_{self.name}"


STORE, CONTROL = Part("store", metadata), Part("control", control)


def upgrade(engine: Engine, control_engine: Engine) -> None:
    """Bring the schema and the views up to date; several processes may do so at once."""
    _upgrade(engine, STORE)
    _upgrade(control_engine, CONTROL)


def revision(engine: Engine, part: Part = STORE) -> str | None:
    """Return the revision a database is at; ``None`` for an empty one."""
    with engine.connect() as connection:
        return _revision(connection, part)


@cache
def head(part: Part = STORE) -> str:
    """Return the newest revision this installation knows: the highest number of a migration's file name."""
    return max(path.name.partition("_")[0] for path in _files(part))


def check_current(engine: Engine, part: Part = STORE) -> None:
    """Raise StoreFailure unless the store is at the newest revision."""
    found = revision(engine, part)
    if found != head(part):
        raise StoreFailure(
            "the store's schema is not this version's", where=engine.url.render_as_string(),
            why=f"revision {found}, this version needs {head(part)}", do="run `unisono sync` once: it upgrades the store",
        )  # fmt: skip


def generate(message: str, part: Part = STORE) -> None:
    """Write the migration from the newest revision to the tables as they are declared now."""
    with tempfile.TemporaryDirectory() as folder:
        engine = open_engine(store_url(f"sqlite:///{folder}/empty.db"))
        with begin_write(engine) as connection, connection.begin():
            if _files(part):
                _command("upgrade", part, connection, "head")
            number = f"{len(_files(part)) + 1:04d}"
            _command("revision", part, connection, message, autogenerate=True, rev_id=number)
        engine.dispose()


def _upgrade(engine: Engine, part: Part) -> None:
    with translated(f"upgrade of {engine.url.render_as_string()}"):
        found = revision(engine, part)
        if found == head(part) and (part is not STORE or views.are_current(engine)):
            return
        _refuse_newer(engine, found, part)
        with begin_write(engine) as connection, connection.begin():
            _lock(connection)
            if part is STORE:
                views.drop_all(connection)
            if _revision(connection, part) is None:
                _create(connection, part)
            else:
                _command("upgrade", part, connection, "head")
            if part is STORE:
                partitions.make_defaults(connection)
                views.create_all(connection)


def _create(connection: Connection, part: Part) -> None:
    """Make all tables of an empty database, and say which revision that is."""
    part.metadata.create_all(connection, checkfirst=False)
    revisions = Table(part.version_table, MetaData(), Column("version_num", String(32), primary_key=True))
    revisions.create(connection)
    connection.execute(revisions.insert(), {"version_num": head(part)})


def _refuse_newer(engine: Engine, found: str | None, part: Part) -> None:
    if found is not None and found > head(part):
        raise StoreFailure(
            "the store was written by a newer version", where=engine.url.render_as_string(),
            why=f"revision {found}, this version knows up to {head(part)}", do="install the newer version of unisono",
        )  # fmt: skip


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK_NUMBER})


def _revision(connection: Connection, part: Part) -> str | None:
    if not inspect(connection).has_table(part.version_table):
        return None
    found = connection.exec_driver_sql(f"SELECT version_num FROM {part.version_table}").scalar()
    return None if found is None else str(found)


def _files(part: Part) -> list[Path]:
    return sorted((HERE / "versions" / part.name).glob("[0-9]*.py"))


def _command(name: str, part: Part, connection: Connection, *arguments: str, **options: Any) -> None:
    """Run one of Alembic's commands; it is imported only when there is something to migrate."""
    from alembic import command  # noqa: PLC0415  half a second that a current store does not need
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.set_main_option("version_locations", str(HERE / "versions" / part.name))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.attributes.update(connection=connection, metadata=part.metadata, version_table=part.version_table)
    getattr(command, name)(config, *arguments, **options)


if __name__ == "__main__":
    generate(" ".join(sys.argv[1:]) or "change")
