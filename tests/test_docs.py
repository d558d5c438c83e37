"""The documentation says what is there: commands, stages, tables, connectors, dependencies."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import typer.main

from connectors.sdk.catalog import find_connectors
from pipelines.cli.app import app
from pipelines.stages import STAGES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _docs() -> str:
    pages = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    return "\n".join(page.read_text(encoding="utf-8") for page in (*pages, *(ROOT / "docs").rglob("*.md")))


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize("name", sorted(typer.main.get_command(app).commands))
def test_every_command_is_in_the_docs(name: str):
    assert re.search(rf"unisono {name}\b|`{name}", _docs())


@pytest.mark.parametrize(
    "word", [stage.name for stage in STAGES] + ["quarantine", "segment", "crosswalk", "evidence ledger"]
)
def test_stages_and_their_tables_are_in_the_glossary(word: str):
    assert f"| {word} |" in (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(find_connectors()))
def test_the_readme_lists_every_connector_with_its_streams(name: str):
    row = next(line for line in README.splitlines() if line.startswith(f"| [{name}]"))
    assert [stream for stream in find_connectors()[name].manifest.streams if stream not in row] == []


def test_every_dependency_has_its_reason():
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [*PROJECT["project"]["dependencies"], *(item for items in extras.values() for item in items)]
    names = {re.split(r"[\[<>=!~;, ]", item)[0] for item in wanted}
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    assert [
        name for name in sorted(names) if not re.search(rf"^\| [^|]*\b{re.escape(name)}\b", page, re.MULTILINE)
    ] == []


def test_every_locked_package_has_hashes_and_no_index_is_named():
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in lock
    assert all("--hash=sha256:" in block for block in re.split(r"\n(?=\S)", lock.strip()))


def test_the_changelog_has_the_version_of_the_package():
    assert f"## [{PROJECT['project']['version']}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_decision_is_listed():
    folder = ROOT / "docs" / "adr"
    listed = (folder / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in sorted(folder.glob("0*.md")) if page.name not in listed] == []
