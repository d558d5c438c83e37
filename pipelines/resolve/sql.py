"""Normal forms as DuckDB SQL expressions: one home for every spelling rule that matching relies on."""

from __future__ import annotations

_BLANK = "nullif({}, '')"
_LETTERS = (("ß", "ss"), ("ø", "o"), ("ł", "l"), ("\u0131", "i"), ("đ", "d"), ("æ", "ae"), ("œ", "oe"))
"""Letters that are no other letter with a mark, and what is written where a keyboard lacks them."""
LEGAL_FORMS = (
    "inc", "incorporated", "corp", "corporation", "co", "company", "ltd", "limited", "llc", "llp", "lp", "plc", "gmbh",
    "ag", "kg", "ug", "sa", "sas", "sarl", "srl", "spa", "bv", "nv", "ab", "as", "oy", "aps", "pty", "the", "and", "of",
)  # fmt: skip


def quote(name: str) -> str:
    """Return ``name`` as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """Return ``value`` as a SQL string literal."""
    return "'" + value.replace("'", "''") + "'"


def literals(values: list[str] | tuple[str, ...]) -> str:
    """Return the values as a SQL list of string literals, in parentheses, never empty."""
    return "(" + ", ".join(literal(value) for value in values or ("",)) + ")"


def text(expr: str) -> str:
    """Lower case, without accents, words separated by one blank; NULL when nothing is left."""
    bare = f"regexp_replace({_base_letters(expr)}, '[''\u2019`\u00b4]', '', 'g')"
    return _BLANK.format(f"trim(regexp_replace({bare}, '[^\\p{{L}}\\p{{N}}]+', ' ', 'g'))")


def _base_letters(expr: str) -> str:
    """Lower-case letters of the Latin alphabet's own; a text of these alone is not looked through for others."""
    plain = f"strip_accents(lower({expr}))"
    spelled = plain
    for letter, others in _LETTERS:
        spelled = f"replace({spelled}, '{letter}', '{others}')"
    return f"CASE WHEN strlen({plain}) = length({plain}) THEN {plain} ELSE {spelled} END"


def compact(expr: str) -> str:
    """Lower-case letters and digits only; NULL when nothing is left."""
    return _BLANK.format(f"regexp_replace(strip_accents(lower({expr})), '[^\\p{{L}}\\p{{N}}]+', '', 'g')")


def email(expr: str) -> str:
    """Lower-case e-mail address without blanks; NULL when it has no ``@`` between two parts."""
    bare = f"regexp_replace(lower({expr}), '\\s+', '', 'g')"
    return f"CASE WHEN regexp_matches({bare}, '^[^@]+@[^@]+$') THEN {bare} END"


def phone(expr: str) -> str:
    """Digits of a phone number without international prefix zeros; NULL below six digits."""
    digits = f"regexp_replace(regexp_replace({expr}, '[^0-9]+', '', 'g'), '^0+', '')"
    return f"CASE WHEN length({digits}) >= 6 THEN {digits} END"


def date_digits(expr: str) -> str:
    """``YYYYMMDD`` (or ``YYYYMM``, ``YYYY`` of a partial date); NULL when no year can be read."""
    digits = f"regexp_replace({expr}, '[^0-9]+', '', 'g')"
    iso = f"CASE WHEN regexp_matches({expr}, '^[0-9]{{4}}') THEN {digits} END"
    turned = (
        f"CASE WHEN regexp_matches({expr}, '^[0-9]{{1,2}}[/.-][0-9]{{1,2}}[/.-][0-9]{{4}}$') THEN "
        f"regexp_extract({expr}, '([0-9]{{4}})$', 1) "
        f"|| lpad(regexp_extract({expr}, '^[0-9]+[/.-]([0-9]+)', 1), 2, '0') "
        f"|| lpad(regexp_extract({expr}, '^([0-9]+)', 1), 2, '0') END"
    )
    return _BLANK.format(f"left(coalesce({iso}, {turned}), 8)")


def host(expr: str) -> str:
    """Host name of a URL or domain, lower case, without ``www.``."""
    return _BLANK.format(
        f"regexp_replace(regexp_replace(lower(trim({expr})), '^[a-z]+://', ''), '^(www\\.)?([^/:?#]*).*$', '\\2')"
    )


def first_word(expr: str) -> str:
    """First word of a normalised text."""
    return _BLANK.format(f"split_part({expr}, ' ', 1)")


def sorted_words(expr: str) -> str:
    """Return the distinct words of a normalised text in alphabetical order."""
    return f"array_to_string(list_sort(list_distinct(string_split({expr}, ' '))), ' ')"


def phonetic(expr: str) -> str:
    """Rough sound key of a word: first letter, then consonant classes without repeats, at most five long."""
    classes = f"translate(substr({expr}, 2), 'bpfvcgjkqsxzdtlmnrwhyaeiou ', '111122222222334556')"
    for digit in "123456":
        classes = f"regexp_replace({classes}, '{digit}+', '{digit}', 'g')"
    return f"left({expr}, 1) || left({classes}, 4)"


def without_legal_form(name: str) -> str:
    """Return the list of a normalised name's words but legal forms and the like."""
    return f"list_filter(string_split({name}, ' '), lambda w: w NOT IN {literals(LEGAL_FORMS)})"
