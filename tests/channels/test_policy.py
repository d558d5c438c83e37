"""The channel policy: words are compared by their letters, a file of one's own says only what differs, faults are placed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from connectors.sdk.errors import FixConfig
from pipelines.channels.policy import DEFAULT, folded, load_policy

if TYPE_CHECKING:
    from pathlib import Path


def test_words_are_one_whatever_their_case_and_signs():
    assert {folded(word) for word in ("HARD_BOUNCE", "hardBounce", "Hard bounce")} == {"hardbounce"}
    assert load_policy().signals["hardbounce"] == "hard_bounced"


def test_a_file_of_ones_own_says_only_what_differs_and_is_another_policy(tmp_path: Path):
    own = tmp_path / "channels.yaml"
    own.write_text("signals: {hard_bounced: [dead letter]}\nfrequency: {messages: 1, days: 2}\n", encoding="utf-8")

    policy, shipped = load_policy(own), load_policy()

    assert (policy.signals["deadletter"], policy.messages, policy.within.days) == ("hard_bounced", 1, 2)
    assert (policy.quiet_from, policy.signals["delivered"]) == (shipped.quiet_from, "delivered")
    assert policy.fingerprint != shipped.fingerprint == load_policy().fingerprint


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("quiet_hours: {from: '25:00', to: '08:00'}", "channels.yaml:1"),
        ("signals: {bounced: [open]}", "'open' means both"),
        ("signal: {}", "channels.yaml:1"),
        ("deliverability: {unknown: 2}", "channels.yaml:1"),
    ],
)
def test_a_fault_is_named_with_its_place(tmp_path: Path, text: str, what: str):
    own = tmp_path / "channels.yaml"
    own.write_text(text, encoding="utf-8")

    with pytest.raises(FixConfig, match=what):
        load_policy(own)


def test_the_shipped_file_is_sound():
    assert load_policy() == load_policy(DEFAULT)
