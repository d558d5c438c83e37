"""`unisono explain household`: in words and as JSON, by the household's id or a person's."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from pipelines.cli.app import app
from pipelines.store import Store, household_reads
from pipelines.store.tables import entity_id
from tests.resolve.town import Town, person

pytestmark = pytest.mark.slow  # goes through a whole stage

RUN = CliRunner()


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ada (1) and Bo (2) Berg live in one home; Di Holm (3) lives there too."""
    folder = tmp_path_factory.mktemp("home")
    file = folder / "unisono.yaml"
    text = f"store: sqlite:///{folder}/store.db\nlanding: {folder}/landing\nconnections: []\n"
    file.write_text(text, encoding="utf-8")
    with Store.open(f"sqlite:///{folder}/store.db") as store:
        town = Town(store)
        people = (1, "Ada", "Berg"), (2, "Bo", "Berg"), (3, "Di", "Holm")
        ids = {"entity_id": [1, 2, 3], "entity": ["person"] * 3, "status": ["active"] * 3, "minted_seq": [1] * 3}
        town.do(*(person(*each, "12 High Street") for each in people), lambda tx: tx.upsert(entity_id, pa.table(ids)))
        town.run()
        assert household_reads.members(store, 1).num_rows == 2
    return file


def called(config: Path, *arguments: str, code: int = 0) -> str:
    done = RUN.invoke(app, ["--config", str(config), "explain", "household", *arguments])
    assert done.exit_code == code, done.output
    return done.stdout


def test_a_household_is_told_in_words(config: Path) -> None:
    first, ada, _, together, against, _ = called(config, "4").splitlines()

    assert first == "household 4: 2 persons, known since 2026-06-01"
    assert ada == "  Ada Berg (1): address+name, at this address since 2024-05-02, known since 2026-06-01"
    assert together.endswith("Ada Berg (1) and Bo Berg (2) have address 12 High Street, 223 50, Lund, name Berg")
    assert against.startswith(
        "joined nobody: address 12 High Street, 223 50, Lund of Di Holm (3) and Ada Berg (1): the"
    )


def test_a_person_stands_for_its_household_and_one_without_is_told_why(config: Path) -> None:
    by_person, by_household = (json.loads(called(config, number, "--json")) for number in ("2", "4"))

    assert by_person | {"person_id": None} == by_household
    assert called(config, "3").splitlines()[0] == "person 3 is in no household"


def test_a_household_has_no_fields(config: Path) -> None:
    done = RUN.invoke(app, ["--config", str(config), "explain", "household", "4", "street"])

    assert "a household has no 'street'" in str(done.exception)
