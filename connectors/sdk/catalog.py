"""Which connectors there are: folders with a manifest.yaml, found by scanning, never imported by name."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING

import connectors
from connectors.sdk.errors import FixConfig, FixConnector
from connectors.sdk.manifest import Manifest, load_manifest
from connectors.sdk.yaml_lines import suggest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from connectors.sdk.mapping import Mapping as FieldMapping

ENTRY_POINTS = "unisono.connectors"
MANIFEST = "manifest.yaml"


@dataclass(frozen=True)
class ConnectorFolder:
    """One connector's folder; its files are read when asked for, so that a broken one only breaks itself."""

    path: Path

    @property
    def name(self) -> str:
        """Name of the connector: that of its folder."""
        return self.path.name

    @cached_property
    def manifest(self) -> Manifest:
        """The checked manifest."""
        return load_manifest(self.path / MANIFEST)

    @cached_property
    def mapping(self) -> FieldMapping:
        """The checked mapping."""
        from canonical_model import load_vocabulary  # noqa: PLC0415  only who maps pays for the vocabulary
        from connectors.sdk.mapping import load_mapping  # noqa: PLC0415  as above

        return load_mapping(self.path / "mapping.yaml", self.manifest, load_vocabulary())


def find_connectors(extra_paths: Iterable[Path | str] = ()) -> Mapping[str, ConnectorFolder]:
    """Return every connector by name: the bundled ones, installed plugins, then those under ``extra_paths``.

    Two folders of one name are refused: which one ran would depend on the order of a list.
    """
    found: dict[str, ConnectorFolder] = {}
    for folder in (*_bundled(), *_installed(), *_extra(extra_paths)):
        other = found.get(folder.name)
        if other is not None and other.path != folder.path:
            raise FixConnector(
                f"two connectors are named '{folder.name}'", where=str(folder.path), why=f"the other is {other.path}",
                do="rename one folder and its manifest's name",
            )  # fmt: skip
        found[folder.name] = folder
    return dict(sorted(found.items()))


def find_connector(name: str, extra_paths: Iterable[Path | str] = ()) -> ConnectorFolder:
    """Return one connector by name; the error lists the known ones."""
    found = find_connectors(extra_paths)
    if name not in found:
        raise FixConfig(f"there is no connector '{name}'", do=suggest(name, list(found)))
    return found[name]


def _bundled() -> Iterator[ConnectorFolder]:
    for root in connectors.__path__:
        yield from _folders(Path(root))


def _installed() -> Iterator[ConnectorFolder]:
    for entry in metadata.entry_points(group=ENTRY_POINTS):
        spec = util.find_spec(entry.module)
        for root in (spec.submodule_search_locations or ()) if spec else ():
            yield from _folders(Path(root))


def _extra(paths: Iterable[Path | str]) -> Iterator[ConnectorFolder]:
    for path in map(Path, paths):
        if not path.is_dir():
            raise FixConfig(f"connector_paths names '{path}', which is no folder", do="create it or remove it there")
        yield from _folders(path)


def _folders(root: Path) -> Iterator[ConnectorFolder]:
    """Yield the connector at ``root``, or those one level below."""
    if (root / MANIFEST).is_file():
        yield ConnectorFolder(root.resolve())
        return
    for folder in sorted(root.iterdir()):
        if (folder / MANIFEST).is_file():
            yield ConnectorFolder(folder.resolve())
