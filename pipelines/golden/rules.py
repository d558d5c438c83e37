"""The survivorship rules: each turns a candidate into a number of few bits, the higher the better.

The numbers of an attribute's rules are laid side by side, the first rule in the highest bits, into one integer with the
order of source_ref in the lowest. So the best candidate is the greatest integer, and the rule that decided between two
candidates is the highest part in which they differ. No rule reads a clock of ours or the order of arrival.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipelines.golden.policy import Choice

TIE, ONLY, AGREED = "source_ref", "only", "agreed"
TIE_BITS = 30
KEY_BITS = 126
_YEAR_ONE = -62_135_596_800_000_000


@dataclass(frozen=True)
class Rule:
    """One way to prefer a value: its bits, whom it suits, and the SQL of its number over a candidate row."""

    name: str
    bits: int
    brief: str
    suits: Callable[[Choice], bool]
    sql: Callable[[Choice], str]


def key_sql(choice: Choice) -> str:
    """Return the SQL of a candidate's key: the rules' numbers and the tie-breaker in one integer."""
    sql = "0::HUGEINT"
    for rule in (RULES[name] for name in choice.ranking):
        top = (1 << rule.bits) - 1
        sql = f"({sql} * {1 << rule.bits}::HUGEINT + least(greatest({rule.sql(choice)}, 0), {top}))"
    return f"({sql} * {1 << TIE_BITS} + tie)"


def decided_sql(choice: Choice, winner: str, other: str) -> str:
    """Return the SQL that names the rule by which key ``winner`` beats key ``other``."""
    shift, cases = TIE_BITS + sum(RULES[name].bits for name in choice.ranking), []
    for name in choice.ranking:
        shift -= RULES[name].bits
        cases.append(f"WHEN xor({winner}, {other}) >= {1 << shift}::HUGEINT THEN '{name}'")
    return f"CASE {' '.join(cases)} ELSE '{TIE}' END"


def bits(ranking: tuple[str, ...]) -> int:
    """Return how many bits a list of rules needs; ``KEY_BITS`` are there."""
    return TIE_BITS + sum(RULES[name].bits for name in ranking)


def _instant_sql(value: str) -> str:
    return f"coalesce(epoch_us({value}) - {_YEAR_ONE}, 0)"


def _flag_sql(column: str) -> str:
    return f"CASE {column} WHEN true THEN 2 WHEN false THEN 0 ELSE 1 END"


def _trust(choice: Choice) -> str:
    cases = [f"WHEN {_quoted(name)} THEN {number}" for name, number in sorted(choice.trust.items())]
    if not cases:
        return str(choice.trust_default)
    text = " ".join(cases)
    return f"coalesce(CASE connection {text} END, CASE connector {text} END, {choice.trust_default})"


def _complete(choice: Choice) -> str:
    if choice.is_group:
        return " + ".join(f"({column} IS NOT NULL)::INT" for column in choice.quoted)
    return f"length({choice.quoted[0]}::VARCHAR)"


def _frequent(choice: Choice) -> str:
    return f"count(*) OVER (PARTITION BY e, {', '.join(choice.quoted)})"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _any(_choice: Choice) -> bool:
    return True


def _contact(choice: Choice) -> bool:
    return choice.source != "record"


def _has_length(choice: Choice) -> bool:
    return choice.is_group or choice.types[0] in ("text", "date")


_ALL = (
    Rule("trust", 7, "the more trusted source", _any, _trust),
    Rule("recent", 56, "the value that changed last", _any, lambda choice: _instant_sql(choice.since)),
    Rule("complete", 12, "the fuller group or value", _has_length, _complete),
    Rule("frequent", 14, "the value of more source records", _any, _frequent),
    Rule("verified", 2, "verified first", _contact, lambda _: _flag_sql("verified")),
    Rule("deliverable", 2, "bounced last", _contact, lambda _: _flag_sql("deliverable")),
    Rule("rank", 8, "the source's own order", _contact, lambda _: "255 - least(coalesce(rank, 255), 255)"),
    Rule(
        "earliest", 57, "the earliest instant",
        lambda choice: choice.types == ("instant",),
        lambda choice: f"{1 << 57} - 1 - {_instant_sql(choice.quoted[0])}",
    ),
)  # fmt: skip
RULES: Mapping[str, Rule] = {rule.name: rule for rule in _ALL}
