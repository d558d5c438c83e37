"""Probabilistic identity: learned without labels, reproducible, independent of row order."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.resolve import MatchModel, bench_identity
from pipelines.resolve.bench import accuracy
from pipelines.resolve.engine import Resolution
from pipelines.resolve.match_files import match_files
from pipelines.resolve.match_view import match_table
from pipelines.resolve.read_csv import read_records
from tests.resolve.people import groups, resolve, table, together

pytestmark = pytest.mark.slow  # two real trainings

SHARED = Path(os.environ.get("UNISONO_SHARED", Path(__file__).parents[3] / "shared")) / "identity"


@pytest.fixture(scope="module")
def febrl1() -> pa.Table:
    folder = SHARED / "febrl1"
    if not folder.is_dir():
        pytest.fail(f"{folder} is missing: set UNISONO_SHARED to the folder that holds identity/febrl1")
    return read_records(folder / "records.csv", "person", source="bench")


@pytest.fixture(scope="module")
def learned(febrl1: pa.Table) -> Resolution:
    return resolve(febrl1)


def test_febrl1_is_resolved_without_labels(learned: Resolution) -> None:
    cluster = {
        row["source_key"]: row["cluster"]
        for row in csv.DictReader((SHARED / "febrl1" / "truth.csv").read_text().splitlines())
    }
    truth = [cluster[ref.split("/")[1]] for ref in learned.source_refs.to_pylist()]

    assert learned.model.origin == "learned"
    assert accuracy(learned.labels.tolist(), truth)["pairwise_f1"] >= 0.99


def test_bench_line_has_the_agreed_fields_and_reads_only_the_entity(tmp_path: Path) -> None:
    (tmp_path / "dataset.yaml").write_text("entity: person\nthreshold: 0.99\n")
    (tmp_path / "records.csv").write_text(
        "source,source_key,full_name,email\na,1,Ada Lovelace,ada@x.example\na,2,Ada Lovelace,ada@x.example\n"
    )
    (tmp_path / "truth.csv").write_text("source_key,cluster\n1,9\n2,9\n")

    line = bench_identity(tmp_path)

    assert line["pairwise_f1"] == 1.0
    assert set(line) == {
        "name", "pairwise_precision", "pairwise_recall", "pairwise_f1", "b3_f1", "clusters", "largest_cluster", "threshold",
        "seconds", "peak_memory_mb",
    }  # fmt: skip


def test_loaded_model_scores_as_the_fresh_one(febrl1: pa.Table, learned: Resolution) -> None:
    loaded = MatchModel.from_json(learned.model.to_json())

    again = resolve(febrl1, model=loaded)

    assert loaded == learned.model
    assert again.evidence.equals(learned.evidence)
    assert again.labels.tolist() == learned.labels.tolist()


def test_partition_does_not_depend_on_row_order(febrl1: pa.Table) -> None:
    kept = ("source_record_id", "source_ref", "is_stub", "role_class", "given_name", "family_name", "birth_date")
    few = match_table("person", {name: febrl1[name] for name in kept}).slice(0, 450)
    turned = few.take(pa.array(range(few.num_rows - 1, -1, -1)))

    first, again = resolve(few), resolve(turned)

    assert again.model.to_json() == first.model.to_json()
    assert groups(again) == groups(first)


def test_unrelated_records_change_no_cluster_under_one_model(febrl1: pa.Table, learned: Resolution) -> None:
    half = febrl1.slice(0, 300)

    alone = groups(resolve(half, model=learned.model))

    whole = groups(learned)
    names = {name for group in alone for name in group}
    assert alone == {group & names for group in whole if group & names}


def test_few_records_use_the_built_in_weights_and_say_so() -> None:
    same = {"given_name": "Ada", "family_name": "Lovelace", "birth_date": "1815-12-10", "city": "London"}
    other = {"given_name": "Mary", "family_name": "Somerville", "birth_date": "1780-12-26", "city": "Jedburgh"}

    resolution = resolve(table(same, {**same, "given_name": "Adah"}, other))

    assert resolution.model.origin == "built-in"
    assert groups(resolution) == {frozenset({"r0", "r1"}), frozenset({"r2"})}


def test_scored_evidence_names_no_value_and_carries_its_weight(learned: Resolution) -> None:
    scored = [row for row in learned.evidence.to_pylist() if row["kind"] == "scored"]

    assert scored
    assert all(isinstance(row["weight"], float) for row in scored)
    assert learned.evidence.column_names == ["left_id", "right_id", "kind", "rule", "judgement", "weight"]


def test_same_name_alone_is_not_one_person_among_contradictions() -> None:
    name = {"given_name": "John", "family_name": "Smith"}
    first = {**name, "birth_date": "1950-01-31", "city": "Leeds", "emails": "john1@a.example"}
    second = {**name, "birth_date": "1988-07-02", "city": "Exeter", "emails": "smithy@b.example"}

    assert together(first, second) == set()


def test_unknown_column_is_a_plain_attribute(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "id,First Name,Surname,E-mail,favourite colour\n1,Ada,Lovelace,ada@x.example,blue\n2,Ada,Lovelace,ada@x.example,\n3,Bob,Babbage,,red\n"
    )

    result = match_files(path)

    assert [row["source_count"] for row in result["golden"]] == [2, 1]
    assert result["golden"][0]["favourite_colour"] == "blue"
    assert [(pair["left"], pair["right"]) for pair in result["pairs"]][:1] == [("a.csv/1", "a.csv/2")]


def test_two_files_are_matched_with_each_other(tmp_path: Path) -> None:
    a, b = tmp_path / "a.csv", tmp_path / "b.csv"
    a.write_text("name,email\nAda Lovelace,ADA@x.example\n")
    b.write_text("customer_name,email address\nLovelace Ada,ada@x.example\nBob Babbage,bob@x.example\n")

    result = match_files(a, b)

    assert sorted(row["source_count"] for row in result["golden"]) == [1, 2]


def test_accuracy_counts_pairs_and_records() -> None:
    found = accuracy([1, 1, 1, 2], ["a", "a", "b", "b"])

    assert found == {
        "pairwise_precision": 0.3333, "pairwise_recall": 0.5, "pairwise_f1": 0.4, "b3_f1": 0.7059, "clusters": 2, "largest_cluster": 3,
    }  # fmt: skip


def test_organisations_match_across_legal_forms() -> None:
    first = {"name": "Analytical Engines Ltd", "phones": "+442079460000", "postcode": "SW1Y 4JH"}
    second = {"name": "ANALYTICAL ENGINES LIMITED", "phones": "+442079460000", "postcode": "SW1Y4JH"}
    other = {"name": "Difference Machines GmbH", "phones": "+49301234567", "postcode": "10115"}

    assert together(first, second, other, entity="organization") == {frozenset({"r0", "r1"})}


def test_five_runs_give_the_same_bits(febrl1: pa.Table, learned: Resolution) -> None:
    for _ in range(4):
        again = resolve(febrl1)

        assert again.model.to_json() == learned.model.to_json()
        assert again.evidence.equals(learned.evidence)
        assert again.labels.tolist() == learned.labels.tolist()


def test_vendors_own_numbers_are_not_compared_however_alike(febrl1: pa.Table) -> None:
    numbers = pa.array([[f"crm.contact={100_000 + n}"] for n in range(febrl1.num_rows)], pa.list_(pa.string()))
    place = febrl1.column_names.index("identifiers")

    resolution = resolve(febrl1.set_column(place, "identifiers", numbers))

    assert resolution.model.origin == "learned"
    assert resolution.model.systems == {}
    assert "source" not in {item.name for item in resolution.model.comparisons}
