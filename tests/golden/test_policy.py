"""The policy says how golden records are chosen; what it gets wrong is refused with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.sdk.errors import FixConfig
from pipelines.golden.policy import UNION, golden_columns, load_policy
from pipelines.golden.rules import MANUAL, RULES
from pipelines.golden.stage import fingerprint
from pipelines.store.tables import metadata


def own(tmp_path: Path, text: str) -> Path:
    """A policy file of the user's."""
    file = tmp_path / "policy.yaml"
    file.write_text(f"version: 1\n{text}", encoding="utf-8")
    return file


@pytest.mark.parametrize("entity", ["person", "organization"])
def test_every_golden_column_is_chosen_exactly_once(entity: str) -> None:
    chosen = [column for choice in load_policy(entity).choices for column in choice.columns]
    assert sorted(chosen) == sorted(golden_columns(entity))


@pytest.mark.parametrize("entity", ["person", "organization"])
def test_every_golden_column_has_its_place_in_the_store(entity: str) -> None:
    table = metadata.tables[f"golden_{entity}"]
    assert {*golden_columns(entity), "roles", "source_count", "is_stub", "provenance"} <= set(table.c.keys())


def test_a_users_file_changes_only_what_it_names(tmp_path: Path) -> None:
    changed = load_policy("person", own(tmp_path, "entities: {person: {attributes: {job_title: {rules: [frequent]}}}}"))
    default = load_policy("person")
    assert changed.choice("job_title").rules == ("frequent",)
    differing = [c.name for c, d in zip(changed.choices, default.choices, strict=True) if c != d]
    assert differing == ["job_title"]


def test_a_group_of_ours_can_be_dissolved_or_replaced(tmp_path: Path) -> None:
    dissolved = load_policy("person", own(tmp_path, "entities: {person: {groups: {name: null}}}"))
    assert not dissolved.choice("given_name").is_group
    text = "entities: {person: {groups: {work: {terms: [job_title, organization_name], rules: [recent]}}}}"
    assert load_policy("person", own(tmp_path, text)).choice("job_title").columns == ("job_title", "organization_name")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("truste: {crm: 1}", r"policy\.yaml:2: unknown key 'truste'.*\n.*did you mean 'trust'"),
        ("trust: {crm: 101}", r"policy\.yaml:2: .*\n.*from 0 to 100"),
        ("rules: [newest]", r"policy\.yaml:2: 'newest' is not allowed.*\n.*recent"),
        ("trust: {crn: 50}", r"policy\.yaml:2: no connection or connector 'crn'\n.*did you mean 'crm'"),
        ("entities: {ticket: {}}", r"policy\.yaml:2: no golden entity 'ticket'\n.*person"),
        ("entities:\n  person:\n    attributes: {nmae: {rules: [recent]}}", r"policy\.yaml:4: .*no attribute 'nmae'"),
        (
            "entities: {person: {attributes: {status: {rules: [verified]}}}}",
            r"'verified' cannot judge status\n.*use: trust",
        ),
        ("entities: {person: {attributes: {status: {rules: [earliest]}}}}", r"'earliest' cannot judge status"),
        ("entities: {person: {attributes: {status: {rules: [union]}}}}", r"'union' cannot judge status"),
        ("entities: {person: {attributes: {created_at: {rules: [earliest, recent]}}}}", r"rules together are too long"),
        ("entities: {person: {groups: {g: {terms: [status, city], rules: [recent]}}}}", r"mixes terms of the record"),
        (
            "entities: {person: {groups: {g: {terms: [status, gender], rules: [recent], compose: {full_name: [status]}}}}}",
            r"compose names 'full_name' outside",
        ),
        (
            "entities: {person: {groups: {g: {terms: [status, gender], rules: [recent]}}, attributes: {status: {rules: [recent]}}}}",
            r"'status' is chosen by 'g' and by 'status'",
        ),
        ("", r"missing key 'version'"),
    ],
)
def test_a_wrong_policy_is_refused_with_file_line_and_what_is_allowed(tmp_path: Path, text: str, said: str) -> None:
    file = own(tmp_path, text)
    if not text:
        file.write_text("{}", encoding="utf-8")
    with pytest.raises(FixConfig, match=said):
        load_policy("person", file, known_sources={"crm", "desk"})


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("{max: 20, min: 30, decay_days: 9}", r"lowest trust in 'crm' is above the highest"),
        ("{max: 20}", r"how the trust in 'crm' fades is not clear\n.*half_life_days or decay_days"),
        ("{max: 20, half_life_days: 9, decay_days: 9}", r"how the trust in 'crm' fades is not clear"),
        ("{max: 20, half_life_days: 0}", r"above 0"),
        ("{max: 20, halflife: 3}", r"unknown key 'halflife'"),
        ("{min: 20, decay_days: 9}", r"missing key 'max'"),
    ],
)
def test_trust_whose_decay_is_not_clear_is_refused(tmp_path: Path, told: str, said: str) -> None:
    with pytest.raises(FixConfig, match=said):
        load_policy("person", own(tmp_path, f"trust: {{crm: {told}}}"))


def test_the_page_about_survivorship_shows_a_policy_that_loads_and_names_every_rule(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/how-to/survivorship.md").read_text(encoding="utf-8")
    example = page.partition("```yaml\n")[2].partition("```")[0]
    file = tmp_path / "policy.yaml"
    file.write_text(example, encoding="utf-8")
    shown = load_policy("person", file)
    assert shown.choice("given_name").columns == ("given_name",)
    assert shown.decays
    assert not load_policy("person").decays
    assert [name for name in (*RULES, UNION, MANUAL) if f"| {name} |" not in page] == []


def test_an_unknown_attribute_is_answered_with_the_known_ones() -> None:
    with pytest.raises(FixConfig, match=r"no attribute 'full_nmae'\n.*did you mean 'full_name'"):
        load_policy("person").choice("full_nmae")


def test_the_fingerprint_tells_policies_apart_and_only_them(tmp_path: Path) -> None:
    default = load_policy("person")
    assert fingerprint(default) == fingerprint(load_policy("person", own(tmp_path, "")))
    assert fingerprint(default) != fingerprint(load_policy("person", own(tmp_path, "trust: {crm: 60}")))
