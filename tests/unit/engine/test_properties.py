"""Properties: how inputs are batched, where a worker restarts and who re-drives the journal changes nothing that it should not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.engine.state.completeness import gaps_of, quality_of
from streams.engine.state.symbol import SymbolSessionData
from streams.model.inputs import InputKind, JournalInput
from streams.model.records import Bar, Outcome, Quote, Rejected, Undecodable
from streams.model.rows import StreamRow, stream_key
from streams.model.transactions import TransactionResult
from streams.times import MINUTE_US, SECOND_US
from tests.support.engine import Desk, Record, at, bar, config, encoded, quote, tick

SYMBOLS = ("AA", "BB", "CC")
SUNDAY = "2013-10-06"
BEGIN = at("18:00", SUNDAY)
"""Two hours before midnight UTC, where a day of the 24/7 calendar ends."""

RARE = [
    "silent",
    "silent",
    "add",
    "add",
    "remove",
    "load",
    "fail",
    "lost",
    "rewind",
    "resume",
    "long_wait",
    "export",
    "export",
    "ask",
    "ask",
]
QUICK = settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@dataclass(frozen=True)
class Step:
    """What happens next: `kind` names it, the rest is what it needs."""

    kind: str
    symbol: str = "AA"
    seconds: int = 0
    count: int = 0
    records: tuple[Record, ...] = ()
    flag: bool = False


@st.composite
def records(draw: st.DrawFn, symbol: str, first: int, count: int) -> tuple[Bar | Undecodable, ...]:
    """A stretch of a topic: mostly bars in order, with holes, repeats, corrections, late ones and what is no bar."""
    made: list[Bar | Undecodable] = []
    for index in range(first, first + count):
        fate = draw(st.integers(0, 19))
        price = 100.0 + draw(st.integers(-8, 8)) / 4
        volume = draw(st.sampled_from([0.0, 1.0, 7.5, 0.1, 1e6]))
        vwap, trades = draw(st.sampled_from([(None, None), (price, 3), (None, 4)]))
        one = bar(symbol, BEGIN + index * MINUTE_US, price=price, volume=volume, vwap=vwap, trades=trades)
        match fate:
            case 0 | 1:
                continue
            case 2:
                made += [one, one]
            case 3:
                made += [one, bar(symbol, one.start_us, price=price + 1)]
            case 4:
                back = draw(st.integers(1, 12))
                made += [
                    one,
                    bar(symbol, one.start_us - back * MINUTE_US, price=price - 1, provenance=draw(st.sampled_from(["feed", "gap_fill"]))),
                ]
            case 5:
                made += [Undecodable("no magic byte"), bar("ZZ", one.start_us), bar(symbol, one.start_us, "5m"), one]
            case 6:
                made += [bar(symbol, one.start_us, low=200.0), bar(symbol, one.start_us + SECOND_US)]
            case _:
                made.append(one)
    return tuple(made)


@st.composite
def extra_records(draw: st.DrawFn, symbol: str, first: int, count: int) -> tuple[Record, ...]:
    """Quotes and ticks of a stretch: mostly good ones, some late, of other days, from the future, or none at all."""
    made: list[Record] = []
    for _ in range(draw(st.integers(1, 6))):
        time_us = BEGIN + first * MINUTE_US + draw(st.integers(-3, count * 60)) * SECOND_US
        fate = draw(st.integers(0, 15))
        if fate == 0:
            time_us += draw(st.sampled_from([-86_400, 3_600, 86_400])) * SECOND_US
        price = 100.0 if fate != 1 else draw(st.sampled_from([0.0, -1.0, float("inf")]))
        if draw(st.booleans()):
            made.append(quote(symbol if fate != 2 else "ZZ", time_us, price, draw(st.sampled_from([None, 99.0, 101.0]))))
        else:
            made.append(tick(symbol, time_us, price))
    return tuple(made)


@st.composite
def histories(draw: st.DrawFn) -> list[Step]:
    """Some hours in the life of a session, across midnight now and then: mostly bars that come as they should."""
    steps = [Step("load", symbol, count=draw(st.sampled_from([0, 0, 0, 5]))) for symbol in ("AA", "BB")]
    minute = draw(st.sampled_from([0, 95, 115]))
    for _ in range(draw(st.integers(3, 22))):
        kind = draw(st.sampled_from(["live"] * 14 + ["wait", "read"] + ["caught_up"] * 2 + RARE))
        symbol = draw(st.sampled_from(SYMBOLS))
        if kind == "live":
            count = draw(st.integers(1, 8))
            fed = draw(st.lists(st.sampled_from(SYMBOLS), min_size=1, max_size=3, unique=True))
            steps += [Step("produce", one, records=draw(records(one, minute, count))) for one in fed]
            steps += [Step("stream", one, records=draw(extra_records(one, minute, count))) for one in fed if draw(st.booleans())]
            minute += count
            delay = draw(st.sampled_from([0, 0, 0, 1, 5, 20, 61, 400]))
            steps.append(Step("until", symbol, count=minute, seconds=delay))
            steps.append(Step("read", symbol, count=draw(st.sampled_from([3, 40, 40])), flag=draw(st.booleans())))
        else:
            long = kind in ("long_wait", "resume") and draw(st.booleans())
            seconds = draw(st.sampled_from([1, 7, 59, 61, 305])) if not long else draw(st.sampled_from([1800, 7200]))
            minute += seconds // 60 if long else 0
            steps.append(Step(kind, symbol, seconds=seconds, count=draw(st.integers(0, 9)), flag=draw(st.booleans())))
            if kind == "add":
                steps.append(Step("load", symbol, count=draw(st.sampled_from([0, 6]))))
    return steps


TIMINGS: list[dict[str, Any]] = [
    {},
    {"grace_seconds": 0, "per_symbol": {"BB": {"gates": False}}},
    {"grace_seconds": 20, "per_symbol": {"AA": {"catchup_threshold_seconds": 30, "catchup_check_interval": 2}}},
    {"grace_seconds": 150, "catchup_threshold_seconds": 200},  # windows wait for late bars while the next ones fill
]

configs = st.builds(
    lambda timing, rest: timing | rest,
    st.sampled_from(TIMINGS),
    st.fixed_dictionaries(
        {
            "check": st.sampled_from(["adaptive", "interval", "every_bar"]),
            "reference": st.sampled_from(["close", "open"]),
            "catchup_check_interval": st.sampled_from([1, 3, 10]),
            "silence_lags": st.booleans(),
            "min_completeness": st.sampled_from([0, 0.5, 1]),
            "window_anchor": st.sampled_from(["session", "clock"]),
            "bars_topic": st.booleans(),
        }
    ),
)


def desk_of(parts: dict[str, Any], **keys: Any) -> Desk:
    values = config(
        "AA", "BB", exchange="24/7", streams=["1m", "quotes", "ticks"], derived_intervals=["3m", "5m", "15m"],
        historical={"trailing_days": 5}, **parts,
    )  # fmt: skip
    return Desk(values, BEGIN, **keys)


def play(desk: Desk, steps: list[Step]) -> None:
    """Play a history at a desk; what can't be done as things stand is left out."""
    for step in steps:
        data = desk.session.symbol(step.symbol)
        if step.kind in ("produce", "stream", "until", "wait", "long_wait", "read"):
            pass_time(desk, step)
        elif step.kind in ("add", "remove", "rewind", "resume"):
            order(desk, step)
        elif step.kind == "export":
            export(desk, step)
        elif data is not None:
            tell(desk, step, data)


def pass_time(desk: Desk, step: Step) -> None:
    data = desk.session.symbol(step.symbol)
    match step.kind:
        case "produce":
            desk.produce(*step.records, topic=step.symbol)
        case "stream":
            for one in step.records:
                desk.produce(one, topic=stream_key("quotes" if isinstance(one, Quote) else "ticks", step.symbol))
        case "until":
            desk.now_us = max(desk.now_us, BEGIN + step.count * MINUTE_US + step.seconds * SECOND_US)
        case "read":
            desk.read(*([step.symbol] if step.flag and data is not None and data.is_loaded else ()), count=step.count)
        case _:
            desk.advance(desk.now_us + step.seconds * SECOND_US)


def order(desk: Desk, step: Step) -> None:
    match step.kind:
        case "add":
            desk.command("add_symbol", step.symbol)
        case "remove":
            plan = (len(desk.topics.get(step.symbol, ())), desk.now_us + step.seconds * SECOND_US)
            desk.command("remove_symbol", step.symbol, plan=None if step.flag else plan, immediate=step.flag)
        case "rewind":
            desk.apply(JournalInput(InputKind.REWOUND))
        case "resume":
            desk.apply(JournalInput(InputKind.RESUMED, reason="other"), now_us=desk.now_us + step.seconds * SECOND_US)


def export(desk: Desk, step: Step) -> None:
    """Begin an export and end it, or one of the two."""
    data = desk.session.symbol(step.symbol)
    if step.seconds != 59:
        desk.command("begin_export", step.symbol)
    if step.flag and data is not None:
        desk.command("end_export", step.symbol, export_number=1 if data.exports is None else data.exports.number)


def tell(desk: Desk, step: Step, data: SymbolSessionData) -> None:
    match step.kind:
        case "load":
            desk.load(step.symbol, backlog=step.count)
        case "caught_up":
            desk.caught_up(step.symbol)
        case "silent":
            desk.apply(desk.about(InputKind.SILENT, step.symbol), now_us=desk.now_us + (301 * SECOND_US if step.flag else 0))
        case "ask":
            start_us = desk.now_us - step.seconds * MINUTE_US // 2
            end_us, reason = start_us + step.count * MINUTE_US, "away" if step.seconds == 7 else None
            count = 1 if step.seconds == 59 else 0
            desk.apply(desk.about(InputKind.GAP_ASKED, step.symbol, start_us=start_us, end_us=end_us, count=count, reason=reason))
        case "fail" if step.flag:
            desk.apply(desk.about(InputKind.LOAD_FAILED, step.symbol, reason="a test"))
        case "lost" if step.flag:
            desk.apply(desk.about(InputKind.SOURCE_LOST, step.symbol, topic_id="new", first_offset=data.offset, reason="a test"))


def of_symbol(data: SymbolSessionData) -> dict[str, Any]:
    """What a symbol's bars come to, whatever the batches were."""
    data.settle_metrics()
    intervals = [data.base_interval, *data.derived_intervals]
    return {
        "bars": {interval: list(data.series(interval) or ()) for interval in intervals},
        "historical": {days: {name: list(series) for name, series in kept.items()} for days, kept in data.historical.items()},
        "metrics": (data.session_volume, data.session_high, data.session_low, data.latest_bar, data.frontier_us, data.checks),
        "counts": [getattr(data.counts, name) for name in type(data.counts).__slots__ if name not in ("published", "held_back")],
    }


@QUICK
@given(parts=configs, steps=histories())
def test_a_restart_after_every_transaction_changes_nothing_at_all(parts: dict[str, Any], steps: list[Step]) -> None:
    steady, restless = desk_of(parts), desk_of(parts, restores=True)
    play(steady, steps)
    play(restless, steps)
    assert restless.outcomes == steady.outcomes
    for one, other in zip(restless.results, steady.results, strict=True):
        assert encoded(one.rows) == encoded(other.rows)
    assert encoded(restless.table) == encoded(steady.table)


@QUICK
@given(parts=configs, steps=histories())
def test_the_journal_gives_every_output_and_every_row_again(parts: dict[str, Any], steps: list[Step]) -> None:
    desk = desk_of(parts)
    play(desk, steps)
    desk.check_redriven()
    for symbol, data in desk.session.state.symbols.items():
        starts = [one.start_us for one in data.bars]
        assert starts == sorted(set(starts)), symbol


def of_bars(result: TransactionResult) -> list[Outcome]:
    """The outcomes but for dead letters of quotes and ticks."""
    letters = iter(result.dead_letters)
    return [one for one in result.outcomes if not isinstance(one, Rejected) or next(letters).stream is None]


@QUICK
@given(parts=configs, steps=histories())
def test_no_quote_or_tick_makes_a_difference_to_any_bar(parts: dict[str, Any], steps: list[Step]) -> None:
    with_them, without = desk_of(parts), desk_of(parts)
    play(with_them, steps)
    play(without, [step for step in steps if step.kind != "stream"])
    assert [one for result in with_them.results for one in of_bars(result)] == without.outcomes
    mine, theirs = (
        {key: row for key, row in encoded(desk.table).items() if not key.startswith(("quotes|", "ticks|"))} for desk in (with_them, without)
    )
    assert mine == theirs


@QUICK
@given(data=st.data(), parts=configs)
def test_the_batches_of_quotes_change_nothing(data: st.DataObject, parts: dict[str, Any]) -> None:
    made = [one for _ in range(4) for one in data.draw(extra_records("AA", 0, 60))]
    sizes = data.draw(st.lists(st.integers(1, 5), max_size=8))
    rows = []
    for counts in ([], sizes):
        desk = desk_of(parts)
        desk.load("AA")
        for one in made:
            desk.produce(one, topic=stream_key("quotes" if isinstance(one, Quote) else "ticks", "AA"))
        desk.now_us = BEGIN + 61 * MINUTE_US
        for count in counts:
            desk.read(count=count)
        desk.read()
        rows.append({key: row for key, row in encoded(desk.table).items() if key.startswith(("quotes|", "ticks|"))})
        assert sum(len(result.dead_letters) for result in desk.results) == sum(
            row.rejected for row in desk.table.values() if isinstance(row, StreamRow)
        )
    assert rows[0] == rows[1]


@QUICK
@given(data=st.data(), parts=configs)
def test_batches_and_interleaving_change_no_symbols_bars(data: st.DataObject, parts: dict[str, Any]) -> None:
    topics = {symbol: data.draw(records(symbol, data.draw(st.integers(0, 5)), 40)) for symbol in ("AA", "BB")}
    now_us = BEGIN + 50 * MINUTE_US

    def read_in(sizes: list[tuple[list[str], int]]) -> Desk:
        desk = desk_of(parts)
        desk.load("AA", "BB")
        for symbol, made in topics.items():
            desk.produce(*made, topic=symbol)
        desk.now_us = now_us
        for symbols, count in sizes:
            desk.read(*symbols, count=count)
        desk.read()
        return desk

    sizes = st.lists(st.tuples(st.sampled_from([["AA"], ["BB"], ["AA", "BB"], ["BB", "AA"]]), st.integers(1, 30)), max_size=12)
    whole, parted = read_in([]), read_in(data.draw(sizes))
    for symbol in ("AA", "BB"):
        one, other = whole.data(symbol), parted.data(symbol)
        assert of_symbol(one) == of_symbol(other)
        for interval in ("1m", "3m", "5m", "15m"):
            assert quality_of(one, interval, now_us) == quality_of(other, interval, now_us)
            assert gaps_of(one, interval, now_us) == gaps_of(other, interval, now_us)


@QUICK
@given(data=st.data(), parts=configs)
def test_a_symbols_bars_do_not_depend_on_who_else_is_in_the_session(data: st.DataObject, parts: dict[str, Any]) -> None:
    topics = {symbol: data.draw(records(symbol, 0, 30)) for symbol in ("AA", "BB")}

    def alone_or_not(symbols: tuple[str, ...]) -> SymbolSessionData:
        desk = desk_of(parts)
        desk.load(*symbols)
        for symbol in symbols:
            desk.produce(*topics[symbol], topic=symbol)
        desk.read(now_us=BEGIN + 40 * MINUTE_US)
        return desk.data("AA")

    assert of_symbol(alone_or_not(("AA",))) == of_symbol(alone_or_not(("AA", "BB")))


@pytest.mark.parametrize("split", [1, 7, 50])
def test_two_reads_in_one_transaction_are_not_merged_in_a_re_drive(split: int) -> None:
    desk = desk_of({})
    desk.load("AA", "BB")
    for symbol in ("AA", "BB"):
        desk.produce(*[bar(symbol, BEGIN + index * MINUTE_US) for index in range(60)])
    transaction = desk.begin(BEGIN + 60 * MINUTE_US)
    for symbol in ("BB", "AA"):
        read = desk.range_of(symbol, split)
        assert read is not None
        transaction.read([read])
    desk.end(transaction)
    desk.check_redriven()
