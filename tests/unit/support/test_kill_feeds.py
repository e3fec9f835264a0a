"""The feeds of a kill run lack, delay and repeat what its plan says, and the history source has the rest."""

from __future__ import annotations

from itertools import islice

from streams.times import MINUTE_US, SECOND_US
from tests.support.feeders import walk
from tests.support.kills.feeds import holed_feed, known_bars, open_before
from tests.support.kills.plan import Flaw, Stretch

FIRST_US = 1_381_152_600 * SECOND_US
BARS = list(islice(walk("AAA", FIRST_US), 20))
STRETCHES = [
    Stretch(0, 2, 2, Flaw.KNOWN, 9),
    Stretch(0, 5, 1, Flaw.UNKNOWN, 9),
    Stretch(0, 7, 2, Flaw.LATE, 3),
    Stretch(0, 12, 1, Flaw.CORRECTED, 4),
]


def test_a_feed_sends_bars_at_their_end_some_later_and_some_once_more() -> None:
    sent = list(holed_feed(BARS, STRETCHES))
    seconds = [(bar.start_us - FIRST_US) // SECOND_US for bar in sent]
    # 7 and 8 come three seconds after their end, before the bars that end then; 12 comes again four seconds after its own.
    assert seconds == [0, 1, 4, 6, 9, 7, 10, 8, 11, 12, 13, 14, 15, 12, 16, 17, 18, 19]
    assert sent[13].high == BARS[12].high + 0.25
    assert [bar for place, bar in enumerate(sent) if place != 13] == [BARS[second] for place, second in enumerate(seconds) if place != 13]


def test_a_source_has_all_but_what_nobody_has_and_everything_as_it_came_first() -> None:
    assert known_bars(BARS, STRETCHES) == [bar for second, bar in enumerate(BARS) if second != 5]


def test_a_session_has_opened_at_a_whole_minute_one_or_two_before() -> None:
    assert open_before(FIRST_US + 59 * SECOND_US) == FIRST_US - MINUTE_US
    assert open_before(FIRST_US) == FIRST_US - MINUTE_US
