"""``check(folder)``: does a connector keep every rule? One suite for all vendors; nothing to write per vendor."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from connectors.sdk.catalog import find_connectors
from connectors.sdk.errors import UnisonoError
from connectors.sdk.testing.report import PAGES, CheckReport, Rule, RuleResult, Status
from connectors.sdk.testing.rules import RULES
from connectors.sdk.testing.subject import Blocked, Subject

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["RULES", "CheckReport", "Rule", "RuleResult", "Status", "check", "write_pages"]


def check(connector_folder: Path | str) -> CheckReport:
    """Judge one connector by every rule; a rule whose ground is broken is BLOCKED, never passed."""
    subject = Subject(Path(connector_folder).resolve())
    results = [_judge(rule, subject) for rule in RULES]
    return CheckReport(subject.folder.name, tuple(_with_exemptions(result, subject) for result in results))


def _judge(rule: Rule, subject: Subject) -> RuleResult:
    try:
        findings = tuple(rule.check(subject))
    except Blocked:
        return RuleResult(rule, Status.BLOCKED)
    except UnisonoError as error:
        findings = (str(error),)
    if not findings:
        return RuleResult(rule, Status.PASS)
    return RuleResult(rule, Status.WARN if rule.warns else Status.FAIL, findings)


def _with_exemptions(result: RuleResult, subject: Subject) -> RuleResult:
    """Apply quality.yaml, strictly: an exemption whose rule passes is itself a failure."""
    try:
        verdict = subject.quality.get(result.rule.id)
    except UnisonoError:
        return result
    if not isinstance(verdict, dict) or not verdict.get("exempt"):
        return result
    if result.status is Status.PASS:
        return RuleResult(
            result.rule, Status.FAIL, ("quality.yaml exempts this rule, which passes: delete the exemption",)
        )
    return RuleResult(result.rule, Status.EXEMPT, result.findings, str(verdict["exempt"]))


def write_pages(root: Path, *, only_check: bool = False) -> list[Path]:
    """Write docs/rules/<id>.md for every rule; return the pages that were not current."""
    stale = []
    for rule in RULES:
        file = root / rule.page
        if not file.exists() or file.read_text(encoding="utf-8") != rule.text():
            stale.append(file)
            if not only_check:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(rule.text(), encoding="utf-8")
    return stale


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the named connectors, or write the rules' pages."""
    parser = argparse.ArgumentParser(prog="python -m connectors.sdk.testing.conformance", description=main.__doc__)
    parser.add_argument("names", nargs="*", help="connectors; all when none is named")
    parser.add_argument("--pages", metavar="ROOT", type=Path, help=f"write {PAGES} below ROOT instead")
    options = parser.parse_args(arguments)
    if options.pages:
        sys.stdout.writelines(f"{path}\n" for path in write_pages(options.pages))
        return 0
    found = find_connectors()
    reports = [check(found[name].path) for name in options.names or found]
    sys.stdout.writelines(f"{report.text()}\n" for report in reports)
    return 0 if all(report.ok for report in reports) else 1


if __name__ == "__main__":
    sys.exit(main())
