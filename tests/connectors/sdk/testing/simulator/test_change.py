"""Time passes: what an advance changes, and that a restarted process serves the same."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from connectors.sdk.testing.simulator import DEFAULT_NOW, World, build_shape
from connectors.sdk.testing.simulator.app import App
from connectors.sdk.testing.simulator.state import State
from tests.connectors.sdk.testing.simulator.toy import served, toy

LATER = DEFAULT_NOW + timedelta(hours=2)


def app() -> App:
    return App(World(people=120, shapes={"toy": build_shape(toy())}))


def contents(app: App) -> dict[str, dict[str, bytes]]:
    holdings = app.holdings["toy"]
    return {s: {k: r.payload for k, r in holdings.records(s).items()} for s in ("people", "notes")}


def test_an_advance_changes_content_and_time_and_adds_records() -> None:
    one = app()
    before = contents(one)

    changes = one.advance(5, 40, LATER)

    after = contents(one)
    new = [c for c in changes if c.new]
    old = [c for c in changes if not c.new and c.stream == "people"]
    assert new
    assert old
    assert all(c.key not in before[c.stream] and c.key in after[c.stream] for c in new)
    for change in old:
        record = json.loads(after["people"][change.key])
        assert (record["team"], record["updated"]) == ("green", LATER.strftime("%Y-%m-%dT%H:%M:%SZ"))
        assert record["created"] == json.loads(before["people"][change.key])["created"]
    untouched = set(before["people"]) - {c.key for c in changes}
    assert all(after["people"][key] == before["people"][key] for key in untouched)


def test_new_people_are_true_people_whom_the_vendor_did_not_know() -> None:
    one = app()
    known = {t.entity for t in one.truth("toy", "people")}

    new = {c.key for c in one.advance(5, 60, LATER) if c.new and c.stream == "people"}

    found = {t.entity for t in one.truth("toy", "people") if t.source_key in new}
    assert found
    assert not found & known


def test_equal_advances_give_equal_records_and_a_second_one_goes_on() -> None:
    one, two = app(), app()

    assert one.advance(5, 40, LATER) == two.advance(5, 40, LATER)
    assert contents(one) == contents(two)
    assert one.advance(5, 40, LATER) != two.advance(6, 40, LATER)


def test_a_paged_result_shows_the_change() -> None:
    with served() as (client, _):
        client.ask("/toy/expression?filter=after(updated,2026-01-16T00:00:00Z)")

        changed = client.ask(
            "/_simulator/advance", headers={}, body={"count": 30, "seed": 2, "at": "2026-01-17T00:00:00+00:00"}
        )[1]
        found = client.ask("/toy/expression?filter=after(updated,2026-01-16T00:00:00Z)")[1]["people"]
        truth = client.ask("/_simulator/truth/toy/people", headers={})[1]

    assert {p["id"] for p in found} == {c["key"] for c in changed["changed"] if c["stream"] == "people"}
    assert {t["source_key"] for t in truth} >= {p["id"] for p in found}


def test_a_state_file_brings_back_the_same_world_with_its_changes(tmp_path: Path) -> None:
    path = tmp_path / "new" / "simulator.json"
    first = State(path, 3, 60)
    before = App(first.world())
    first.save(before)
    before.after_advance = first.save
    before.advance(1, 30, datetime.now(UTC) + timedelta(hours=1))

    second = State(path, 99, 99)
    after = App(second.world())
    second.replay(after)

    def held(app: App) -> dict[str, bytes]:
        return {key: record.payload for key, record in app.holdings["hubspot"].records("contacts").items()}

    assert (after.world.seed, after.world.people) == (3, 60)
    assert held(after) == held(before)


def test_the_process_prints_its_address_and_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "connectors.sdk.testing.simulator",
        "--people",
        "20",
        "--state",
        str(tmp_path / "s.json"),
        "--fault",
        "rate_limit=50",
    ]
    root = Path(__file__).parents[5]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        url = urlsplit(process.stdout.readline().strip())
        connection = HTTPConnection(url.hostname or "", url.port or 0, timeout=10)
        connection.request("GET", "/_simulator/vendors")
        vendors = json.loads(connection.getresponse().read())
        connection.close()
        process.terminate()
        code = process.wait(10)

    assert code == 0
    assert vendors["hubspot"]["streams"]["contacts"] > 5
    assert json.loads((tmp_path / "s.json").read_text())["people"] == 20
