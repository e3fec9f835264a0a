"""Fields that a bar, a quote, or a tick does not have: ignored, counted, and reported once."""

from __future__ import annotations

import json

from streams.model.records import Bar, Event, Outcome
from streams.model.transactions import RangeRead
from streams.replay.source import MemorySource, OpenedTopic, Read
from streams.times import MINUTE_US, iso
from streams.wire.codec import Codec
from streams.wire.ranges import range_read
from tests.support.engine import Desk, at, bar, config, quote
from tests.support.sessions.replay import run_replay, session_of

CODEC = Codec()
TEN = at("10:00")


def text_of(one: Bar, **more: object) -> bytes:
    fields = {name: getattr(one, name) for name in ("symbol", "interval", "open", "high", "low", "close", "volume")}
    return json.dumps({**fields, "start": iso(one.start_us), **more}).encode()


def read(desk: Desk, *values: bytes, stream: str | None = None, rules: int = 2) -> list[Outcome]:
    data = desk.data("SPY")
    first = data.offset if stream is None else data.extras[stream].offset
    given = range_read(CODEC, "SPY", 1, first, first + len(values), range(first, first + len(values)), values, stream, rules=rules)
    transaction = desk.begin(TEN + 10 * MINUTE_US)
    transaction.read([given])
    return desk.end(transaction)


def reports(outcomes: list[Outcome]) -> list[tuple[str | None, str | None]]:
    return [(one.reason, one.attributes.get("stream")) for one in outcomes if isinstance(one, Event) and one.kind == "unknown_fields"]


def desk_of_spy() -> Desk:
    desk = Desk(config("SPY", streams=["1m", "quotes"]), TEN)
    desk.load("SPY")
    return desk


def test_a_bar_with_an_unknown_field_is_a_bar_and_that_is_reported_once() -> None:
    desk = desk_of_spy()
    bars = [bar("SPY", TEN + minute * MINUTE_US) for minute in range(4)]
    first = read(desk, text_of(bars[0]), text_of(bars[1], venue="X", n=3), text_of(bars[2], venue="X"))
    again = read(desk, text_of(bars[3], other=None))
    assert reports(first) == [("bars have fields that are not known and that are ignored: venue, n", "bars")]
    assert reports(again) == [("bars have fields that are not known and that are ignored: other", "bars")]
    assert [one.start_us for one in desk.bars("SPY")] == [one.start_us for one in bars]
    counts = desk.data("SPY").counts
    assert (counts.unknown_fields, counts.rejected) == (3, 0)
    desk.restart()
    assert desk.data("SPY").counts.unknown_fields == 3


def test_a_name_is_reported_once_and_a_new_one_when_it_comes() -> None:
    desk = desk_of_spy()
    bars = [bar("SPY", TEN + minute * MINUTE_US) for minute in range(4)]
    assert [reason for reason, _ in reports(read(desk, text_of(bars[0], a=1), text_of(bars[1], b=1, a=2)))] == [
        "bars have fields that are not known and that are ignored: a",
        "bars have fields that are not known and that are ignored: b",
    ]
    desk.restart()
    assert reports(read(desk, text_of(bars[2], b=1, a=2))) == []
    assert [reason for reason, _ in reports(read(desk, text_of(bars[3], b=1, vwop=2)))] == [
        "bars have fields that are not known and that are ignored: vwop"
    ]
    assert desk.data("SPY").counts.unknown_fields == 4


def test_no_more_than_twenty_names_are_reported_and_the_last_report_says_so() -> None:
    desk = desk_of_spy()
    bars = [bar("SPY", TEN + minute * MINUTE_US) for minute in range(4)]
    eighteen = {f"f{number}": 1 for number in range(18)}
    read(desk, text_of(bars[0], **eighteen))
    ((reason, _),) = reports(read(desk, text_of(bars[1], x=1, y=1, z=1)))
    assert reason == (
        "bars have fields that are not known and that are ignored: x, y; "
        "these make 20 names, and further ones are counted without being named"
    )
    assert reports(read(desk, text_of(bars[2], z=1))) == []
    desk.restart()
    assert reports(read(desk, text_of(bars[3], z=1))) == []
    assert desk.data("SPY").counts.unknown_fields == 4


def test_names_are_reported_with_sixty_four_characters_at_most() -> None:
    desk = desk_of_spy()
    name = "n" * 100
    first = read(desk, text_of(bar("SPY", TEN), **{name: 1}))
    again = read(desk, text_of(bar("SPY", TEN + MINUTE_US), **{name: 1}))
    assert reports(first) == [(f"bars have fields that are not known and that are ignored: {'n' * 64}", "bars")]
    assert reports(again) == []


def test_quotes_count_theirs_for_themselves() -> None:
    desk = desk_of_spy()
    values = [json.dumps({"symbol": "SPY", "time": iso(TEN + second), "bid": 1.0, "venue": "X"}).encode() for second in range(3)]
    outcomes = read(desk, CODEC.quote_to_avro(quote("SPY", TEN, 1.0, 1.1)), *values, stream="quotes")
    assert reports(outcomes) == [("quotes have fields that are not known and that are ignored: venue", "quotes")]
    assert (desk.data("SPY").extras["quotes"].unknown_fields, desk.data("SPY").counts.unknown_fields) == (3, 0)
    desk.restart()
    assert desk.data("SPY").extras["quotes"].unknown_fields == 3


def test_under_the_first_rules_it_was_a_dead_letter() -> None:
    desk = desk_of_spy()
    outcomes = read(desk, text_of(bar("SPY", TEN), venue="X"), rules=1)
    assert reports(outcomes) == []
    assert (desk.data("SPY").counts.rejected, desk.bars("SPY")) == (1, [])


def test_a_replay_reports_what_the_live_session_did() -> None:
    bars = [bar("SPY", TEN + minute * MINUTE_US) for minute in range(3)]
    names = [(), ("venue",), ("venue", "n")]

    class Source(MemorySource):
        def open(self, symbol: str, interval: str, from_us: int) -> OpenedTopic:
            opened = super().open(symbol, interval, from_us)
            return OpenedTopic(opened.topic_id, opened.offset, (Read(*one[:3], names[one.offset]) for one in opened.records))

    result = run_replay(session_of("SPY"), Source({"SPY": bars}))
    data = result.replay.session.symbol("SPY")
    assert data is not None
    assert (data.counts.unknown_fields, len(result.bars("SPY"))) == (2, 3)


def test_a_range_without_such_fields_names_none() -> None:
    given = range_read(CODEC, "SPY", 1, 0, 1, [0], [text_of(bar("SPY", TEN))])
    assert given == RangeRead("SPY", 1, 0, 1, [0], [bar("SPY", TEN)], None, None)


def test_a_range_that_is_cut_counts_each_record_once_when_the_rest_is_read_later() -> None:
    desk = desk_of_spy()
    values = [json.dumps({"symbol": "SPY", "time": iso(TEN + second), "bid": 1.0, "venue": "X"}).encode() for second in range(5)]
    whole = range_read(CODEC, "SPY", 1, 0, 5, range(5), values, "quotes")
    transaction = desk.begin(TEN + 10 * MINUTE_US)
    transaction.read([whole.before(2)])
    desk.end(transaction)
    extra = desk.data("SPY").extras["quotes"]
    assert (extra.offset, extra.unknown_fields) == (2, 2)
    read(desk, *values[2:], stream="quotes")
    assert (extra.offset, extra.unknown_fields) == (5, 5)
