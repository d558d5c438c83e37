"""The benchmark's memory: parent and child together, and nothing twice. Each case has a process of its own."""

from __future__ import annotations

import subprocess
import sys

MEGABYTES = 120
_HOLD = f"b = bytearray({MEGABYTES} << 20); b[::4096] = b'x' * len(b[::4096])"
_CHILD_HOLDS = f"""
import subprocess, sys
from pipelines.bench_memory import PeakMemory
held = "import sys; {_HOLD}; print(flush=True); sys.stdin.read()"
with PeakMemory() as memory:
    before = memory.megabytes
    with subprocess.Popen([sys.executable, "-c", held], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        memory.look()
        child.communicate()
print(memory.megabytes - before)
"""
_PARENT_HOLDS = f"""
import subprocess, sys
from pipelines.bench_memory import PeakMemory
{_HOLD}
with PeakMemory() as memory:
    before = memory.megabytes
    subprocess.run([sys.executable, "-c", "print()"], check=True, stdout=subprocess.DEVNULL)
    memory.look()
print(memory.megabytes - before)
"""


def _added(code: str) -> int:
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return int(done.stdout)


def test_a_childs_memory_is_counted_while_it_lives() -> None:
    assert _added(_CHILD_HOLDS) >= MEGABYTES - 20


def test_a_child_that_holds_little_adds_little_however_much_the_parent_held() -> None:
    assert _added(_PARENT_HOLDS) < MEGABYTES
