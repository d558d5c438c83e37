"""`unisono explain pair` in words: who the two are, what keeps them apart, the score step by step, what it counts for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from pipelines.cli.app import app
from pipelines.store import Store
from tests.resolve.world import land, resolve

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow  # goes through a whole stage

HOME = {"given_name": "gustav", "family_name": "kragstad", "street": "248 elm road", "city": "vigo"}
FATHER = {**HOME, "key": "father", "birth_date": "1957-02-08", "email": "gustav57@mail.example"}
SON = {**HOME, "key": "son", "birth_date": "1992-07-13", "email": "gustav92@web.example"}


def told(folder: Path, *records: str) -> list[str]:
    """What the command says of two records of a store that holds a father and his son."""
    url = f"sqlite:///{folder}/store.db"
    (folder / "unisono.yaml").write_text(
        f"store: {url}\nlanding: {folder}/landing\nconnections: []\n", encoding="utf-8"
    )
    with Store.open(url) as store:
        land(store, [FATHER, SON])
        resolve(store)
    done = CliRunner().invoke(app, ["--config", str(folder / "unisono.yaml"), "explain", "pair", *records])
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def test_two_that_are_kept_apart_are_told_in_words(tmp_path: Path) -> None:
    lines = told(tmp_path, "crm/contact/father", "crm/contact/son")

    assert lines[0].startswith("crm/contact/father and crm/contact/son are two: person ")
    score, *steps = [line for line in lines if line.startswith(("score ", "  +", "  -", "     "))]
    assert "step by step:" in score
    assert any("street" in step for step in steps)
    assert any(line.startswith("counts for ") and line.endswith(" in the partition:") for line in lines)
    assert lines[-1] == "birth_date differs: 19570208 and 19920713"
