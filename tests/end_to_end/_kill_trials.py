"""Kill trials: draw where to kill by a seed, kill there, run again, and judge what is left against an uninterrupted run."""

from __future__ import annotations

import itertools
import json
import shutil
import signal
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Self

import yaml
from sqlalchemy import NullPool, create_engine

from pipelines.store import Store
from pipelines.store.sealing import new_key
from tests.end_to_end._kill_server import SEGMENT_RECORDS, Job, KillServer, Outcome
from tests.end_to_end._kill_world import PAGE_RECORDS, Place, Vendors, served

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

# How many of a cycle's trials go to each kind of point: what is nearest to losing or doubling something gets most.
WEIGHTS = {
    "fetch": 3, "land": 3, "commit": 4, "checkpoint": 3, "token": 4, "lease": 2, "quota": 1, "quarantine": 1, "health": 1,
    "drift": 1, "normalise": 3, "resolve": 3, "golden": 2,
}  # fmt: skip
FIRST, LATER = "first sync", "later sync"
_AGAIN_EVERY = 5  # every so many trials the run after the kill is killed too, and sometimes the one after that
_LATER_EVERY = 3
_AUTHORISE = 3  # runs that a trial may need at most after its kills


@dataclass(frozen=True)
class Kill:
    """The ``nth`` crossing of a point."""

    point: str
    nth: int


@dataclass(frozen=True)
class Trial:
    """Runs that are killed one after the other, then runs that are not."""

    number: int
    scenario: str
    kills: tuple[Kill, ...]

    @property
    def kind(self) -> str:
        """The kind of the first point."""
        return self.kills[0].point.partition(":")[0]


@dataclass
class Verdict:
    """What a trial showed; ``faults`` is empty when nothing was lost, doubled or left behind."""

    trial: Trial
    killed: list[Kill] = field(default_factory=list)
    refetched: dict[Place, int] = field(default_factory=dict)
    reauthorised: int = 0
    differing: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def pages(self) -> int:
        """The most pages of one partition that were fetched and had to be fetched again."""
        return -(-max(self.refetched.values(), default=0) // PAGE_RECORDS)


@dataclass
class Baseline:
    """What an uninterrupted run crosses and leaves."""

    counts: Mapping[str, int]
    digest: Mapping[str, str]
    wire: Mapping[Place, int]
    longest: Mapping[tuple[Place, str], int]


def draw(counts: Mapping[str, Mapping[str, int]], trials: int, seed: int) -> list[Trial]:
    """Return so many trials: kinds by their weights, the points of a kind in turn, any crossing of a point."""
    chance = Random(seed)
    kinds = [kind for kind, weight in WEIGHTS.items() for _ in range(weight)]
    chance.shuffle(kinds)
    turns: dict[tuple[str, str], Iterator[str]] = {}
    drawn = []
    for number, kind in zip(range(trials), itertools.cycle(kinds)):
        scenario = LATER if number % _LATER_EVERY == _LATER_EVERY - 1 else FIRST
        if not any(point.startswith(f"{kind}:") for point in counts[scenario]):
            scenario = FIRST
        known = counts[scenario]
        place = (scenario, kind)
        if place not in turns:
            points = sorted(point for point in known if point.startswith(f"{kind}:"))
            chance.shuffle(points)
            turns[place] = itertools.cycle(points)
        point = next(turns[place])
        more = chance.choice((1, 2)) if number % _AGAIN_EVERY == _AGAIN_EVERY - 1 else 0
        others = [chance.choice(sorted(known)) for _ in range(more)]
        first = Kill(point, chance.randint(1, known[point]))
        again = tuple(Kill(one, chance.randint(1, max(1, known[one] // 3))) for one in others)
        drawn.append(Trial(number, scenario, (first, *again)))
    return drawn


class Rig:
    """A store's kind, two states of the world, the warm process, and what uninterrupted runs leave."""

    def __init__(self, folder: Path, server_url: str | None = None) -> None:
        """``server_url``: a PostgreSQL server for the stores; without one they are SQLite files."""
        self._folder, self._server_url, self._numbers = folder, server_url, itertools.count(1)
        self._open = ExitStack()
        self.baselines: dict[str, Baseline] = {}

    def __enter__(self) -> Self:
        """Serve the worlds and make the two uninterrupted runs."""
        with ExitStack() as stack:
            self._vendors = {
                FIRST: stack.enter_context(served(later=False)), LATER: stack.enter_context(served(later=True)),
            }  # fmt: skip
            self._server = stack.enter_context(KillServer(new_key()))
            self._templates: dict[str, Path] = {}
            self._measure()
            self._open = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything."""
        self._open.close()

    @property
    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """How often each point is crossed in each scenario, schema made before."""
        return {name: one.counts for name, one in self.baselines.items()}

    def _measure(self) -> None:
        empty = self._home("empty")
        Store.open(self._url(empty)).close()
        self._templates[FIRST] = empty
        self.baselines[FIRST] = self._uninterrupted(FIRST, keep_as=LATER)
        self.baselines[LATER] = self._uninterrupted(LATER)

    def _uninterrupted(self, scenario: str, keep_as: str | None = None) -> Baseline:
        with self._copy(scenario, keep_as) as home:
            vendors = self._vendors[scenario]
            done = self._run(home, vendors, vendors.begin())
        assert done.ok, (done.failure, done.errors)
        wire = _by_place(done)
        before = self.baselines[FIRST].wire if scenario == LATER else {}
        extra = _lost(vendors, wire, before)
        assert not extra, f"an uninterrupted {scenario} is served what it does not commit: {extra}"
        return Baseline(done.counts, done.digest, wire, _longest(done))

    def judge(self, trial: Trial) -> Verdict:
        """Do one trial; a point that was not reached is tried again at half as many crossings."""
        verdict = Verdict(trial)
        kills = trial.kills
        while not verdict.killed and not verdict.faults:
            with self._copy(trial.scenario) as home:
                self._try(home, trial, kills, verdict)
            if not verdict.killed and kills[0].nth == 1:
                verdict.faults.append(f"{kills[0].point} was not reached")
            kills = (Kill(kills[0].point, max(1, kills[0].nth // 2)), *kills[1:])
        return verdict

    def _try(self, home: Path, trial: Trial, kills: tuple[Kill, ...], verdict: Verdict) -> None:
        vendors = self._vendors[trial.scenario]
        seed, doubts = vendors.begin(), 0
        for kill in kills:
            live = vendors.gate.authority.live
            done = self._run(home, vendors, seed, kill)
            doubts += _in_doubt(home, seed, live, vendors)
            if done.failure is not None or done.signal not in (0, signal.SIGKILL):
                verdict.faults.append(f"a run to be killed at {kill} ended with signal {done.signal} {done.failure}")
            if done.signal == 0:
                break
            verdict.killed.append(kill)
        if not verdict.killed:
            return
        for _ in range(_AUTHORISE):
            live = vendors.gate.authority.live
            done = self._run(home, vendors, seed)
            doubts += _in_doubt(home, seed, live, vendors)
            if done.ok or done.signal or done.failure or not done.reauths > verdict.reauthorised:
                break
            verdict.reauthorised = done.reauths
            seed = vendors.gate.authority.authorise()
        self._check(trial, done, vendors, doubts, verdict)

    def _check(self, trial: Trial, done: Outcome, vendors: Vendors, doubts: int, verdict: Verdict) -> None:
        expected = self.baselines[trial.scenario]
        before = self.baselines[FIRST].wire if trial.scenario == LATER else {}
        again = Counter(_lost(vendors, _by_place(done), before))
        again.update(_read_anew(done, expected))
        verdict.refetched = dict(again)
        if not done.ok:
            verdict.faults.append(f"the run after the kill: signal {done.signal} {done.failure} {done.errors}")
            return
        verdict.differing = sorted(name for name, value in expected.digest.items() if done.digest.get(name) != value)
        faults = {f"the digest differs: {', '.join(verdict.differing)}": bool(verdict.differing)}
        faults |= {f"files without a segment: {done.strays}": bool(done.strays)}
        faults |= {f"segments without a file: {done.missing}": bool(done.missing)}
        most = SEGMENT_RECORDS * len(verdict.killed)
        for place, count in verdict.refetched.items():
            faults[f"{count} records of {'/'.join(place)} fetched again"] = not 0 <= count <= most
        refused = vendors.gate.authority.refused
        faults |= {f"invalid_grant {refused}, explained are {doubts}": len(refused) > doubts or "unknown" in refused}
        faults |= {f"{done.reauths} re-auth events for {len(refused)} refusals": done.reauths > len(refused)}
        verdict.faults += [text for text, is_so in faults.items() if is_so]

    # --- homes and stores --------------------------------------------------------------------------------------------

    def _run(self, home: Path, vendors: Vendors, seed: str, kill: Kill | None = None) -> Outcome:
        hub = {"store": self._url(home), "landing": "landing", "connections": vendors.connections()}
        (home / "unisono.yaml").write_text(yaml.safe_dump(hub), encoding="utf-8")
        (home / "stored.json").unlink(missing_ok=True)
        return self._server.run(Job(str(home), seed, kill.point, kill.nth) if kill else Job(str(home), seed))

    def _home(self, name: str) -> Path:
        home = self._folder / name
        home.mkdir()
        if self._server_url is not None:
            self._sql(f"CREATE DATABASE {name}")
        return home

    @contextmanager
    def _copy(self, scenario: str, keep_as: str | None = None) -> Iterator[Path]:
        """Copy a template, and throw the copy away again or keep it as a template."""
        source, name = self._templates[scenario], f"trial_{next(self._numbers)}"
        home = Path(shutil.copytree(source, self._folder / name))
        if self._server_url is not None:
            self._sql(f"CREATE DATABASE {name} TEMPLATE {source.name}")
        yield home
        if keep_as is not None:
            self._templates[keep_as] = home
            return
        shutil.rmtree(home)
        if self._server_url is not None:
            self._sql(f"DROP DATABASE {name} WITH (FORCE)")

    def _url(self, home: Path) -> str:
        return f"sqlite:///{home}/store.db" if self._server_url is None else f"{self._server_url}/{home.name}"

    def _sql(self, statement: str) -> None:
        address = f"{self._server_url}/postgres".replace("postgresql://", "postgresql+psycopg://")
        engine = create_engine(address, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)


def _in_doubt(home: Path, seed: str, live: str, vendors: Vendors) -> bool:
    """Return whether a run began with a refresh token that the vendor had replaced: its heir was never saved."""
    written = home / "stored.json"
    if not written.exists():
        return False
    stored = json.loads(written.read_text(encoding="utf-8"))
    return bool((stored if stored in vendors.gate.authority.family else seed) != live)


def _by_place(done: Outcome) -> dict[Place, int]:
    """Return how many records of the wire are committed of each partition."""
    sums: Counter[Place] = Counter()
    for connection, stream, partition, _, wire in done.wire:
        sums[connection, stream, partition] += wire
    return dict(sums)


def _longest(done: Outcome) -> dict[tuple[Place, str], int]:
    """Return how many records the longest read of each partition and kind took."""
    found: dict[tuple[Place, str], int] = {}
    for connection, stream, partition, kind, wire in done.wire:
        place = ((connection, stream, partition), kind)
        found[place] = max(found.get(place, 0), wire)
    return found


def _lost(vendors: Vendors, wire: Mapping[Place, int], before: Mapping[Place, int]) -> dict[Place, int]:
    """Return how many records of each partition were served and not committed: those had to be fetched again."""
    committed: Counter[Place] = Counter(wire)
    committed.subtract(before)
    extra = {place: vendors.gate.served[place] - committed[place] for place in {*committed, *vendors.gate.served}}
    return {place: count for place, count in sorted(extra.items()) if count}


def _read_anew(done: Outcome, expected: Baseline) -> Counter[Place]:
    """Return how many records reads took beyond what they take uninterrupted: those were committed, and fetched again."""
    extra: Counter[Place] = Counter()
    for (place, kind), wire in _longest(done).items():
        extra[place] += max(0, wire - expected.longest.get((place, kind), wire))
    return extra
