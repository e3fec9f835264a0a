"""The session config: every bound, every complaint's words, and the exact way from JSON and back."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.config.session import SessionConfig
from streams.errors import SessionConfigError

EXAMPLES = Path(__file__).parents[3] / "examples"
Values = dict[str, object]

DEFAULTS: Values = {
    "session_name": "main",
    "mode": "live",
    "exchange": "XNYS",
    "hours": "regular",
    "hours_overrides": {},
    "calendar_days": {},
    "window_anchor": "session",
    "backtest_config": {"start_date": None, "end_date": None, "speed_multiplier": 0},
    "session_data_config": {
        "symbols": ["SPY"],
        "streams": ["1m"],
        "derived_intervals": [],
        "streaming": {
            "catchup_threshold_seconds": 60,
            "catchup_check_interval": 10,
            "check": "adaptive",
            "reference": "close",
            "silence_threshold_seconds": 300,
            "silence_lags": False,
            "symbols": {},
        },
        "historical": {"trailing_days": 0, "intervals": [], "apply_to": "all", "adjustment": "raw", "indicators": []},
        "gap_filler": {"enabled": False, "max_retries": 5, "retry_interval_seconds": 60},
        "quality": {"publish_seconds": 60},
        "exports": {"keep_days": 2},
        "interval_complete": None,
        "bars_topic": False,
        "grace_seconds": None,
        "min_completeness": 0,
        "sparse_intervals": ["1s"],
        "future_tolerance_seconds": 5,
        "allow_negative_prices": False,
        "max_symbols": 1000,
        "max_pending": 100,
    },
}


def with_value(path: str, value: object) -> Values:
    """A config of one symbol, with one more key set: `a.b.c` from the root."""
    values: Values = {"session_data_config": {"symbols": ["SPY"]}}
    *parents, last = path.split(".")
    place = values
    for parent in parents:
        place = place.setdefault(parent, {})  # type: ignore[assignment]
    place[last] = value
    return values


def complaints(values: Values) -> list[str]:
    with pytest.raises(SessionConfigError) as caught:
        SessionConfig.from_dict(values)
    return str(caught.value).splitlines()


def test_only_the_symbols_have_no_default() -> None:
    config = SessionConfig.from_json('{"session_data_config": {"symbols": ["SPY"]}}')
    assert config.to_dict() == DEFAULTS


def test_a_config_may_begin_without_symbols() -> None:
    assert SessionConfig.from_dict({"session_data_config": {"symbols": []}}).symbols == ()


def test_missing_symbols_are_told_with_what_to_write() -> None:
    assert complaints({}) == ['session_data_config is missing: write an object with at least "symbols"']
    assert complaints({"session_data_config": {}}) == [
        'session_data_config.symbols is missing: write a list such as ["SPY"], which may be empty'
    ]


def test_reading_a_config_does_not_need_the_calendar_library() -> None:
    program = "import sys, streams.config.session; sys.exit('exchange_calendars' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0


DATA = "session_data_config"
STREAMING = f"{DATA}.streaming"

ACCEPTED = [
    ("session_name", "a", "one character"),
    ("session_name", "x" * 48, "as long as it may be"),
    ("session_name", "Desk_1-eu", "letters, digits, _ and -"),
    ("mode", "backtest", "the other mode"),
    ("exchange", "24/7", "a calendar with a slash"),
    ("window_anchor", "clock", "the other anchor"),
    ("hours", {"open": "09:30", "close": "16:00"}, "one window"),
    ("hours", {"open": "18:00", "close": "17:00"}, "over midnight"),
    ("hours", {"open": "18:00 previous day", "close": "17:00"}, "from the evening before"),
    ("hours", [{"open": "09:30", "close": "12:00"}, {"open": "13:00", "close": "16:00"}], "several windows"),
    ("hours_overrides", {"2024-12-24": "closed", "2024-12-23": {"open": "09:30", "close": "12:00"}}, "dates by name"),
    ("hours_overrides", {"2024-12-23": [{"open": "09:30", "close": "12:00"}]}, "a date with a list"),
    ("calendar_days", {"2027-01-04": "regular", "2027-01-05": {"open": "09:30", "close": "11:30"}, "2027-01-06": "closed"}, "further days"),
    ("backtest_config", {"start_date": "2013-10-07", "end_date": "2013-10-07"}, "a backtest of one day"),
    ("backtest_config", {"end_date": "2013-10-07"}, "the start may come from elsewhere"),
    ("backtest_config.speed_multiplier", 0.5, "slower than real time"),
    (f"{DATA}.symbols", ["BTC/USD", "BRK.B", "Ü"], "any printable symbol"),
    (f"{DATA}.streams", ["1d"], "daily bars as the base"),
    (f"{DATA}.streams", ["ticks", "1m", "quotes"], "quotes and ticks beside bars"),
    (f"{DATA}.streams", ["5m", "1m"], "in any order: the finest is the base"),
    (f"{DATA}.derived_intervals", ["5m", "15m", "30m", "1h", "4h", "1d"], "whole multiples of a minute"),
    (f"{STREAMING}.catchup_threshold_seconds", 1, "the lower bound"),
    (f"{STREAMING}.catchup_threshold_seconds", 1.5, "a fraction"),
    (f"{STREAMING}.catchup_threshold_seconds", 1_000_000_000, "as good as never"),
    (f"{STREAMING}.catchup_check_interval", 1, "the lower bound"),
    (f"{STREAMING}.catchup_check_interval", 100, "the upper bound"),
    (f"{STREAMING}.check", "every_bar", "each bar"),
    (f"{STREAMING}.reference", "open", "the bar's start"),
    (f"{STREAMING}.silence_threshold_seconds", 1, "the lower bound"),
    (f"{STREAMING}.silence_lags", True, "silence closes the gate"),
    (f"{STREAMING}.symbols", {"IBM": {}}, "a symbol that is not there yet, with nothing of its own"),
    (f"{STREAMING}.symbols", {"SPY": {"gates": False, "sparse": True, "catchup_check_interval": 100}}, "some of its own"),
    (f"{DATA}.allow_negative_prices", True, "for all symbols"),
    (f"{DATA}.allow_negative_prices", ["SPY"], "for named symbols"),
    (f"{DATA}.historical", {"trailing_days": 5, "intervals": ["1m", "1d"], "apply_to": ["SPY"]}, "for named symbols"),
    (
        f"{DATA}.historical",
        {
            "trailing_days": 5,
            "indicators": [{"name": "e", "kind": "ema", "interval": "7m", "period": 900}, {"name": "s", "kind": "sma", "period": 5}],
        },
        "indicators of bars that are made, and of as many days as are kept",
    ),
    (f"{DATA}.historical.adjustment", "total", "prices adjusted for splits and dividends"),
    (f"{DATA}.gap_filler", {"enabled": True, "max_retries": 1, "retry_interval_seconds": 1}, "the lower bounds"),
    (f"{DATA}.gap_filler.max_retries", 20, "the upper bound"),
    (f"{DATA}.grace_seconds", 0, "no grace"),
    (f"{DATA}.grace_seconds", 59.5, "just below the threshold of 60"),
    (f"{DATA}.min_completeness", 0, "any"),
    (f"{DATA}.min_completeness", 1, "only complete ones"),
    (f"{DATA}.sparse_intervals", [], "every missing bar is a gap"),
    (f"{DATA}.future_tolerance_seconds", 0, "none"),
    (f"{DATA}.max_symbols", 1, "as many as there are"),
    (f"{DATA}.max_pending", 1, "one after the other"),
]


@pytest.mark.parametrize(("path", "value", "reason"), ACCEPTED)
def test_what_lies_within_the_bounds_is_taken_and_written_back_the_same(path: str, value: object, reason: str) -> None:
    config = SessionConfig.from_dict(with_value(path, value))
    assert SessionConfig.from_json(config.to_json()) == config, reason
    written: object = config.to_dict()
    for key in path.split("."):
        assert isinstance(written, dict)
        written = written[key]
    if not isinstance(value, dict):
        assert written == value, reason


PRESET = (
    "a preset (us_equity_futures, us_rate_futures, us_fx_futures, us_energy_futures, us_metal_futures, us_grain_futures, "
    "ice_energy_futures, fx)"
)
WINDOW = 'a window such as {"open": "09:30", "close": "16:00"} or a list of such'

REFUSED = [
    ("session_name", "", "must be 1 to 48 letters, digits, _ or -, since topics are named after it, got ''", "empty"),
    ("session_name", "a b", "must be 1 to 48 letters, digits, _ or -, since topics are named after it, got 'a b'", "a blank"),
    ("session_name", "a\n", "must be 1 to 48 letters, digits, _ or -, since topics are named after it, got 'a\\n'", "a line end"),
    ("session_name", "x" * 49, f"must be 1 to 48 letters, digits, _ or -, since topics are named after it, got '{'x' * 49}'", "long"),
    ("session_name", None, "must be a text, got null", "null is no name"),
    ("mode", "paper", 'must be "live" or "backtest", got "paper"', "a mode that is not there"),
    ("exchange", " ", "must be the name of a calendar such as XNYS or 24/7, got ' '", "blank"),
    ("window_anchor", "midnight", 'must be "session" or "clock", got "midnight"', "not an anchor"),
    ("hours", "all day", f'must be "regular", {PRESET}, {WINDOW}, got "all day"', "a word that is not one"),
    ("hours", 9, f'must be "regular", {PRESET}, {WINDOW}, got 9', "a number"),
    (
        "hours",
        {"open": "9:30", "close": "16:00"},
        (
            ": '9:30' is no time of day: write hours and minutes such as 09:30, at most 24:00, "
            "or such as 18:00 previous day for the evening before the date"
        ),
        "one digit",
    ),
    ("hours", [], ': a list of windows must not be empty: name at least one, or write "closed" for a date', "no window"),
    (
        "hours",
        [{"open": "09:30", "close": "12:00"}, {"open": "11:00", "close": "16:00"}],
        ": the window that opens 11:00 begins before the one that closes 12:00 is over",
        "overlapping windows",
    ),
    ("calendar_days", {"2027-01-04": "open"}, f'.2027-01-04 must be "closed", "regular", {WINDOW}, got "open"', "not one of the words"),
    ("hours_overrides", {"2024-12-24": "shut"}, f'.2024-12-24 must be "closed", {WINDOW}, got "shut"', "not the word"),
    ("hours_overrides", {"24.12.2024": "closed"}, ".24.12.2024: the key must be a date such as 2013-10-07", "another way to write a date"),
    ("backtest_config.speed_multiplier", -1, "must be >= 0, got -1", "time does not run back"),
    ("backtest_config.start_date", "2013-10-32", 'must be a date such as 2013-10-07, got "2013-10-32"', "no such date"),
    ("backtest_config.start_date", "2013-10-07T09:30:00", 'must be a date such as 2013-10-07, got "2013-10-07T09:30:00"', "an instant"),
    (
        "backtest_config",
        {"start_date": "2013-10-09", "end_date": "2013-10-08"},
        ".end_date must not be before start_date 2013-10-09, got 2013-10-08",
        "the wrong way round",
    ),
    (f"{DATA}.symbols", "SPY", 'must be a list, got "SPY"', "a text is not a list of one"),
    (f"{DATA}.symbols", ["SPY", "IBM", "SPY"], "names SPY twice", "twice the same"),
    (f"{DATA}.symbols", ["A B"], "[0]: symbol 'A B' has a blank, a control character or a '|' in it", "a blank"),
    (f"{DATA}.symbols", ["SPY", 5], "[1] must be a text, got 5", "a number"),
    (f"{DATA}.streams", [], 'must name at least one interval such as "1m", got []', "nothing to stream"),
    (f"{DATA}.streams", ["quotes"], """must name at least one interval such as "1m", got ['quotes']""", "quotes alone"),
    (
        f"{DATA}.derived_intervals",
        ["ticks"],
        "[0] must be an interval of bars such as 1s, 1m or 1d: ticks are streamed, see streams, and nothing is made of them",
        "ticks",
    ),
    (f"{DATA}.streams", ["2m", "3m"], "must be whole multiples of the finest one, 2m, got 3m", "no common base"),
    (f"{DATA}.streams", ["m1"], "[0]: 'm1' is no interval: write a number and s, m, h or d, such as 1s, 5m or 1h", "turned round"),
    (f"{DATA}.derived_intervals", ["90s"], "must be longer than the base interval 1m and whole multiples of it, got 90s", "one and a half"),
    (f"{DATA}.derived_intervals", ["1m"], "must be longer than the base interval 1m and whole multiples of it, got 1m", "the base itself"),
    (
        f"{DATA}.derived_intervals",
        ["30s"],
        "must be longer than the base interval 1m and whole multiples of it, got 30s",
        "finer than the base",
    ),
    (f"{DATA}.derived_intervals", ["5m", "5m"], "names 5m twice", "twice the same"),
    (f"{DATA}.derived_intervals", ["60m", "1h"], "names one interval twice, as 60m and as 1h", "twice the same length"),
    (f"{DATA}.derived_intervals", ["2d"], "[0] must be at most 1d, since windows end with their trading day, got '2d'", "two days"),
    (f"{STREAMING}.catchup_threshold_seconds", 0.999, "must be >= 1, got 0.999", "just below"),
    (
        f"{STREAMING}.catchup_threshold_seconds",
        1_000_000_001,
        "must be at most 1000000000 seconds, got 1000000001",
        "beyond what an instant carries",
    ),
    (f"{STREAMING}.catchup_threshold_seconds", "60", 'must be a number, got "60"', "a number in quotes"),
    (f"{STREAMING}.catchup_threshold_seconds", True, "must be a number, got true", "true is not one"),
    (f"{STREAMING}.catchup_threshold_seconds", float("inf"), "must be a finite number, got Infinity", "not finite"),
    (f"{STREAMING}.catchup_check_interval", 0, "must be between 1 and 100, got 0", "just below"),
    (f"{STREAMING}.catchup_check_interval", 101, "must be between 1 and 100, got 101", "just above"),
    (f"{STREAMING}.catchup_check_interval", 10.5, "must be a whole number, got 10.5", "a fraction of a bar"),
    (f"{STREAMING}.check", "never", 'must be "adaptive", "interval" or "every_bar", got "never"', "not a strategy"),
    (f"{STREAMING}.reference", "mid", 'must be "close" or "open", got "mid"', "not an end of a bar"),
    (f"{STREAMING}.silence_threshold_seconds", 0, "must be >= 1, got 0", "just below"),
    (f"{STREAMING}.silence_lags", 1, "must be true or false, got 1", "one is not true"),
    (f"{STREAMING}.symbols", {"A B": {}}, ".A B: symbol 'A B' has a blank, a control character or a '|' in it", "a name that can't be"),
    (f"{STREAMING}.symbols", {"SPY": 5}, ".SPY must be an object, got 5", "not an object"),
    (
        f"{STREAMING}.symbols",
        {"SPY": {"catchup_check_interval": 0}},
        ".SPY.catchup_check_interval must be between 1 and 100, got 0",
        "below",
    ),
    (f"{STREAMING}.symbols", {"SPY": {"catchup_threshold_seconds": 0}}, ".SPY.catchup_threshold_seconds must be >= 1, got 0", "below"),
    (f"{DATA}.historical.trailing_days", -1, "must be >= 0, got -1", "days to come"),
    (f"{DATA}.allow_negative_prices", "SPY", 'must be true, false or a list of symbols, got "SPY"', "not one symbol"),
    (f"{DATA}.historical.apply_to", "none", 'must be "all" or a list of symbols, got "none"', "not the word"),
    (f"{DATA}.historical.apply_to", ["SPY", "SPY"], "names SPY twice", "twice the same"),
    (
        f"{DATA}.historical",
        {"trailing_days": 5, "indicators": [{"name": "s", "kind": "sma", "period": 6}]},
        ".indicators must be of days that are kept: s needs 6 trading days, trailing_days is 5",
        "more days than are kept",
    ),
    (
        f"{DATA}.historical",
        {"indicators": [{"name": "p", "kind": "prior_close"}]},
        ".indicators must be of days that are kept: p needs 1 trading day, trailing_days is 0",
        "no day is kept",
    ),
    (
        f"{DATA}.historical",
        {"trailing_days": 5, "indicators": [{"name": "p", "kind": "prior_low", "period": 2}]},
        ".indicators[0].period must be left out, since prior_low is of the trading day before, got 2",
        "of one day",
    ),
    (
        f"{DATA}.historical",
        {"trailing_days": 5, "indicators": [{"name": "v", "kind": "average_daily_volume", "interval": "5m"}]},
        ".indicators[0].interval must be 1d or be left out, since average_daily_volume is of days, got 5m",
        "of days",
    ),
    (
        f"{DATA}.historical",
        {"trailing_days": 5, "intervals": ["1d"], "indicators": [{"name": "e", "kind": "ema", "interval": "5m"}]},
        "must be loaded in the interval 5m of the indicator e: add it to historical.intervals",
        "neither loaded nor made",
    ),
    (
        f"{DATA}.historical",
        {"trailing_days": 5, "indicators": [{"name": "e", "kind": "ema", "interval": "30s"}]},
        "must be loaded in the interval 30s of the indicator e: add it to historical.intervals",
        "finer than the base",
    ),
    (f"{DATA}.historical.adjustment", "dividends", 'must be "raw", "split" or "total", got "dividends"', "no adjustment"),
    (f"{DATA}.gap_filler.max_retries", 0, "must be between 1 and 20, got 0", "just below"),
    (f"{DATA}.gap_filler.max_retries", 21, "must be between 1 and 20, got 21", "just above"),
    (f"{DATA}.gap_filler.retry_interval_seconds", 0, "must be >= 1, got 0", "just below"),
    (f"{DATA}.grace_seconds", -0.1, "must be >= 0, got -0.1", "just below"),
    (f"{DATA}.grace_seconds", 60, "must be less than the smallest catchup_threshold_seconds, 60, got 60", "as long as the threshold"),
    (f"{DATA}.min_completeness", 1.01, "must be between 0 and 1, got 1.01", "more than all"),
    (f"{DATA}.future_tolerance_seconds", -1, "must be >= 0, got -1", "just below"),
    (f"{DATA}.max_symbols", 0, "must be >= 1, got 0", "just below"),
    (f"{DATA}.max_pending", 0, "must be >= 1, got 0", "just below"),
]


@pytest.mark.parametrize(("path", "value", "message", "reason"), REFUSED)
def test_what_lies_beyond_is_refused_with_key_bound_and_value(path: str, value: object, message: str, reason: str) -> None:
    # Where the complaint is about a place inside the value, its words begin with the rest of the path.
    joint = "" if message[0] in ".:[" else " "
    assert complaints(with_value(path, value)) == [f"{path}{joint}{message}"], reason


def test_more_symbols_than_the_maximum_are_refused() -> None:
    values: Values = {"session_data_config": {"symbols": ["SPY", "IBM"], "max_symbols": 1}}
    assert complaints(values) == ["session_data_config.max_symbols must be at least the number of symbols, 2, got 1"]


def test_the_grace_is_held_against_the_smallest_threshold_of_any_symbol() -> None:
    values: Values = {
        "session_data_config": {"symbols": [], "grace_seconds": 4, "streaming": {"symbols": {"IBM": {"catchup_threshold_seconds": 3}}}}
    }
    assert complaints(values) == ["session_data_config.grace_seconds must be less than the smallest catchup_threshold_seconds, 3, got 4"]


def test_one_length_under_two_names_is_refused_across_streams_and_derived_intervals() -> None:
    values: Values = {"session_data_config": {"symbols": [], "streams": ["1m", "60m"], "derived_intervals": ["1h"]}}
    assert complaints(values) == ["session_data_config.derived_intervals names one interval twice, as 60m and as 1h"]


def test_all_complaints_are_listed_one_a_line() -> None:
    values: Values = {
        "session_name": "",
        "session_data_config": {"symbols": ["SPY"], "streaming": {"catchup_check_interval": 0, "check": "x"}, "max_pending": 0},
    }
    assert [line.split(" must")[0] for line in complaints(values)] == [
        "session_name",
        "session_data_config.streaming.catchup_check_interval",
        "session_data_config.streaming.check",
        "session_data_config.max_pending",
    ]


@pytest.mark.parametrize(
    ("path", "advice", "reason"),
    [
        ("sesion_name", "did you mean session_name?", "at the root"),
        (f"{STREAMING}.catchup_treshold_seconds", "did you mean catchup_threshold_seconds?", "two levels down"),
        (f"{STREAMING}.symbols.SPY.gate", "did you mean gates?", "below a symbol's name"),
        (f"{STREAMING}.symbols.check.sparce", "did you mean sparse?", "below a symbol that is called as a key is"),
        ("hours.closes", "did you mean close?", "in one of several shapes"),
        (f"{DATA}.gap_filler.colour", "known here are enabled, max_retries, retry_interval_seconds", "like none of them"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(path: str, advice: str, reason: str) -> None:
    assert f"{path} is not a known key: {advice}" in complaints(with_value(path, 1)), reason


@pytest.mark.parametrize(
    ("path", "places", "reason"),
    [
        ("symbols", f"{DATA}.symbols or {STREAMING}.symbols", "a level too high"),
        (f"{DATA}.catchup_threshold_seconds", f"{STREAMING}.catchup_threshold_seconds", "one level too high"),
        (f"{STREAMING}.grace_seconds", f"{DATA}.grace_seconds", "one too low"),
        (f"{DATA}.exchange", "exchange", "of the root"),
    ],
)
def test_a_key_in_the_wrong_place_is_refused_with_its_own_place(path: str, places: str, reason: str) -> None:
    assert f"{path} is not a known key here: write it as {places}" in complaints(with_value(path, 1)), reason


@pytest.mark.parametrize(
    ("text", "message", "reason"),
    [
        ("", "the session config is empty", "nothing"),
        ("live", "not JSON at line 1 column 1: Expecting value", "a word"),
        ('{\n  "mode": "live",\n}', "not JSON at line ", "a comma too many, which Python 3.13 finds a line before 3.11"),
        ("[]", "the config must be an object, got []", "another kind of JSON"),
        ('{"mode": "live", "mode": "backtest"}', "mode is written twice in one object", "which one would hold?"),
        ('{"session_data_config": {"symbols": ["\\ud800"]}}', "the config is no JSON", "half a character"),
        ("[" * 100_000, "nests hundreds of lists", "deeper than any reader goes"),
    ],
)
def test_text_that_is_no_config_is_refused_with_its_place(text: str, message: str, reason: str) -> None:
    with pytest.raises(SessionConfigError) as caught:
        SessionConfig.from_json(text)
    assert message in str(caught.value), reason


def test_values_that_json_does_not_have_are_refused() -> None:
    with pytest.raises(SessionConfigError, match="a config must be made of what JSON has: Object of type date"):
        SessionConfig.from_dict(with_value("backtest_config.start_date", date(2013, 10, 7)))


def test_a_file_is_named_in_each_complaint(tmp_path: Path) -> None:
    path = tmp_path / "session.json"
    with pytest.raises(SessionConfigError, match=r"session\.json: the session config can't be read: No such file"):
        SessionConfig.load(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(SessionConfigError, match=r"session\.json: a session config must be UTF-8 text: byte 0 is none"):
        SessionConfig.load(path)
    path.write_text('{"session_data_config": {"symbols": ["SPY"], "max_pending": 0}}')
    with pytest.raises(SessionConfigError, match=r"session\.json: session_data_config\.max_pending must be >= 1, got 0"):
        SessionConfig.load(path)


def test_a_file_that_begins_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "session.json"
    path.write_text('{"session_data_config": {"symbols": ["SPY"]}}', encoding="utf-8-sig")
    assert SessionConfig.load(path).symbols == ("SPY",)


symbols = st.text(st.sampled_from("ABCXYZabc019./-_Ü€"), min_size=1, max_size=8)
durations = st.one_of(st.integers(1, 10**9), st.floats(1, 10**9))
window = st.fixed_dictionaries(
    {"open": st.sampled_from(["00:00", "09:30", "18:00"]), "close": st.sampled_from(["17:00", "16:00", "24:00"])}
)
override = st.one_of(st.just("closed"), window, window.map(lambda one: [one]))


@st.composite
def configs(draw: st.DrawFn) -> Values:
    """Any config that is valid, with any of its keys left out."""

    def some(**fields: st.SearchStrategy[object]) -> Values:
        return draw(st.fixed_dictionaries({}, optional=fields))

    own = st.fixed_dictionaries(
        {},
        optional={
            "catchup_threshold_seconds": st.none() | durations,
            "catchup_check_interval": st.none() | st.integers(1, 100),
            "gates": st.booleans(),
            "sparse": st.none() | st.booleans(),
        },
    )
    streaming = some(
        catchup_threshold_seconds=durations,
        catchup_check_interval=st.integers(1, 100),
        check=st.sampled_from(["adaptive", "interval", "every_bar"]),
        reference=st.sampled_from(["close", "open"]),
        silence_threshold_seconds=durations,
        silence_lags=st.booleans(),
        symbols=st.dictionaries(symbols, own, max_size=3),
    )
    base = draw(st.sampled_from(["1s", "1m"]))
    derived = st.lists(st.sampled_from(["5m", "15m", "30m", "1h", "4h", "1d"]), unique=True)
    data = some(
        derived_intervals=derived,
        historical=st.fixed_dictionaries(
            {}, optional={"trailing_days": st.integers(0, 1000), "apply_to": st.just("all") | st.lists(symbols, unique=True)}
        ),
        gap_filler=st.fixed_dictionaries({}, optional={"enabled": st.booleans(), "max_retries": st.integers(1, 20)}),
        grace_seconds=st.none() | st.floats(0, 0.999),
        min_completeness=st.floats(0, 1),
        sparse_intervals=st.lists(st.sampled_from(["1s", "1m", "5m"]), unique=True),
        future_tolerance_seconds=st.floats(0, 10**9),
        max_symbols=st.integers(5, 10**6),
        max_pending=st.integers(1, 10**6),
    )
    data |= {"symbols": draw(st.lists(symbols, unique=True, max_size=5)), "streams": [base], "streaming": streaming}
    return some(
        session_name=st.from_regex("[A-Za-z0-9_-]{1,48}", fullmatch=True),
        mode=st.sampled_from(["live", "backtest"]),
        exchange=st.sampled_from(["XNYS", "24/7", "CMES"]),
        hours=st.just("regular") | window | window.map(lambda one: [one]),
        hours_overrides=st.dictionaries(st.dates().map(date.isoformat), override, max_size=3),
        calendar_days=st.dictionaries(st.dates().map(date.isoformat), st.just("regular") | override, max_size=3),
        window_anchor=st.sampled_from(["session", "clock"]),
        backtest_config=st.fixed_dictionaries(
            {}, optional={"start_date": st.none() | st.dates().map(date.isoformat), "speed_multiplier": st.floats(0, 1e9)}
        ),
    ) | {"session_data_config": data}


def merged(defaults: object, values: object) -> object:
    if isinstance(defaults, dict) and isinstance(values, dict):
        return {key: merged(defaults.get(key), values[key]) if key in values else defaults[key] for key in {**defaults, **values}}
    return values


@given(configs())
def test_a_config_is_written_as_it_was_read_with_the_defaults_filled_in(values: Values) -> None:
    config = SessionConfig.from_json(json.dumps(values))
    assert SessionConfig.from_json(config.to_json()) == config
    assert SessionConfig.from_dict(config.to_dict()) == config

    written = config.to_dict()
    own = {"catchup_threshold_seconds": None, "catchup_check_interval": None, "gates": True, "sparse": None}
    expected = merged(DEFAULTS, values)
    assert isinstance(expected, dict)
    streaming = expected["session_data_config"]["streaming"]
    streaming["symbols"] = {symbol: merged(own, given) for symbol, given in streaming["symbols"].items()}
    assert written == expected


def test_the_finest_stream_is_the_base_and_everything_else_is_derived_from_it() -> None:
    values: Values = {"session_data_config": {"symbols": [], "streams": ["5m", "1m"], "derived_intervals": ["1h", "15m", "5m"]}}
    config = SessionConfig.from_dict(values)
    assert config.base_interval == "1m"
    assert config.derived_intervals == ("5m", "15m", "1h"), "shortest first, each once"


def test_a_symbol_has_its_own_values_or_the_sessions() -> None:
    own = {"IBM": {"catchup_threshold_seconds": 2.5, "catchup_check_interval": 3, "gates": False, "sparse": True}, "QQQ": {"sparse": False}}
    config = SessionConfig.from_dict({"session_data_config": {"symbols": ["SPY"], "streaming": {"symbols": own}}})
    assert (config.threshold_us("SPY"), config.threshold_us("IBM"), config.threshold_us("QQQ")) == (60_000_000, 2_500_000, 60_000_000)
    assert (config.check_interval("SPY"), config.check_interval("IBM"), config.check_interval("QQQ")) == (10, 3, 10)
    assert (config.gates("SPY"), config.gates("IBM")) == (True, False)
    assert (config.sparse("SPY", "1s"), config.sparse("SPY", "1m")) == (True, False)
    assert (config.sparse("IBM", "1m"), config.sparse("QQQ", "1s")) == (True, False)
    assert config.smallest_threshold_us == 2_500_000


@pytest.mark.parametrize(
    ("threshold", "grace", "grace_us", "reason"),
    [
        (60, None, 5_000_000, "five seconds"),
        (10, None, 5_000_000, "of which half is still five"),
        (8, None, 4_000_000, "half of a small threshold"),
        (1, None, 500_000, "half of the smallest there is"),
        (60, 0, 0, "none when none is asked for"),
        (60, 20.5, 20_500_000, "what is written"),
    ],
)
def test_the_grace_is_five_seconds_or_half_of_the_smallest_threshold(
    threshold: int, grace: float | None, grace_us: int, reason: str
) -> None:
    data: Values = {"symbols": [], "grace_seconds": grace, "streaming": {"catchup_threshold_seconds": threshold}}
    assert SessionConfig.from_dict({"session_data_config": data}).grace_us == grace_us, reason


def test_durations_are_microseconds() -> None:
    config = SessionConfig.from_dict({"session_data_config": {"symbols": [], "future_tolerance_seconds": 0.25}})
    assert config.future_tolerance_us == 250_000
    assert config.silence_us == 300_000_000


def test_other_symbols_make_another_config_and_are_checked() -> None:
    config = SessionConfig.load(EXAMPLES / "session.json")
    other = config.with_symbols(["SPY", "IBM"])
    assert (config.symbols, other.symbols) == (("SPY",), ("SPY", "IBM"))
    assert other.derived_intervals == config.derived_intervals
    with pytest.raises(SessionConfigError, match="names IBM twice"):
        config.with_symbols(["IBM", "IBM"])


def test_a_config_does_not_change() -> None:
    config = SessionConfig.load(EXAMPLES / "session.json")
    with pytest.raises(ValueError, match="frozen"):
        config.session_name = "other"  # type: ignore[misc]


def test_what_is_computed_does_not_make_equal_configs_unequal() -> None:
    used, fresh = (SessionConfig.load(EXAMPLES / "session.json") for _ in range(2))
    assert used.grace_us == 5_000_000
    assert used == fresh


def test_the_calendar_has_the_configs_hours() -> None:
    config = SessionConfig.from_dict(
        with_value("hours", {"open": "10:00", "close": "15:00"}) | {"hours_overrides": {"2013-10-08": "closed"}}
    )
    day = config.calendar().day_on((date(2013, 10, 7) - date(1970, 1, 1)).days)
    assert day is not None
    assert day.close_us - day.open_us == 5 * 3600 * 1_000_000
    assert config.calendar().day_on((date(2013, 10, 8) - date(1970, 1, 1)).days) is None
    assert config.calendar() is config.calendar(), "made once"


def test_an_unknown_exchange_is_refused_where_the_calendar_is_made() -> None:
    with pytest.raises(SessionConfigError, match="exchange must be a calendar of exchange_calendars, got 'XNYZ': did you mean"):
        SessionConfig.from_dict(with_value("exchange", "XNYZ")).calendar()


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.json")), ids=lambda path: path.name)
def test_each_example_loads_and_has_a_calendar(path: Path) -> None:
    config = SessionConfig.load(path)
    assert SessionConfig.from_json(config.to_json()) == config
    assert config.calendar().exchange == config.exchange


def test_the_full_example_has_every_key_with_its_default_and_a_name_of_its_own() -> None:
    assert json.loads((EXAMPLES / "session-full.json").read_text()) == {**DEFAULTS, "session_name": "every-key"}


def test_no_two_examples_share_a_session_name() -> None:
    """The second one that is tried would be a standby of the first, with another config, and never take over."""
    names = [json.loads(path.read_text())["session_name"] for path in sorted(EXAMPLES.glob("*.json"))]
    assert len(set(names)) == len(names), names


def test_the_example_commands_add_and_remove_a_symbol_within_the_backtest() -> None:
    config = SessionConfig.load(EXAMPLES / "backtest.json")
    commands = [json.loads(line) for line in (EXAMPLES / "commands.jsonl").read_text().splitlines()]
    assert [(command["command"], command["symbol"]) for command in commands] == [("add_symbol", "IBM"), ("remove_symbol", "IBM")]
    assert commands[0]["at"] == "2013-10-07T16:00:00Z", "noon in New York"
    for command in commands:
        assert str(config.backtest_config.start_date) <= command["at"][:10] <= str(config.backtest_config.end_date)
