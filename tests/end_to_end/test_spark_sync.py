"""``engine: spark`` from end to end: a hub that computes on Spark ends with the digest of one that does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from tests._spark import SMALL, need_spark
from tests.end_to_end._cli import run_here, write_home
from tests.end_to_end._simulator import vendors

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.slow,
    pytest.mark.spark,
    pytest.mark.network,
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # PySpark's own
]
_STREAMS = {"shopify": ["customers"], "zendesk": ["organizations", "users"]}


def test_a_sync_on_spark_leaves_the_same_meaning_in_the_store(tmp_path: Path) -> None:
    need_spark()
    digests = []
    with vendors(*_STREAMS, people=40) as found:
        rows = [{**row, "streams": _STREAMS[row["name"]]} for row in found]
        for engine in ("duckdb", "spark"):
            (tmp_path / engine).mkdir()
            file = write_home(tmp_path / engine, rows) / "unisono.yaml"
            settings = yaml.safe_load(file.read_text()) | {
                "engine": engine,
                "spark": {"master": "local[2]", "config": SMALL},
            }
            file.write_text(yaml.safe_dump(settings))
            done = run_here("--config", file, "sync", "--json")
            assert done.code == 0, done.err
            resolved, normalised = done.stage("resolve"), done.stage("normalise")
            assert resolved["person"]["merged"] > 0
            assert resolved["organization"]["read"] > 1
            assert sum(row["quarantined"] for row in normalised.values()) > 0
            digests.append(run_here("--config", file, "store", "digest").digest)

    assert digests[1] == digests[0]
