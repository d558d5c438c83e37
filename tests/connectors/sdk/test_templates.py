"""Template words: what has a value is filled in, what has none is left out, lists join the list around them."""

from __future__ import annotations

import pytest

from connectors.sdk.catalog import find_connector
from connectors.sdk.errors import FixConfig
from connectors.sdk.manifest import connect
from connectors.sdk.requests import render_params
from connectors.sdk.templates import render_tree

KEYS = {"email": "a@x.example", "api_token": "t"}


def test_a_list_word_puts_its_elements_into_the_list_around_it():
    scope = {"config": {"more": ["b", "c"]}}

    assert render_tree({"properties": ["a", "{config.more}"]}, scope) == {"properties": ["a", "b", "c"]}
    assert render_params({"properties": ["a", "{config.more}"]}, scope) == (("properties", "a,b,c"),)


def test_a_word_without_value_leaves_the_rest_of_the_list():
    assert render_tree({"properties": ["a", "{config.more}"]}, {"config": {}}) == {"properties": ["a"]}


def test_a_list_in_a_list_that_is_no_word_stays_nested():
    assert render_tree([["a"], "b"], {}) == [["a"], "b"]


def test_a_missing_part_of_the_address_is_named_in_the_config_error():
    manifest = find_connector("zendesk").manifest

    with pytest.raises(FixConfig, match="lacks subdomain") as raised:
        connect(manifest, name="desk", connection_id="c1", config=KEYS)

    assert "base_url" in str(raised.value)


def test_a_base_url_of_the_connection_needs_no_part_of_the_address():
    settings = connect(
        find_connector("zendesk").manifest, name="d", connection_id="c", config=KEYS, base_url="http://127.0.0.1:1/z/"
    )

    assert settings.base_url == "http://127.0.0.1:1/z"
