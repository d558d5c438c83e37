"""The survivorship rules: each turns a candidate into a number of few bits, the higher the better.

Every rule has two forms, SQL for many entities and Python for the explanation of one; a property test holds them equal.

The numbers of an attribute's rules are laid side by side, the first rule in the highest bits, into one integer with the
order of source_ref in the lowest. So the best candidate is the greatest integer, and the rule that decided between two
candidates is the highest part in which they differ. No rule reads a clock of ours or the order of arrival.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.golden.candidate import microseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipelines.golden.candidate import Candidate
    from pipelines.golden.policy import Choice

TIE, ONLY, AGREED, MANUAL = "source_ref", "only", "agreed", "manual"
TIE_BITS = 28
KEY_BITS = 126
_YEAR_ONE = -62_135_596_800_000_000


@dataclass(frozen=True)
class Rule:
    """One way to prefer a value: its bits, whom it suits, and its number over a candidate row, in both forms."""

    name: str
    bits: int
    brief: str
    suits: Callable[[Choice], bool]
    sql: Callable[[Choice], str]
    of: Callable[[Choice, Candidate], int]

    def number(self, choice: Choice, candidate: Candidate) -> int:
        """Return the number of one candidate, within the rule's bits."""
        return min(max(self.of(choice, candidate), 0), (1 << self.bits) - 1)


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


def _flag(value: bool | None) -> int:
    return 1 if value is None else 2 * value


def _trust_sql(choice: Choice) -> str:
    """The connection's own trust, else its connector's, else the default's."""
    newest = f"greatest(newest, max({choice.since}) FILTER ({choice.present}) OVER (PARTITION BY e))"
    age = f"CASE WHEN {choice.since} IS NOT NULL THEN greatest(epoch_us({newest}) - epoch_us({choice.since}), 0) END"
    default = choice.trust_default.sql(age)
    cases = [f"WHEN {_quoted(name)} THEN {trust.sql(age)}" for name, trust in sorted(choice.trust.items())]
    if not cases:
        return default
    text = " ".join(cases)
    return f"coalesce(CASE connection {text} END, CASE connector {text} END, {default})"


def _trust(choice: Choice, candidate: Candidate) -> int:
    named = choice.trust.get(candidate.connection) or choice.trust.get(candidate.connector) or choice.trust_default
    return named.at(candidate.age_us)


def _complete_sql(choice: Choice) -> str:
    if choice.is_group:
        return " + ".join(f"({column} IS NOT NULL)::INT" for column in choice.quoted)
    return f"length({choice.quoted[0]}::VARCHAR)"


def _complete(choice: Choice, candidate: Candidate) -> int:
    if choice.is_group:
        return sum(value is not None for value in candidate.values)
    return len(candidate.values[0])


def _longest_sql(choice: Choice) -> str:
    return " + ".join(f"coalesce(length({column}::VARCHAR), 0)" for column in choice.quoted)


def _longest(_choice: Choice, candidate: Candidate) -> int:
    return sum(len(value) for value in candidate.values if value is not None)


def _frequent_sql(choice: Choice) -> str:
    counted = "*" if choice.once else "DISTINCT s"
    return f"count({counted}) OVER (PARTITION BY e, {', '.join(choice.quoted)})"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _any(_choice: Choice) -> bool:
    return True


def _contact(choice: Choice) -> bool:
    return choice.source != "record"


def _has_length(choice: Choice) -> bool:
    return choice.is_group or choice.types[0] in _TEXTUAL


def _is_text(choice: Choice) -> bool:
    return all(kind in _TEXTUAL for kind in choice.types)


_TEXTUAL = ("text", "date", "time", "code", "country", "currency")
_RANKS = 255
_LATEST = (1 << 57) - 1
_ALL = (
    Rule("trust", 14, "the more trusted source", _any, _trust_sql, _trust),
    Rule(
        "recent", 56, "the value that changed last", _any,
        lambda choice: _instant_sql(choice.since), lambda _, candidate: microseconds(candidate.since),
    ),
    Rule("complete", 12, "the fuller group or value", _has_length, _complete_sql, _complete),
    Rule("longest", 12, "more characters", _is_text, _longest_sql, _longest),
    Rule("frequent", 14, "the value of more source records", _any, _frequent_sql, lambda _, candidate: candidate.holders),
    Rule(
        "verified", 2, "verified first", _contact,
        lambda _: _flag_sql("verified"), lambda _, candidate: _flag(candidate.verified),
    ),
    Rule(
        "deliverable", 2, "bounced last", _contact,
        lambda _: _flag_sql("deliverable"), lambda _, candidate: _flag(candidate.deliverable),
    ),
    Rule(
        "rank", 8, "the source's own order", _contact, lambda _: f"{_RANKS} - least(coalesce(rank, {_RANKS}), {_RANKS})",
        lambda _, candidate: _RANKS - min(_RANKS if candidate.rank is None else candidate.rank, _RANKS),
    ),
    Rule(
        "earliest", 57, "the earliest instant",
        lambda choice: choice.types == ("instant",), lambda choice: f"{_LATEST} - {_instant_sql(choice.quoted[0])}",
        lambda _, candidate: _LATEST - microseconds(candidate.values[0]),
    ),
)  # fmt: skip
RULES: Mapping[str, Rule] = {rule.name: rule for rule in _ALL}
