"""Asking for single records: only the vendor's "there is none" counts as gone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest

from connectors.sdk.confirm import existing
from connectors.sdk.errors import RetryLater, StopStream
from connectors.sdk.manifest import ManifestError
from connectors.sdk.quota import AccountQuota

from .vendor import Hub, Vendor, manifest

if TYPE_CHECKING:
    from pathlib import Path

DELETED = {"absence": "confirm", "item": {"path": "/things/{key}", "params": {"all": True}}}


def _ask(tmp_path: Path, vendor: Vendor, *keys: str) -> set[str]:
    hub = Hub(manifest(tmp_path, {"deleted": DELETED}))
    absence = hub.manifest.stream("things").absence
    assert absence is not None
    assert absence.item is not None
    quota = AccountQuota(clock=hub.clock.monotonic, sleep=hub.clock.sleep)
    asking = existing(
        absence.item, hub.connection, keys, tokens=hub.tokens, now=hub.clock.now, quota=quota,
        client_factory=vendor.client, sleep=hub.clock.sleep,
    )  # fmt: skip
    return asyncio.run(asking)


@pytest.mark.parametrize("status", [404, 410])
def test_a_record_the_vendor_does_not_know_is_gone(tmp_path: Path, status: int) -> None:
    vendor = Vendor(lambda request: httpx.Response(status if "/2" in request.url.path else 200, json={}))
    assert _ask(tmp_path, vendor, "1", "2", "3") == {"1", "3"}
    assert {request.url.params["all"] for request in vendor.asked} == {"true"}


def test_a_key_cannot_lead_to_another_address(tmp_path: Path) -> None:
    vendor = Vendor(lambda _: httpx.Response(200, json={}))
    _ask(tmp_path, vendor, "../secrets?x=")
    assert vendor.asked[0].url.raw_path.decode() == "/things/..%2Fsecrets%3Fx%3D?all=true"


@pytest.mark.parametrize("status", [400, 403])
def test_another_refusal_says_nothing_of_the_record(tmp_path: Path, status: int) -> None:
    with pytest.raises(StopStream, match="refuses to say whether a record still exists"):
        _ask(tmp_path, Vendor(lambda _: httpx.Response(status, json={})), "1")


def test_a_vendor_that_is_down_says_nothing_of_the_record(tmp_path: Path) -> None:
    with pytest.raises(RetryLater):
        _ask(tmp_path, Vendor(lambda _: httpx.Response(503, json={})), "1")


@pytest.mark.parametrize("deleted", [{"absence": "confirm"}, {"absence": "twice", "item": {"path": "/things/{key}"}}])
def test_confirming_needs_an_address_and_nothing_else_does(tmp_path: Path, deleted: dict[str, object]) -> None:
    with pytest.raises(ManifestError, match="belong together"):
        manifest(tmp_path, {"deleted": deleted})


def test_records_of_a_list_of_deletes_are_deletes(tmp_path: Path) -> None:
    """By an endpoint of its own each record is one; in a second form of the list those that say so."""
    endpoint = {"list": {"path": "/deletions", "key": "thing_id", "record_time": None}}
    hub = Hub(manifest(tmp_path, {"deleted": endpoint, "params": {"x": "1"}}))
    body = {"/things": [{"id": 1}, {"id": 2}], "/deletions": [{"thing_id": 3, "deleted_at": "2026-01-01T00:00:00Z"}]}
    vendor = Vendor(lambda request: httpx.Response(200, json={"items": body[request.url.path]}))
    hub.read(vendor)
    assert sorted((record.key, record.op) for record in hub.records) == [
        ("1", "upsert"),
        ("2", "upsert"),
        ("3", "delete"),
    ]
    assert {page.partition for page in hub.pages} == {"", "deleted"}

    second = {"path": "archived", "equals": "true", "list": {"params": {"archived": True}}}
    hub = Hub(manifest(tmp_path, {"deleted": second, "params": {"x": "1"}}))
    rows = [{"id": 1, "archived": False}, {"id": 2, "archived": True}]
    asked = Vendor(lambda _: httpx.Response(200, json={"items": rows}))
    hub.read(asked)
    listed = [page for page in hub.pages if page.partition == "deleted"]
    assert [(record.key, record.op) for page in listed for record in page.records] == [("2", "delete")], (
        "a vendor that ignores the parameter deletes nothing that lives"
    )
    assert [(page.wire, page.filtered) for page in listed] == [(2, 1)]
    assert sorted(map(str, asked.params("archived"))) == ["None", "true"]
    assert asked.params("x") == ["1", "1"]
