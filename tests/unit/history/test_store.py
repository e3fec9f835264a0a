"""The store: what is written is read, whole files only, one adjustment, and what several writers leave."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.calendar.trading import TradingCalendar
from streams.errors import HistoryError
from streams.history.lean.files import read_lean
from streams.history.quotes import QuoteBar
from streams.history.store.audit import audit
from streams.history.store.layout import Partition
from streams.history.store.store import HistoryStore, WriteResult
from streams.model.records import Bar
from streams.times import from_us, to_us
from tests.support import wait_until
from tests.support.history import START_US, bar, bars, quotes, symbols
from tests.support.sessions.replay import MINUTES, SECONDS, lean_rows

NEW_YORK = ZoneInfo("America/New_York")
FIRST, LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)
FILE = Partition("bars", "1m", "SPY", date(2013, 10, 7)).path


@pytest.fixture
def store(tmp_path: Path) -> HistoryStore:
    return HistoryStore.create(tmp_path / "store")


def all_bars(store: HistoryStore, symbol: str = "SPY", interval: str = "1m") -> list[Bar]:
    return store.get_bars(symbol, interval, FIRST, LAST)


def state_of(store: HistoryStore) -> dict[Path, tuple[int, int]]:
    """Which files there are; a file that was replaced has another inode."""
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in store.files()}


# Reading what was written


def test_the_real_bars_come_back_as_they_were(store: HistoryStore) -> None:
    given_bars = list(read_lean(MINUTES))
    assert store.write_bars(given_bars) == WriteResult(added=len(given_bars))
    for symbol in ("AIG", "BAC", "IBM", "SPY"):
        assert all_bars(store, symbol) == [one for one in given_bars if one.symbol == symbol]
    # Off the files with `unzip -p`: 828 rows of SPY on the 7th, the first at 04:00 in New York.
    first = datetime(2013, 10, 7, tzinfo=NEW_YORK)
    day = store.get_bars("SPY", "1m", first, first + timedelta(days=1))
    assert (len(day), day[0].close, day[0].volume) == (828, 167.27, 3197.0)


def test_start_is_included_and_end_is_not_both_by_the_start_of_a_bar(store: HistoryStore) -> None:
    store.write_bars([bar(0), bar(1), bar(2)])
    second, third = from_us(bar(1).start_us), from_us(bar(2).start_us)
    assert store.get_bars("SPY", "1m", second, third) == [bar(1)]
    assert store.get_bars("SPY", "1m", second.astimezone(NEW_YORK), third + timedelta(microseconds=1)) == [bar(1), bar(2)]
    assert store.get_bars("SPY", "1m", second, second) == []


@pytest.mark.parametrize(("start", "end"), [(FIRST.replace(tzinfo=None), LAST), (FIRST, LAST.replace(tzinfo=None))])
def test_a_naive_instant_is_refused(store: HistoryStore, start: datetime, end: datetime) -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        store.get_bars("SPY", "1m", start, end)
    with pytest.raises(ValueError, match="has no time zone"):
        store.delete_bars("SPY", "1m", start, end)


def test_an_end_before_the_start_is_refused_and_what_is_not_there_gives_no_bar(store: HistoryStore) -> None:
    with pytest.raises(ValueError, match="comes before the start"):
        store.get_bars("SPY", "1m", LAST, FIRST)
    assert all_bars(store, "NONE") == []
    assert all_bars(store, interval="5m") == []


@pytest.mark.parametrize(
    ("folder", "symbol", "interval", "count", "why"),
    [
        (MINUTES / "spy", "SPY", "1m", 3 * 390, "each minute of three days"),
        (MINUTES / "aig" / "20131007_trade.zip", "AIG", "1m", 389, "AIG lacks one"),
        (SECONDS / "spy", "SPY", "1s", 14432, "by the data's own description"),
    ],
)
def test_regular_hours_are_the_calendars(tmp_path: Path, folder: Path, symbol: str, interval: str, count: int, why: str) -> None:
    store = HistoryStore.create(tmp_path / "store", calendar=TradingCalendar("XNYS"))
    store.write_bars(read_lean(folder))
    regular = store.get_bars(symbol, interval, FIRST, LAST, regular_hours_only=True)
    assert len(regular) == count, why
    assert {from_us(one.start_us).astimezone(NEW_YORK).strftime("%H:%M:%S") for one in regular} <= {
        f"{hour:02d}:{minute:02d}:{second:02d}"
        for hour in range(9, 16)
        for minute in range(60)
        for second in range(60)
        if (hour, minute) >= (9, 30)
    }


@pytest.mark.parametrize(
    ("day", "kept", "why"),
    [
        ("2013-11-01", ["09:30", "12:59", "13:00", "15:59"], "an ordinary Friday in summer time"),
        ("2013-11-04", ["09:30", "12:59", "13:00", "15:59"], "the Monday after the clocks were set back"),
        ("2013-11-28", [], "Thanksgiving"),
        ("2013-11-29", ["09:30", "12:59"], "the day after it closes at 13:00"),
    ],
)
def test_regular_hours_know_holidays_early_closes_and_summer_time(tmp_path: Path, day: str, kept: list[str], why: str) -> None:
    store = HistoryStore.create(tmp_path / "store", calendar=TradingCalendar("XNYS"))
    clocks = ["09:29", "09:30", "12:59", "13:00", "15:59", "16:00"]
    starts = [datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=NEW_YORK) for clock in clocks]
    store.write_bars(Bar("SPY", "1m", to_us(start), to_us(start) + 60_000_000, 10, 12, 9, 11, 100) for start in starts)
    regular = store.get_bars("SPY", "1m", FIRST, LAST, regular_hours_only=True)
    assert [f"{from_us(one.start_us).astimezone(NEW_YORK):%H:%M}" for one in regular] == kept, why


def test_bars_of_a_day_are_of_no_hour_and_stay_in(tmp_path: Path) -> None:
    store = HistoryStore.create(tmp_path / "store", calendar=TradingCalendar("XNYS"))
    midnight = START_US - 13 * 3_600_000_000 - 1_800_000_000
    daily = Bar("SPY", "1d", midnight, midnight + 86_400_000_000, 10, 12, 9, 11, 100)
    store.write_bars([daily])
    assert store.get_bars("SPY", "1d", FIRST, LAST, regular_hours_only=True) == [daily]


def test_without_a_calendar_nobody_knows_which_hours_are_regular(store: HistoryStore) -> None:
    with pytest.raises(HistoryError, match="open the store with a calendar"):
        store.get_bars("SPY", "1m", FIRST, LAST, regular_hours_only=True)


@settings(max_examples=15)
@given(st.lists(bars(symbols), max_size=12), st.lists(quotes(), max_size=8))
def test_whatever_is_sane_comes_back_to_the_last_bit(given_bars: list[Bar], given_quotes: list[QuoteBar]) -> None:
    with TemporaryDirectory() as folder:
        store = HistoryStore.create(Path(folder))
        store.write_bars(given_bars)
        store.write_quotes(given_quotes)
        kept = {(one.symbol, one.start_us): one for one in given_bars}
        for symbol in {one.symbol for one in given_bars}:
            assert all_bars(store, symbol) == [kept[key] for key in sorted(kept) if key[0] == symbol]
        quoted = {one.start_us: one for one in given_quotes}
        assert store.get_quotes("SPY", "1m", FIRST, LAST) == [quoted[start_us] for start_us in sorted(quoted)]
        found = audit(store)
        assert (found.is_sound, found.records) == (True, len(kept) + len(quoted))


# Writing


def test_the_same_bars_again_touch_no_file(store: HistoryStore) -> None:
    given_bars = list(read_lean(MINUTES / "ibm"))
    store.write_bars(given_bars)
    before = state_of(store)
    assert store.write_bars(given_bars) == WriteResult(unchanged=len(given_bars))
    assert state_of(store) == before


def test_another_bar_for_a_known_start_takes_its_place_and_leaves_other_days_alone(store: HistoryStore) -> None:
    store.write_bars([bar(0), bar(1), bar(1440)])
    before = state_of(store)
    assert store.write_bars([bar(1, close=10.5), bar(2)]) == WriteResult(added=1, replaced=1)
    assert all_bars(store) == [bar(0), bar(1, close=10.5), bar(2), bar(1440)]
    after = state_of(store)
    assert [path for path in before if before[path] != after[path]] == [store.root / FILE]


def test_a_write_with_one_bad_bar_writes_nothing(store: HistoryStore) -> None:
    with pytest.raises(HistoryError, match=r"SPY 1m: .* low 9\.0 is above high 8\.0"):
        store.write_bars([bar(0), bar(1440), bar(2880, high=8.0)])
    assert store.files() == []
    store.write_bars([bar(1440)])
    overlapping = Bar("SPY", "1m", bar(1440).start_us + 1_000_000, bar(1441).start_us, 10, 12, 9, 11, 100)
    with pytest.raises(HistoryError, match="overlaps"):
        store.write_bars([bar(0), overlapping])
    assert all_bars(store) == [bar(1440)]


def test_quotes_and_bars_of_one_symbol_are_apart(store: HistoryStore) -> None:
    quote = QuoteBar("SPY", "1m", bar().start_us, bar().end_us, 1, 2, 1, 2, 100, None, None, None, None, None)
    store.write_bars([bar()])
    assert store.write_quotes([quote]) == WriteResult(added=1)
    assert store.get_quotes("SPY", "1m", FIRST, LAST) == [quote]
    assert all_bars(store) == [bar()]
    assert [(one.kind, one.records) for one in store.contents()] == [("bars", 1), ("quotes", 1)]


def test_the_contents_are_listed(store: HistoryStore) -> None:
    store.write_bars(read_lean(MINUTES))
    found = {one.symbol: one for one in store.contents()}
    assert list(found) == ["AIG", "BAC", "IBM", "SPY"]
    aig = found["AIG"]
    assert (aig.interval, aig.first, aig.last, aig.days) == ("1m", date(2013, 10, 7), date(2013, 10, 9), 3)
    assert aig.records == sum(len(lean_rows(MINUTES, "AIG", f"2013100{day}", from_ms=0, to_ms=86_400_000)) for day in (7, 8, 9))
    assert aig.bytes == sum(path.stat().st_size for path in store.files() if "symbol=AIG" in str(path))


def test_deleting_takes_what_starts_within_and_the_files_that_are_empty_then(store: HistoryStore) -> None:
    store.write_bars([bar(0), bar(1), bar(1440), bar(0, symbol="IBM")])
    assert store.delete_bars("SPY", "1m", from_us(bar(1).start_us), LAST) == 2
    assert all_bars(store) == [bar(0)]
    assert len(store.files()) == 2
    assert store.delete_bars("SPY", "1m") == 1
    assert store.delete_bars("SPY", "1m") == 0
    assert all_bars(store, "IBM") == [bar(0, symbol="IBM")]
    assert audit(store).is_sound
    store.write_quotes([QuoteBar("SPY", "1m", bar().start_us, bar().end_us, *(None,) * 10)])
    assert store.delete_quotes("SPY", "1m") == 1


# Files


def test_other_tools_read_the_partitions_and_find_units_in_the_schema(store: HistoryStore) -> None:
    store.write_bars([bar(0), bar(0, symbol="BTC/USD"), bar(1440)])
    table = pyarrow.dataset.dataset(store.root / "bars", partitioning="hive").to_table().sort_by("start")
    assert sorted(zip(table["symbol"].to_pylist(), table["date"].to_pylist(), table["interval"].to_pylist(), strict=True)) == [
        ("BTC_2FUSD", "2013-10-07", "1m"), ("SPY", "2013-10-07", "1m"), ("SPY", "2013-10-08", "1m"),
    ]  # fmt: skip
    file = pq.ParquetFile(store.root / FILE)
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    schema = file.schema_arrow
    assert schema.field("close").metadata == {b"unit": b"currency of the instrument"}
    assert schema.field("start").metadata == {b"unit": b"microseconds since 1970-01-01 UTC, the bar's open"}
    assert all(field.metadata[b"unit"] for field in schema)
    assert schema.metadata[b"streams.adjustment"] == b"raw"
    assert json.loads((store.root / "store.json").read_text()) == {"format": 2, "adjustment": "raw"}


def test_one_store_has_one_adjustment(tmp_path: Path) -> None:
    HistoryStore.create(tmp_path, adjustment="split").write_bars([bar()])
    with pytest.raises(HistoryError, match="holds split prices and can't take or give raw ones"):
        HistoryStore.create(tmp_path)
    with pytest.raises(HistoryError, match="name another store for total prices"):
        HistoryStore.open(tmp_path, adjustment="total")
    assert HistoryStore.open(tmp_path).adjustment == "split"


def test_a_file_from_a_store_with_another_adjustment_is_neither_given_nor_added_to(tmp_path: Path) -> None:
    raw, split = (HistoryStore.create(tmp_path / name, adjustment=name) for name in ("raw", "split"))
    raw.write_bars([bar(0)])
    (split.root / FILE).parent.mkdir(parents=True)
    (split.root / FILE).write_bytes((raw.root / FILE).read_bytes())
    for use in (lambda: all_bars(split), lambda: split.write_bars([bar(1)]), lambda: split.delete_bars("SPY", "1m")):
        with pytest.raises(HistoryError, match="its adjustment is 'raw', in this place it must be 'split'"):
            use()


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        (None, "is not a store: `streams import` makes one"),
        ("", "is damaged"),
        ("[]", "is damaged"),
        ('{"format": 1}', "is damaged"),
        ('{"format": 3, "adjustment": "raw"}', "of format 3, this version reads formats 1 and 2"),
        ('{"format": 1, "adjustment": "none"}', "must be raw, split, total, got 'none'"),
    ],
)
def test_what_is_no_store_is_refused_in_words(tmp_path: Path, mark: str | None, said: str) -> None:
    if mark is not None:
        (tmp_path / "store.json").write_text(mark)
    with pytest.raises(HistoryError) as refused:
        HistoryStore.open(tmp_path)
    assert said in str(refused.value)


def test_a_flipped_bit_is_found_when_the_file_is_read(store: HistoryStore) -> None:
    store.write_bars(bar(minute, volume=float(minute * 7919 % 1000)) for minute in range(390))
    path = store.root / FILE
    content = bytearray(path.read_bytes())
    content[len(content) // 4] ^= 1
    path.write_bytes(content)
    with pytest.raises(HistoryError, match="is damaged"):
        all_bars(store)
    assert [fault.path for fault in audit(store).faults] == [path]


def test_the_audit_goes_on_after_each_fault_and_names_the_file(store: HistoryStore) -> None:
    store.write_bars([bar(0), bar(1440), bar(2880), bar(0, symbol="IBM")])
    ibm, (first, second, _) = store.files()[0], store.files()[1:]
    first.write_bytes(b"PAR1")
    second.write_bytes((store.root / ibm).read_bytes())
    stray = ibm.with_name("copy.parquet")
    stray.write_bytes(b"")
    left = ibm.with_name(".data.parquet.0.part")
    left.write_bytes(b"")
    # A file with the right columns and names, but out of order and twice the same: as another program may write it.
    table = pq.ParquetFile(ibm).read()
    pq.write_table(pyarrow.concat_tables([table, table]), ibm)
    told: list[tuple[int, int]] = []
    found = audit(store, lambda done, of: told.append((done, of)))
    assert {(fault.path, fault.message.split(":")[0]) for fault in found.faults} == {
        (first, "is damaged"),
        (second, "its symbol is 'IBM', in this place it must be 'SPY'"),
        (stray, "is not a file of the store"),
        (ibm, "row 2"),
    }
    assert len(found.notes) == 1
    assert told == [(count, 6) for count in range(1, 7)]
    # The next write to the day clears away what a killed writer left.
    ibm.unlink()
    store.write_bars([bar(1, symbol="IBM")])
    assert not left.exists()


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_disk_that_refuses_leaves_the_day_as_it_was_and_nothing_beside_it(
    store: HistoryStore, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write_bars([bar(0)])

    def refuse(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, step, refuse)
        with pytest.raises(HistoryError, match=r"data\.parquet: can't be written: No space left on device"):
            store.write_bars([bar(1)])
    assert all_bars(store) == [bar(0)]
    assert store.files() == [store.root / FILE]


# Several writers


def test_writers_at_once_lose_nothing_and_readers_see_whole_days(store: HistoryStore) -> None:
    store.write_bars([bar(-1)])

    def write(part: int) -> None:
        for minute in range(part, 60, 4):
            HistoryStore.open(store.root).write_bars([bar(minute), bar(minute + 1440, symbol="IBM")])

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, part) for part in range(4)]
        seen = 0
        while not all(writer.done() for writer in writers):
            found = all_bars(store)
            assert [one.start_us for one in found] == sorted({one.start_us for one in found})
            assert len(found) >= max(seen, 1), "what was there stays there"
            seen = len(found)
        for writer in writers:
            writer.result()
    assert all_bars(store) == [bar(minute) for minute in range(-1, 60)]
    assert len(all_bars(store, "IBM")) == 60
    assert audit(store).is_sound


WRITER = """
import sys
from pathlib import Path
from streams.history.store.store import HistoryStore
from tests.support.history import bar
store = HistoryStore.open(Path(sys.argv[1]))
for minute in range(int(sys.argv[2]), 1440):
    store.write_bars([bar(minute + 1440 * day) for day in range(-3, 4)])
"""


def test_a_writer_killed_at_any_moment_leaves_whole_files_and_no_lock(store: HistoryStore) -> None:
    for begun_at in (0, 700):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(store.root), str(begun_at)])
        try:
            wait_until(lambda at=begun_at: bar(at + 2) in all_bars(store), "the writer to have written")
        finally:
            process.kill()
            process.wait()
        found = audit(store)
        assert found.is_sound, found.faults
        assert store.write_bars([bar(begun_at, symbol="IBM")]).added == 1


def test_a_writer_that_waits_too_long_says_so(store: HistoryStore) -> None:
    with FileLock(store.root / ".lock"):
        impatient = HistoryStore.open(store.root, patience_seconds=0.01)
        with pytest.raises(HistoryError, match=r"others have been writing for 0\.01 s"):
            impatient.write_bars([bar()])
    assert impatient.write_bars([bar()]).added == 1


def test_of_two_that_make_a_store_at_once_one_says_what_it_holds(tmp_path: Path) -> None:
    def make(adjustment: str) -> str:
        try:
            return HistoryStore.create(tmp_path / "store", adjustment=adjustment).adjustment  # type: ignore[arg-type]
        except HistoryError:
            return "refused"

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(make, ["raw", "split"] * 4))
    winner = HistoryStore.open(tmp_path / "store").adjustment
    assert sorted(made) == sorted(["refused"] * 4 + [winner] * 4)
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["store.json"]


OLD = Path(__file__).parents[2] / "data" / "store-1"
"""Written by the version before format 2."""


def test_files_of_format_1_are_read_kept_and_written_anew_with_the_symbol(tmp_path: Path) -> None:
    shutil.copytree(OLD, tmp_path / "old")
    store = HistoryStore.open(tmp_path / "old")
    known = [bar(minute, symbol="0700", volume=100.0 + minute, vwap=10.5, trades=7) for minute in range(2)]
    first, last = datetime(2013, 10, 7, tzinfo=UTC), datetime(2013, 10, 8, tzinfo=UTC)
    assert store.get_bars("0700", "1m", first, last) == known
    assert [quote.ask_size for quote in store.get_quotes("0700", "1m", first, last)] == [4.0]
    assert audit(store).is_sound
    path = store.root / "bars" / "interval=1m" / "symbol=0700" / "date=2013-10-07" / "data.parquet"
    assert pq.read_schema(path).names[0] == "start"
    assert store.write_bars(known) == WriteResult(unchanged=2)
    assert pq.read_schema(path).names[0] == "start", "nothing new, so the file stands"
    assert store.write_bars([bar(2, symbol="0700")]) == WriteResult(added=1)
    assert pq.ParquetFile(path).read(["symbol"]).column("symbol").to_pylist() == ["0700"] * 3
    assert store.get_bars("0700", "1m", first, last)[:2] == known
    assert audit(store).is_sound


def test_a_file_whose_column_says_another_symbol_is_at_fault(store: HistoryStore) -> None:
    store.write_bars([bar(0)])
    (path,) = store.files()
    table = pq.ParquetFile(path).read()
    pq.write_table(table.set_column(0, table.schema.field(0), pa.array(["IBM"])), path)
    with pytest.raises(HistoryError, match="it has records of 'IBM', in this place all must be of 'SPY'"):
        store.get_bars("SPY", "1m", datetime(2013, 10, 7, tzinfo=UTC), datetime(2013, 10, 8, tzinfo=UTC))
