"""The master store: the only room that knows SQLAlchemy, Alembic, psycopg and ADBC.

Reading and writing: ``Store``, ``WriteTransaction``. What is fetched: ``reads``, ``heads``, ``quarantine``. Small
shared state: ``control_state``. Comparing: ``digest``. Health: ``doctor``. Tables: ``tables`` and ``entity_tables``.
"""

from __future__ import annotations

from pipelines.store import control_state, doctor, entity_tables, heads, quarantine, reads, tables
from pipelines.store.bulk import Counts
from pipelines.store.digest import digest
from pipelines.store.leases import Lease
from pipelines.store.query import QueryResult
from pipelines.store.store import Store
from pipelines.store.transaction import WriteTransaction

__all__ = [
    "Counts",
    "Lease",
    "QueryResult",
    "Store",
    "WriteTransaction",
    "control_state",
    "digest",
    "doctor",
    "entity_tables",
    "heads",
    "quarantine",
    "reads",
    "tables",
]
