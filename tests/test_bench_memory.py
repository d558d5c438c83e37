"""The benchmark's memory: parent and child together, and nothing twice."""

from __future__ import annotations

import subprocess
import sys

from pipelines.bench_memory import PeakMemory

MEGABYTES = 120


def test_a_childs_memory_is_counted_while_it_lives() -> None:
    held = f"import sys; b = bytearray({MEGABYTES} << 20); b[::4096] = b'x' * len(b[::4096]); print(flush=True); sys.stdin.read()"
    with PeakMemory() as memory:
        before = memory.megabytes
        with subprocess.Popen([sys.executable, "-c", held], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            memory.look()
            child.communicate()

    assert memory.megabytes - before >= MEGABYTES - 20


def test_a_child_that_holds_little_adds_little_however_much_the_parent_held() -> None:
    own = bytearray(MEGABYTES << 20)
    own[::4096] = b"x" * len(own[::4096])
    with PeakMemory() as memory:
        alone = memory.megabytes
        subprocess.run([sys.executable, "-c", "print()"], check=True, stdout=subprocess.DEVNULL)
        memory.look()

    assert memory.megabytes - alone < MEGABYTES
    assert len(own) == MEGABYTES << 20
