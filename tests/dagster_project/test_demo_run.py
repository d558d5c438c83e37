"""The demo's connections are dealt to two processes that end at about the same time."""

from __future__ import annotations

from dagster_project.run import halves
from pipelines.demo import demo_config


def test_the_demos_two_processes_have_about_as_many_streams():
    streams = {connection.name: len(connection.streams) for connection in demo_config().connections}

    first, second = halves(streams)

    assert sorted([*first, *second]) == sorted(streams)
    assert 0 <= sum(streams[name] for name in first) - sum(streams[name] for name in second) <= min(streams.values())


def test_one_connection_needs_no_second_process():
    assert halves({"only": 3}) == (["only"], [])
