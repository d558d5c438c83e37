"""Paging hazards, seen on plain HTTP: each does what the README's table says, and says that it did."""

from __future__ import annotations

import pytest

from connectors.sdk.testing.simulator import Hazard
from tests.connectors.sdk.testing.simulator.raw import Raw, ids, vendor

ALL = list(range(100_001, 100_026))


def test_without_hazards_every_record_comes_once() -> None:
    made = vendor()
    assert [one for page in Raw(made).walk() for one in page] == ALL


def test_a_filtered_page_is_short_and_leads_on_and_the_truth_knows_what_is_never_shown() -> None:
    made = vendor(Hazard("page_filtered_short", keep=3))
    assert list(Raw(made).walk()) == [ALL[:3], ALL[10:20], ALL[20:]]
    assert sorted(made.oracle.expected("things")) == [str(one) for one in [*ALL[:3], *ALL[10:]]]


def test_a_page_of_one_leads_to_the_next_record() -> None:
    pages = list(Raw(vendor(Hazard("page_of_one", page=2))).walk())
    assert [len(page) for page in pages] == [10, *[1] * 10, 5]
    assert [one for page in pages for one in page] == ALL


def test_a_numbered_page_of_one_hides_the_rest_of_it() -> None:
    made = vendor(Hazard("page_of_one", page=2), paging="page_number")
    pages = [ids(Raw(made).page(page=number)) for number in (1, 2, 3)]
    assert pages == [ALL[:10], ALL[10:11], ALL[20:]]


def test_an_empty_page_in_the_middle_leads_on() -> None:
    assert [len(page) for page in Raw(vendor(Hazard("empty_page"))).walk()] == [10, 0, 5]


def test_a_duplicate_page_comes_in_addition_where_a_token_leads() -> None:
    pages = list(Raw(vendor(Hazard("duplicate_page", page=2))).walk())
    assert pages == [ALL[:10], ALL[:10], ALL[10:20], ALL[20:]]


def test_a_duplicate_page_pushes_numbered_ones_down_for_good() -> None:
    raw = Raw(vendor(Hazard("duplicate_page", page=2), paging="offset"))
    assert [ids(raw.page(offset=at)) for at in (0, 10, 20, 30)] == [ALL[:10], ALL[:10], ALL[10:20], ALL[20:]]
    assert raw.page()["total"] == 35


def test_a_null_list_brings_no_marker_and_comes_once() -> None:
    made = vendor(Hazard("null_list", page=2))
    first = Raw(made).page()
    assert Raw(made).page(after=first["next"]) == {"items": None}
    assert ids(Raw(made).page(after=first["next"])) == ALL[10:20]


def test_a_null_end_comes_after_the_last_record() -> None:
    made = vendor(Hazard("null_end"))
    raw = Raw(made)
    assert [len(page) for page in raw.walk()] == [10, 10, 5, 0]
    assert made.plan.fired[-1].detail == "null after the last record"
    last = raw.get(**made.traffic.requests[-1].query).json()
    assert (last["items"], last["next"], last["more"]) == (None, None, False)


@pytest.mark.parametrize(
    ("paging", "marks"), [("cursor", {"next", "more"}), ("page_number", {"pages"}), ("offset", {"total"})]
)
def test_a_missing_marker_on_a_full_page(paging: str, marks: set[str]) -> None:
    raw = Raw(vendor(Hazard("missing_next"), paging=paging))
    assert set(raw.page()) == {"items"}
    assert set(raw.page()) == {"items", *marks}


def test_a_missing_link_header_on_a_full_page() -> None:
    raw = Raw(vendor(Hazard("missing_next"), paging="header_link"))
    assert "link" not in raw.get(limit=10).headers
    assert 'rel="next"' in raw.get(limit=10).headers["link"]


def test_a_next_link_leads_to_a_foreign_origin_where_a_thief_sees_the_token() -> None:
    made = vendor(Hazard("foreign_next"), paging="next_url")
    raw = Raw(made)
    url = raw.page()["links"]["next"]
    assert url.startswith("https://thief.example/things?")
    assert raw.get(url).json()["stolen"] is True
    assert made.traffic.presented()["https://thief.example"] == {"made-up-access-token"}
    assert [asked.path for asked in made.traffic.foreign()] == ["/things"]


def test_on_loopback_the_foreign_origin_is_another_port() -> None:
    made = vendor(Hazard("foreign_next"), paging="header_link")
    with made.served() as base_url:
        link = Raw(made, base_url).get(limit=10).links["next"]["url"]
        assert link.startswith("http://127.0.0.1:")
        assert not link.startswith(base_url)
        assert Raw(made, base_url).get(link).json()["stolen"] is True
    assert len(made.traffic.foreign()) == 1


def test_a_redirect_to_a_foreign_origin() -> None:
    made = vendor(Hazard("foreign_redirect", page=1))
    response = Raw(made).get(limit=10)
    assert (response.status_code, response.headers["location"]) == (302, "https://thief.example/things")


def test_a_loop_of_tokens_never_ends() -> None:
    made = vendor(Hazard("page_loop", page=2, to=1))
    walk = Raw(made).walk()
    assert [next(walk) for _ in range(5)] == [ALL[:10], ALL[10:20], ALL[:10], ALL[10:20], ALL[:10]]


def test_a_loop_of_offsets_serves_an_early_page_wherever_it_is_asked() -> None:
    raw = Raw(vendor(Hazard("page_loop", page=2, to=1), paging="offset_bare"))
    assert [ids(raw.page(offset=at)) for at in (0, 10, 20, 30, 900)] == [ALL[:10], ALL[10:20], *[ALL[:10]] * 3]
