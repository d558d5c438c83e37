"""The fuse blows when too many of the last records are bad, wherever the pages are cut, and not a record earlier."""

from __future__ import annotations

import pytest

from connectors.sdk.errors import TooManyBad
from pipelines.fuse import Fuse, FuseLimits


def fuse(window: int = 10, max_bad: int = 3) -> Fuse:
    return Fuse(FuseLimits(window, max_bad), "crm/contacts", "mend it")


def test_bad_records_far_apart_never_blow_it():
    watched = fuse()
    for _ in range(100):
        watched.take(4, [0], ["x"])


def test_one_more_than_allowed_within_the_window_blows_it_across_pages():
    watched = fuse()
    watched.take(5, [3, 4], ["x", "x"])
    watched.take(3, [0], ["y"])

    with pytest.raises(
        TooManyBad, match=r"4 of the last 9 records are bad, at most 3 .*most often: 2 x x; 2 x y.*\n.*mend it"
    ):
        watched.take(2, [0], ["y"])


def test_the_window_slides_record_by_record():
    watched = fuse()
    watched.take(11, [0, 8, 9, 10], ["x"] * 4)

    with pytest.raises(TooManyBad):
        fuse().take(10, [0, 7, 8, 9], ["x"] * 4)


def test_a_window_of_none_switches_it_off():
    fuse(0, 0).take(1_000, range(1_000), ["x"] * 1_000)
