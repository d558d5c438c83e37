"""``check(folder)``: does a connector keep every rule? One suite for all vendors; nothing to write per vendor."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from connectors.sdk.catalog import find_connectors
from connectors.sdk.errors import UnisonoError
from connectors.sdk.testing.report import (
    PAGES,
    TIERS,
    CheckReport,
    Judged,
    NotApplicable,
    Rule,
    RuleResult,
    Skip,
    Status,
)
from connectors.sdk.testing.rules import RULES
from connectors.sdk.testing.subject import Blocked, Subject
from connectors.sdk.testing.tiers import SHIPPED, remember

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["RULES", "CheckReport", "Rule", "RuleResult", "Status", "check", "write_pages"]


def check(connector_folder: Path | str, *, only: Iterable[str] | None = None) -> CheckReport:
    """Judge one connector by every rule; a rule whose ground is broken is BLOCKED, never passed.

    ``only`` names the rules to judge; the report then speaks of no others, and its tier means nothing.
    """
    subject = Subject(Path(connector_folder).resolve())
    wanted = None if only is None else frozenset(only)
    results = [_judge(rule, subject) for rule in RULES if wanted is None or rule.id in wanted]
    return CheckReport(subject.folder.name, tuple(_with_exemptions(result, subject) for result in results))


def _judge(rule: Rule, subject: Subject) -> RuleResult:
    began = time.process_time()
    findings: list[str] = []
    judged: list[str] = []
    skipped: list[Skip] = []
    try:
        for word in rule.check(subject):
            if isinstance(word, Skip):
                skipped.append(word)
            elif isinstance(word, Judged):
                judged.append(word.stream)
            else:
                findings.append(word)
    except Blocked:
        return RuleResult(rule, Status.BLOCKED)
    except NotApplicable as why:
        skipped.append(Skip("", str(why)))
    except UnisonoError as error:
        findings.append(str(error))
    except Exception as error:  # noqa: BLE001  one rule that cannot be judged must not hide what the others find
        findings.append(f"the rule could not be judged: {type(error).__name__}: {error}")
    status = _status(rule, findings=bool(findings), judged=bool(judged), skipped=bool(skipped))
    reasons = "; ".join(dict.fromkeys(one.reason for one in skipped)) if status is Status.NOT_APPLICABLE else None
    spent = time.process_time() - began
    return RuleResult(rule, status, tuple(findings), reasons, tuple(judged), tuple(skipped), spent)


def _status(rule: Rule, *, findings: bool, judged: bool, skipped: bool) -> Status:
    if findings:
        return Status.WARN if rule.warns else Status.FAIL
    return Status.NOT_APPLICABLE if skipped and not judged else Status.PASS


def _with_exemptions(result: RuleResult, subject: Subject) -> RuleResult:
    """Apply quality.yaml, strictly: an exemption whose rule passes is itself a failure."""
    try:
        verdict = subject.quality.get(result.rule.id)
    except UnisonoError:
        return result
    if not isinstance(verdict, dict) or not verdict.get("exempt"):
        return result
    if result.status in (Status.PASS, Status.NOT_APPLICABLE):
        return RuleResult(
            result.rule, Status.FAIL, ("quality.yaml exempts this rule, which passes: delete the exemption",)
        )
    return RuleResult(result.rule, Status.EXEMPT, result.findings, str(verdict["exempt"]))


def write_pages(root: Path, *, only_check: bool = False) -> list[Path]:
    """Write docs/rules/<id>.md for every rule and the index; return the pages that were not current."""
    wanted = {root / rule.page: rule.text() for rule in RULES} | {root / PAGES / "README.md": _index()}
    stale = []
    for file, text in wanted.items():
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            stale.append(file)
            if not only_check:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
    known = {file.name for file in wanted}
    return stale + [file for file in sorted((root / PAGES).glob("*.md")) if file.name not in known]


def _index() -> str:
    lines = [
        "# The conformance rules",
        "",
        "`unisono check NAME` judges a connector by every rule below, in process, without credentials. A tier is reached when",
        "all of its rules and those of the tiers below pass or do not apply; nobody can claim one. An exemption",
        "(`quality.yaml`) keeps the check green but does not count towards a tier.",
    ]
    for tier in TIERS:
        lines += ["", f"## {tier.capitalize()}", "", "| rule | promise |", "|---|---|"]
        mine = [rule for rule in RULES if rule.tier == tier]
        lines += [f"| [{rule.id}]({rule.id}.md) | {rule.title}{' (warns)' if rule.warns else ''} |" for rule in mine]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the named connectors, or write the rules' pages."""
    parser = argparse.ArgumentParser(prog="python -m connectors.sdk.testing.conformance", description=main.__doc__)
    parser.add_argument("names", nargs="*", help="connectors; all when none is named")
    parser.add_argument("--pages", metavar="ROOT", type=Path, help=f"write {PAGES} below ROOT instead")
    parser.add_argument(
        "--tiers", action="store_true", help=f"write the tiers into {SHIPPED.name}, beside the connectors"
    )
    parser.add_argument("--every", action="store_true", help="show the rules that pass or do not apply, too")
    options = parser.parse_args(arguments)
    if options.pages:
        sys.stdout.writelines(f"{path}\n" for path in write_pages(options.pages))
        return 0
    found = find_connectors()
    reports = [check(found[name].path) for name in options.names or found]
    sys.stdout.writelines(f"{report.text(every=options.every)}\n" for report in reports)
    if options.tiers:
        remember([(found[report.connector].path, report) for report in reports], SHIPPED)
    return 0 if all(report.ok for report in reports) else 1


if __name__ == "__main__":
    sys.exit(main())
