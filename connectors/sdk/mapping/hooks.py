"""A connector's hooks.py: pure typed functions, loaded by file so that no vendor is ever imported by name."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from connectors.sdk.errors import FixConnector

if TYPE_CHECKING:
    from pathlib import Path

HookFunction = Callable[..., str | None]
_ALLOWED_IMPORTS = (
    "__future__",
    "re",
    "math",
    "json",
    "datetime",
    "decimal",
    "collections",
    "functools",
    "typing",
    "zoneinfo",
    "connectors.sdk",
)


def load_hooks(file: Path) -> Mapping[str, HookFunction]:
    """Return the public functions of a hooks.py; none when there is no such file."""
    if not file.exists():
        return MappingProxyType({})
    spec = importlib.util.spec_from_file_location(f"unisono_hooks_{file.parent.name}", file)
    if spec is None or spec.loader is None:
        raise FixConnector("cannot be loaded", where=str(file), do="make it a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise FixConnector("does not import", where=str(file), why=repr(error), do="fix the module") from error
    names = [node.name for node in _functions(file) if not node.name.startswith("_")]
    return MappingProxyType({name: getattr(module, name) for name in names})


def impure(file: Path) -> list[str]:
    """Return, with their lines, the imports and statements that a pure hooks.py may not have."""
    found = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        line = getattr(node, "lineno", 0)
        found += [f"{file.name}:{line}: import of {name}" for name in names if not name.startswith(_ALLOWED_IMPORTS)]
        if isinstance(node, ast.Global | ast.Nonlocal | ast.ClassDef):
            found.append(f"{file.name}:{node.lineno}: {type(node).__name__.lower()}")
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("open", "exec", "eval", "print")
        ):
            found.append(f"{file.name}:{node.lineno}: call of {node.func.id}()")
    return found


def untyped(file: Path) -> list[str]:
    """Return the functions of a hooks.py that lack an annotation."""
    found = []
    for node in _functions(file):
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        if node.returns is None or any(argument.annotation is None for argument in arguments):
            found.append(f"{file.name}:{node.lineno}: {node.name}")
    return found


def _functions(file: Path) -> list[ast.FunctionDef]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return [node for node in tree.body if isinstance(node, ast.FunctionDef)]
