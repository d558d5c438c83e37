"""The ``dlt:`` block of a connection: what is declared is read without dlt, what cannot be has file and line."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from connectors.sdk.errors import FixConfig
from dagster_project.build import build_definitions
from pipelines.cli.setup import init
from pipelines.config import load_config
from pipelines.dlt_bridge.declare import DltStream
from pipelines.store import Store
from tests.dlt_bridge.hubs import MAPPING, dlt_hub

CONFIG = """\
connections:
  - name: legacy
    dlt:
      source: sql_database
      config: {credentials: "${LEGACY_DB_URL}"}
      streams:
        customers:
          record_time: updated_at
          incremental: {cursor_path: updated_at}
    mapping: maps
    timezone: UTC
exports:
  warehouse: {destination: duckdb, config: {credentials: "${WAREHOUSE}"}}
"""


def _write(folder: Path, text: str = CONFIG) -> Path:
    (folder / "maps").mkdir(exist_ok=True)
    (folder / "maps" / "mapping.yaml").write_text(MAPPING, encoding="utf-8")
    file = folder / "unisono.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_declared_connection_is_a_connection_like_any_other(tmp_path: Path):
    hub = load_config(_write(tmp_path))

    (connection,) = hub.connections
    spec = connection.connector.manifest.streams["customers"]
    assert (connection.connector.name, connection.streams) == ("legacy", ("customers",))
    assert isinstance(spec, DltStream)
    assert (spec.object, spec.record_time, spec.dlt.resource) == ("customers", ("updated_at",), "customers")
    assert connection.connector.mapping.entities("customers") == ("person", "contact_point")


def test_secrets_inside_the_block_are_resolved_when_they_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    hub = load_config(_write(tmp_path))
    monkeypatch.setenv("WAREHOUSE", "w.duckdb")

    assert hub.exports["warehouse"].values() == {"credentials": "w.duckdb"}
    with pytest.raises(FixConfig, match="LEGACY_DB_URL is not set"):
        hub.connections[0].settings("legacy")


def test_a_configuration_with_dlt_is_read_without_importing_dlt(tmp_path: Path):
    code = f"import sys; from pipelines.config import load_config; load_config({str(_write(tmp_path))!r}); print('dlt' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"


def test_dagster_shows_a_declared_stream_as_an_asset_with_its_checks(tmp_path: Path):
    definitions = build_definitions(load_config(_write(tmp_path)))

    graph = definitions.resolve_asset_graph()
    (key,) = [key for key in graph.get_all_asset_keys() if key.path == ["legacy", "customers"]]
    assert "dlt" in graph.get(key).kinds
    checks = {check.name for check in graph.asset_check_keys if check.asset_key == key}
    assert {"complete", "accounting", "quarantine_rate"} <= checks


@pytest.mark.parametrize(
    ("change", "line", "message"),
    [
        (("source: sql_database", "source: no colon"), 4, "rest_api, sql_database, filesystem"),
        (("record_time:", "recordtime:"), 8, "recordtime"),
        (("    mapping: maps\n", ""), 2, "needs mapping:"),
        (("mapping: maps", "mapping: nowhere"), 10, "no such mapping"),
        (("    mapping: maps", "    connector: hubspot\n    mapping: maps"), 10, "connector: does not go with dlt:"),
        (("    timezone: UTC", "    config: {a: b}"), 11, "config: does not go with dlt:"),
        (("incremental: {cursor_path: updated_at}", "incremental: true"), 9, "names no cursor"),
        (("incremental: {cursor_path: updated_at}", "file_glob: x.csv"), 9, "is for source: filesystem"),
        (("record_time: updated_at", "record_time: a..b"), 8, "a..b"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_line(
    tmp_path: Path, change: tuple[str, str], line: int, message: str
):
    with pytest.raises(FixConfig) as error:
        load_config(_write(tmp_path, CONFIG.replace(*change)))

    assert message in str(error.value)
    assert (error.value.where or "") == f"{tmp_path}/unisono.yaml:{line}"


def test_a_connection_is_of_a_connector_or_of_dlt(tmp_path: Path):
    text = yaml.safe_dump({"connections": [{"name": "a"}]})

    with pytest.raises(FixConfig, match="missing 'connector'"):
        load_config(_write(tmp_path, text))


def test_the_example_that_init_shows_loads_once_it_is_uncommented(tmp_path: Path):
    init(tmp_path / "init.yaml")
    example = (tmp_path / "init.yaml").read_text(encoding="utf-8").partition("  # Any dlt source")[2].partition("\n")[2]
    connection, _, rest = example.partition("\n\n")
    exports = "".join(f"{line[2:]}\n" for line in rest.splitlines() if not line.startswith("# Where"))
    rows = [line.replace("  # ", "  ", 1).replace("my_mappings/legacy", "maps") for line in connection.splitlines()]
    text = "\n".join(["connections:", *rows, exports])

    hub = load_config(_write(tmp_path, text))

    assert [connection.name for connection in hub.connections] == ["legacy"]
    assert hub.exports["warehouse"].destination == "duckdb"


def test_connections_read_side_by_side_do_not_disturb_each_other(tmp_path: Path, sqlite_store: Store):
    def read(number: int) -> Any:
        block = {
            "source": "tests.dlt_bridge.sources:table",
            "config": {"rows": 500 + number},
            "streams": {"customers": {"resource": "table", "object": f"customer{number}"}},
        }
        hub = dlt_hub(tmp_path / str(number), sqlite_store, block, name=f"legacy{number}")
        return hub.extract().counts["loaded"]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, range(4))) == [500, 501, 502, 503]
