"""Leave nothing of deleted rows in the store's files: SQLite keeps them in free pages and in its log until told otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipelines.store.failures import translated

if TYPE_CHECKING:
    from pipelines.store.store import Store


def purge(store: Store) -> None:
    """Write the database anew without what was deleted, and empty its log. PostgreSQL: VACUUM of all tables.

    On PostgreSQL its own log and backups are the operator's to expire.
    """
    with translated(f"purge of {store.url.render_as_string()}"):
        if store.dialect == "postgresql":
            with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("VACUUM")
            return
        with store.engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            for statement in ("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
                driver.execute(statement).fetchall()
