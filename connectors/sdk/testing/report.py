"""What a conformance check found: one result per rule, and the tier that follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from connectors.sdk.testing.subject import Subject

PAGES: Final = "docs/rules"
TIERS: Final = ("bronze", "silver", "gold")
NO_TIER: Final = "none"


class Status(StrEnum):
    """Outcome of one rule. BLOCKED: another rule must pass before this one can be judged."""

    PASS = "pass"  # noqa: S105  a verdict
    FAIL = "fail"
    WARN = "warn"
    EXEMPT = "exempt"
    BLOCKED = "blocked"
    NOT_APPLICABLE = "not-applicable"


_BROKEN: Final = frozenset({Status.FAIL, Status.BLOCKED})
_COUNTS: Final = frozenset({Status.PASS, Status.WARN, Status.NOT_APPLICABLE})


@dataclass(frozen=True)
class Skip:
    """A stream (or the whole connector, ``""``) that a rule has nothing to say about, and why."""

    stream: str
    reason: str


@dataclass(frozen=True)
class Judged:
    """A stream that a rule really tried."""

    stream: str


Word = str | Skip | Judged


class NotApplicable(Exception):
    """A rule has nothing to say here; the text is the reason."""


@dataclass(frozen=True)
class Rule:
    """One promise every connector keeps; ``check`` yields what breaks it, each with its place."""

    id: str
    title: str
    why: str
    example: str
    fix: str
    check: Callable[[Subject], Iterable[Word]]
    exceptions: str = "None."
    tier: str = "bronze"
    warns: bool = False

    @property
    def page(self) -> str:
        """Path of the page that explains the rule."""
        return f"{PAGES}/{self.id}.md"

    def text(self) -> str:
        """Return the page."""
        weight = "A breach is a warning." if self.warns else f"Needed for the tier *{self.tier}*."
        parts = (
            f"# {self.id}: {self.title}",
            f"**Why.** {self.why}",
            f"**Example.** {self.example}",
            f"**What to do.** {self.fix}",
            f"**Exceptions.** {self.exceptions}",
            f"{weight} Exempt it in `quality.yaml` only with a reason; an exempt rule does not count towards a tier.",
        )
        return "\n\n".join(parts) + "\n"


@dataclass(frozen=True)
class RuleResult:
    """One rule's outcome; ``reason`` is why it is exempt or not applicable."""

    rule: Rule
    status: Status
    findings: tuple[str, ...] = ()
    reason: str | None = None
    judged: tuple[str, ...] = ()
    skipped: tuple[Skip, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class CheckReport:
    """All results of one connector. ``ok`` is true when no rule of the first tier fails or cannot be judged."""

    connector: str
    results: tuple[RuleResult, ...]

    @property
    def ok(self) -> bool:
        """True when no bronze rule fails or is blocked; what fails above is what the next tier still needs."""
        return not any(one.rule.tier == TIERS[0] and one.status in _BROKEN for one in self.results)

    @property
    def tier(self) -> str:
        """The highest tier all of whose rules, and those of the tiers below, are kept; an exempt rule is not kept."""
        reached = NO_TIER
        for tier in TIERS:
            if any(one.rule.tier == tier and not _counts(one) for one in self.results):
                break
            reached = tier
        return reached

    def reaches(self, tier: str) -> bool:
        """Return whether the connector has at least ``tier``; ``none`` is no demand."""
        order = (NO_TIER, *TIERS)
        return order.index(self.tier) >= order.index(tier)

    def status(self, rule: str) -> Status:
        """Return one rule's outcome."""
        return self.result(rule).status

    def result(self, rule: str) -> RuleResult:
        """Return one rule's result."""
        return next(result for result in self.results if result.rule.id == rule)

    def as_json(self) -> dict[str, Any]:
        """Return the report as ``unisono check --json`` prints it."""
        return {
            "connector": self.connector, "tier": self.tier, "ok": self.ok, "rules": [_as_json(one) for one in self.results],
        }  # fmt: skip

    def text(self, *, every: bool = False) -> str:
        """Return what a person needs: each rule that does not pass, its findings and its page."""
        kept = sum(one.status is Status.PASS for one in self.results)
        apart = sum(one.status is Status.NOT_APPLICABLE for one in self.results)
        head = self.tier if self.ok else "not conformant"
        lines = [f"{self.connector}: {head} ({kept} of {len(self.results)} rules pass, {apart} do not apply)"]
        quiet = () if every else (Status.PASS, Status.NOT_APPLICABLE)
        for item in self.results:
            if item.status not in quiet:
                lines += _lines(item)
        return "\n".join(lines)


def _counts(result: RuleResult) -> bool:
    return result.status in _COUNTS or (result.rule.warns and result.status is Status.EXEMPT)


def _as_json(item: RuleResult) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": item.rule.id, "tier": item.rule.tier, "status": item.status.value, "page": item.rule.page,
        "findings": list(item.findings),
    }  # fmt: skip
    if item.reason:
        found["reason"] = item.reason
    if item.judged:
        found["streams"] = list(item.judged)
    if item.skipped:
        found["not_applicable"] = {one.stream or "*": one.reason for one in item.skipped}
    return found


def _lines(item: RuleResult) -> list[str]:
    reason = f" ({item.reason})" if item.reason else ""
    lines = [f"  {item.status.value:8} {item.rule.id}: {item.rule.title}{reason}"]
    lines += [f"             {finding}" for finding in item.findings]
    if item.status in (Status.FAIL, Status.WARN):
        lines.append(f"             → {item.rule.fix} See {item.rule.page}")
    return lines
