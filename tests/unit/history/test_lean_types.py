"""LEAN files of every type and resolution that the samples have: each row held against a reading by pandas, by its own rules.

Row counts and first rows are those of `unzip -p ... | wc -l` and `| head -1`. The zones stand in LEAN's market-hours database.
"""

from __future__ import annotations

import io
import math
import zipfile
from datetime import date
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from streams.calendar.trading import TradingCalendar
from streams.engine.rules.placement import Place, place_of
from streams.errors import BarFileError
from streams.history.formats.checks import FileCheck
from streams.history.lean.files import find, lean_files, read_lean, read_lean_file, read_lean_quotes
from streams.history.lean.markets import Market, data_zone
from streams.history.quotes import QuoteBar
from streams.model.records import Bar
from streams.times import date_of_days, iso
from tests.support.lean import SAMPLES

SPANS = {"second": ("1s", "1s"), "minute": ("1m", "1min"), "hour": ("1h", "1h"), "daily": ("1d", "1D")}


class Sample(NamedTuple):
    """A CSV of the samples, and what must come of it."""

    path: str
    symbol: str
    zone: str
    scale: int
    rows: int
    first: str


# Path, symbol, zone of its times, unit of its prices, rows, start of the first. A daily bar of India starts at midnight in Kolkata.
TABLE = """
    crypto/coinbase/minute/btceur/20180404_trade.zip             BTCEUR     UTC              1      949 2018-04-04T00:00:00Z
    crypto/bybit/minute/btcusdt/20221213_trade.zip               BTCUSDT    UTC              1     1440 2022-12-13T00:00:00Z
    crypto/binance/hour/btcusdt_trade.zip                        BTCUSDT    UTC              1      120 2018-05-01T00:00:00Z
    cryptofuture/bybit/minute/btcusd/20221213_trade.zip          BTCUSD     UTC              1      721 2022-12-13T00:00:00Z
    cryptofuture/binance/daily/adausdt_trade.zip                 ADAUSDT    UTC              1        9 2022-12-07T00:00:00Z
    cryptofuture/binance/hour/adausdt_trade.zip                  ADAUSDT    UTC              1       24 2022-12-13T00:00:00Z
    equity/india/minute/juniorbees/20190101_trade.zip            JUNIORBEES Asia/Kolkata     10000  217 2019-01-01T03:45:00Z
    equity/india/minute/juniorbees/20190102_trade.zip            JUNIORBEES Asia/Kolkata     10000  201 2019-01-02T03:45:00Z
    equity/india/daily/cccl.zip                                  CCCL       Asia/Kolkata     10000  495 2010-01-03T18:30:00Z
    equity/usa/daily/uw.zip                                      UW         America/New_York 10000  135 1998-01-02T05:00:00Z
    equity/usa/hour/tapa.zip                                     TAPA       America/New_York 10000  578 2010-01-11T15:00:00Z
    future/cme/minute/es/20131006_trade.zip                      ES.201312  UTC              1      118 2013-10-06T22:00:00Z
    future/cme/minute/es/20131006_trade.zip                      ES.201403  UTC              1       10 2013-10-06T22:00:00Z
    future/cme/daily/es_trade.zip                                ES.201312  UTC              1       61 2013-10-06T00:00:00Z
    future/cme/daily/es_trade.zip                                ES.201403  UTC              1       61 2013-10-06T00:00:00Z
    future/cme/daily/es_trade.zip                                ES.201406  UTC              1       54 2013-10-07T00:00:00Z
    future/cme/daily/es_trade.zip                                ES.201409  UTC              1       10 2013-10-08T00:00:00Z
    future/cme/daily/es_trade.zip                                ES.201412  UTC              1       10 2013-10-10T00:00:00Z
    future/cme/daily/es_trade.zip                                ES.202003  UTC              1        5 2020-01-02T00:00:00Z
    future/cme/daily/es_trade.zip                                ES.202006  UTC              1        1 2020-01-05T00:00:00Z
    future/cme/daily/es_trade.zip                                ES.202009  UTC              1        1 2020-01-05T00:00:00Z
    index/usa/minute/spx/20210104_trade.zip                      SPX        America/Chicago  1      411 2021-01-04T14:30:00Z
    forex/oanda/minute/eurusd/20140502_quote.zip                 EURUSD     UTC              1     1222 2014-05-02T00:00:00Z
    forex/oanda/minute/eurusd/20140504_quote.zip                 EURUSD     UTC              1      157 2014-05-04T21:00:00Z
    forex/oanda/second/eurusd/20140504_quote.zip                 EURUSD     UTC              1      638 2014-05-04T21:00:00Z
    cfd/oanda/minute/de30eur/20190220_quote.zip                  DE30EUR    UTC              1     1206 2019-02-20T00:15:00Z
    future/cme/minute/es/20131006_quote.zip                      ES.201312  UTC              1      155 2013-10-06T19:00:00Z
    future/cme/minute/es/20131006_quote.zip                      ES.201403  UTC              1      100 2013-10-06T19:00:00Z
    future/cme/minute/es/20131006_quote.zip                      ES.201406  UTC              1       52 2013-10-06T19:00:00Z
    future/cme/minute/es/20131006_quote.zip                      ES.201409  UTC              1       10 2013-10-06T22:00:00Z
    future/cme/minute/es/20131006_quote.zip                      ES.201412  UTC              1       13 2013-10-06T22:01:00Z
"""


def sample_of(line: str) -> Sample:
    path, symbol, zone, scale, rows, first = line.split()
    return Sample(path, symbol, zone, int(scale), int(rows), first)


ALL = [sample_of(line) for line in TABLE.strip().splitlines()]
TRADES, QUOTES = [one for one in ALL if "quote" not in one.path], [one for one in ALL if "quote" in one.path]
REFUSED = {
    "forex/oanda/tick/eurusd/20140504_quote.zip": "tick files are not read: those of second, minute, hour and daily are",
    "index/india/minute/nifty50/20190101_trade.zip": (
        "holds 2 files (20190102_nifty_minute_trade.csv, 20190101_nifty_minute_trade.csv): leave the one CSV in it that belongs to its name"
    ),
}


def by_pandas(sample: Sample) -> pd.DataFrame:
    """Start and end of each row, and its columns in currency, as pandas reads them."""
    with zipfile.ZipFile(SAMPLES / sample.path) as archive:
        contract = sample.symbol.partition(".")[2]
        (entry,) = [name for name in archive.namelist() if name.endswith(f"{contract}.csv")]
        rows = pd.read_csv(io.BytesIO(archive.read(entry)), header=None)
    resolution = next(part for part in sample.path.split("/") if part in SPANS)
    if resolution in ("hour", "daily"):
        local = pd.to_datetime(rows[0], format="%Y%m%d %H:%M")
    else:
        local = pd.Timestamp(Path(sample.path).name[:8]) + pd.to_timedelta(rows[0], unit="ms")
    start = local.dt.tz_localize(sample.zone).dt.tz_convert("UTC")
    sizes = {5} if len(rows.columns) == 6 else {5, 10}
    values = pd.DataFrame({column: rows[column] / (1 if column in sizes else sample.scale) for column in rows.columns[1:]})
    values.insert(0, "end", start + pd.Timedelta(SPANS[resolution][1]))
    values.insert(0, "start", start)
    return values


def numbers_of(record: Bar | QuoteBar) -> tuple[float | None, ...]:
    if isinstance(record, Bar):
        return (record.open, record.high, record.low, record.close, record.volume)
    return tuple(getattr(record, name) for name in record.__struct_fields__[4:])


def check_all(sample: Sample, records: list[Bar] | list[QuoteBar]) -> None:
    expected = by_pandas(sample)
    assert len(records) == len(expected) == sample.rows
    assert iso(records[0].start_us) == sample.first
    interval = next(name for part, (name, _) in SPANS.items() if f"/{part}/" in sample.path)
    assert {(record.symbol, record.interval) for record in records} == {(sample.symbol, interval)}
    epoch = pd.Timestamp(0, tz="UTC")
    for column, attribute in (("start", "start_us"), ("end", "end_us")):
        micros = (expected[column] - epoch) // pd.Timedelta("1us")
        assert [getattr(record, attribute) for record in records] == micros.tolist()
    for record, row in zip(records, expected.drop(columns=["start", "end"]).itertuples(index=False), strict=True):
        assert numbers_of(record) == tuple(None if math.isnan(value) else value for value in row)


@pytest.mark.parametrize("sample", TRADES, ids=lambda sample: f"{sample.path}-{sample.symbol}")
def test_every_trade_row_is_what_pandas_reads_by_the_rules_of_its_type(sample: Sample) -> None:
    (file,) = [one for one in lean_files(SAMPLES / sample.path) if one.symbol == sample.symbol]
    check_all(sample, list(read_lean_file(file, check=FileCheck())))


@pytest.mark.parametrize("sample", QUOTES, ids=lambda sample: f"{sample.path}-{sample.symbol}")
def test_every_quote_row_is_what_pandas_reads_by_the_rules_of_its_type(sample: Sample) -> None:
    (file,) = [one for one in lean_files(SAMPLES / sample.path, "quote") if one.symbol == sample.symbol]
    check_all(sample, list(read_lean_quotes(file, check=FileCheck())))


def test_no_sample_is_left_untested() -> None:
    tested = {sample.path for sample in ALL} | set(REFUSED)
    assert tested == {path.relative_to(SAMPLES).as_posix() for path in SAMPLES.rglob("*.zip")}
    found = find(SAMPLES)
    assert found.left_out == {REFUSED["forex/oanda/tick/eurusd/20140504_quote.zip"]: 1}
    read = {(file.path.relative_to(SAMPLES).as_posix(), file.symbol) for file in found.files}
    nifty = ("index/india/minute/nifty50/20190101_trade.zip", "NIFTY50")
    assert read == {(sample.path, sample.symbol) for sample in ALL} | {nifty}


@pytest.mark.parametrize(("path", "said"), REFUSED.items())
def test_what_is_not_read_is_refused_in_a_sentence(path: str, said: str) -> None:
    with pytest.raises(BarFileError) as refused:
        list(read_lean(SAMPLES / path))
    assert str(refused.value) == f"{SAMPLES / path}: {said}"


@pytest.mark.parametrize(
    ("path", "exchange", "first", "last", "days"),
    [
        ("equity/usa/daily/uw.zip", "XNYS", date(1998, 1, 2), date(1998, 7, 16), 135),
        ("equity/india/daily/cccl.zip", "XBOM", date(2010, 1, 4), date(2011, 12, 30), 495),
        ("cryptofuture/binance/daily/adausdt_trade.zip", "24/7", date(2022, 12, 7), date(2022, 12, 15), 9),
    ],
)
def test_a_daily_row_is_the_bar_of_its_trading_date(path: str, exchange: str, first: date, last: date, days: int) -> None:
    calendar = TradingCalendar(exchange)
    places = [place_of(bar, "session", calendar) for bar in read_lean(SAMPLES / path)]
    dates = [date_of_days(place.day.days) for place in places if isinstance(place, Place)]
    assert (len(places), dates[0], dates[-1]) == (days, first, last)
    with zipfile.ZipFile(SAMPLES / path) as archive:
        stamps = [line[:8] for line in archive.read(archive.namelist()[0]).decode().splitlines()]
    assert [f"{day:%Y%m%d}" for day in dates] == stamps


@pytest.mark.parametrize(
    ("market", "symbol", "zone"),
    [
        (("equity", "usa"), "SPY", "America/New_York"),
        (("forex", "fxcm"), "EURUSD", "UTC-05"),  # New York's standard time all year
        (("cfd", "fxcm"), "US2000", "UTC-05"),
        (("cfd", "fxcm"), "xauusd", "UTC"),  # a symbol with a zone of its own
        (("cfd", "oanda"), "DE30EUR", "UTC"),  # the exchange's is Berlin's
        (("future", "cme"), "ES", "UTC"),
        (("future", "ice"), "DX", "America/New_York"),
        (("future", "eurex"), "FESX", "Europe/Berlin"),
        (("index", "usa"), "SPX", "America/Chicago"),
        (("index", "usa"), "RUT", "America/New_York"),  # the exchange's is Chicago's
        (("index", "hkfe"), "HSI", "Asia/Hong_Kong"),
        (("crypto", "gdax"), "BTCUSD", "None"),
    ],
)
def test_the_zone_is_that_of_the_market_hours_database(market: tuple[str, str], symbol: str, zone: str) -> None:
    assert str(data_zone(Market(*market), symbol)) == zone
