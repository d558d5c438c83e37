"""One writer at a time: a living holder is named, a dead one is replaced at once, an overtaken one cannot write."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from connectors.sdk.errors import AlreadyRunning, LeaseLost, StoreLocked
from pipelines.store import Store, leases
from pipelines.store.owner import Owner
from tests.store.rows import T, refs

pytestmark = pytest.mark.slow  # leases are waited for

NOW = datetime(2026, 1, 31, tzinfo=UTC)
SCOPE = "ingest/crm/contacts"
_HOLD = """
import sys
from pipelines.store import Store
lease = Store.open(sys.argv[1]).acquire(sys.argv[2])
print(lease.fence, flush=True)
sys.stdin.read()
"""


def later(seconds: float):
    return lambda: NOW + timedelta(seconds=seconds)


def abandoned(store: Store, owner: Owner, *, at=lambda: NOW) -> leases.Lease:
    """A lease whose holder stopped beating."""
    lease = leases.acquire(store.engine, store.control, SCOPE, tenant_id=1, now=at, owner=owner)
    lease._stop.set()
    lease._thread.join()
    return lease


def test_the_living_holder_is_named(store: Store):
    with store.acquire(SCOPE), pytest.raises(AlreadyRunning, match=rf"process {os.getpid()} on "):
        store.acquire(SCOPE)


def test_a_released_lease_is_free_at_once_and_its_next_fence_is_higher(store: Store):
    with store.acquire(SCOPE) as first:
        pass
    with store.acquire(SCOPE) as second:
        assert second.fence == first.fence + 1


def test_other_scopes_are_not_held(store: Store):
    with store.acquire(SCOPE), store.acquire("ingest/crm/companies"):
        pass


def test_a_killed_holder_on_this_host_is_replaced_at_once(store: Store):
    url = store.url.render_as_string(hide_password=False)
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, url, SCOPE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    fence = int(holder.stdout.readline())
    with pytest.raises(AlreadyRunning, match=f"process {holder.pid}"):
        store.acquire(SCOPE)

    holder.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # dead, not yet reaped: a zombie does not hold a lease

    with store.acquire(SCOPE) as lease:
        assert lease.fence == fence + 1
    holder.communicate()


def test_a_pid_given_to_a_later_process_does_not_keep_the_lease(store: Store):
    me = Owner.current()
    abandoned(store, Owner(me.host, me.boot_id, me.pid, "1"))

    with store.acquire(SCOPE, now=later(1)):
        pass


@pytest.mark.parametrize("owner", [Owner("elsewhere", "boot", 1, "1"), Owner.current()], ids=["other host", "hung"])
def test_a_silent_holder_is_replaced_only_after_thirty_seconds(store: Store, owner: Owner):
    abandoned(store, owner)

    with pytest.raises(AlreadyRunning):
        store.acquire(SCOPE, now=later(29))
    with store.acquire(SCOPE, now=later(31)):
        pass


def test_a_heartbeat_keeps_a_lease(store: Store):
    times = iter((NOW, NOW + timedelta(seconds=25)))
    lease = abandoned(store, Owner("elsewhere", "boot", 1, "1"), at=lambda: next(times))
    lease.heartbeat()

    with pytest.raises(AlreadyRunning):
        store.acquire(SCOPE, now=later(50))


def test_an_overtaken_writer_is_refused_and_writes_nothing(store: Store):
    old = abandoned(store, Owner("elsewhere", "boot", 1, "1"))
    with store.acquire(SCOPE, now=later(31)):
        with pytest.raises(LeaseLost, match="another process took over"), store.write(old, cause="late") as tx:
            tx.intern(refs("1"))
        old.heartbeat()

    assert old.lost
    assert store.read(select(T["source_record"])) == []


def test_a_lost_control_file_never_lowers_the_fence(sqlite_store: Store):
    with sqlite_store.acquire(SCOPE) as first:
        pass
    with sqlite_store.control.begin() as connection:
        connection.exec_driver_sql("DELETE FROM lease")

    with sqlite_store.acquire(SCOPE) as second:
        assert second.fence > first.fence


def test_a_lease_that_the_locked_store_refused_keeps_nobody_out(sqlite_url: str):
    with (
        Store.open(sqlite_url, busy_timeout_s=0.05) as store,
        closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreLocked):
            store.acquire("ingest/crm/contacts")
        other.execute("ROLLBACK")

        store.acquire("ingest/crm/contacts").release()
