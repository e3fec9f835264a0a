"""The notes of an audit about prices that go on in another unit."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.history.quotes import QuoteBar
from streams.history.store.audit import audit
from streams.history.store.store import HistoryStore
from streams.model.records import Bar
from streams.times import MINUTE_US
from tests.support.history import START_US, bar

DAY = 24 * 60


@pytest.fixture
def store(tmp_path: Path) -> HistoryStore:
    return HistoryStore.create(tmp_path / "store")


def at(minute: int, price: float) -> Bar:
    return bar(minute, open=price, high=price, low=price, close=price)


@pytest.mark.parametrize(
    ("minutes", "said"),
    [
        ((0, 1), "prices go from 0.740175 to 7401.75 at 2013-10-07T13:31:00Z"),
        ((0, DAY), "prices go from 0.740175 to 7401.75 at 2013-10-08T13:30:00Z"),  # in the next file
        ((1, 0), "prices go from 7401.75 to 0.740175 at 2013-10-07T13:31:00Z"),
    ],
)
def test_bars_of_two_units_in_one_series_are_noted(store: HistoryStore, minutes: tuple[int, int], said: str) -> None:
    # What an import by the rules of US equities has made of a Bitcoin, and what the right one makes of it.
    store.write_bars([at(minutes[0], 0.740175), at(minutes[1], 7401.75)])
    found = audit(store)
    assert found.is_sound
    (note,) = found.notes
    assert said in note
    assert note.endswith("were these SPY 1m bars imported in another unit than those before?")


def test_quotes_of_two_units_are_noted_by_the_side_that_is_there(store: HistoryStore) -> None:
    sides = ((0.0138, None), (None, 138.0))
    store.write_quotes(
        QuoteBar("EURUSD", "1m", START_US + i * MINUTE_US, START_US + (i + 1) * MINUTE_US, *[bid] * 4, 0.0, *[ask] * 4, 0.0)
        for i, (bid, ask) in enumerate(sides)
    )
    (note,) = audit(store).notes
    assert "prices go from 0.0138 to 138 at 2013-10-07T13:31:00Z" in note


@pytest.mark.parametrize("price", [0.0, 0.37, 74.0, 3.7e5, 1e9], ids=lambda price: f"to {price:g}")
def test_a_price_that_moves_is_not_another_unit(store: HistoryStore, price: float) -> None:
    store.write_bars([at(0, 0.74), at(1, price)])
    assert audit(store).notes == []


def test_series_are_not_held_against_each_other(store: HistoryStore) -> None:
    store.write_bars([bar(0, symbol="A", open=1, high=1, low=1, close=1), bar(1, symbol="B", open=1e4, high=1e4, low=1e4, close=1e4)])
    assert audit(store).notes == []
