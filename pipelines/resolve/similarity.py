"""Edit similarities of one pair in plain Python, equal to those of DuckDB: over UTF-8 bytes, with the same constants."""

from __future__ import annotations

from collections import Counter

_PREFIX = 4
_SCALE = 0.1
_BOOST_ABOVE = 0.7


def jaro_winkler(left: str, right: str) -> float:
    """Return the Jaro-Winkler similarity, between 0 and 1."""
    a, b = left.encode(), right.encode()
    similarity = _jaro(a, b)
    if similarity > _BOOST_ABOVE:
        similarity += _common_prefix(a, b) * _SCALE * (1 - similarity)
    return similarity


def _jaro(a: bytes, b: bytes) -> float:
    if not a or not b:
        return 0.0
    if a == b:
        return 1.0
    in_a, in_b = _matched(a, b)
    found = len(in_a)
    if not found:
        return 0.0
    turned = sum(x != y for x, y in zip(in_a, in_b, strict=True)) // 2
    return (found / len(a) + found / len(b) + (found - turned) / found) / 3


def _matched(a: bytes, b: bytes) -> tuple[bytes, bytes]:
    """Return the bytes of each that have a partner in the other's window, in their own order."""
    window = max(len(a), len(b)) // 2 - 1
    free = [True] * len(b)
    in_a = bytearray()
    for i, byte in enumerate(a):
        for j in range(max(0, i - window), min(len(b), i + window + 1)):
            if free[j] and b[j] == byte:
                free[j] = False
                in_a.append(byte)
                break
    return bytes(in_a), bytes(byte for byte, unused in zip(b, free, strict=True) if not unused)


def _common_prefix(a: bytes, b: bytes) -> int:
    count = 0
    for x, y in zip(a[:_PREFIX], b[:_PREFIX], strict=False):
        if x != y:
            break
        count += 1
    return count


def within_edits(left: str, right: str, most: float) -> bool:
    """Tell whether at most so many edits make one into the other; what both begin and end with costs nothing."""
    a, b = left.encode(), right.encode()
    if abs(len(a) - len(b)) > most:
        return False
    start = next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    a, b = a[start:], b[start:]
    end = next((n for n, (x, y) in enumerate(zip(a[::-1], b[::-1], strict=False)) if x != y), min(len(a), len(b)))
    a, b = a[: len(a) - end], b[: len(b) - end]
    if min(len(a), len(b)) == 0:
        return max(len(a), len(b)) <= most
    common = len(a) + len(b) - sum((Counter(a) - Counter(b)).values()) - sum((Counter(b) - Counter(a)).values())
    return max(len(a), len(b)) - common // 2 <= most and _distance(a, b) <= most


def damerau_levenshtein(left: str, right: str) -> int:
    """Return the fewest insertions, deletions, substitutions and turns of neighbours that make one into the other."""
    return _distance(left.encode(), right.encode())


def _distance(a: bytes, b: bytes) -> int:
    limit = len(a) + len(b)
    rows: list[list[int]] = [[limit] * (len(b) + 2), [limit, *range(len(b) + 1)]]
    last_row: dict[int, int] = {}
    row: list[int] = rows[-1]
    for i, x in enumerate(a, 1):
        row, last_column = [limit, i], 0
        for j, y in enumerate(b, 1):
            k, m = last_row.get(y, 0), last_column
            if x == y:
                last_column = j
            turned = rows[k][m] + (i - k - 1) + 1 + (j - m - 1)
            row.append(min(rows[i][j] + (x != y), row[j] + 1, rows[i][j + 1] + 1, turned))
        rows.append(row)
        last_row[x] = i
    return row[-1]
