"""kill -9 of a writer leaves the old state or the new one, never a part of a transaction."""

from __future__ import annotations

import subprocess
import sys

import pyarrow as pa
import pytest
from sqlalchemy import func, select

from pipelines.store import Store
from tests.store.rows import T

_WRITER = """
import os, signal, sys
import pyarrow as pa
from pipelines.store import Store, tables
url, step = sys.argv[1], sys.argv[2]
store = Store.open(url)
lease = store.acquire("master/test")
def die(at):
    if at == step:
        os.kill(os.getpid(), signal.SIGKILL)
n = 2000
with store.write(lease, cause="kill") as tx:
    columns = [["crm"] * n, ["contact"] * n, [str(i) for i in range(n)], ["person"] * n, [False] * n]
    refs = tx.intern(pa.table(columns, names=["connection_id", "object", "source_key", "entity", "is_stub"]))
    die("after the first table")
    rows = pa.table({"source_record_id": refs.column("source_record_id"), "row_key": [""] * n})
    tx.upsert(tables.metadata.tables["person"], rows)
    die("before the commit")
die("after the commit")
"""


def kill(url: str, step: str) -> int:
    return subprocess.run([sys.executable, "-c", _WRITER, url, step], check=False).returncode


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "rows"), [("after the first table", 0), ("before the commit", 0), ("after the commit", 2000)]
)
def test_a_killed_writer_leaves_all_or_nothing(store_url: str, step: str, rows: int):
    assert kill(store_url, step) == -9

    with Store.open(store_url) as store:
        counts = [store.read(select(func.count()).select_from(T[name]))[0][0] for name in ("source_record", "person")]
        assert counts == [rows, rows]
        with store.acquire("master/test") as lease, store.write(lease, cause="again") as tx:
            n = 3
            columns = [["crm"] * n, ["contact"] * n, ["0", "1", "new"], ["person"] * n, [False] * n]
            tx.intern(pa.table(columns, names=["connection_id", "object", "source_key", "entity", "is_stub"]))
        assert store.read(select(func.count()).select_from(T["source_record"]))[0][0] == max(rows + 1, 3)
