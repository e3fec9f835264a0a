"""Rows of what is over are deleted so many at a time, and a session that is restored meanwhile goes on with it."""

from __future__ import annotations

import pytest

from streams.engine import changes
from streams.model.rows import BlockRow
from streams.times import DAY_US, MINUTE_US
from tests.support.engine import Desk, at, bar, config, minutes

MIDNIGHT = at("20:00")  # in UTC
SYMBOLS = ("IBM", "SPY", "XOM")


@pytest.fixture(autouse=True)
def _few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "MOST_DELETIONS", 7)


def full_day(*, restores: bool, trailing_days: int = 0) -> Desk:
    """Three symbols with a hundred bars in blocks of eight each."""
    values = config(*SYMBOLS, exchange="24/7", derived_intervals=["5m"], historical={"trailing_days": trailing_days})
    desk = Desk(values, MIDNIGHT, restores=restores)
    desk.load(*SYMBOLS)
    for first in range(0, 104, 8):
        start_us = MIDNIGHT + first * MINUTE_US
        desk.feed(*[one for symbol in SYMBOLS for one in minutes(symbol, start_us, 8)], now_us=start_us + 8 * MINUTE_US)
    return desk


def blocks_of(desk: Desk, day_us: int) -> list[str]:
    return [key for key, row in desk.table.items() if isinstance(row, BlockRow) and row.trading_days == day_us // DAY_US]


@pytest.mark.parametrize("restores", [False, True])
def test_the_blocks_of_a_day_that_is_over_go_a_few_with_each_transaction(restores: bool) -> None:
    desk = full_day(restores=restores)
    left = len(blocks_of(desk, MIDNIGHT))
    now_us = MIDNIGHT + DAY_US + 10 * MINUTE_US
    desk.advance(now_us)
    while left:
        deleted = [key for key, row in desk.results[-1].rows.items() if row is None]
        assert len(deleted) == min(7, left)
        left -= len(deleted)
        assert len(blocks_of(desk, MIDNIGHT)) == left
        desk.feed(bar("SPY", now_us), now_us=now_us + MINUTE_US)
        now_us += MINUTE_US
    assert not [key for key, row in desk.results[-1].rows.items() if row is None]
    assert len(desk.bars("IBM")) == 0
    desk.check_redriven()


@pytest.mark.parametrize("restores", [False, True])
def test_a_symbol_that_is_added_again_writes_over_what_is_left_of_its_former_self(restores: bool) -> None:
    desk = full_day(restores=restores)
    desk.command("remove_symbol", "SPY", immediate=True)
    assert "symbol|SPY" not in desk.table
    assert "progress|SPY" not in desk.table
    desk.add("SPY")
    desk.read("SPY")
    assert [one.start_us for one in desk.bars("SPY")] == [MIDNIGHT + index * MINUTE_US for index in range(104)]
    for _ in range(10):
        desk.advance(desk.now_us + 1)
    incarnation = desk.data("SPY").incarnation
    assert {row.incarnation for row in desk.table.values() if isinstance(row, BlockRow) and row.symbol == "SPY"} == {incarnation}
    assert len(desk.bars("SPY")) == 104
    assert len(desk.bars("IBM")) == 104
    desk.check_redriven()


@pytest.mark.parametrize("restores", [False, True])
def test_a_config_that_keeps_more_days_takes_no_rest_of_a_day_for_one_of_them(restores: bool) -> None:
    desk = full_day(restores=restores)
    desk.advance(MIDNIGHT + DAY_US + 10 * MINUTE_US)
    assert blocks_of(desk, MIDNIGHT)
    more = config(*SYMBOLS, exchange="24/7", derived_intervals=["5m"], historical={"trailing_days": 3})
    desk.configure(more)
    assert not blocks_of(desk, MIDNIGHT)
    assert desk.data("SPY").historical == {}
    desk.check_redriven()


@pytest.mark.parametrize("restores", [False, True])
def test_a_config_that_keeps_fewer_days_lets_go_of_the_others_at_once(restores: bool) -> None:
    desk = full_day(restores=restores, trailing_days=2)
    desk.advance(MIDNIGHT + DAY_US + 10 * MINUTE_US)
    assert list(desk.data("SPY").historical) == [MIDNIGHT // DAY_US]
    desk.configure(config(*SYMBOLS, exchange="24/7", derived_intervals=["5m"]))
    assert desk.data("SPY").historical == {}
    desk.advance(desk.now_us + 1)
    assert not blocks_of(desk, MIDNIGHT)
    desk.check_redriven()
