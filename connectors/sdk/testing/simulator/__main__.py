"""``python -m connectors.sdk.testing.simulator``: the demo's vendors as one process."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from .simulator import Simulator, faults_named
from .state import State


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted; the first line of output is the base URL."""
    asked = _parser().parse_args(arguments)
    state = State(asked.state, asked.seed, asked.people)
    simulator = Simulator(state.world(), faults=faults_named(asked.fault), limited=asked.limits, port=asked.port)
    state.replay(simulator.app)
    state.save(simulator.app)
    simulator.app.after_advance = state.save
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    sys.stdout.write(f"{simulator.start()}\n")
    sys.stdout.flush()
    stop.wait()
    simulator.stop()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m connectors.sdk.testing.simulator", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--seed", type=int, default=7, help="equal seeds give equal worlds")
    parser.add_argument("--people", type=int, default=2_000, help="persons in the world")
    parser.add_argument("--state", type=Path, help="file that keeps seed, clock and changes over restarts")
    parser.add_argument("--limits", action="store_true", help="enforce the vendors' rate limits")
    parser.add_argument("--fault", action="append", default=[], metavar="NAME=EVERY", help="switch a hazard on")
    return parser


if __name__ == "__main__":
    sys.exit(main())
