"""Quotes and ticks: the latest one and how many, invalid ones as dead letters, and nothing of them that a bar would notice."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from streams.engine.reads import SessionData
from streams.engine.rules import quotes as extras
from streams.engine.state.symbol import SymbolStatus
from streams.model.inputs import InputKind
from streams.model.records import EventKind, Quote, Rejection, Tick, Undecodable
from streams.model.rows import ProgressRow, StreamRow
from streams.times import SECOND_US
from tests.support.engine import Desk, at, bar, config, encoded, events, minutes, quote, rejections, replies, tick

TUESDAY = "2013-10-08"


def desk_of(*symbols: str, streams: tuple[str, ...] = ("1m", "quotes", "ticks"), begin: int = at("09:30"), **parts: Any) -> Desk:
    desk = Desk(config(*symbols, streams=list(streams), **parts), begin)
    desk.load(*symbols)
    return desk


def row_of(desk: Desk, key: str) -> StreamRow:
    row = desk.table[key]
    assert isinstance(row, StreamRow)
    return row


def test_the_latest_quote_and_tick_are_those_with_the_latest_time_and_all_are_counted() -> None:
    desk = desk_of("SPY")
    nine = at("09:31")
    desk.feed(
        quote("SPY", nine, 99.0), quote("SPY", nine + 5, 99.5), quote("SPY", nine + 2, 98.0),  # the last one came late
        tick("SPY", nine, 100.0), tick("SPY", nine, 101.0),  # of two of one time the later arrival holds
        now_us=nine + SECOND_US,
    )  # fmt: skip
    data = SessionData(desk.session.state)
    quotes, ticks = data.get_quotes("SPY", internal=True), data.get_ticks("SPY", internal=True)
    assert quotes is not None
    assert ticks is not None
    assert (quotes.latest, quotes.count, quotes.total) == (quote("SPY", nine + 5, 99.5), 3, 3)
    assert (ticks.latest, ticks.count, ticks.total) == (tick("SPY", nine, 101.0), 2, 2)
    assert (quotes.as_of, quotes.trading_date.isoformat()) == (ticks.as_of, "2013-10-07")
    snapshot = data.get_symbol_data("SPY", internal=True)
    assert snapshot is not None
    assert (snapshot.quotes_updated, snapshot.ticks_updated, snapshot.streams) == (True, True, ("quotes", "ticks"))
    assert data.get_streamed_data("SPY", internal=True) == ["1m", "quotes", "ticks"]


@pytest.mark.parametrize(
    ("record", "code", "says"),
    [
        (quote("SPY", at("09:31"), math.nan), Rejection.BAD_PRICES, "bid must be a number above 0 and up to 1e+100, or null for none"),
        (quote("SPY", at("09:31"), 99.0, -1.0), Rejection.BAD_PRICES, "ask must be a number above 0"),
        (quote("SPY", at("09:31"), 0.0), Rejection.BAD_PRICES, "got 0.0"),
        (quote("SPY", at("09:31"), None, None), Rejection.BAD_PRICES, "a quote must have a bid or an ask"),
        (quote("SPY", at("09:31"), bid_size=-1.0), Rejection.BAD_PRICES, "bid_size must be a number from 0"),
        (quote("SPY", at("09:31"), ask_size=math.inf), Rejection.BAD_PRICES, "ask_size must be a number from 0"),
        (quote("SPY", at("09:32") + 6 * SECOND_US), Rejection.FUTURE, "6.000 s after now (2013-10-07T13:32:00Z); at most 5 s"),
        (quote("IBM", at("09:31")), Rejection.WRONG_SYMBOL, "a quote of IBM on the topic of the quotes of SPY"),
        (tick("SPY", at("09:31")), Rejection.WRONG_SYMBOL, "a tick of SPY on the topic of the quotes of SPY"),
        (bar("SPY", at("09:30")), Rejection.WRONG_SYMBOL, "a bar of SPY on the topic of the quotes of SPY"),
        (Undecodable("no magic byte"), Rejection.UNDECODABLE, "no magic byte"),
        (Undecodable("no magic byte", "its id is elsewhere"), Rejection.UNDECODABLE, "no magic byte; its id is elsewhere"),
    ],
)  # fmt: skip
def test_an_invalid_quote_is_a_dead_letter_with_the_reason_and_the_next_one_is_taken(record: Any, code: Rejection, says: str) -> None:
    desk = desk_of("SPY")
    desk.produce(quote("SPY", at("09:30")), record, quote("SPY", at("09:31")), topic="quotes|SPY")
    outcomes = desk.read(now_us=at("09:32"))
    (letter,) = desk.results[-1].dead_letters
    assert (letter.symbol, letter.stream, letter.offset, letter.code) == ("SPY", "quotes", 1, code)
    assert says in letter.message
    assert [one.message for one in rejections(outcomes)] == [letter.message]
    row = row_of(desk, "quotes|SPY")
    assert (row.count, row.rejected, row.offset) == (2, 1, 3)
    desk.check_redriven()


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (tick("SPY", at("09:31"), 0.0), "price must be a number above 0 and up to 1e+100, got 0.0"),
        (tick("SPY", at("09:31"), math.nan), "price must be a number above 0"),
        (tick("SPY", at("09:31"), 1.0, -1.0), "size must be a number from 0 to 1e+100, got -1.0"),
        (tick("SPY", at("09:33")), "the tick is of 2013-10-07T13:33:00Z, 60.000 s after now"),
    ],
)
def test_an_invalid_tick_is_a_dead_letter_with_the_reason(record: Tick, says: str) -> None:
    desk = desk_of("SPY")
    desk.feed(record, now_us=at("09:32"))
    (letter,) = desk.results[-1].dead_letters
    assert letter.stream == "ticks"
    assert says in letter.message


@pytest.mark.parametrize(
    "record",
    [
        quote("SPY", at("09:31"), 101.0, 100.0),
        quote("SPY", at("09:31"), None),
        quote("SPY", at("09:31"), ask=None),
        quote("SPY", at("09:31"), bid_size=None),
    ],
)
def test_a_crossed_or_a_one_sided_market_is_a_quote_like_any_other(record: Quote) -> None:
    desk = desk_of("SPY")
    desk.feed(record, now_us=at("09:32"))
    assert desk.data("SPY").extras["quotes"].latest == record


def test_quotes_outside_hours_are_counted_and_dropped() -> None:
    desk = desk_of("SPY", begin=at("09:00"))
    desk.feed(quote("SPY", at("09:29:59")), now_us=at("09:30"))
    desk.feed(quote("SPY", at("15:59:59")), quote("SPY", at("16:00")), now_us=at("16:01"))
    row = row_of(desk, "quotes|SPY")
    assert (row.count, row.total, row.out_of_hours, row.quote is not None and row.quote.time_us) == (1, 1, 2, at("15:59:59"))


@pytest.mark.parametrize("first", ["bars", "quotes", "neither"])
def test_a_new_day_counts_anew_whichever_comes_first(first: str) -> None:
    desk = desk_of("SPY")
    desk.feed(bar("SPY", at("09:30")), quote("SPY", at("09:31")), quote("SPY", at("09:32")), now_us=at("09:33"))
    a_bar, a_quote = bar("SPY", at("09:30", TUESDAY)), quote("SPY", at("09:30", TUESDAY), 50.0)
    match first:
        case "bars":
            desk.feed(a_bar, now_us=at("09:32", TUESDAY))
            assert row_of(desk, "quotes|SPY").count == 0
            assert row_of(desk, "quotes|SPY").quote is None
            assert not desk.data("SPY").quotes_updated
            desk.feed(a_quote)
        case "quotes":
            desk.feed(a_quote, now_us=at("09:31", TUESDAY))
            assert desk.data("SPY").day.days < row_of(desk, "quotes|SPY").trading_days, "a quote rolls no day of its symbol"
            desk.feed(a_bar, now_us=at("09:32", TUESDAY))
        case _:
            desk.feed(a_quote, a_bar, now_us=at("09:32", TUESDAY))
    desk.feed(quote("SPY", at("15:59")))  # Monday's last one was late
    row = row_of(desk, "quotes|SPY")
    assert (row.count, row.total, row.trading_days) == (1, 4, desk.data("SPY").day.days)
    assert row.quote is not None
    assert row.quote.bid == 50.0
    desk.check_redriven()


def test_quotes_write_their_own_small_row_and_no_progress_row() -> None:
    desk = desk_of("SPY", "IBM", sparse_intervals=["1m"])
    desk.feed(*minutes("SPY", at("09:30"), 2), now_us=at("09:32"))
    desk.feed(*[quote("SPY", at("09:32") + place) for place in range(5000)], now_us=at("09:33"))
    assert set(desk.results[-1].rows) == {"session", "quotes|SPY"}
    assert all(len(value or b"") < 250 for value in encoded(desk.results[-1].rows).values())


def test_a_quote_moves_neither_frontier_nor_lag_nor_silence_nor_the_gate() -> None:
    desk = desk_of("SPY", silence_threshold_seconds=300)
    desk.flow(*minutes("SPY", at("09:30"), 3))
    before = desk.table["progress|SPY"]
    desk.feed(quote("SPY", at("09:33")), now_us=at("09:50"))  # seventeen minutes old, where a bar would be stale
    assert desk.active
    assert desk.table["progress|SPY"] == before
    assert isinstance(before, ProgressRow)
    assert desk.session.quiet_symbols(at("09:50")) == ["SPY"]


@pytest.mark.parametrize("restores", [False, True])
def test_a_restart_goes_on_as_if_there_had_been_none(restores: bool) -> None:
    desk = Desk(config("SPY", streams=["1m", "quotes", "ticks"]), at("09:30"), restores=restores)
    desk.load("SPY")
    for minute in range(31, 36):
        now_us = at(f"09:{minute}")
        desk.feed(quote("SPY", now_us, minute), tick("SPY", now_us - 7, minute), bar("SPY", now_us - 60 * SECOND_US), now_us=now_us)
    desk.restart()
    desk.feed(quote("SPY", at("09:34:30"), 1.0), quote("ZZ", at("09:34")), tick("SPY", at("09:36")), now_us=at("09:36"))
    row = row_of(desk, "quotes|SPY")
    assert (row.count, row.quote is not None and row.quote.bid, row_of(desk, "ticks|SPY").count) == (6, 35.0, 6)
    desk.check_redriven()


def poison(monkeypatch: pytest.MonkeyPatch) -> None:
    real = extras.fault_of_quote

    def fault_of_quote(one: Quote, now_us: int, tolerance_us: int, lowest_price: float) -> Any:
        if one.provenance == "poison":
            raise ZeroDivisionError("a bug")
        return real(one, now_us, tolerance_us, lowest_price)

    monkeypatch.setattr(extras, "fault_of_quote", fault_of_quote)


def test_a_bug_met_by_a_quote_costs_that_quote(monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch)
    desk = desk_of("SPY")
    bad = quote("SPY", at("09:31"), provenance="poison")
    desk.feed(quote("SPY", at("09:31")), bad, quote("SPY", at("09:32")), bad, bad, quote("SPY", at("09:32")), now_us=at("09:33"))
    row = row_of(desk, "quotes|SPY")
    assert (row.count, row.engine_errors, row.consecutive_errors, row.offset) == (3, 3, 0, 6)
    assert [(one.offset, one.code, one.stream) for one in desk.results[-1].dead_letters] == [
        (place, Rejection.ENGINE_ERROR, "quotes") for place in (1, 3, 4)
    ]
    monkeypatch.undo()  # a re-drive passes over what was passed over, whatever it would make of it
    desk.check_redriven()


@pytest.mark.parametrize("batches", [1, 10, 12])
def test_ten_errors_in_a_row_fail_the_symbol_wherever_a_restart_falls(monkeypatch: pytest.MonkeyPatch, batches: int) -> None:
    poison(monkeypatch)
    desk = Desk(config("SPY", "IBM", streams=["1m", "quotes"]), at("09:30"), restores=batches > 1)
    desk.load("SPY", "IBM")
    desk.produce(*[quote("SPY", at("09:31"), provenance="poison")] * 12, quote("SPY", at("09:32")))
    for _ in range(batches):
        desk.read(now_us=at("09:33"), count=13 if batches == 1 else 1)
    failed = desk.data("SPY")
    assert failed.status is SymbolStatus.FAILED
    assert failed.reason == "10 quotes in a row could not be processed: ZeroDivisionError: a bug"
    assert failed.extras["quotes"].offset == 10
    assert desk.data("IBM").status is SymbolStatus.LOADED
    monkeypatch.undo()
    desk.check_redriven()


def test_a_bar_that_raises_after_quotes_were_taken_leaves_them_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = desk_of("SPY", "IBM")
    desk.feed(bar("SPY", at("09:30")), quote("SPY", at("09:31")), now_us=at("09:31"))
    transaction = desk.begin(at("09:32"))
    desk.produce(*[quote("IBM", at("09:31") + place) for place in range(3)])
    read = desk.range_of("IBM", stream="quotes")
    assert read is not None
    transaction.read([read])
    with monkeypatch.context() as broken:
        broken.setattr("streams.engine.rules.derived_bars.fill", lambda *arguments: 1 / 0)
        desk.produce(bar("SPY", at("09:31")), bar("IBM", at("09:31")), quote("SPY", at("09:31:30")))
        bars = [desk.range_of(symbol, stream=stream) for symbol, stream in (("SPY", None), ("IBM", None), ("SPY", "quotes"))]
        transaction.read([one for one in bars if one is not None])
    desk.end(transaction)
    assert (row_of(desk, "quotes|IBM").count, row_of(desk, "quotes|SPY").count) == (3, 2)
    desk.check_redriven()


def test_a_removed_symbol_leaves_no_row_and_a_removal_waits_for_the_bars_alone() -> None:
    desk = desk_of("SPY", "IBM")
    desk.feed(bar("SPY", at("09:30")), quote("SPY", at("09:30")), tick("SPY", at("09:30")), now_us=at("09:31"))
    desk.produce(bar("SPY", at("09:31")), *[quote("SPY", at("09:31"))] * 3)
    desk.command("remove_symbol", "SPY", plan=(2, at("09:40")), now_us=at("09:32"))
    assert {"quotes|SPY", "ticks|SPY"} <= set(desk.table)
    desk.read("SPY", now_us=at("09:33"))
    assert not [key for key in desk.table if "SPY" in key and not key.startswith("command")]
    desk.check_redriven()


def test_a_command_says_what_is_streamed_and_one_without_streams_takes_the_configs() -> None:
    desk = Desk(config("SPY", streams=["1m", "ticks"], derived_intervals=["5m"]), at("09:30"))
    wanted = {"A": (), "B": ("quotes",), "C": ("1m", "quotes", "ticks"), "D": ("1m",)}
    for symbol, streams in wanted.items():
        desk.command("add_symbol", symbol, streams=streams)
    found = {symbol: (tuple(desk.data(symbol).extras), desk.data(symbol).derived_intervals) for symbol in wanted}
    assert found == {"A": (("ticks",), ("5m",)), "B": (("quotes",), ("5m",)), "C": (("quotes", "ticks"), ("5m",)), "D": ((), ("5m",))}


def test_a_stream_that_is_lost_costs_the_quotes_and_not_the_bars_and_is_taken_up_again() -> None:
    desk = desk_of("SPY")
    desk.feed(bar("SPY", at("09:30")), quote("SPY", at("09:30")), now_us=at("09:31"))
    gone = desk.about(InputKind.SOURCE_LOST, "SPY", stream="quotes", reason="topic quotes.SPY was deleted")
    (told,) = events(desk.apply(gone), EventKind.SOURCE_LOST)
    assert (told.reason, told.attributes) == ("topic quotes.SPY was deleted", {"stream": "quotes", "lost_from": "1"})
    transaction = desk.begin()
    assert not transaction.apply(gone), "it is told once"
    desk.restart()
    desk.feed(bar("SPY", at("09:31")), now_us=at("09:32"))
    desk.topics["quotes|SPY"] = []
    desk.apply(desk.about(InputKind.STREAM_LOCATED, "SPY", stream="quotes", topic_id="another", first_offset=0))
    desk.feed(quote("SPY", at("09:32"), 3.0), now_us=at("09:33"))
    row = row_of(desk, "quotes|SPY")
    assert (row.topic_id, row.offset, row.count, row.reason) == ("another", 1, 2, None)
    assert len(desk.bars("SPY")) == 2


def test_a_stream_whose_topic_was_truncated_goes_on_at_its_beginning() -> None:
    desk = desk_of("SPY")
    desk.feed(quote("SPY", at("09:30")), now_us=at("09:31"))
    given = desk.about(InputKind.SOURCE_LOST, "SPY", stream="quotes", topic_id="SPY-quotes-1", first_offset=7, reason="truncated")
    (told,) = events(desk.apply(given), EventKind.SOURCE_LOST)
    assert told.attributes == {"stream": "quotes", "lost_from": "1", "resumes_at": "7"}
    row = row_of(desk, "quotes|SPY")
    assert (row.offset, row.reason, row.count) == (7, None, 1)


@pytest.mark.parametrize("status", ["failed", "another life", "not streamed"])
def test_what_is_found_out_about_a_stream_too_late_is_dropped(status: str) -> None:
    desk = desk_of("SPY", streams=("1m", "quotes"))
    given = desk.about(
        InputKind.STREAM_LOCATED, "SPY", stream="ticks" if status == "not streamed" else "quotes", topic_id="t", first_offset=0
    )
    if status == "failed":
        desk.apply(desk.about(InputKind.LOAD_FAILED, "SPY", reason="a test"))
    if status == "another life":
        desk.command("remove_symbol", "SPY", immediate=True)
        desk.command("add_symbol", "SPY")
    assert not desk.begin().apply(given)
    assert not desk.begin().apply(msgspec.structs.replace(given, kind=InputKind.SOURCE_LOST))


def test_a_changed_config_adds_and_drops_streams_of_symbols_that_are_there() -> None:
    desk = desk_of("SPY", streams=("1m", "quotes"))
    desk.feed(quote("SPY", at("09:30")), now_us=at("09:31"))
    desk.configure(config("SPY", streams=["1m", "ticks"]))
    assert "quotes|SPY" not in desk.table
    ticks = desk.data("SPY").extras["ticks"]
    assert not ticks.is_read
    desk.feed(tick("SPY", at("09:31")))
    assert row_of(desk, "ticks|SPY").count == 0, "where its topic begins is not known yet"
    desk.apply(desk.about(InputKind.STREAM_LOCATED, "SPY", stream="ticks", topic_id="t", first_offset=0))
    desk.read()
    assert row_of(desk, "ticks|SPY").count == 1
    desk.configure(config("SPY"))
    assert desk.data("SPY").extras == {}
    assert not replies(desk.results[-1].outcomes)
