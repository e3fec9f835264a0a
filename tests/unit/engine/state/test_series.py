"""A series against a plain dictionary: whatever the order of bars, the seals and the restarts."""

from __future__ import annotations

from unittest.mock import patch

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streams.calendar.trading import TradingCalendar
from streams.engine.state import series as series_module
from streams.engine.state.columns import halves, with_bar
from streams.engine.state.grid import Grid
from streams.engine.state.series import SEAL_AT, BarSeries
from streams.model.records import SessionBar
from streams.model.rows import BlockRow, Columns
from streams.times import MINUTE_US
from tests.support.engine import Desk, at, bar, config, minutes

DAY = TradingCalendar("XNYS").current_day(at("09:30"))
GRIDS = {True: Grid(DAY, "1m", "1m", "session"), False: Grid(DAY, "5m", "1m", "session")}

steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 60), st.integers(0, 3)),
        st.tuples(st.just("append"), st.integers(1, 12), st.just(0)),
        st.tuples(st.sampled_from(["seal", "unite", "restart"]), st.just(0), st.just(0)),
    ),
    max_size=40,
)


def made(grid: Grid, slot: int, revision: int, *, is_base: bool) -> SessionBar:
    start_us = DAY.open_us + slot * grid.width_us
    expected = grid.expected(start_us)
    count = 1 if is_base else 1 + revision % expected
    return SessionBar(
        start_us, grid.end_of(start_us), 1.0, 2.0, 0.5, 1.5, float(slot), None if slot % 2 else 1.25, None if slot % 3 else slot,
        count, expected, revision, count == expected, "feed" if is_base else "derived",
    )  # fmt: skip


def restarted(series: BarSeries, grid: Grid, *, is_base: bool) -> BarSeries:
    """The series from its blocks, and for a base series its tail, as the tables hold them."""
    again = BarSeries(grid, is_base=is_base)
    again.restore_blocks([series.block(number) for number in range(series.full_blocks if is_base else series.block_count())])
    if is_base:
        again.restore_tail(series.tail_columns())
    return again


@settings(deadline=None, max_examples=60)
@given(is_base=st.booleans(), largest=st.sampled_from([2 * SEAL_AT, 256]), played=steps)
@example(is_base=True, largest=256, played=[("put", 20, 0), ("append", 9, 0), ("seal", 0, 0), ("put", 3, 0)])  # before the first block
@example(is_base=False, largest=256, played=[("append", 9, 0), ("seal", 0, 0), ("put", 20, 0), ("put", 12, 0)])  # between block and tail
@example(is_base=False, largest=16, played=[("put", 60, 0), ("append", 12, 0), ("seal", 0, 0), *[("put", slot, 0) for slot in range(30)]])
def test_a_series_is_a_dictionary_in_order_of_start(is_base: bool, largest: int, played: list[tuple[str, int, int]]) -> None:
    with patch.object(series_module, "LARGEST_BLOCK", largest):
        _check_series(GRIDS[is_base], played, is_base=is_base)


def _check_series(grid: Grid, played: list[tuple[str, int, int]], *, is_base: bool) -> None:
    series, model = BarSeries(grid, is_base=is_base), dict[int, SessionBar]()
    for kind, number, revision in played:
        newest = (max(model) - DAY.open_us) // grid.width_us if model else -1
        slots = [number] if kind == "put" else range(newest + 1, newest + 1 + number) if kind == "append" else []
        for one in (made(grid, slot, revision, is_base=is_base) for slot in slots if slot < 78):
            series.put(one)
            model[one.start_us] = one
        if kind == "seal":
            series.seal()
        if kind == "unite":
            series.seal()
            series.unite(2)
        if kind == "restart":
            series.seal()
            series = restarted(series, grid, is_base=is_base)

    bars = [model[start_us] for start_us in sorted(model)]
    assert list(series) == bars
    assert list(reversed(series)) == bars[::-1]
    assert list(series.starts()) == [one.start_us for one in bars]
    assert len(series) == len(bars)
    assert series.last() == (bars[-1] if bars else None)
    for slot in range(-1, 78):
        start_us = DAY.open_us + slot * grid.width_us
        assert series.find(start_us) == model.get(start_us)
        assert series.find(start_us + MINUTE_US // 2) is None
    for first, last in ((0, 0), (0, 78), (7, 9), (8, 40), (33, 77)):
        bounds = DAY.open_us + first * grid.width_us, DAY.open_us + last * grid.width_us
        assert list(series.between(*bounds)) == [one for one in bars if bounds[0] <= one.start_us < bounds[1]]


@pytest.mark.parametrize("restores", [False, True])
def test_a_backlog_that_is_read_at_once_goes_into_blocks_of_bounded_size(restores: bool) -> None:
    values = config("SPY", "IBM", exchange="24/7", derived_intervals=["2m"], catchup_threshold_seconds=10**6)
    begin = at("20:00")  # midnight UTC
    desk = Desk(values, begin, restores=restores)
    desk.load("SPY", "IBM")
    desk.feed(*minutes("SPY", begin, 523), now_us=begin + 600 * MINUTE_US)
    sizes = {key: len(row.bars.slots) for key, row in desk.table.items() if isinstance(row, BlockRow)}
    assert [size for key, size in sizes.items() if "|1m|" in key] == [256, 256, 11]
    assert [size for key, size in sizes.items() if "|2m|" in key] == [256, 5]
    desk.feed(*minutes("SPY", begin + 523 * MINUTE_US, 5))
    desk.feed(bar("SPY", begin + 300 * MINUTE_US, price=7.0))
    assert [one.start_us for one in desk.bars("SPY")] == [begin + index * MINUTE_US for index in range(528)]
    assert [one.start_us for one in desk.bars("SPY", "2m")] == [begin + index * 2 * MINUTE_US for index in range(264)]
    assert desk.bars("SPY")[300].close == 7.0
    assert desk.bars("SPY", "2m")[150].revision == 1
    desk.check_redriven()


@pytest.mark.parametrize(("restores", "count"), [(False, 20), (True, 2)])
def test_bars_that_come_one_by_one_end_in_few_blocks(restores: bool, count: int) -> None:
    symbols = [f"S{number:02}" for number in range(count)]
    desk = Desk(config(*symbols, exchange="24/7", derived_intervals=["5m"]), at("20:00"), restores=restores)
    desk.load(*symbols)
    united_at = dict[str, int]()
    for minute in range(400):
        start_us = at("20:00") + minute * MINUTE_US
        desk.feed(*[bar(symbol, start_us, price=1.0 + minute) for symbol in symbols], now_us=start_us + MINUTE_US)
        for key in (key for key, row in desk.results[-1].rows.items() if row is None):
            united_at.setdefault(key.rpartition("|")[2], minute)
    # By hand: a block every four bars; united when there are 24 to 39 of them, as it falls to the symbol.
    assert len(set(united_at.values())) == min(count, 16)
    assert 24 * 4 <= min(united_at.values()) + 1 < max(united_at.values()) + 1 <= 39 * 4
    for symbol in symbols:
        sizes = [len(row.bars.slots) for row in desk.table.values() if isinstance(row, BlockRow) and row.symbol == symbol]
        assert sum(sizes) == 400 + 80
        assert len(sizes) <= 4 + 39 + 20
        assert [one.close for one in desk.bars(symbol)] == [1.0 + minute for minute in range(400)]
    desk.check_redriven()


@pytest.mark.parametrize("restores", [False, True])
def test_thousands_of_late_bars_before_the_first_one_go_into_blocks_of_bounded_size(restores: bool) -> None:
    values = config("SPY", exchange="24/7", derived_intervals=["2m"], catchup_threshold_seconds=10**6)
    midnight = at("20:00")  # in UTC
    desk = Desk(values, midnight + 1300 * MINUTE_US, restores=restores)
    desk.load("SPY")
    desk.feed(*minutes("SPY", midnight + 1290 * MINUTE_US, 10))
    for first in range(0, 1290, 258):
        desk.feed(*minutes("SPY", midnight + first * MINUTE_US, 258))
    blocks = [row for row in desk.table.values() if isinstance(row, BlockRow)]
    assert max(len(row.bars.slots) for row in blocks) <= 256
    assert [one.start_us for one in desk.bars("SPY")] == [midnight + index * MINUTE_US for index in range(1300)]
    assert [one.start_us for one in desk.bars("SPY", "2m")] == [midnight + index * 2 * MINUTE_US for index in range(650)]
    desk.flow(*minutes("SPY", midnight + 1300 * MINUTE_US, 3))
    desk.check_redriven()
    desk.command("remove_symbol", "SPY", immediate=True)
    assert not [key for key in desk.table if "SPY" in key]


def encoded_columns(columns: Columns) -> list[object]:
    return [one.tobytes() if hasattr(one, "tobytes") else one for one in msgspec.structs.astuple(columns)]


@settings(deadline=None, max_examples=300)
@given(
    is_base=st.booleans(),
    slots=st.lists(st.integers(0, 70), min_size=1, max_size=20, unique=True),
    odd=st.sets(st.sampled_from(["vwap", "trades", "revision", "provenance"])),
    slot=st.integers(0, 70),
    is_odd=st.booleans(),
)
def test_a_bar_that_is_put_into_columns_gives_what_packing_all_bars_gives(
    is_base: bool, slots: list[int], odd: set[str], slot: int, is_odd: bool
) -> None:
    grid = GRIDS[is_base]
    usual = "feed" if is_base else "derived"

    def plain(one: int, *, unusual: bool) -> SessionBar:
        fields: dict[str, object] = {"vwap": None, "trades": None, "revision": 0, "provenance": usual}
        if unusual:
            fields |= {name: {"vwap": 1.25, "trades": 7, "revision": 2, "provenance": "gap_fill"}[name] for name in odd}
        return msgspec.structs.replace(made(grid, one, 0, is_base=is_base), **fields)

    def packed(bars: list[SessionBar]) -> Columns:
        series = BarSeries(grid, is_base=is_base)
        series.tail, series.is_plain = sorted(bars, key=lambda one: one.start_us), False
        return series.tail_columns()

    bars = {one: plain(one, unusual=one % 3 == 0) for one in slots if one < 78}
    bar = plain(slot, unusual=is_odd)
    got = with_bar(packed(list(bars.values())), grid.line_of(bar.start_us), bar, grid.width_us, usual)
    assert encoded_columns(got) == encoded_columns(packed(list((bars | {slot: bar}).values())))
    if len(got.slots) > 1:
        ordered = sorted((bars | {slot: bar}).items())
        middle = len(ordered) // 2
        parts = [packed([one for _, one in half]) for half in (ordered[:middle], ordered[middle:])]
        assert list(map(encoded_columns, halves(got, grid.width_us, usual))) == list(map(encoded_columns, parts))
