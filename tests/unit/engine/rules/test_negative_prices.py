"""Prices below zero: dead letters that name the key, or bars like any others. On 2020-04-20 the May contract of WTI settled at -37.63."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from msgspec.structs import replace

from streams.engine.transaction import Transaction
from streams.model.records import Rejection
from streams.replay.source import MemorySource
from streams.times import MINUTE_US, to_us
from streams.worker.sources.gap_answers import judged, question_of
from tests.support.engine import Desk, bar, config, quote, rejections, tick
from tests.support.sessions.replay import run_replay, session_of

KEY = "session_data_config.allow_negative_prices allows prices of zero and below"
DAY = "2020-04-20"


def utc(clock: str) -> int:
    return to_us(datetime.fromisoformat(f"{DAY}T{clock}+00:00"))


SETTLED = utc("18:28")
"""14:28 in New York: the two minutes of the settlement."""
OIL: dict[str, Any] = {"open": -35.2, "high": -34.1, "low": -40.32, "close": -37.63, "volume": 1234.0, "vwap": -37.4}


def desk_of(**parts: Any) -> Desk:
    desk = Desk(config("CL", "SPY", exchange="24/7", streams=["1m", "quotes", "ticks"], **parts), utc("18:00"))
    desk.load("CL", "SPY")
    return desk


@pytest.mark.parametrize("allowed", [True, ["CL"]])
def test_where_they_are_allowed_the_settlement_of_oil_is_a_bar_and_so_are_its_derived_bars(allowed: object) -> None:
    desk = desk_of(allow_negative_prices=allowed, derived_intervals=["2m"])
    desk.flow(bar("CL", SETTLED, **OIL), bar("CL", SETTLED + MINUTE_US, **{**OIL, "open": 0.5, "high": 1.25, "vwap": -20.0}))
    one, other, both = (published.bar for published in desk.published("CL"))
    assert (one.open, one.high, one.low, one.close, one.vwap) == (-35.2, -34.1, -40.32, -37.63, -37.4)
    assert other.high == 1.25
    assert (both.open, both.high, both.low, both.close, both.volume) == (-35.2, 1.25, -40.32, -37.63, 2468.0)
    data = desk.data("CL")
    assert (data.session_high, data.session_low) == (1.25, -40.32)
    desk.restart()
    assert desk.bars("CL")[0].close == -37.63
    desk.check_redriven()


@pytest.mark.parametrize(("allowed", "symbol"), [(False, "CL"), (["SPY"], "CL"), (["CL"], "SPY")])
def test_elsewhere_they_are_dead_letters_that_name_the_key(allowed: object, symbol: str) -> None:
    desk = desk_of(allow_negative_prices=allowed)
    desk.feed(bar(symbol, SETTLED, **OIL), quote(symbol, SETTLED, -37.7, -37.5), tick(symbol, SETTLED, -37.63), now_us=SETTLED + MINUTE_US)
    told = [(one.code, one.message) for one in rejections(desk.outcomes)]
    assert told == [
        (Rejection.BAD_PRICES, f"open must be a number above 0 and up to 1e+100, got -35.2: {KEY}"),
        (Rejection.BAD_PRICES, f"bid must be a number above 0 and up to 1e+100, or null for none, got -37.7: {KEY}"),
        (Rejection.BAD_PRICES, f"price must be a number above 0 and up to 1e+100, got -37.63: {KEY}"),
    ]


def test_quotes_and_ticks_below_zero_are_taken_where_they_are_allowed() -> None:
    desk = desk_of(allow_negative_prices=["CL"])
    desk.feed(quote("CL", SETTLED, -37.7, -37.5), tick("CL", SETTLED, 0.0), tick("CL", SETTLED + 1, -37.63), now_us=SETTLED + MINUTE_US)
    quotes, ticks = desk.data("CL").extras["quotes"].row("CL", 1), desk.data("CL").extras["ticks"].row("CL", 1)
    assert quotes.quote is not None
    assert ticks.tick is not None
    assert (quotes.quote.bid, quotes.quote.ask, ticks.tick.price, ticks.count) == (-37.7, -37.5, -37.63, 2)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"volume": -1.0}, "volume must be a number from 0 to 1e+100, got -1.0"),
        ({"low": float("-inf")}, "low must be a number from -1e+100 to 1e+100, got -inf"),
        ({"close": -41.0}, "close -41.0 lies outside low -40.32 and high -34.1"),
        ({"vwap": float("nan")}, "vwap must be a number from -1e+100"),
    ],
)
def test_all_else_is_judged_as_ever_and_a_volume_is_never_below_zero(fields: dict[str, float], words: str) -> None:
    desk = desk_of(allow_negative_prices=True)
    ((_, message),) = [
        (one.code, one.message) for one in rejections(desk.feed(bar("CL", SETTLED, **{**OIL, **fields}), now_us=SETTLED + MINUTE_US))
    ]
    assert words in message
    assert KEY not in message


ZERO: dict[str, Any] = {"open": 1.0, "high": 1.0, "low": 0.0, "close": 0.5, "volume": 10.0}


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"low": 0.0}, "low"),
        ({"low": -0.0}, "low"),
        ({"open": 0.0, "high": 0.0, "low": 0.0, "close": 0.0}, "open"),
        ({"low": 0.25, "vwap": 0.0}, "vwap"),
    ],
)
def test_a_price_of_zero_is_a_dead_letter_that_names_the_same_key(fields: dict[str, float], name: str) -> None:
    desk = desk_of()
    given = bar("CL", SETTLED, **{**ZERO, **fields})
    ((code, message),) = [(one.code, one.message) for one in rejections(desk.feed(given, now_us=SETTLED + MINUTE_US))]
    assert (code, message) == (Rejection.BAD_PRICES, f"{name} must be a number above 0 and up to 1e+100, got {fields[name]}: {KEY}")


def test_a_price_of_zero_is_taken_where_prices_below_zero_are() -> None:
    desk = desk_of(allow_negative_prices=["CL"])
    desk.feed(bar("CL", SETTLED, **{**ZERO, "vwap": 0.0}), now_us=SETTLED + MINUTE_US)
    assert [one.low for one in desk.bars("CL")] == [0.0]
    desk.check_redriven()


def test_a_bar_of_no_volume_may_have_an_average_price_of_zero() -> None:
    desk = desk_of()
    desk.feed(bar("CL", SETTLED, **{**ZERO, "low": 0.25, "volume": 0.0, "vwap": 0.0}), now_us=SETTLED + MINUTE_US)
    assert [one.vwap for one in desk.bars("CL")] == [0.0]


def test_under_the_first_rules_a_price_of_zero_was_taken_until_the_session_goes_on_under_the_newest() -> None:
    desk = desk_of()
    desk.produce(bar("CL", SETTLED, **ZERO), bar("CL", SETTLED + MINUTE_US, **ZERO))
    for rules, kept in ((1, 1), (2, 1)):
        now_us = desk.session.state.now_us + MINUTE_US
        transaction = Transaction(desk.session, owner="tester", now_us=max(now_us, SETTLED + rules * MINUTE_US), rules=rules)
        found = desk.range_of("CL")
        assert found is not None
        transaction.read([replace(found, next_offset=found.first_offset + 1, offsets=found.offsets[:1], records=found.records[:1])])
        letters = transaction.finish().dead_letters
        assert (len(desk.bars("CL")), len(letters)) == (kept, rules - 1)


def test_a_changed_config_holds_from_the_next_bar_on() -> None:
    desk = desk_of()
    desk.feed(bar("CL", SETTLED, **OIL), now_us=SETTLED + MINUTE_US)
    desk.configure(config("CL", "SPY", exchange="24/7", streams=["1m", "quotes", "ticks"], allow_negative_prices=True))
    desk.feed(bar("CL", SETTLED, **OIL))
    assert [one.close for one in desk.bars("CL")] == [-37.63]
    desk.check_redriven()


def test_under_the_first_rules_the_reason_is_as_it_was() -> None:
    desk = desk_of()
    desk.produce(bar("CL", SETTLED, **OIL))
    transaction = Transaction(desk.session, owner="tester", now_us=SETTLED + MINUTE_US, rules=1)
    found = desk.range_of("CL")
    assert found is not None
    transaction.read([found])
    (letter,) = transaction.finish().dead_letters
    assert letter.message == "open must be a number from 0 to 1e+100, got -35.2"


def test_past_days_and_fillings_of_gaps_may_be_below_zero_where_that_is_allowed() -> None:
    values = config("CL", exchange="24/7", historical={"trailing_days": 1}, allow_negative_prices=["CL"])
    desk = Desk(values, SETTLED + 24 * 60 * MINUTE_US)
    desk.history("CL", bar("CL", SETTLED, **OIL))
    desk.load("CL")
    (past,) = desk.data("CL").historical.values()
    assert [one.close for one in past["1m"]] == [-37.63]

    desk = desk_of(allow_negative_prices=["CL"], sparse_intervals=[])
    desk.flow(bar("CL", SETTLED - MINUTE_US), bar("CL", SETTLED + MINUTE_US))
    gap = desk.data("CL").bar_gaps("1m", SETTLED + 2 * MINUTE_US)[-1]
    question = question_of(desk.data("CL"), gap, desk.session.state.calendar, desk.now_us)
    assert [one.close for one in judged(question, [bar("CL", SETTLED, **OIL)])] == [-37.63]


@pytest.mark.parametrize(("allowed", "bars"), [(True, 2), (False, 0)])
def test_a_replay_goes_by_the_same_key(allowed: bool, bars: int) -> None:
    session = session_of("CL", exchange="24/7", allow_negative_prices=allowed)
    source = MemorySource({"CL": [bar("CL", SETTLED, **OIL), bar("CL", SETTLED + MINUTE_US, **OIL)]})
    result = run_replay(session, source, days=(DAY, DAY))
    assert len(result.bars("CL")) == bars
    assert result.summary.dead_letters == ({} if allowed else {"bad_prices": 2})
