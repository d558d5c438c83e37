"""The master store: one door for reading and writing, alike on SQLite and PostgreSQL."""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import Connection, Engine, Executable, Row, select, update
from sqlalchemy.types import NullType

from canonical_model import Vocabulary, load_vocabulary
from connectors.sdk.errors import FixConfig
from pipelines.store import arrow_out, migrate, sqlite_staged, tables
from pipelines.store.arrow_in import stored_columns
from pipelines.store.bulk import Bulk
from pipelines.store.checkpoint import checkpoint
from pipelines.store.engine import BUSY_TIMEOUT_S, begin_write, control_url, open_engine, sqlite_path, store_url
from pipelines.store.failures import translated
from pipelines.store.intern import keyed
from pipelines.store.leases import Lease, acquire, check_fence, utc_now
from pipelines.store.query import QueryResult, run_query
from pipelines.store.transaction import WriteTransaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime
    from types import TracebackType

    import pyarrow as pa
    from sqlalchemy import Table
    from sqlalchemy.engine import URL

    from pipelines.store.intern import Ids
    from pipelines.store.sqlite_staged import RowFile


class Store:
    """The master store of one installation. Reads see committed data; writes go through ``write`` under a lease."""

    def __init__(self, url: URL, engine: Engine, control: Engine) -> None:
        self.url, self.engine, self.control = url, engine, control
        self._turn = threading.Lock()
        self._shared = threading.local()
        self.dialect: str = engine.dialect.name
        self.vocabulary: Vocabulary = load_vocabulary()

    @staticmethod
    def open(url: str, *, create: bool = True, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Store:
        """Open a store; with ``create`` it is made or upgraded to this version, else it must already be current."""
        parsed = store_url(url)
        is_sqlite = parsed.get_backend_name() == "sqlite"
        with translated(parsed.render_as_string()):
            if is_sqlite and create:
                sqlite_path(parsed).parent.mkdir(parents=True, exist_ok=True)
            engine = open_engine(parsed, busy_timeout_s=busy_timeout_s)
            control = open_engine(control_url(parsed), busy_timeout_s=busy_timeout_s) if is_sqlite else engine
            if create:
                migrate.upgrade(engine, control)
            else:
                migrate.check_current(engine)
                migrate.check_current(control, migrate.CONTROL)
        return Store(parsed, engine, control)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()
        self.control.dispose()

    def read(self, statement: Executable, params: Mapping[str, Any] | None = None) -> Sequence[Row[*tuple[Any, ...]]]:
        """Return all rows of a small result."""
        with self._reading() as connection:
            return connection.execute(statement, params).fetchall()

    def read_arrow(
        self,
        statement: arrow_out.Query,
        params: Mapping[str, Any] | None = None,
        *,
        ids: pa.Array | pa.ChunkedArray | None = None,
        big: bool = False,
    ) -> pa.Table:
        """Return rows as Arrow columns of logical types; big results take the dialect's bulk way.

        With ``params`` (none may be needed) the statement is one that its caller keeps: it is not compiled at every read.
        ``ids`` are offered to the statement as the table ``tables.picked`` (column ``id``). ``big`` says that many rows
        are expected, so that the way for few is not tried first.
        """
        with self._reading() as connection, self._picking(connection, ids):
            if self.dialect == "postgresql":
                return arrow_out.read_postgresql(connection, _filled(statement, params))
            bulk_way = ids is None and not any(
                isinstance(k, NullType) for k in arrow_out.columns_of(statement).values()
            )
            if not (big and bulk_way):
                limit = arrow_out.BIG_RESULT if bulk_way else None
                rows = arrow_out.read_sqlite(connection, statement, params, limit=limit)
                if rows is not None:
                    return rows
        with self._reading() as connection:
            return arrow_out.read_sqlite_child(sqlite_path(self.url), connection, _filled(statement, params))

    def query(self, sql: str) -> QueryResult:
        """Run one SELECT on the ``v1_*`` views; anything else raises FixConfig."""
        with translated(f"query of {self.url.render_as_string()}"):
            return run_query(self.engine, sql)

    def acquire(self, scope: str, *, now: Callable[[], datetime] = utc_now, tenant_id: int = 1) -> Lease:
        """Return the lease of a scope (a context manager); while another live process holds it: AlreadyRunning."""
        return acquire(self.engine, self.control, scope, tenant_id=tenant_id, now=now)

    def known_records(self, connection_id: str, name: str, keys: pa.ChunkedArray, *, tenant_id: int) -> Ids | None:
        """Return the ids of many records of an object, which never change; ``None`` where one has none or is a stub so far.

        Few are not worth being asked for outside a transaction, nor where transactions do not wait for each other.
        """
        if self.dialect != "sqlite" or len(keys) < sqlite_staged.WORTH_A_FILE:
            return None
        with self._reading() as connection:
            ids, stubs = keyed(Bulk(connection), tenant_id, connection_id, name, keys)
        return ids if ids.all() and not stubs.any() else None

    @contextmanager
    def row_file(self, table: Table, rows: pa.Table) -> Iterator[RowFile | None]:
        """Offer rows for ``WriteTransaction.replace_set`` in the form that takes least time in a transaction.

        ``None`` where the store, or so few rows, have no use for it.
        """
        if self.dialect != "sqlite" or rows.num_rows < sqlite_staged.WORTH_A_FILE:
            yield None
            return
        with ExitStack() as made:
            with translated(f"rows for {table.name}"):
                file = made.enter_context(sqlite_staged.row_file(stored_columns(rows, table, dialect=self.dialect)))
            yield file

    @contextmanager
    def write(self, lease: Lease, *, cause: str, actor: str = "system") -> Iterator[WriteTransaction]:
        """Open a write transaction: all of it is committed at the end, or nothing.

        A lease that was taken over raises LeaseLost before anything is written.
        """
        with (
            translated(f"write of {lease.scope}"),
            self._in_turn(),
            begin_write(self.engine) as connection,
            ExitStack() as after,
            connection.begin(),
        ):
            check_fence(connection, lease)
            tx = WriteTransaction(
                connection, tenant_id=lease.tenant_id, actor=actor, cause=cause, now=lease.now, fence=lease.fence
            )
            after.callback(tx.bulk.release)
            yield tx
        checkpoint(self.engine)

    def rename_connection(self, old: str, new: str, *, tenant_id: int = 1) -> None:
        """Give a connection another name; its records keep their references, since its id stays.

        Raises FixConfig when ``old`` has never been synced or ``new`` is taken.
        """
        table = tables.connection
        with self.acquire("store/rename", tenant_id=tenant_id) as lease, self.write(lease, cause="rename") as tx:
            names = {row.name for row in tx.execute(select(table.c.name).where(table.c.tenant_id == tenant_id))}
            if old not in names or new in names:
                what = f"no connection '{old}' has been synced" if old not in names else f"'{new}' is taken"
                raise FixConfig(what, where="store", do=f"known: {', '.join(sorted(names)) or 'none'}")
            mine = (table.c.tenant_id == tenant_id, table.c.name == old)
            tx.execute(update(table).where(*mine).values(**{**tx.change(table), "name": new}))

    def watermark(self, stage: str, unit: str, *, tenant_id: int = 1) -> int:
        """Return up to which change_seq a stage has consumed a unit; 0 before the first time."""
        table = tables.stage_watermark
        where = (table.c.tenant_id == tenant_id, table.c.stage == stage, table.c.unit == unit)
        rows = self.read(select(table.c.watermark).where(*where))
        return int(rows[0][0]) if rows else 0

    @contextmanager
    def _picking(self, connection: Connection, ids: pa.Array | pa.ChunkedArray | None) -> Iterator[None]:
        """Offer ids for one read; where others of the same moment follow they are forgotten after it."""
        if ids is not None:
            Bulk(connection).pick(ids)
        yield
        if ids is not None and getattr(self._shared, "connection", None) is connection:
            Bulk(connection).unpick()

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        """Let this process's threads write one after another on SQLite, which itself makes them sleep and try again.

        SQLite alone decides who may write: whoever has waited too long here is refused by it.
        """
        waits = self.dialect == "sqlite" and self._turn.acquire(timeout=BUSY_TIMEOUT_S)
        try:
            yield
        finally:
            if waits:
                self._turn.release()

    @contextmanager
    def at_one_time(self) -> Iterator[None]:
        """Let all that this thread reads meanwhile be of one moment; a transaction for each of many small reads costs most."""
        with self._reading() as connection:
            if self.dialect == "postgresql" and not connection.in_transaction():
                connection.execution_options(isolation_level="REPEATABLE READ")
            before = getattr(self._shared, "connection", None)
            self._shared.connection = connection
            try:
                yield
            finally:
                self._shared.connection = before

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        shared: Connection | None = getattr(self._shared, "connection", None)
        if shared is not None:
            with translated(f"read of {self.url.render_as_string()}"):
                yield shared
            return
        with translated(f"read of {self.url.render_as_string()}"), self.engine.connect() as connection:
            yield connection

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _filled(statement: arrow_out.Query, params: Mapping[str, Any] | None) -> arrow_out.Query:
    return statement.params(params) if params else statement
