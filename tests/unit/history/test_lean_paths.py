"""What the place of a LEAN file says about it, what options say where it doesn't, and what is refused."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from streams.cli.main import run
from streams.errors import BarFileError
from streams.history.lean.files import Assumed, lean_files, read_lean, read_lean_file, read_lean_quotes
from streams.history.store.store import HistoryStore
from streams.replay.lean_source import LeanSource
from streams.times import iso
from tests.support.lean import SAMPLES, write_zip
from tests.support.sessions.replay import MINUTES, run_replay, session_of

Shown = pytest.CaptureFixture[str]

ROW = "0,7400.01,7405.5,7399.2,7401.75,3.25\n"
FIRST = datetime(2013, 10, 7, tzinfo=UTC)
SPY = "34200000,1674100,1674100,1672500,1672700,3197\n"
COINBASE = "crypto/coinbase/minute/btcusd/20180404_trade.zip"


def test_crypto_has_plain_prices_and_times_of_utc(tmp_path: Path, capsys: Shown) -> None:
    path = write_zip(tmp_path, COINBASE, ROW)
    store = str(tmp_path / "store")
    assert run(["import", "lean", str(path), "--store", store]) == 0
    assert run(["history", "export", "BTCUSD", "--store", store, "--format", "jsonl"]) == 0
    exported = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert exported["start"] == "2018-04-04T00:00:00Z"
    assert [exported[name] for name in ("open", "high", "low", "close", "volume")] == [7400.01, 7405.5, 7399.2, 7401.75, 3.25]


# Where a path does not say it


@pytest.mark.parametrize(
    "name", ["minute/spy/20131007_trade.zip", "20131007_trade.zip", "daily/spy.zip", "x/y/minute/spy/20131007_trade.zip"]
)
def test_a_path_without_type_and_market_is_not_taken_for_us_equity(tmp_path: Path, name: str) -> None:
    path = write_zip(tmp_path, name, SPY)
    with pytest.raises(BarFileError, match=r"its path does not say its security type and market, .*: name them"):
        list(read_lean(path))


@pytest.mark.parametrize("name", ["minute/spy/20131007_trade.zip", "20131007_trade.zip"])
def test_options_say_what_the_path_does_not(tmp_path: Path, name: str, capsys: Shown) -> None:
    path = write_zip(tmp_path, name, SPY)
    store = tmp_path / "store"
    assert run(["import", "lean", str(path), "--security-type", "Equity", "--market", "usa", "--store", str(store)]) == 0
    (bar,) = (
        HistoryStore.open(store).read_bars_of("SPY") if False else list(read_lean_file(*lean_files(path, assumed=Assumed("equity", "usa"))))
    )
    assert (bar.symbol, iso(bar.start_us), bar.close) == ("SPY", "2013-10-07T13:30:00Z", 167.27)
    assert "SPY 1m: bars: 1 new" in capsys.readouterr().out


def test_options_that_contradict_the_path_are_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path, COINBASE, ROW)
    with pytest.raises(BarFileError, match="lies in crypto/coinbase, not in equity/usa: leave --security-type and --market out"):
        lean_files(path, assumed=Assumed("equity", "usa"))


def test_a_moved_file_whose_csv_has_another_name_says_nothing(tmp_path: Path) -> None:
    path = write_zip(tmp_path, "20131007_trade.zip", ROW, entry="bars.csv")
    with pytest.raises(BarFileError, match="neither its path nor the CSV in it says symbol and resolution"):
        lean_files(path, assumed=Assumed("equity", "usa"))


def test_a_market_that_lean_does_not_know_needs_a_zone(tmp_path: Path) -> None:
    path = write_zip(tmp_path, "crypto/gdax/minute/btcusd/20180404_trade.zip", ROW)
    with pytest.raises(BarFileError, match=r"LEAN has no crypto market 'gdax', it has binance, .*, kraken: name the zone with --zone"):
        lean_files(path)
    (bar,) = read_lean_file(*lean_files(path, assumed=Assumed(zone=timezone(timedelta(hours=-5)))))
    assert (iso(bar.start_us), bar.open) == ("2018-04-04T05:00:00Z", 7400.01)


# Zones and days


def test_fxcm_is_five_hours_behind_utc_in_summer_too(tmp_path: Path) -> None:
    quote = "0,1.38694,1.38694,1.38683,1.38684,0,1.38705,1.38706,1.38697,1.38699,0\n"
    path = write_zip(tmp_path, "forex/fxcm/minute/eurusd/20140701_quote.zip", quote)
    (file,) = lean_files(path, "quote")
    assert [iso(quote.start_us) for quote in read_lean_quotes(file)] == ["2014-07-01T05:00:00Z"]


@pytest.mark.parametrize("stamp", ["20130310 02:00", "20131103 01:00"], ids=["that is skipped", "that comes twice"])
def test_a_time_at_which_clocks_are_changed_is_refused(tmp_path: Path, stamp: str) -> None:
    path = write_zip(tmp_path, "equity/usa/hour/spy.zip", f"{stamp},1,1,1,1,1\n", entry="spy.csv")
    with pytest.raises(BarFileError, match=r"line 1, column 1: .* is not one instant in America/New_York: its clocks are changed then"):
        list(read_lean(path))


def test_times_on_the_day_of_a_clock_change_are_of_their_own_offset(tmp_path: Path) -> None:
    path = write_zip(tmp_path, "equity/usa/minute/spy/20130310_trade.zip", "3600000,1,1,1,1,1\n10800000,1,1,1,1,1\n")
    assert [iso(bar.start_us) for bar in read_lean(path)] == ["2013-03-10T06:00:00Z", "2013-03-10T07:00:00Z"]


def test_a_day_of_23_hours_ends_where_the_next_one_begins(tmp_path: Path) -> None:
    rows = "20240330 00:00,1,1,1,1,1\n20240331 00:00,1,1,1,1,1\n20240401 00:00,1,1,1,1,1\n"
    path = write_zip(tmp_path, "index/eurex/daily/sx5e.zip", rows, entry="sx5e.csv")
    assert [(iso(bar.start_us), iso(bar.end_us)) for bar in read_lean(path)] == [
        ("2024-03-29T23:00:00Z", "2024-03-30T23:00:00Z"),
        ("2024-03-30T23:00:00Z", "2024-03-31T22:00:00Z"),
        ("2024-03-31T22:00:00Z", "2024-04-01T22:00:00Z"),
    ]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("34200000,1,1,1,1,1\n", "column 1: '34200000' is not a date and time: files of 1h bars have stamps such as 20131007 09:00"),
        ("20131307 09:00,1,1,1,1,1\n", "column 1: '20131307 09:00' is not a date and time"),
        ("20131007 09:30,1,1,1,1,1\n", "column 1: 20131007 09:30 is not the start of a bar of 1h"),
        ("20131007 09:00,1,1,1,1,1\n20131007 09:00,1,1,1,1,1\n", "line 2, column 1: 20131007 09:00 comes after 20131007 09:00:00"),
        ("20131007 09:00,1,1,1,1\n", "has 5 fields: a trade row has 6: start,open,high,low,close,volume"),
    ],
)
def test_a_bad_row_of_an_hour_file_is_named(tmp_path: Path, rows: str, said: str) -> None:
    path = write_zip(tmp_path, "equity/usa/hour/spy.zip", rows, entry="spy.csv")
    with pytest.raises(BarFileError) as refused:
        list(read_lean(path))
    assert said in str(refused.value)


# What is in a zip


def test_a_csv_of_another_day_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path, COINBASE, ROW, entry="20180405_btcusd_minute_trade.csv")
    with pytest.raises(
        BarFileError, match=r"holds 20180405_btcusd_minute_trade.csv, which by its name is of another day: .* of 2018-04-04"
    ):
        list(read_lean(path))


def test_folders_and_the_shadows_of_macos_are_not_the_csv(tmp_path: Path) -> None:
    path = write_zip(tmp_path, COINBASE, ROW, entry="btcusd/20180404_btcusd_minute_trade.csv")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("btcusd/", "")
        archive.writestr("__MACOSX/._20180404_btcusd_minute_trade.csv", "x")
    assert len(list(read_lean(path))) == 1


def test_a_contract_that_its_name_does_not_say_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path, "future/cme/minute/es/20131006_trade.zip", ROW)
    with pytest.raises(BarFileError, match=r"20131006_es_minute_trade.csv does not say its contract"):
        lean_files(path)


def test_a_line_of_a_contract_is_named_with_its_csv(tmp_path: Path) -> None:
    path = write_zip(tmp_path, "future/cme/daily/es_trade.zip", "20131006 00:00,1,1,1,x,1\n", entry="es_trade_201312.csv")
    with pytest.raises(BarFileError, match=r"es_trade.zip: es_trade_201312.csv: line 1, column 5: close is 'x'"):
        list(read_lean(path))


def test_a_damaged_zip_of_contracts_is_refused_alone(tmp_path: Path, capsys: Shown) -> None:
    write_zip(tmp_path, COINBASE, ROW)
    damaged = tmp_path / "future/cme/daily/es_trade.zip"
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes((SAMPLES / "future/cme/daily/es_trade.zip").read_bytes()[:2000])
    assert run(["import", "lean", str(tmp_path), "--store", str(tmp_path / "store")]) == 1
    shown = capsys.readouterr()
    assert "imported 1 file into" in shown.out
    assert f"refused: {damaged}: is damaged" in shown.err


# What a command means


@pytest.mark.parametrize(("symbols", "rows"), [("ES", 128), ("ES.201312", 118), ("es.201403", 10)])
def test_a_future_is_named_with_or_without_its_contract(tmp_path: Path, symbols: str, rows: int, capsys: Shown) -> None:
    words = ["import", "lean", str(SAMPLES / "future/cme/minute"), "--kind", "bars", "--symbols", symbols, "--json"]
    assert run([*words, "--store", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out)["added"] == rows


def test_a_series_of_two_markets_is_refused(tmp_path: Path, capsys: Shown) -> None:
    other = write_zip(tmp_path, COINBASE, ROW)
    write_zip(tmp_path, "crypto/bitfinex/minute/btcusd/20180405_trade.zip", ROW)
    said = f"BTCUSD 1m is of crypto/bitfinex, and of crypto/coinbase in {other}: name the files of one of them"
    for words in (["import", "lean", str(tmp_path), "--store", str(tmp_path / "store")], ["produce", "lean", str(tmp_path)]):
        assert run(words) == 1
        assert said in capsys.readouterr().err
    result = run_replay(session_of("BTCUSD", exchange="24/7"), LeanSource.of([tmp_path]), days=("2018-04-04", "2018-04-04"))
    assert said.replace(str(other), other.name) in result.markers("symbol_failed")[0]["reason"]


def test_all_samples_are_imported_at_once_but_what_is_refused(tmp_path: Path, capsys: Shown) -> None:
    assert run(["import", "lean", str(SAMPLES), "--store", str(tmp_path / "store")]) == 1
    shown = capsys.readouterr()
    # 31 CSVs, of 9,184 rows as the table of test_lean_types says; the hours of BTCUSDT are Binance's and the minutes Bybit's.
    assert shown.out.splitlines()[-2] == f"imported 31 files into {tmp_path / 'store'}: 9,184 new"
    assert [line[:8] for line in shown.err.splitlines()] == ["note: le", "refused:"]


def test_what_is_not_read_is_left_out_of_a_folder_with_a_note_and_refused_by_name(tmp_path: Path, capsys: Shown) -> None:
    write_zip(tmp_path, COINBASE, ROW)
    option = write_zip(tmp_path, "option/usa/minute/aapl/20140606_trade_american.zip", ROW)
    write_zip(tmp_path, "futureoption/cme/minute/es/202003/20200105_trade_american.zip", ROW)
    write_zip(tmp_path, "option/usa/daily/aapl_2014_trade_american.zip", ROW)
    interest = write_zip(tmp_path, "future/cme/minute/es/20131006_openinterest.zip", ROW)
    write_zip(tmp_path, "equity/usa/map_files/map_files_20131007.zip", ROW)
    store = ["--store", str(tmp_path / "store")]
    assert run(["import", "lean", str(tmp_path), *store]) == 0
    shown = capsys.readouterr()
    assert "imported 1 file into" in shown.out
    read = "those of equity, crypto, cryptofuture, forex, cfd, future and index are"
    assert sorted(shown.err.splitlines()) == [
        f"note: left out 1 file: futureoption files are not read: {read}",
        "note: left out 1 file: openinterest files are not read: those of trade and quote are",
        f"note: left out 2 files: option files are not read: {read}",
    ]
    for path, said in ((option, f"option files are not read: {read}"), (interest, "openinterest files are not read")):
        assert run(["import", "lean", str(path), *store]) == 1
        assert f"{path}: {said}" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["produce", "lean"], ["replay", "examples/backtest.json"]], ids=" ".join)
def test_quotes_alone_are_nothing_to_stream(words: list[str], capsys: Shown) -> None:
    assert run([*words, str(SAMPLES / "forex/oanda/minute")]) == 1
    said = (
        "there is no LEAN trade file: quote bars alone, and a session streams bars of trades: `streams import lean` takes them into a store"
    )
    assert said in capsys.readouterr().err


def test_times_of_day_need_files_of_one_zone(capsys: Shown) -> None:
    paths = [str(SAMPLES / "crypto"), str(MINUTES)]
    assert run(["produce", "lean", *paths, "--interval", "1m", "--from", "09:30"]) == 1
    assert "--from and --to need files of one zone, these have America/New_York, UTC: choose with --symbols" in capsys.readouterr().err


# Replays


@pytest.mark.parametrize(("exchange", "published"), [("XNYS", 390), ("24/7", 1440)])
def test_a_replay_says_that_an_exchange_with_a_close_drops_bars_of_crypto(
    tmp_path: Path, exchange: str, published: int, capsys: Shown
) -> None:
    config = tmp_path / "crypto.json"
    days = {"start_date": "2022-12-13", "end_date": "2022-12-13"}
    config.write_text(
        json.dumps({"mode": "backtest", "exchange": exchange, "backtest_config": days, "session_data_config": {"symbols": ["BTCUSDT"]}})
    )
    assert run(["replay", str(config), str(SAMPLES / "crypto/bybit/minute"), "--to", "none", "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["summary"]["base_accepted"] == published
    note = 'note: crypto trades around the clock, and XNYS drops what lies outside its hours: for BTCUSDT set "exchange": "24/7"'
    assert (note in shown.err) is (exchange == "XNYS")


@pytest.mark.parametrize(
    ("symbol", "path", "interval", "days", "bars"),
    [
        ("BTCUSDT", "crypto/bybit/minute", "1m", ("2022-12-13", "2022-12-13"), 1440),
        ("ES.201312", "future/cme/minute", "1m", ("2013-10-06", "2013-10-06"), 118),
        ("BTCUSDT", "crypto/binance/hour", "1h", ("2018-05-01", "2018-05-05"), 120),
    ],
)
def test_a_replay_takes_every_bar_of_a_market_without_a_close(
    symbol: str, path: str, interval: str, days: tuple[str, str], bars: int
) -> None:
    session = session_of(symbol, exchange="24/7", streams=[interval])
    result = run_replay(session, LeanSource.of([SAMPLES / path]), days=days)
    assert len(result.bars(symbol, interval)) == bars == result.summary.bars_in


def test_a_replay_of_an_index_takes_the_bars_of_the_exchanges_hours() -> None:
    source = LeanSource.of([SAMPLES / "index/usa/minute"])
    result = run_replay(session_of("SPX"), source, days=("2021-01-04", "2021-01-04"))
    # 08:30 to 15:00 in Chicago are 390 minutes; the file goes on to 15:20.
    assert len(result.bars("SPX")) == 390
    assert result.bars("SPX")[0]["bar"]["start"] == "2021-01-04T14:30:00Z"
    assert result.bars("SPX")[0]["bar"]["open"] == 3764.61


def test_the_evening_of_a_future_is_of_the_next_trading_date() -> None:
    source = LeanSource.of([SAMPLES / "future/cme/minute"])
    session = session_of("ES.201312", exchange="CMES", hours="us_equity_futures")
    result = run_replay(session, source, days=("2013-10-07", "2013-10-07"))
    # CME opens on Sunday at 17:00 in Chicago.
    assert len(result.bars("ES.201312")) == 118
    assert {line["trading_date"] for line in result.bars("ES.201312")} == {"2013-10-07"}


def test_daily_bars_of_another_zone_are_read_in_the_exchanges_where_the_user_says_so(tmp_path: Path) -> None:
    rows = "20210104 00:00,3764.61,3769.99,3662.71,3700.65,24599\n"
    path = write_zip(tmp_path, "index/usa/daily/spx.zip", rows, entry="spx.csv")
    session = session_of("SPX", streams=["1d"])
    days = ("2021-01-04", "2021-01-05")
    as_it_is = run_replay(session, LeanSource.of([path]), days=days)
    assert as_it_is.dead_letters[0].message.startswith("a 1d bar starts at midnight of its trading date, in UTC or in America/New_York")
    result = run_replay(session, LeanSource.of([path], Assumed(zone=ZoneInfo("America/New_York"))), days=days)
    (bar,) = [line["bar"] for line in result.bars("SPX", "1d")]
    assert (bar["start"], bar["end"], bar["close"]) == ("2021-01-04T14:30:00Z", "2021-01-04T21:00:00Z", 3700.65)


def test_hours_of_the_clock_are_replayed_where_windows_go_by_the_clock() -> None:
    source = LeanSource.of([SAMPLES / "equity/usa/hour"])
    session = session_of("TAPA", streams=["1h"], window_anchor="clock")
    result = run_replay(session, source, days=("2010-01-11", "2010-02-12"))
    # 20 rows of the file lie in these weeks, two of them at 09:00, whose trading began at 09:30.
    assert len(result.bars("TAPA", "1h")) == result.summary.bars_in == 20
    assert result.summary.dead_letters == {}
    cut = [line["bar"] for line in result.bars("TAPA", "1h") if line["bar"]["start"].endswith("14:30:00Z")]
    assert [(bar["start"][:10], bar["end"][11:], bar["close"]) for bar in cut] == [
        ("2010-01-19", "15:00:00Z", 43.51),
        ("2010-01-26", "15:00:00Z", 41.36),
    ]
