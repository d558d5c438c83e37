"""Mutation score: every published bug of tests/mutants, judged by ``unisono check``, and by two other projects' own suites.

    python -m tests.benchmarks.bench_mutants [--only NAME …] [--quick]

A mutant is killed when the rule named for it breaks, which it does not on the sound connector. ``--quick`` runs only that rule
(the score is the same; the column of further rules stays empty). With UNISONO_RIVALS_PYTHON naming an interpreter that has
airbyte-cdk, singer-sdk and pytest (``uv venv rivals && uv pip install --python rivals/bin/python airbyte-cdk singer-sdk pytest``:
their dependencies clash with ours) the equivalent mutants are judged by airbyte-cdk's standard tests (FAST) and by singer-sdk's tap
tests, over loopback HTTP against the same vendor. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import connectors
from connectors.sdk.testing.simulator import Simulator, World, load_shape
from tests.mutants.connectors import CONNECTOR_MUTANTS
from tests.mutants.engine import ENGINE_MUTANTS
from tests.mutants.model import judge
from tests.mutants.rivals.declared import EQUIVALENTS, NOT_EXPRESSED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.mutants.model import Verdict

MUTANTS: Final = (*CONNECTOR_MUTANTS, *ENGINE_MUTANTS)
RIVALS: Final = ("airbyte", "singer")
_ROOT: Final = Path(__file__).parents[2]
_PATIENCE: Final = 90.0
_PEOPLE: Final = 1_400


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, the rivals' rates and one JSON line; exit 1 when fewer than 95 % are killed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.bench_mutants", description=__doc__)
    parser.add_argument("--only", nargs="*", help="mutants by name")
    parser.add_argument("--quick", action="store_true", help="run only the rule that each mutant names")
    options = parser.parse_args(arguments)
    began = time.process_time()
    chosen = [one for one in MUTANTS if not options.only or one.name in options.only]
    verdicts = []
    for mutant in chosen:
        verdict = judge(mutant, only=(mutant.rule,) if options.quick else None)
        verdicts.append(verdict)
        print(_line(verdict), flush=True)
    killed = sum(one.killed for one in verdicts)
    rate = killed / len(verdicts)
    print(
        f"\n{killed} of {len(verdicts)} killed for the right rule ({rate:.1%}), {time.process_time() - began:.0f} s CPU\n"
    )
    rivals = _rivals() if not options.only else {}
    print(json.dumps({"mutants": len(verdicts), "killed": killed, "rate": round(rate, 4), "rivals": rivals}))
    return 0 if rate >= 0.95 else 1


def _line(verdict: Verdict) -> str:
    mutant = verdict.mutant
    others = [rule for rule in verdict.broken if rule != mutant.rule]
    more = f" +{len(others)}" if others else ""
    outcome = f"{mutant.rule}{more}" if verdict.killed else f"SURVIVED ({', '.join(others) or 'nothing broke'})"
    return f"| {mutant.name} | {mutant.thread} | {mutant.kind} | {mutant.story} | {outcome} |"


def _rivals() -> dict[str, Any]:
    """Judge the equivalent mutants by the other suites; say how, when there is no interpreter for it."""
    python = os.environ.get("UNISONO_RIVALS_PYTHON")
    if not python:
        print(
            "UNISONO_RIVALS_PYTHON is not set: the other projects' suites were not run (the head of this file says how)"
        )
        return {}
    shape = load_shape(Path(next(iter(connectors.__path__))) / "acme" / "simulator.yaml")
    with Simulator(World(people=_PEOPLE, shapes={"acme": shape}, spoil=False)) as url:
        found = {rival: _rival(python, rival, f"{url}/acme") for rival in RIVALS}
    for rival, outcome in found.items():
        print(
            f"{rival}: {len(outcome['killed'])} of {outcome['mutants']} equivalent mutants killed: {', '.join(outcome['killed'])}"
        )
    print(
        f"\nnot expressed for them: the {len(ENGINE_MUTANTS)} engine mutants (a fault inside our engine; theirs has its own) and"
    )
    for name, why in NOT_EXPRESSED.items():
        print(f"  {name}: {why}")
    return found


def _rival(python: str, rival: str, url: str) -> dict[str, Any]:
    sound = _suite(python, rival, url, None)
    if wrong := [name for name, outcome in sound.items() if outcome != "passed"]:
        message = f"{rival}'s suite fails on the sound connector: {wrong}"
        raise RuntimeError(message)
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda name: _suite(python, rival, url, name), EQUIVALENTS))
    failing = {name: list(_failed(one)) for name, one in zip(EQUIVALENTS, outcomes, strict=True)}
    killed = [name for name, tests in failing.items() if tests]
    return {
        "mutants": len(EQUIVALENTS),
        "killed": killed,
        "tests": len(sound),
        "by": {name: failing[name][:3] for name in killed},
    }


def _failed(results: dict[str, str]) -> Iterator[str]:
    yield from (name for name, outcome in results.items() if outcome not in ("passed", "skipped"))


def _suite(python: str, rival: str, url: str, mutant: str | None) -> dict[str, str]:
    """Run one suite once in the rivals' interpreter; one that does not end counts as failed."""
    command = [python, "-m", f"tests.mutants.rivals.{rival}", url, *([mutant] if mutant else [])]
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE, cwd=_ROOT, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        return {"no end": f"failed: more than {_PATIENCE:.0f} s"}
    lines = done.stdout.strip().splitlines()
    if not lines or not lines[-1].startswith("{"):
        message = f"{rival}: {done.stderr.strip().splitlines()[-1:] or 'no output'}"
        raise RuntimeError(message)
    results: dict[str, str] = json.loads(lines[-1])
    return results


if __name__ == "__main__":
    raise SystemExit(main())
