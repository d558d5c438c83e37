"""The generated tables of a connector's README: between markers, from manifest and mapping, so that they cannot lie.

``python -m connectors.sdk.docs NAME…`` writes them; ``--check`` only says which are not current.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from connectors.sdk.catalog import ConnectorFolder, find_connector, find_connectors
from connectors.sdk.errors import UnisonoError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from connectors.sdk.mapping import Mapping as FieldMapping
    from connectors.sdk.specs import Manifest, StreamSpec

_BEGIN: Final = "<!-- {name}: generated, do not edit -->"
_END: Final = "<!-- /{name} -->"


def _streams(manifest: Manifest, mapping: FieldMapping) -> str:
    lines = ["| stream | object | becomes | how it is read | default |", "|---|---|---|---|---|"]
    for name, spec in manifest.streams.items():
        entities = dict.fromkeys(emit.entity for emit in mapping.streams[name].emits) if name in mapping.streams else ()
        cells = (name, spec.object, ", ".join(entities) or "-", _reading(spec), "yes" if spec.default else "")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _reading(spec: StreamSpec) -> str:
    how = "incremental" if spec.incremental is not None else "snapshot"
    parts = [how]
    parts += [f"per {spec.parent.stream} record"] if spec.parent is not None else []
    parts += [f"per {spec.partitions[0]}"] if spec.partitions is not None else []
    parts += ["deletes seen"] if spec.deleted or spec.listing or spec.absence or spec.with_parent else []
    parts += ["optional"] if spec.optional else []
    return ", ".join(parts)


def _config(manifest: Manifest, _mapping: FieldMapping) -> str:
    lines = ["| option | secret | what it is |", "|---|---|---|"]
    for name, option in manifest.config_schema.get("properties", {}).items():
        text = ": ".join(part for part in (option.get("title"), option.get("description")) if part)
        lines.append(f"| `{name}` | {'yes' if option.get('secret') else ''} | {text} |")
    return "\n".join(lines)


TABLES: Final[dict[str, Callable[[Manifest, FieldMapping], str]]] = {"streams": _streams, "config": _config}


def readme_tables(folder: Path | str) -> str:
    """Return the README of a connector with every marked table made anew; unmarked ones are added."""
    connector = ConnectorFolder(Path(folder).resolve())
    file = connector.path / "README.md"
    text = file.read_text(encoding="utf-8") if file.exists() else f"# {connector.manifest.title}\n"
    for name, table in TABLES.items():
        text = _replaced(text, name, table(connector.manifest, connector.mapping))
    return text


def _replaced(text: str, name: str, table: str) -> str:
    begin, end = _BEGIN.format(name=name), _END.format(name=name)
    block = f"{begin}\n{table}\n{end}"
    if begin not in text or end not in text:
        return f"{text.rstrip()}\n\n## {name.title()}\n\n{block}\n"
    head, _, rest = text.partition(begin)
    return head + block + rest.partition(end)[2]


def stale_tables(manifest: Manifest, mapping: FieldMapping, text: str) -> Iterator[str]:
    """Yield the tables that are missing from a README or not current in it."""
    for name, table in TABLES.items():
        block = f"{_BEGIN.format(name=name)}\n{table(manifest, mapping)}\n{_END.format(name=name)}"
        if block not in text:
            yield f"README.md: the table '{name}' is missing or not current"


def _named(name: str) -> ConnectorFolder:
    """Return a connector by its name, or by its folder wherever that lies."""
    folder = Path(name)
    return ConnectorFolder(folder.resolve()) if (folder / "manifest.yaml").is_file() else find_connector(name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write, or with ``--check`` compare, the generated tables of the named connectors' READMEs."""
    parser = argparse.ArgumentParser(prog="python -m connectors.sdk.docs", description=main.__doc__)
    parser.add_argument("names", nargs="*", help="connectors, or folders of connectors; all ours when none is named")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args(arguments)
    try:
        connectors = [_named(name) for name in options.names] or list(find_connectors().values())
    except UnisonoError as why:
        sys.stderr.write(f"error: {why}\n")
        return why.exit_code
    stale = 0
    for connector in connectors:
        file, made = connector.path / "README.md", readme_tables(connector.path)
        if not file.exists() or file.read_text(encoding="utf-8") != made:
            stale += 1
            sys.stdout.write(f"{file}\n")
            if not options.check:
                file.write_text(made, encoding="utf-8")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
