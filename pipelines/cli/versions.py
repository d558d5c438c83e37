"""Two versions of a connector for ``unisono connectors diff``: from two folders, or from a git revision and the work tree."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from connectors.sdk.catalog import MANIFEST, ConnectorFolder
from connectors.sdk.contract import Verdict, compare
from connectors.sdk.errors import FixConfig


def verdict_of(old: Path | None, new: Path | None) -> tuple[str, Verdict]:
    """Return a connector's name and the verdict on its two folders; the old one may have any folder name."""
    assert old is not None
    assert new is not None
    for folder in (old, new):
        if not (folder / MANIFEST).is_file():
            raise FixConfig(f"{folder} is no connector", why=f"it has no {MANIFEST}", do="name a connector's folder")
    with tempfile.TemporaryDirectory() as place:
        folders = [_named(folder, Path(place) / side) for folder, side in ((old, "old"), (new, "new"))]
        return folders[1].name, compare(folders[0], folders[1])


def folders_since(revision: str, root: Path = Path("connectors")) -> Iterator[tuple[Path, Path]]:
    """Yield each connector that a git revision had too, as it was there and as it is."""
    known = [folder for folder in sorted(root.iterdir()) if (folder / MANIFEST).is_file()]
    with tempfile.TemporaryDirectory() as place:
        for folder in known:
            if _extracted(revision, folder, Path(place)):
                yield Path(place) / folder, folder


def _named(folder: Path, place: Path) -> ConnectorFolder:
    """Return the folder under the name its manifest gives: a copy of an older version may lie anywhere."""
    import yaml

    name = str(yaml.safe_load((folder / MANIFEST).read_text(encoding="utf-8"))["name"])
    shutil.copytree(folder, place / name)
    return ConnectorFolder(place / name)


def _extracted(revision: str, folder: Path, place: Path) -> bool:
    """Write a folder as it was at a revision below ``place``; False when it was not there."""
    there = subprocess.run(  # noqa: S603  our own arguments, no shell
        ["git", "ls-tree", "--name-only", revision, f"{folder.as_posix()}/"],  # noqa: S607  the user's git
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if there.returncode:
        raise FixConfig(f"git does not know '{revision}'", why=there.stderr.strip(), do="name a branch, tag or commit")
    if f"{folder.as_posix()}/{MANIFEST}" not in there.stdout.split("\n"):
        return False
    packed = subprocess.run(  # noqa: S603  as above
        ["git", "archive", revision, folder.as_posix()],  # noqa: S607
        capture_output=True, check=True,
    )  # fmt: skip
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(place, filter="data")
    return True
