"""Versions of a bar in a replay: those that were sent before its end count as one, the last; what was sent later is a correction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.errors import HistoryError
from streams.model.records import Bar, Undecodable
from streams.replay.source import OpenedTopic, Read
from streams.replay.versions import MOST_HELD, LastVersions
from streams.times import HOUR_US, MINUTE_US, SECOND_US
from tests.support.engine import Desk, at, bar, config
from tests.support.sessions.replay import Result, check_sums, run_replay, session_of

OPEN = at("09:30")


class SentSource:
    """Topics in memory, each record with the time at which it was sent (None: unknown)."""

    def __init__(self, **topics: Sequence[tuple[Bar | Undecodable, int | None]]) -> None:
        self._topics = topics

    def open(self, symbol: str, interval: str, from_us: int) -> OpenedTopic:
        return OpenedTopic("sent", 0, iter([Read(place, *one) for place, one in enumerate(self._topics[symbol])]))

    def close(self) -> None:
        """Nothing is held."""


def candle(tenth: int, volume: float, minute: int = 0, **fields: Any) -> tuple[Bar, int]:
    """A version of a minute's candle, and when it was sent: so many tenths of a second after the minute began."""
    start_us = OPEN + minute * MINUTE_US
    return bar("SPY", start_us, volume=volume, **fields), start_us + tenth * SECOND_US // 10


def published(result: Result, interval: str = "1m") -> list[tuple[str, float, int]]:
    """Start, volume and revision."""
    return [(one["bar"]["start"][11:16], one["bar"]["volume"], one["bar"]["revision"]) for one in result.bars("SPY", interval)]


def test_sixty_one_updates_of_a_candle_are_one_bar_in_a_replay_as_they_are_live() -> None:
    updates = [candle(10 * second, float(10 * second), minute) for minute in range(5) for second in range(60)]
    updates += [candle(598, 600.0, minute) for minute in range(5)]
    updates.sort(key=lambda one: one[1])
    result = run_replay(session_of("SPY", derived_intervals=["5m"]), SentSource(SPY=updates))
    assert published(result) == [(f"13:3{minute}", 600.0, 0) for minute in range(5)]
    assert published(result, "5m") == [("13:30", 3000.0, 0)]
    assert result.summary.dropped == {"forming": 300}
    check_sums(result)


def test_what_was_sent_at_the_end_or_later_is_a_correction() -> None:
    result = run_replay(
        session_of("SPY"), SentSource(SPY=[candle(590, 599.0), candle(600, 600.0), candle(603, 601.0), candle(660, 9.0, 1)])
    )
    assert published(result) == [("13:30", 599.0, 0), ("13:30", 600.0, 1), ("13:30", 601.0, 2), ("13:31", 9.0, 0)]


def test_versions_of_bars_that_form_at_the_same_time_are_kept_apart() -> None:
    # A feed that is two bars ahead sends one-second candles by turns.
    first, second = [bar("SPY", OPEN + number * SECOND_US, "1s") for number in (0, 1)]
    topic = [(first, OPEN - SECOND_US), (second, OPEN), (bar("SPY", first.start_us, "1s", volume=7.0), OPEN + 1), (second, OPEN + 2)]
    kept = list(LastVersions(iter([Read(place, *one) for place, one in enumerate(topic)])))
    assert [(one.offset, one.record) for one in kept] == [(2, topic[2][0]), (3, second)]


def test_without_message_times_versions_that_follow_each_other_count_as_one() -> None:
    versions = [bar("SPY", OPEN, volume=float(number)) for number in range(1, 62)]
    result = run_replay(session_of("SPY"), {"SPY": [*versions, bar("SPY", OPEN + MINUTE_US), bar("SPY", OPEN, volume=99.0)]})
    assert published(result) == [("13:30", 61.0, 0), ("13:31", 10.0, 0), ("13:30", 99.0, 1)], "what follows another bar is a correction"
    check_sums(result)


@pytest.mark.parametrize(
    ("between", "why"),
    [
        (Undecodable("no magic byte"), "a dead letter has its place"),
        (bar("SPY", OPEN, low=500.0), "what is no bar replaces none"),
        (bar("IBM", OPEN), "nor does a bar of another symbol"),
        (bar("SPY", OPEN - 5 * MINUTE_US, "5m"), "or of another interval"),
    ],
)
def test_other_records_stay_in_their_place(between: Bar | Undecodable, why: str) -> None:
    topic = [candle(590, 1.0), (between, OPEN + 59 * SECOND_US), candle(598, 2.0)]
    kept = list(LastVersions(iter([Read(place, *one) for place, one in enumerate(topic)])))
    assert [one.offset for one in kept] == [1, 2], why
    result = run_replay(session_of("SPY"), SentSource(SPY=topic))
    assert published(result) == [("13:30", 2.0, 0)], why


def test_a_bar_that_fills_gaps_replaces_no_version_of_the_feed() -> None:
    topic = [candle(590, 1.0), candle(595, 2.0, provenance="gap_fill"), candle(650, 3.0, 1)]
    assert published(run_replay(session_of("SPY"), SentSource(SPY=topic))) == [("13:30", 1.0, 0), ("13:31", 3.0, 0)]


def test_a_daily_bar_is_known_at_the_close_so_what_was_sent_after_it_is_a_correction() -> None:
    day, close_us = at("09:30"), at("16:00")
    midnight = bar("SPY", at("20:00", "2013-10-06"), "1d")  # UTC's midnight
    topic = [(midnight, close_us - 1), (bar("SPY", midnight.start_us, "1d", volume=600.0), close_us + 3600 * SECOND_US)]
    result = run_replay(session_of("SPY", streams=["1d"], catchup_threshold_seconds=90_000), SentSource(SPY=topic))
    assert [(one["bar"]["volume"], one["bar"]["revision"]) for one in result.bars("SPY", "1d")] == [(10.0, 0), (600.0, 1)]
    assert day < close_us


@pytest.mark.parametrize(
    ("stamped_us", "what"),
    [
        (lambda us: us // 1_000_000, "seconds taken for milliseconds"),
        (lambda us: us - 4 * HOUR_US, "New York's time taken for UTC"),
        (lambda us: us, "right times"),
    ],
)
def test_a_correction_stays_behind_its_bar_though_message_times_are_too_early(stamped_us: Callable[[int], int], what: str) -> None:
    bars = [bar("SPY", OPEN + minute * MINUTE_US) for minute in range(6)]
    sent = [(one, stamped_us(one.end_us + 100_000)) for one in bars]
    sent.insert(3, (bar("SPY", OPEN + MINUTE_US, volume=99.0), stamped_us(OPEN + 3 * MINUTE_US + SECOND_US)))
    result = run_replay(session_of("SPY", derived_intervals=["3m"], catchup_threshold_seconds=600), SentSource(SPY=sent))
    first = [("13:30", 10.0, 0), ("13:31", 10.0, 0), ("13:32", 10.0, 0), ("13:31", 99.0, 1)]
    assert published(result)[:4] == first, what
    assert result.summary.dropped == {}
    check_sums(result)


def test_a_daily_bar_forms_from_midnight_on_whatever_stands_between_its_versions() -> None:
    midnight_us = at("00:00")
    versions = [bar("SPY", midnight_us, "1d", volume=volume) for volume in (1.0, 2.0, 3.0)]
    topic = [
        (versions[0], at("04:00")),
        (Undecodable("no magic byte"), at("04:01")),
        (versions[1], at("08:00")),
        (versions[2], at("15:59:59")),
    ]
    result = run_replay(session_of("SPY", streams=["1d"]), SentSource(SPY=topic))
    assert [(one["bar"]["volume"], one["bar"]["revision"]) for one in result.bars("SPY", "1d")] == [(3.0, 0)]
    assert result.summary.dropped == {"forming": 2}


def test_times_that_never_come_to_the_end_hold_up_a_few_records_only() -> None:
    # A topic that was filled within a moment, and keeps that moment as the time of each of its messages.
    bars = [bar("SPY", OPEN + number * SECOND_US, "1s") for number in range(300)]
    read = 0

    def records() -> Iterator[Read]:
        nonlocal read
        for read, one in enumerate(bars, 1):
            yield Read(read - 1, one, OPEN)

    versions = iter(LastVersions(records()))
    assert next(versions).record == bars[0]
    assert read == MOST_HELD + 1
    assert [one.record for one in versions] == bars[1:]


def test_what_was_read_before_a_source_breaks_off_is_given() -> None:
    def records() -> Iterator[Read]:
        yield Read(0, *candle(590, 1.0))
        raise HistoryError("the disk is gone")

    versions = iter(LastVersions(records()))
    assert next(versions).offset == 0
    with pytest.raises(HistoryError, match="the disk is gone"):
        next(versions)
    assert list(versions) == []


# Most records are given without a look at the ones that are held

PLACES = st.integers(0, 3).map(lambda minute: OPEN + minute * MINUTE_US)
BARS = st.builds(lambda start_us, volume: bar("SPY", start_us, volume=volume), PLACES, st.sampled_from([1.0, 2.0]))
SENT = st.none() | st.integers(-90, 260).map(lambda second: OPEN + second * SECOND_US)


@given(st.lists(st.tuples(BARS | st.just(Undecodable("no magic byte")), SENT), max_size=12))
def test_a_record_that_is_given_at_once_is_the_one_that_a_closer_look_gives(topic: list[tuple[Bar | Undecodable, int | None]]) -> None:
    reads = [Read(place, *one) for place, one in enumerate(topic)]
    quick = LastVersions(iter(reads))
    # Bars that are placed on their day are all looked at.
    careful = LastVersions(iter(reads), lambda one: one)
    assert [(one.offset, one.record) for one in quick] == [(one.offset, one.record) for one in careful]
    assert quick.left_out == careful.left_out


# Live and its replay

UPDATES = st.lists(st.tuples(st.integers(0, 4), st.integers(551, 640), st.integers(1, 9)), min_size=1, max_size=20)
"""Minute, tenths of a second after it began, volume: from five seconds before its end on."""


@settings(max_examples=60, deadline=None)
@given(UPDATES)
def test_a_replay_publishes_the_versions_that_live_published(updates: list[tuple[int, int, int]]) -> None:
    topic = sorted({(minute * 600 + tenth, minute): float(volume) for minute, tenth, volume in updates}.items())
    sent = [(bar("SPY", OPEN + minute * MINUTE_US, volume=volume), OPEN + tenth * SECOND_US // 10) for (tenth, minute), volume in topic]
    live = Desk(config("SPY"), OPEN)
    live.load("SPY")
    for one, sent_us in [*sent, (None, OPEN + 10 * MINUTE_US)]:
        for end_us in range(OPEN, sent_us, MINUTE_US):
            if live.now_us < end_us:
                live.advance(end_us)
        live.advance(sent_us) if one is None else live.feed(one, now_us=sent_us)
    result = run_replay(session_of("SPY"), SentSource(SPY=sent))
    found = sorted((one["bar"]["start"], one["bar"]["revision"], one["bar"]["volume"]) for one in result.bars("SPY"))
    assert [one[1:] for one in found] == [(one.bar.revision, one.bar.volume) for one in sorted(live.published(), key=by_version)]
    check_sums(result)


def by_version(published: Any) -> tuple[int, int]:
    return published.bar.start_us, published.bar.revision
