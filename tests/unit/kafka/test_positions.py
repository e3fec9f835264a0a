"""Where reading a topic starts: the times of messages held against the records, in topics that are written down here.

A topic is a list of records in the order of their offsets, each with the time of its message and the instant that it is of; what
Kafka answers to a question about a time follows from the times alone, as its documentation of ListOffsets says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from streams.kafka.positions import MOST, Bounds, Position, Seen, note_of, position
from streams.times import DAY_US, HOUR_US, MINUTE_US, parse_instant

OPEN_US = parse_instant("2013-10-07T13:30:00Z")
READS_AT_MOST = 100


class Kept(Struct, frozen=True):
    """A record: its offset, the time of its message, when it is known (None: it can't be read)."""

    offset: int
    message_ms: int
    at_us: int | None


class Topic:
    """Records, and how often they were looked at."""

    def __init__(self, records: Iterable[Kept], first: int = 0, end: int | None = None) -> None:
        self.records = list(records)
        self.bounds = Bounds(first, (self.records[-1].offset + 1 if self.records else first) if end is None else end)
        self.reads = 0
        self.seen = 0

    def by_time(self, from_us: int) -> int | None:
        """What Kafka says: the first offset with a message of this millisecond or a later one."""
        return next((record.offset for record in self.records if record.message_ms >= from_us // 1000 + 1), None)

    def peek(self, first: int, stop: int) -> Sequence[Seen]:
        assert self.bounds.first <= first <= stop <= self.bounds.end
        self.reads += 1
        self.seen += stop - first
        return [Seen(one.offset, one.at_us) for one in self.records if first <= one.offset < stop and one.at_us is not None]

    def position(self, from_us: int = OPEN_US) -> Position:
        found = position(self.bounds, self.by_time(from_us), from_us, self.peek)
        assert self.reads <= READS_AT_MOST
        return found


def by_end(at_us: int) -> int:
    return at_us // 1000


def topic(ends_us: Iterable[int], stamp: Callable[[int], int] = by_end, first: int = 0) -> Topic:
    return Topic((Kept(first + place, stamp(end_us), end_us) for place, end_us in enumerate(ends_us)), first)


def minutes(count: int, before: int = 0) -> list[int]:
    """The ends of one-minute bars: so many that end by the open, then those of the day."""
    return [OPEN_US + number * MINUTE_US for number in range(1 - before, count + 1)]


SENT_MS = by_end(parse_instant("2026-11-30T19:00:00Z"))


@pytest.mark.parametrize(
    ("stamp", "bars", "by_time", "reason"),
    [
        (lambda us: us // 1_000_000, 100, 100, "seconds for milliseconds: 0 of 100 bars were read"),
        (lambda us: by_end(us - 5 * HOUR_US), 1021, 300, "winter time of New York taken for UTC: 721 of 1,021"),
        (lambda us: by_end(us - 4 * HOUR_US), 390, 240, "summer time of New York taken for UTC: 150 of 390"),
        (lambda us: by_end(us - MINUTE_US), 1263, 1, "stamped with the start of the bar: 1,262 of 1,263"),
        (lambda us: -1, 390, 390, "no times at all"),
    ],
)
def test_no_bar_of_the_day_is_missed_where_times_are_too_early(stamp: Callable[[int], int], bars: int, by_time: int, reason: str) -> None:
    kept = topic(minutes(bars), stamp)
    found = kept.position()
    assert found.offset == 0, reason
    assert found.doubt is not None
    assert found.doubt.by_time == by_time


@pytest.mark.parametrize("before", [0, 1, 15, 16, 17, 2000, 50_000])
@pytest.mark.parametrize("after", [1, 2, 390, 30_000])
@pytest.mark.parametrize("first", [0, 12_345])
@pytest.mark.parametrize(
    "stamp",
    [lambda us: us // 1_000_000, lambda us: -1, lambda us: by_end(us - 4 * HOUR_US), lambda us: by_end(us - MINUTE_US)],
    ids=["seconds", "none", "local", "start"],
)
def test_the_first_bar_of_the_day_is_found_wherever_it_stands(before: int, after: int, first: int, stamp: Callable[[int], int]) -> None:
    kept = topic(minutes(after, before), stamp, first)
    assert kept.position().offset == first + before
    assert kept.seen <= 5_000


@pytest.mark.parametrize(
    ("stamp", "reason"),
    [
        (by_end, "the end of the bar"),
        (lambda us: by_end(us) + 137, "sent a moment after it, or appended by the broker"),
        (lambda us: by_end(us) + 59_000, "a feed that is almost a minute late: the last bar of before the open is sent after it"),
    ],
)
@pytest.mark.parametrize("before", [0, 1, 500])
def test_times_that_the_bars_bear_out_are_taken_as_they_are(stamp: Callable[[int], int], reason: str, before: int) -> None:
    kept = topic(minutes(390, before), stamp)
    found = kept.position()
    late = before > 0 and stamp(OPEN_US) > by_end(OPEN_US)
    if late and before == 1:
        # The very first record of the topic says less than nothing about what is no longer there: it is passed over.
        assert found.offset == 1
        return
    assert found == Position(before - late), reason
    assert kept.reads <= 3


def test_a_backfill_that_was_sent_today_begins_at_the_day_and_not_three_years_before_it() -> None:
    ends = [OPEN_US - (300 - day) * DAY_US + minute * MINUTE_US for day in range(301) for minute in range(1, 391)]
    kept = topic(ends, lambda us: SENT_MS)
    found = kept.position()
    assert found.offset == 300 * 390
    assert found.doubt is not None
    assert found.doubt.by_time == 0


def test_yesterday_only_sent_today_leaves_nothing_to_read() -> None:
    kept = topic(minutes(0, 390), lambda us: SENT_MS)
    assert kept.position().offset == 390


def test_late_bars_at_the_open_do_not_put_true_times_in_doubt() -> None:
    yesterday = [OPEN_US - DAY_US + number * MINUTE_US for number in range(60)]
    records = [Kept(place, by_end(us), us) for place, us in enumerate(minutes(0, 100))]
    records += [Kept(100 + place, by_end(OPEN_US) + 5, us) for place, us in enumerate(yesterday)]
    records += [Kept(160 + place, by_end(us), us) for place, us in enumerate(minutes(390))]
    assert Topic(records).position() == Position(100)


def test_an_empty_topic_and_one_that_ends_before_the_day_are_read_from_their_end() -> None:
    assert topic([], first=7).position() == Position(7)
    assert topic(minutes(0, 500)).position() == Position(500)


def test_a_topic_whose_beginning_is_gone_is_read_from_what_is_left() -> None:
    kept = topic(minutes(390)[100:], first=1000)
    found = kept.position()
    assert found == Position(1000)
    assert note_of(found, kept.bounds, "bars.SPY", OPEN_US) == (
        "reading begins at offset 1000 of bars.SPY: what came before is no longer there"
    )


@pytest.mark.parametrize("spread", [1, 3, 40])
def test_markers_gaps_and_what_can_t_be_read_are_passed_over(spread: int) -> None:
    """One bar in `spread` offsets; every second of the others is a record that can't be read, the rest is not there at all."""
    records = []
    for place, us in enumerate(minutes(3000, 3000)):
        records.append(Kept(place * spread, by_end(us - HOUR_US), us))
        records += [Kept(place * spread + other, by_end(us - HOUR_US), None) for other in range(1, spread, 2)]
    assert Topic(records).position().offset == 3000 * spread


def test_where_nothing_can_be_read_for_a_long_way_reading_starts_before_it() -> None:
    """A producer of another format wrote 60,000 records between the days: the bar behind them is not missed."""
    records = [Kept(place, 1, us) for place, us in enumerate(minutes(0, 30_000))]
    records += [Kept(30_000 + place, 1, None) for place in range(60_000)]
    records += [Kept(90_000 + place, 1, us) for place, us in enumerate(minutes(30_000))]
    found = Topic(records).position()
    assert 30_000 <= found.offset <= 90_000
    assert found.doubt is not None


def test_a_topic_of_another_format_is_read_as_its_times_say() -> None:
    assert Topic([Kept(place, by_end(us), None) for place, us in enumerate(minutes(390, 390))]).position() == Position(390)


def test_bars_that_are_a_little_out_of_order_are_not_missed() -> None:
    chance = Random(7)
    ends = minutes(20_000, 20_000)
    for begin in range(0, len(ends), 500):
        part = ends[begin : begin + 500]
        chance.shuffle(part)
        ends[begin : begin + 500] = part
    kept = topic(ends, lambda us: us // 1_000_000)
    assert kept.position().offset == next(place for place, us in enumerate(ends) if us > OPEN_US)


def test_of_two_backfills_the_older_one_behind_the_other_no_bar_is_missed() -> None:
    """All sent today: this year's bars, then last year's, then live ones; a search that trusts the order would end behind them."""
    this_year = minutes(2_000, 10_000)
    last_year = [us - 365 * DAY_US for us in minutes(0, 12_000)]
    kept = topic([*this_year, *last_year, *(us + 3_000 * MINUTE_US for us in minutes(500))], lambda us: SENT_MS)
    found = kept.position()
    assert found.offset == 10_000
    assert found.doubt is not None
    assert found.doubt.is_scanned


def test_a_scan_that_comes_to_its_limit_passes_nothing_over() -> None:
    newest = [us - 2 * 365 * DAY_US for us in minutes(0, 150_000)]
    older = [us - 5 * 365 * DAY_US for us in minutes(0, 150_000)]
    kept = topic([*newest, *older, *minutes(390)], lambda us: SENT_MS)
    found = kept.position()
    assert found.offset == MOST
    assert "its first 100,000 offsets were read and all of them are older" in (note_of(found, kept.bounds, "bars.SPY", OPEN_US) or "")


def test_the_note_says_what_contradicts_what_and_what_would_be_right() -> None:
    kept = topic(minutes(390), lambda us: by_end(us - 4 * HOUR_US))
    assert note_of(kept.position(), kept.bounds, "bars.SPY", OPEN_US) == (
        "reading begins at offset 0 of bars.SPY, found from its records: the times of its messages give offset 240, but the record before "
        "it (offset 239) is of 2013-10-07T17:30:00Z, after 2013-10-07T13:30:00Z; stamp each message with the end of its bar, in "
        "milliseconds since 1970 UTC"
    )


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_with_bars_in_order_nothing_of_the_day_is_missed_and_nothing_else_is_read(data: st.DataObject) -> None:
    """By up to two days, either way, the times of the messages may be off."""
    before, after = data.draw(st.integers(0, 4000)), data.draw(st.integers(1, 4000))
    shift_us = data.draw(st.integers(-2 * DAY_US, 2 * DAY_US))
    kept = topic(minutes(after, before), lambda us: by_end(us + shift_us))
    found = kept.position()
    assert found.offset <= before
    # Times that are late by less than a hundred bars are not worth a doubt: a few bars of before the open are read, as late ones.
    assert found.offset >= before - 100
