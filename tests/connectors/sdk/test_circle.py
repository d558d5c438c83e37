"""Pages that come again are known again, however many have come in between, in this process and in the next."""

from __future__ import annotations

import random
from array import array
from datetime import UTC, datetime

from connectors.sdk.circle import Rounds, _Index
from connectors.sdk.progress import Progress
from connectors.sdk.protocols import ReadKind


def _at(cursor: int) -> Progress:
    return Progress(ReadKind.SNAPSHOT, datetime(2026, 1, 1, tzinfo=UTC), at={"cursor": cursor})


def _page(number: int) -> list[bytes]:
    return [b'{"id":%d}' % number, b'{"id":%d}' % (number + 1)]


def test_a_place_that_answers_the_same_again_is_a_circle() -> None:
    rounds = Rounds()
    assert [rounds.met(_at(n), _page(10 * n)) for n in range(500)] == [(False, False)] * 500
    assert rounds.met(_at(250), _page(2500)) == (False, True)


def test_a_place_may_answer_differently_a_few_times() -> None:
    rounds = Rounds()
    assert [rounds.met(_at(1), _page(n)) for n in (10, 20, 30)] == [(False, False)] * 3
    assert rounds.met(_at(1), _page(40)) == (False, True)


def test_an_answer_that_a_place_gave_second_is_known_again() -> None:
    rounds = Rounds()
    rounds.met(_at(1), _page(10))
    rounds.met(_at(1), _page(20))
    assert rounds.met(_at(1), _page(20)) == (False, True)


def test_a_page_under_another_position_is_repeated_and_too_many_of_them_are_a_circle() -> None:
    rounds = Rounds()
    rounds.met(_at(0), _page(1))
    assert [rounds.met(_at(n), _page(1)) for n in range(1, 5)] == [(True, False)] * 3 + [(True, True)]


def test_a_place_that_repeats_another_and_answers_the_same_again_is_a_circle() -> None:
    rounds = Rounds()
    rounds.met(_at(0), _page(1))
    assert rounds.met(_at(1), _page(1)) == (True, False)
    assert rounds.met(_at(1), _page(1)) == (True, True)


def test_the_next_process_knows_the_first_pages_and_the_last() -> None:
    rounds = Rounds()
    for number in range(100):
        rounds.met(_at(number), _page(10 * number))
    resumed = Rounds(rounds.kept)

    assert len(rounds.kept) == 8
    assert [Rounds(rounds.kept).met(_at(-1), _page(10 * n))[0] for n in (0, 3, 4, 95, 96, 99)] == [
        True,
        True,
        False,
        False,
        True,
        True,
    ]
    assert resumed.kept == rounds.kept


def test_what_a_read_remembers_of_its_pages_is_found_again_however_many_there_are() -> None:
    numbers = random.Random(3)
    keys = array("Q")
    index = _Index(keys)
    known: dict[int, int] = {}
    for _ in range(5_000):
        key = numbers.choice((numbers.getrandbits(64), numbers.randrange(200) << 32))  # some collide
        assert index.find(key) == known.get(key)
        if key not in known:
            keys.append(key)
            known[key] = len(keys) - 1
            index.put(key, known[key])

    assert all(index.find(key) == number for key, number in known.items())
