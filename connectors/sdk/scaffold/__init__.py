"""``connectors new``: a folder that loads from the first minute and whose check names what is still missing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from connectors.sdk.errors import FixConfig

__all__ = ["new_connector"]

TEMPLATES: Final = Path(__file__).parent / "templates"
_NAME: Final = re.compile(r"^[a-z][a-z0-9_]*$")


def new_connector(name: str, root: Path | str) -> Path:
    """Write the folder of a new connector below ``root`` and return it; nothing that exists is touched."""
    if not _NAME.match(name):
        raise FixConfig(
            f"'{name}' is no connector name", do="use lower-case letters, digits and _; begin with a letter"
        )
    folder = Path(root) / name
    if folder.exists():
        raise FixConfig(f"{folder} exists", do="choose another name, or remove it")
    for template in sorted(path for path in TEMPLATES.rglob("*.tmpl") if path.is_file()):
        file = folder / template.relative_to(TEMPLATES).with_suffix("")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_filled(template.read_text(encoding="utf-8"), name), encoding="utf-8")
    return folder


def _filled(text: str, name: str) -> str:
    title = name.replace("_", " ").title()
    return text.replace("@name@", name).replace("@title@", title)
