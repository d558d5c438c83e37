"""Hazards of the wire, through both doors: what a client sees of a broken delivery is the same in memory and on loopback."""

from __future__ import annotations

import gzip
import time
import zlib

import httpx
import pytest

from connectors.sdk.testing.simulator import Hazard
from tests.connectors.sdk.testing.simulator.raw import DOORS, asked, vendor

pytestmark = pytest.mark.parametrize("door", DOORS)


def test_a_web_page_with_status_200(door: str) -> None:
    with asked(door, vendor(Hazard("html_200", page=1))) as raw:
        response = raw.get(limit=10)
        assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert response.text.startswith("<!doctype html>")
        assert raw.page()["more"] is True


def test_json_that_ends_early_with_a_true_length(door: str) -> None:
    with asked(door, vendor(Hazard("truncated_json", page=1, share=0.5))) as raw:
        response = raw.get(limit=10)
        assert int(response.headers["content-length"]) == len(response.content)
        assert response.content + b"" == raw.get(limit=10).content[: len(response.content)]
        with pytest.raises(ValueError, match="Unterminated|Expecting"):
            response.json()


def test_gzip_that_ends_early(door: str) -> None:
    made = vendor(Hazard("truncated_gzip", page=1))
    with asked(door, made) as raw:
        response = raw.get(limit=10)
        assert response.headers["content-encoding"] == "gzip"
        whole = raw.get(limit=10).content
        packed = gzip.compress(whole, mtime=0)
        sent = packed[: int(response.headers["content-length"])]
        assert len(sent) < len(packed)
        assert response.content == zlib.decompressobj(31).decompress(sent) != whole


def test_a_content_length_that_promises_more(door: str) -> None:
    with asked(door, vendor(Hazard("wrong_content_length", page=1, by=10))) as raw:
        with pytest.raises(httpx.RemoteProtocolError, match="peer closed connection"):
            raw.get(limit=10)
        assert raw.page()["more"] is True


def test_a_content_length_that_promises_less(door: str) -> None:
    with asked(door, vendor(Hazard("wrong_content_length", page=1, by=-10))) as raw:
        cut = raw.get(limit=10)
        assert cut.content == raw.get(limit=10).content[:-10]
        with pytest.raises(ValueError, match="Unterminated|Expecting"):
            cut.json()


def test_a_reset_in_the_middle(door: str) -> None:
    with asked(door, vendor(Hazard("reset_mid_body", page=1))) as raw:
        with pytest.raises(httpx.ReadError):
            raw.get(limit=10)
        assert raw.page()["more"] is True


def test_a_stall_ends_in_a_time_out_and_nobody_waits_for_it(door: str) -> None:
    made = vendor(Hazard("stall", page=1, seconds=30))
    began = time.monotonic()
    with asked(door, made, read=0.2) as raw:
        with pytest.raises(httpx.ReadTimeout):
            raw.get(limit=10)
        assert raw.page()["more"] is True
    assert time.monotonic() - began < 5
    made.check_fired()


def test_a_stall_shorter_than_the_clients_patience_only_takes_time(door: str) -> None:
    made = vendor(Hazard("stall", page=1, seconds=30 if door == "memory" else 0.05))
    before = made.clock.now()
    with asked(door, made) as raw:
        assert raw.page()["more"] is True
    if door == "memory":
        assert (made.clock.now() - before).total_seconds() == 30
    made.check_fired()
