"""What is generated from the vocabulary is committed and current."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from canonical_model import generate, load_vocabulary

if TYPE_CHECKING:
    from pathlib import Path


def test_committed_schemas_and_reference_page_are_current() -> None:
    assert generate.stale(generate.render(load_vocabulary())) == []


def test_writing_makes_everything_current_and_removes_what_is_left_over(tmp_path: Path) -> None:
    files = generate.render(load_vocabulary())
    left_over = tmp_path / generate.SCHEMAS / "gone.schema.json"
    left_over.parent.mkdir(parents=True)
    left_over.write_text("{}", encoding="utf-8")
    assert len(generate.stale(files, tmp_path)) == len(files) + 1
    generate.write(files, tmp_path)
    assert generate.stale(files, tmp_path) == []
    assert not left_over.exists()


def test_check_names_a_stale_file_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "stale", lambda files: ["docs/reference/vocabulary.md"])
    monkeypatch.setattr(generate, "write", lambda files: pytest.fail("--check must not write"))
    assert generate.main(["--check"]) == 1
    assert "not current: docs/reference/vocabulary.md" in capsys.readouterr().out


def test_every_entity_has_a_schema_and_every_term_a_line_in_the_reference() -> None:
    files = generate.render(load_vocabulary())
    page = files[generate.REFERENCE]
    for entity in load_vocabulary().entities.values():
        schema = json.loads(files[generate.SCHEMAS / f"{entity.name}.schema.json"])
        assert set(entity.terms) | {"extras"} == set(schema["properties"])
        section = page.split(f"\n## {entity.name}\n")[1].split("\n## ")[0]
        assert all(f"| `{name}` |" in section for name in entity.terms)
