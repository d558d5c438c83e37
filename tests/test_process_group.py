"""What a command started ends with it: whoever is told to end, by whichever signal, and however deaf the rest is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # processes are started and waited for

_ROOT = Path(__file__).parents[1]
_CHILD = """
import signal, subprocess, sys, time
deaf = len(sys.argv) > 1
code = ("import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); " if deaf else "import time; ") + "time.sleep(600)"
other = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
time.sleep(0.3)
print(other.pid, flush=True)
time.sleep(600)
"""
_PARENT = """
import sys
from pipelines.process_group import interrupted_by_any_end, run_group
with interrupted_by_any_end():
    try:
        run_group([sys.executable, "-c", sys.argv[1], *sys.argv[3:]], {}, grace=float(sys.argv[2]))
    except KeyboardInterrupt:
        sys.exit(7)
"""


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return (
        Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z" if Path("/proc").is_dir() else False
    )


_IN_THE_BACKGROUND = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh"]
"""What a script's ``&`` does: the command is started with SIGINT ignored."""


def _started(*, grace: float, deaf: bool = False, background: bool = False) -> tuple[subprocess.Popen[str], int]:
    """Start a parent; return it and the process that its child started."""
    parent = subprocess.Popen(
        [*(_IN_THE_BACKGROUND if background else []),
         sys.executable, "-c", _PARENT, _CHILD, str(grace), *(["deaf"] if deaf else [])], cwd=_ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(_ROOT)},
        start_new_session=True,
    )  # fmt: skip
    assert parent.stdout is not None
    with parent.stdout as told:
        return parent, int(told.readline())


def _assert_goes(pid: int) -> None:
    for _ in range(600):  # init waits for it, not we
        if _gone(pid):
            return
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("the grandchild is still there")


@pytest.mark.parametrize("deaf", [False, True], ids=["listens", "deaf"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_to_the_first_process_alone_ends_all(number: signal.Signals, deaf: bool) -> None:
    parent, grandchild = _started(grace=1.0, deaf=deaf)

    parent.send_signal(number)

    assert parent.wait(timeout=60) == 7
    _assert_goes(grandchild)


def test_what_was_started_in_the_background_of_a_script_hears_that_it_is_to_end() -> None:
    parent, grandchild = _started(grace=600.0, background=True)

    parent.send_signal(signal.SIGTERM)

    assert parent.wait(timeout=60) == 7
    _assert_goes(grandchild)


def test_whoever_interrupts_twice_need_not_wait_for_the_deaf() -> None:
    parent, grandchild = _started(grace=600.0, deaf=True)

    for _ in range(2):
        parent.send_signal(signal.SIGINT)
        time.sleep(1)

    assert parent.wait(timeout=60) == 7
    _assert_goes(grandchild)


def test_the_exit_code_is_the_commands_and_what_it_left_is_ended() -> None:
    code = (
        "import subprocess, sys; "
        "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).pid, flush=True); sys.exit(5)"
    )
    run = "import sys; from pipelines.process_group import run_group; sys.exit(run_group([sys.executable, '-c', sys.argv[1]], {}))"

    done = subprocess.run(
        [sys.executable, "-c", run, code], cwd=_ROOT, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )  # fmt: skip

    assert done.returncode == 5, done.stderr
    assert _gone(int(done.stdout))
