"""Manifests: what a wrong one says, and what a right one gives."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from connectors.sdk.catalog import find_connector, find_connectors
from connectors.sdk.errors import FixConfig, FixConnector
from connectors.sdk.manifest import ManifestError, connect, load_manifest
from connectors.sdk.paginators import CursorPaginator

from .vendor import HEAD, STREAM, manifest, write_manifest

if TYPE_CHECKING:
    from pathlib import Path

INCREMENTAL = {"cursor_path": "updated", "start_param": "since"}


def _broken(tmp_path: Path, stream: dict[str, Any], **changes: Any) -> str:
    with pytest.raises(ManifestError) as caught:
        manifest(tmp_path, stream, **changes)
    assert "manifest.yaml:" in (caught.value.where or "")
    return str(caught.value)


@pytest.mark.parametrize(
    ("stream", "says"),
    [
        ({"pagnator": {"type": "cursor"}}, "did you mean 'paginator'"),
        ({"paginator": {"type": "curser"}}, "did you mean 'cursor'"),
        (
            {"paginator": {"type": "cursor", "cursor_path": "a", "cursor_parm": "b"}},
            "did you mean 'cursor_param'",
        ),
        ({"paginator": {"type": "next_url"}}, "missing key 'next_url_path'"),
        ({"data_selector": "a..b"}, "not a path"),
        ({"params": {"x": "{config.acces_token}"}}, "did you mean 'config.access_token'"),
        ({"params": {"x": "{parent.id}"}}, "unknown template word {parent.id}"),
        ({"cadence": "sometimes"}, "90s"),
        ({"parent": {"stream": "parnts", "bind": {"id": "id"}}}, "did you mean 'parents'"),
        ({"parent": {"stream": "things", "bind": {"id": "id"}}}, "circle"),
        ({"object": "parent"}, "owned by things"),
        ({"incremental": {"cursor_path": "updated"}}, "the lower bound is never asked for"),
        ({"incremental": {**INCREMENTAL, "cap": 100}}, "cap needs sorted: asc"),
        ({"incremental": {**INCREMENTAL, "resolution": "1 fortnight"}}, "resolution"),
        ({"deleted": {"path": "gone"}}, "equals"),
    ],
)
def test_a_fault_is_named_with_file_line_and_what_is_allowed(tmp_path: Path, stream: dict[str, Any], says: str) -> None:
    assert says in _broken(tmp_path, stream)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"auth": [{"type": "bearer", "toke": "x"}]}, "did you mean 'token'"),
        ({"auth": [{"type": "bearer", "token": "x", "when": ["tokn"]}]}, "unknown config key 'tokn'"),
        ({"categry": "crm"}, "did you mean 'category'"),
        ({"name": "other"}, "is not the folder's"),
        ({"config": {"type": "objekt"}}, "not a JSON Schema"),
        ({"base_url": "api.vendor.example"}, "base_url"),
        ({"limits": {"requests": 10}}, "per_seconds"),
    ],
)
def test_a_fault_of_the_head_is_named(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    assert says in _broken(tmp_path, {}, **changes)


def test_the_line_is_that_of_the_fault(tmp_path: Path) -> None:
    folder = write_manifest(tmp_path, {"things": STREAM})
    file = folder / "manifest.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text + "    pagesize: 3\n", encoding="utf-8")
    with pytest.raises(ManifestError) as caught:
        load_manifest(folder)
    assert caught.value.where == f"{file}:{len(text.splitlines()) + 1}"


def test_defaults_lie_under_every_stream(tmp_path: Path) -> None:
    paginator = {"type": "cursor", "cursor_path": "next", "cursor_param": "after"}
    read = manifest(tmp_path, {"page_size": 7}, defaults={"page_size": 50, "cadence": "1h", "paginator": paginator})
    things, parents = read.streams["things"], read.streams["parents"]
    assert (things.request.page_size, parents.request.page_size) == (7, 50)
    assert things.cadence == timedelta(hours=1)
    assert things.request.paginator == CursorPaginator(cursor_path=("next",), cursor_param="after")


def test_an_incremental_request_overrides_only_what_it_names(tmp_path: Path) -> None:
    request = {"method": "POST", "path": "/search", "body": {"from": "{cursor.start}"}}
    stream = manifest(tmp_path, {"incremental": {"cursor_path": "updated", "request": request}, "page_size": 9}).stream(
        "things"
    )
    assert stream.incremental is not None
    asked = stream.incremental.request
    assert (asked.method, asked.path, asked.page_size, asked.data_selector) == (
        "POST",
        "/search",
        9,
        ("items",),
    )
    assert stream.request.method == "GET"


def test_an_unknown_stream_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(FixConfig, match=r"did you mean 'things'\? allowed: things, parents"):
        manifest(tmp_path).stream("thing")


def test_wrong_config_names_the_key_and_never_the_value(tmp_path: Path) -> None:
    read = manifest(tmp_path)
    with pytest.raises(FixConfig, match="did you mean 'access_token'") as caught:
        connect(read, name="mine", connection_id="c", config={"acces_token": "made-up-secret"})
    assert "made-up-secret" not in str(caught.value)
    with pytest.raises(FixConfig, match="'access_token' does not fit"):
        connect(read, name="mine", connection_id="c", config={"access_token": 5})
    with pytest.raises(FixConfig, match="Europe/Berlin"):
        connect(read, name="mine", connection_id="c", config={}, timezone="Mars/Olympus")


def test_the_base_url_takes_config_words(tmp_path: Path) -> None:
    config = {
        "type": "object",
        "properties": {"shop": {"type": "string"}, "access_token": {"type": "string"}},
    }
    read = manifest(tmp_path, base_url="https://{config.shop}.vendor.example", config=config)
    settings = connect(read, name="mine", connection_id="c", config={"shop": "mine"})
    assert settings.base_url == "https://mine.vendor.example"
    assert read.secret_keys == frozenset()


def test_connectors_are_found_by_folder_and_listed_on_error(tmp_path: Path) -> None:
    folder = write_manifest(tmp_path, {"things": STREAM})
    assert find_connectors([tmp_path])["made_up"].path == folder.resolve()
    assert find_connector("made_up", [folder]).manifest.title == HEAD["title"]
    with pytest.raises(FixConfig, match="did you mean 'made_up'"):
        find_connector("made_ip", [tmp_path])
    with pytest.raises(FixConfig, match="no folder"):
        find_connectors([tmp_path / "nowhere"])


def test_two_connectors_of_one_name_are_refused(tmp_path: Path) -> None:
    for root in ("one", "two"):
        (tmp_path / root).mkdir()
        write_manifest(tmp_path / root, {"things": STREAM})
    with pytest.raises(FixConnector, match="two connectors are named 'made_up'"):
        find_connectors([tmp_path / "one", tmp_path / "two"])
