"""``unisono bench pipeline``: landed payloads of the simulator's world become golden people, every stage timed.

Payloads land through extract's own writer (files, segments, heads) before the clock starts; everything is kept in a
temporary folder and removed. Splink alone, on the same match rows in the same process, is the reference.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectors.sdk.protocols import Completeness, Page, ReadKind
from connectors.sdk.records import RecordReader
from connectors.sdk.testing.simulator.sizes import person_streams, world_of
from pipelines.bench_memory import PeakMemory
from pipelines.config import ConnectionConfig, HubConfig
from pipelines.context import StageContext
from pipelines.extract.segments import SEGMENT_RECORDS, SegmentWriter
from pipelines.landing import Landing
from pipelines.resolve.bench import accuracy
from pipelines.resolve.read_store import read_match_table
from pipelines.resolve.reference import splink_alone
from pipelines.resolve.rules import load_policy
from pipelines.stages import GOLDEN, NORMALISE, RESOLVE, Stage, run_stage, side_by_side
from pipelines.store import Store, identity, reads

if TYPE_CHECKING:
    from connectors.sdk.testing.simulator.blocks import World
    from pipelines.report import StageReport

Progress = Callable[[str], None]
_ENTITY = "person"


def bench_pipeline(records: int, *, progress: Progress = lambda _message: None) -> dict[str, object]:
    """Return seconds, rate, memory and accuracy of about ``records`` landed payloads on their way to golden people."""
    with landed_store(records, progress) as (context, world, landed):
        return _measured(context, world, landed, progress)


@contextmanager
def landed_store(records: int, progress: Progress = lambda _message: None) -> Iterator[tuple[StageContext, World, int]]:
    """Offer a store in a temporary folder into which about ``records`` payloads of a world have landed, and how many."""
    world = world_of(records)
    with tempfile.TemporaryDirectory(prefix="unisono-bench-") as name:
        config = _config(Path(name), world)
        with Store.open(config.store_url) as store:
            context = StageContext(config=config, store=store, now=lambda: datetime.now(UTC), cause="bench")
            progress(f"landing about {records:,} payloads of a world of {world.people:,} people")
            yield context, world, sum(_land(context, world, connection) for connection in config.connections)


def _measured(context: StageContext, world: World, landed: int, progress: Progress) -> dict[str, object]:
    with PeakMemory() as memory:
        stages, reports = run_all(context, progress)
    peak = memory.megabytes
    again, _ = run_all(context, progress)
    seconds = sum(stages.values())
    progress("Splink alone, on the same match rows")
    alone = _splink_seconds(context)
    return {
        "records": landed,
        "seconds": round(seconds, 2),
        "stages": {name: round(value, 2) for name, value in stages.items()},
        "records_per_second": round(landed / seconds),
        "peak_memory_mb": peak,
        "splink_seconds": round(alone, 2),
        "times_splink": round(seconds / alone, 2),
        "rerun_seconds": round(sum(again.values()), 2),
        "rerun_stages": {name: round(value, 3) for name, value in again.items()},
        "true_people": world.people,
        "golden_people": reports[GOLDEN.name].counts["entities"],
        **_accuracy(context, world),
    }


def _config(folder: Path, world: World) -> HubConfig:
    config = HubConfig(folder / "unisono.yaml", f"sqlite:///{folder / 'unisono.db'}", str(folder / "landing"), ())
    connections = []
    for name, shape in world.shapes.items():
        streams = tuple(person_streams(shape))
        if streams:
            connections.append(
                ConnectionConfig(name, config.connectors[name], streams=streams, timezone="UTC", where=name)
            )
    return HubConfig(config.path, config.store_url, config.landing_url, tuple(connections))


def _land(context: StageContext, world: World, connection: ConnectionConfig) -> int:
    """Land one connection's streams as extract does; return how many records were."""
    return sum(_land_stream(context.for_stream(connection, stream), world) for stream in connection.streams)


def _land_stream(context: StageContext, world: World) -> int:
    connection, stream, store = context.connection, context.stream, context.store
    assert connection is not None
    assert stream is not None
    manifest = connection.connector.manifest
    with store.acquire(f"ingest/{connection.name}/{stream}", now=context.now) as lease:
        with store.write(lease, cause=context.cause) as tx:
            connection_id = reads.register_connection(tx, connection.name, manifest.name, manifest.major)
            load_id = reads.open_load(tx, connection_id, stream)
        landing = Landing(context.config.landing_url)
        writer = SegmentWriter(context, lease, landing, connection_id, load_id, manifest.streams[stream])
        for page in _pages(context, world):
            writer.add(page)
        writer.flush()
        with store.write(lease, cause=context.cause) as tx:
            return reads.finish_load(tx, load_id).counts["loaded"]


def _pages(context: StageContext, world: World) -> Iterator[Page]:
    """Yield a stream's payloads as pages of one read, the last one COMPLETE."""
    connection, stream = context.connection, context.stream
    assert connection is not None
    assert stream is not None
    reader = RecordReader(connection.connector.manifest.streams[stream], UTC)
    payloads = (payload for _, payload, _ in world.payloads(connection.connector.name, stream))
    number = 0
    while True:
        raws = list(islice(payloads, SEGMENT_RECORDS // 2))
        last = len(raws) < SEGMENT_RECORDS // 2
        number += 1
        yield Page(
            partition="",
            kind=ReadKind.SNAPSHOT,
            records=reader.cut(raws).records,
            wire=len(raws),
            position=None if last else {"kind": "SNAPSHOT", "at": {"page": number}},
            completeness=Completeness.COMPLETE if last else None,
        )
        if last:
            return


def run_all(context: StageContext, progress: Progress) -> tuple[dict[str, float], dict[str, StageReport]]:
    """Run normalise for every stream as sync does, then resolve and golden of people.

    Return the seconds of each stage, and the reports of resolve and golden.
    """
    seconds: dict[str, float] = {}
    reports: dict[str, StageReport] = {}

    def normalise(connection: ConnectionConfig) -> None:
        for stream in connection.streams:
            _checked(NORMALISE, context.for_stream(connection, stream))

    with _timed(NORMALISE, seconds, progress):
        list(side_by_side(normalise, context.config.connections))
    for stage in (RESOLVE, GOLDEN):
        with _timed(stage, seconds, progress):
            reports[stage.name] = _checked(stage, context.for_entity(_ENTITY))
    return seconds, reports


@contextmanager
def _timed(stage: Stage, seconds: dict[str, float], progress: Progress) -> Iterator[None]:
    began = time.perf_counter()
    yield
    seconds[stage.name] = time.perf_counter() - began
    progress(f"{stage.name}: {seconds[stage.name]:.2f} s")


def _checked(stage: Stage, unit: StageContext) -> StageReport:
    report = run_stage(stage, unit)
    if report.error is not None:
        raise RuntimeError(f"the benchmark's {stage.name} failed: {report.error}")
    return report


def _splink_seconds(context: StageContext) -> float:
    """Return what Splink alone needs to load, learn, score and cluster the rows that resolve matched."""
    rows = read_match_table(context.store, context.tenant_id, _ENTITY, load_policy())
    began = time.perf_counter()
    splink_alone(rows)
    return time.perf_counter() - began


def _accuracy(context: StageContext, world: World) -> dict[str, Any]:
    """Score the crosswalk against whom the world's records are truly about."""
    links = identity.links(context.store, context.tenant_id, _ENTITY)
    label = dict(zip(links["source_record_id"].to_pylist(), links["entity_id"].to_pylist(), strict=True))
    known = identity.parties(context.store, context.tenant_id, _ENTITY, ())
    keys = zip(*(known[name].to_pylist() for name in ("connection_id", "object", "source_key")), strict=True)
    ids = dict(zip(keys, known["source_record_id"].to_pylist(), strict=True))
    found, true = [], []
    for connection in context.config.connections:
        for stream in connection.streams:
            about = connection.connector.manifest.streams[stream].object
            for truth in world.truth(connection.connector.name, stream):
                number = ids.get((connection.name, about, truth.source_key))
                if number in label:
                    found.append(label[number])
                    true.append(truth.entity)
    scores = accuracy(found, true)
    return {name: scores[name] for name in ("pairwise_precision", "pairwise_recall", "pairwise_f1")}
