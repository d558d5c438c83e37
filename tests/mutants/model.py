"""What a mutant is, and how the kit is run on it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectors.sdk.catalog import find_connectors
from connectors.sdk.testing.conformance import check
from connectors.sdk.testing.report import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectors.sdk.testing.report import CheckReport

Patch = Callable[["Seams"], None]
_INHERITED = object()
_BROKEN = (Status.FAIL, Status.WARN, Status.BLOCKED)


@dataclass(frozen=True)
class Mutant:
    """One bug: where it was published, what it did, and the rule that must notice it.

    ``edits`` change files of ``connector`` (old text → new text, which must be there); ``patch`` changes the engine.
    """

    name: str
    thread: str
    story: str
    rule: str
    connector: str = "acme"
    edits: tuple[tuple[str, str, str], ...] = ()
    patch: Patch | None = None

    @property
    def kind(self) -> str:
        """Whether the connector is wrong or the engine."""
        return "engine" if self.patch else "connector"


@dataclass(frozen=True)
class Verdict:
    """What the kit said: the rules that broke on the mutant and not on the connector it was made from."""

    mutant: Mutant
    broken: tuple[str, ...]

    @property
    def killed(self) -> bool:
        """Return whether the right rule broke."""
        return self.mutant.rule in self.broken


class Seams:
    """Replaces attributes of the engine and puts them back; one that is not there is an error, not a silent survivor."""

    def __init__(self) -> None:
        self._old: list[tuple[Any, str, Any]] = []

    def set(self, owner: Any, name: str, value: Any) -> Any:
        """Replace an attribute and return what was there."""
        old = getattr(owner, name)
        self._old.append((owner, name, owner.__dict__.get(name, _INHERITED)))
        setattr(owner, name, value)
        return old

    def restore(self) -> None:
        """Put everything back."""
        while self._old:
            owner, name, old = self._old.pop()
            if old is _INHERITED:
                delattr(owner, name)
            else:
                setattr(owner, name, old)


@contextmanager
def _engine(mutant: Mutant) -> Iterator[None]:
    seams = Seams()
    try:
        if mutant.patch is not None:
            mutant.patch(seams)
        yield
    finally:
        seams.restore()


@contextmanager
def _folder(mutant: Mutant) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as home:
        source = find_connectors()[mutant.connector].path
        folder = Path(shutil.copytree(source, Path(home) / mutant.connector))
        for file, old, new in mutant.edits:
            text = (folder / file).read_text(encoding="utf-8")
            if old not in text:
                message = f"{mutant.name}: {file} has no {old!r}: write the mutant anew"
                raise LookupError(message)
            (folder / file).write_text(text.replace(old, new, 1), encoding="utf-8")
        yield folder


@cache
def _baseline(connector: str, only: tuple[str, ...] | None) -> CheckReport:
    return check(find_connectors()[connector].path, only=only)


def judge(mutant: Mutant, only: tuple[str, ...] | None = None) -> Verdict:
    """Run the kit (or ``only`` some rules of it) on a mutant; findings that the sound connector has too do not count."""
    sound = _baseline(mutant.connector, only)
    with _folder(mutant) as folder, _engine(mutant):
        report = check(folder, only=only)
    broken = []
    for result in report.results:
        known = set(sound.result(result.rule.id).findings)
        if result.status in _BROKEN and (result.status is Status.BLOCKED or set(result.findings) - known):
            broken.append(result.rule.id)
    return Verdict(mutant, tuple(broken))
