"""The feed adapters in examples/, on messages of the shapes that the public documents of the exchanges and the broker show."""

from __future__ import annotations

import io
import json
import sys
from types import ModuleType
from typing import Any

import pytest

from streams.model.records import Bar, Quote, Tick
from streams.model.validation import fault_of
from streams.times import interval_us, parse_instant
from tests.unit.examples.test_examples import example

KLINE: dict[str, Any] = {
    "e": "kline", "E": 1638747660012, "s": "BTCUSDT",
    "k": {
        "t": 1638747600000, "T": 1638747659999, "s": "BTCUSDT", "i": "1m", "f": 100, "L": 200, "o": "49250.10", "c": "49261.00",
        "h": "49270.55", "l": "49249.00", "v": "31.024", "n": 101, "x": True, "q": "1528000.1", "V": "12.5", "Q": "615000.0", "B": "0",
    },
}  # fmt: skip
MINUTES: list[dict[str, Any]] = [
    {"T": "success", "msg": "connected"},
    {"T": "b", "S": "SPY", "o": 388.985, "h": 389.13, "l": 388.975, "c": 389.12, "v": 49378, "n": 461, "vw": 389.062639,
     "t": "2021-02-22T19:15:00Z"},
    {"T": "u", "S": "SPY", "o": 388.985, "h": 389.13, "l": 388.975, "c": 389.12, "v": 49578, "n": 462, "vw": 389.062643,
     "t": "2021-02-22T19:15:00Z"},
    {"T": "q", "S": "SPY", "bp": 389.1, "ap": 389.12, "t": "2021-02-22T19:15:00.1Z"},
]  # fmt: skip


def match(time: str, price: str, size: str, kind: str = "match") -> dict[str, Any]:
    """A trade, as the exchange sends it."""
    return {
        "type": kind, "trade_id": 10, "sequence": 50, "maker_order_id": "ac928c66", "taker_order_id": "132fb6ae", "time": time,
        "product_id": "BTC-USD", "size": size, "price": price, "side": "sell",
    }  # fmt: skip


@pytest.fixture
def klines() -> ModuleType:
    return example("feed_klines")


@pytest.fixture
def minutes() -> ModuleType:
    return example("feed_minute_bars")


@pytest.fixture
def ticks() -> ModuleType:
    return example("feed_ticks")


def accepted(bar: Bar) -> bool:
    """Whether a session takes the bar in as it ends."""
    return fault_of(bar, interval_us(bar.interval), bar.end_us, 5_000_000) is None


def test_a_closed_kline_is_a_bar_that_ends_where_the_next_one_starts(klines: ModuleType) -> None:
    (bar,) = klines.bars_of(KLINE)
    assert (bar.symbol, bar.interval) == ("BTCUSDT", "1m")
    assert bar.start_us == parse_instant("2021-12-05T23:40:00Z")
    assert bar.end_us == parse_instant("2021-12-05T23:41:00Z"), "not 23:40:59.999, which the message calls its close"
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.trades) == (49250.1, 49270.55, 49249.0, 49261.0, 31.024, 101)
    assert accepted(bar)


def test_a_kline_that_is_still_forming_and_a_message_of_another_kind_are_none(klines: ModuleType) -> None:
    assert list(klines.bars_of({**KLINE, "k": {**KLINE["k"], "x": False}})) == []
    assert list(klines.bars_of({"result": None, "id": 1})) == [], "the answer to a subscription"


def test_minute_bars_of_a_broker_start_at_their_time_and_an_update_is_the_same_bar_again(minutes: ModuleType) -> None:
    first, update = minutes.bars_of(MINUTES)
    assert (first.symbol, first.interval) == ("SPY", "1m")
    assert (first.start_us, first.end_us) == (parse_instant("2021-02-22T19:15:00Z"), parse_instant("2021-02-22T19:16:00Z"))
    assert (first.open, first.high, first.low, first.close, first.volume) == (388.985, 389.13, 388.975, 389.12, 49378)
    assert (first.vwap, first.trades) == (389.062639, 461)
    assert (update.start_us, update.volume) == (first.start_us, 49578), "a correction: the same start, another volume"
    assert accepted(first)
    assert accepted(update)


def test_a_bar_is_made_of_the_trades_of_its_second_once_a_later_trade_comes(ticks: ModuleType) -> None:
    made = ticks.BarsOfTicks("1s")
    found = []
    for time, price, size in [
        ("2014-11-07T08:19:26.900000Z", "399.00", "1"),  # the second of the first trade: the subscription may have begun within it
        ("2014-11-07T08:19:27.028459Z", "400.23", "5.25"),
        ("2014-11-07T08:19:27.500000Z", "400.50", "0.5"),
        ("2014-11-07T08:19:27.999999Z", "400.10", "0.25"),
        ("2014-11-07T08:19:30.000000Z", "401.00", "1"),  # nobody traded for two seconds: they have no bar
    ]:
        tick = ticks.tick_of(match(time, price, size))
        assert tick is not None
        found += list(made.take(tick))
    (bar,) = found
    assert (bar.symbol, bar.start_us) == ("BTC-USD", parse_instant("2014-11-07T08:19:27Z"))
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.trades) == (400.23, 400.50, 400.10, 400.10, 6.0, 3)
    assert accepted(bar)
    (last,) = made.finished(parse_instant("2014-11-07T08:19:31Z"))
    assert (last.open, last.trades) == (401.0, 1), "by the clock, without a later trade"


def test_a_trade_of_a_bar_that_was_given_changes_nothing(ticks: ModuleType) -> None:
    made = ticks.BarsOfTicks("1s")
    for second in ("26", "27", "28"):
        list(made.take(ticks.tick_of(match(f"2014-11-07T08:19:{second}.5Z", "400", "1"))))
    assert list(made.take(ticks.tick_of(match("2014-11-07T08:19:27.6Z", "1", "1")))) == []
    (bar,) = made.finished(parse_instant("2014-11-07T08:19:40Z"))
    assert bar.start_us == parse_instant("2014-11-07T08:19:28Z")


def test_the_trade_of_before_the_subscription_is_not_taken(ticks: ModuleType) -> None:
    assert ticks.tick_of(match("2014-11-07T08:19:27Z", "400", "1", kind="last_match")) is None
    assert ticks.tick_of({"type": "subscriptions", "channels": []}) is None


class Sink:
    """Takes the place of a producer."""

    sent: list[Bar | Quote | Tick]

    def __init__(self, settings: object) -> None:
        Sink.sent = []

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def send(self, record: Bar | Quote | Tick) -> None:
        Sink.sent.append(record)


@pytest.mark.parametrize(
    ("name", "lines", "kinds"),
    [
        ("feed_klines", [KLINE], [Bar]),
        ("feed_minute_bars", [MINUTES], [Bar, Bar]),
        ("feed_ticks", [match(f"2014-11-07T08:19:{second}Z", "400", "1") for second in (26, 27, 28)], [Tick, Tick, Bar, Tick]),
    ],
)
def test_each_adapter_sends_what_comes_in_by_the_line(
    name: str, lines: list[object], kinds: list[type], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = example(name)
    monkeypatch.setattr(module, "BarProducer", Sink)
    monkeypatch.setattr(sys, "argv", [f"{name}.py"])
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(json.dumps(line) for line in lines)))
    module.main()
    assert [type(record) for record in Sink.sent] == kinds
