"""Paths from what they hold and back."""

from __future__ import annotations

from datetime import date
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import InvalidSymbolError
from streams.history.store.layout import Partition, partition_of
from streams.wire.topics import TopicNames
from tests.support.history import symbols

DAY = date(2013, 10, 7)


@pytest.mark.parametrize(
    ("symbol", "folder", "why"),
    [
        ("SPY", "symbol=SPY", "plain"),
        ("BRK.B", "symbol=BRK.B", "a dot is legal"),
        ("BTC/USD", "symbol=BTC_2FUSD", "a slash would be a folder"),
        ("..", "symbol=..", "behind the key a dot leads nowhere"),
        ("../../etc", "symbol=.._2F.._2Fetc", "no way out of the store"),
        ("A_B", "symbol=A_5FB", "what escapes is escaped"),
        ("Ä", "symbol=_C3_84", "two bytes in UTF-8"),
    ],
)
def test_a_symbol_is_written_as_in_its_topic(symbol: str, folder: str, why: str) -> None:
    path = Partition("bars", "1m", symbol, DAY).path
    assert path.as_posix() == f"bars/interval=1m/{folder}/date=2013-10-07/data.parquet", why
    assert TopicNames("main").bars(symbol) == f"bars.{folder.removeprefix('symbol=')}"


@given(symbols, st.sampled_from(["1s", "1m", "90m", "1d"]), st.dates())
def test_a_path_leads_back_to_what_it_was_made_of(symbol: str, interval: str, day: date) -> None:
    partition = Partition("bars", interval, symbol, day)
    assert partition_of(partition.path) == partition
    assert len(partition.path.parts) == 5


@pytest.mark.parametrize(
    "path",
    [
        "bars/interval=1m/symbol=SPY/date=2013-10-07/other.parquet",
        "bars/interval=1m/symbol=SPY/date=2013-10-07/.data.parquet.1.part",
        "bars/interval=1m/symbol=SPY/date=2013-13-07/data.parquet",
        "bars/interval=1m/symbol=SPY/date=20131007/data.parquet",
        "bars/interval=1x/symbol=SPY/date=2013-10-07/data.parquet",
        "bars/interval=1m/symbol=A_b/date=2013-10-07/data.parquet",
        "bars/interval=1m/symbol=/date=2013-10-07/data.parquet",
        "bars/symbol=SPY/interval=1m/date=2013-10-07/data.parquet",
        "bars/SPY/data.parquet",
    ],
)
def test_another_path_is_none_of_the_store(path: str) -> None:
    assert partition_of(PurePosixPath(path)) is None


def test_a_symbol_whose_folder_no_file_system_takes_is_refused() -> None:
    with pytest.raises(InvalidSymbolError, match="295 characters, at most 255"):
        Partition("bars", "1m", "Ä" * 48, DAY).path  # noqa: B018
