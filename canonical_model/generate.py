"""Writes what follows from the vocabulary: ``python -m canonical_model.generate [--check]``.

Guarantee: with ``--check`` nothing is written, and exit 1 names every file that is missing, stale or left over.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from canonical_model.row_schema import entity_schema
from canonical_model.vocabulary import load_vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from canonical_model.vocabulary import Entity, Term, Vocabulary

ROOT = Path(__file__).parent.parent
SCHEMAS = Path("canonical_model/schemas")
REFERENCE = Path("docs/reference/vocabulary.md")


def render(vocabulary: Vocabulary) -> dict[Path, str]:
    """Return every generated file: path below the repository's root -> text. Pure."""
    files = {
        SCHEMAS / f"{entity.name}.schema.json": _json(entity, vocabulary.version)
        for entity in vocabulary.entities.values()
    }
    return files | {REFERENCE: "\n".join(_reference(vocabulary)) + "\n"}


def stale(files: dict[Path, str], root: Path = ROOT) -> list[str]:
    """Return the paths that differ from what they should be, and schemas of entities that are gone."""
    changed = [path for path, text in files.items() if _text(root / path) != text]
    over = [path.relative_to(root) for path in (root / SCHEMAS).glob("*.json") if path.relative_to(root) not in files]
    return sorted(str(path) for path in [*changed, *over])


def write(files: dict[Path, str], root: Path = ROOT) -> None:
    """Make the tree equal to ``files``; schemas of entities that are gone are removed."""
    for name in stale(files, root):
        path = root / name
        if Path(name) not in files:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[Path(name)], encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m canonical_model.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is not current")
    options = parser.parse_args(arguments)
    files = render(load_vocabulary())
    names = stale(files)
    if not options.check:
        write(files)
    for name in names:
        sys.stdout.write(f"{'not current' if options.check else 'written'}: {name}\n")
    if names and options.check:
        sys.stdout.write("  → run: python -m canonical_model.generate\n")
    return int(bool(names) and options.check)


def _json(entity: Entity, version: str) -> str:
    return json.dumps(entity_schema(entity, version), indent=2, ensure_ascii=False) + "\n"


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def _reference(vocabulary: Vocabulary) -> Iterator[str]:
    yield f"# Vocabulary {vocabulary.version}"
    yield ""
    yield "Generated from `canonical_model/entities/` by `python -m canonical_model.generate`; do not edit."
    yield "Types are those of [canonical rows](../../canonical_model/schemas/); *multi* = a list of distinct values."
    yield ""
    yield "| entity | kind | golden | meaning |"
    yield "|---|---|---|---|"
    for entity in vocabulary.entities.values():
        golden = "yes" if entity.golden else ""
        yield f"| [{entity.name}](#{entity.name}) | {entity.kind} | {golden} | {_cell(entity.brief)} |"
    for entity in vocabulary.entities.values():
        yield from ["", f"## {entity.name}", "", f"{entity.title} ({entity.kind}). {entity.brief}", ""]
        yield "| term | type | meaning | example | stability | personal data |"
        yield "|---|---|---|---|---|---|"
        yield from (_line(term) for term in entity.terms.values())


def _line(term: Term) -> str:
    example = term.examples[0]
    shown = example if isinstance(example, str) else json.dumps(example, ensure_ascii=False)
    cells = [f"`{term.name}`", _type(term), _cell(_meaning(term)), f"`{_cell(shown)}`", term.stability, term.personal]
    return f"| {' | '.join(cells)} |"


def _type(term: Term) -> str:
    target = f" → {term.to}" if term.to else ""
    marks = [mark for mark, present in (("multi", term.multi), ("required", term.required)) if present]
    return ", ".join([f"{term.type}{target}", *marks])


def _meaning(term: Term) -> str:
    parts = [term.brief]
    if term.values:
        parts.append(f"One of {', '.join(f'`{value}`' for value in term.values)}.")
    if term.bounds:
        parts.append(f"{term.bounds.capitalize()}.")
    if term.currency:
        parts.append(f"Currency: `{term.currency}`.")
    if term.default:
        parts.append("Without a value: the record itself.")
    if term.renamed_to:
        parts.append(f"Use `{term.renamed_to}`.")
    return " ".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
