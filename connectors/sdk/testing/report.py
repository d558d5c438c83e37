"""What a conformance check found: one result per rule, and the tier that follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from connectors.sdk.testing.subject import Subject

PAGES = "docs/rules"


class Status(StrEnum):
    """Outcome of one rule. BLOCKED: another rule must pass before this one can be judged."""

    PASS = "pass"  # noqa: S105  a verdict
    FAIL = "fail"
    WARN = "warn"
    EXEMPT = "exempt"
    BLOCKED = "blocked"


@dataclass(frozen=True)
class Rule:
    """One promise every connector keeps; ``check`` yields what breaks it, each with its place."""

    id: str
    title: str
    why: str
    fix: str
    check: Callable[[Subject], Iterable[str]]
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
            f"**What to do.** {self.fix}",
            f"{weight} Exempt it in `quality.yaml` only with a reason.",
        )
        return "\n\n".join(parts) + "\n"


@dataclass(frozen=True)
class RuleResult:
    """One rule's outcome; ``reason`` is why it is exempt."""

    rule: Rule
    status: Status
    findings: tuple[str, ...] = ()
    reason: str | None = None


@dataclass(frozen=True)
class CheckReport:
    """All results of one connector. ``ok`` is true when no rule fails."""

    connector: str
    results: tuple[RuleResult, ...]

    @property
    def ok(self) -> bool:
        """True when nothing fails or is blocked."""
        return not any(result.status in (Status.FAIL, Status.BLOCKED) for result in self.results)

    @property
    def tier(self) -> str:
        """``bronze`` when every bronze rule passes, warns or is exempt; else ``none``."""
        return "bronze" if self.ok else "none"

    def status(self, rule: str) -> Status:
        """Return one rule's outcome."""
        return next(result.status for result in self.results if result.rule.id == rule)

    def as_json(self) -> dict[str, Any]:
        """Return the report as ``unisono check --json`` prints it."""
        rules = [
            {"id": item.rule.id, "status": item.status.value, "page": item.rule.page, "findings": list(item.findings)}
            | ({"reason": item.reason} if item.reason else {})
            for item in self.results
        ]
        return {"connector": self.connector, "tier": self.tier, "ok": self.ok, "rules": rules}

    def text(self) -> str:
        """Return what a person needs: each rule that does not pass, its findings and its page."""
        lines = [f"{self.connector}: {self.tier if self.ok else 'not conformant'}"]
        for item in self.results:
            if item.status is not Status.PASS:
                lines.append(
                    f"  {item.status.value:8} {item.rule.id}: {item.rule.title}"
                    + (f" ({item.reason})" if item.reason else "")
                )
                lines += [f"             {finding}" for finding in item.findings]
                lines += (
                    [f"             → {item.rule.fix} See {item.rule.page}"]
                    if item.status in (Status.FAIL, Status.WARN)
                    else []
                )
        return "\n".join(lines)
