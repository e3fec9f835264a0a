"""`streams show`, `quality` and `gaps`, against the API of a session in process: what they print, and their exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from streams.api.server import HttpServer
from streams.cli.main import run
from tests.support.api import READ_TOKEN, app_over
from tests.support.engine import Desk, at, config, minutes
from tests.unit.api.worlds import DAY, active_desk, inactive_desk

Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Runs a command line; gives its exit code, what it printed, and what it said."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("STREAMS_READ_TOKEN", READ_TOKEN)

    def called(*words: str) -> tuple[int, str, str]:
        code = run(words)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return called


@contextmanager
def served(desk: Desk) -> Iterator[str]:
    server = HttpServer(app_over(desk), host="127.0.0.1", port=0)
    try:
        yield f"http://127.0.0.1:{server.start()}"
    finally:
        server.stop()


def table(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line.strip()]


def test_a_symbol_is_shown_with_its_day_and_its_newest_bars(shell: Shell) -> None:
    with served(active_desk()) as url:
        code, out, err = shell("show", "SPY", "--last", "2", "--url", url)
    assert (code, err) == (0, "")
    head, day, columns, first, second, place = out.splitlines()
    assert head == "SPY  loaded  1m, 5m  trading day 2013-10-08  lag 0.0 s"
    # 3 x 10 and 10 x 20; highs and lows are a quarter around 100 and 120.
    assert day == "13 bars  volume 230  high 120.25  low 99.75"
    assert columns.split() == ["1m", "open", "high", "low", "close", "volume", "base", "note"]
    assert [first.split()[0], second.split()[0]] == ["13:43:00", "13:44:00"]
    assert place.startswith("as of 2013-10-08T13:45:00Z, epoch 1, sequence ")


def test_bars_of_a_derived_interval_say_how_many_base_bars_they_lack(shell: Shell) -> None:
    with served(active_desk()) as url:
        _, out, _ = shell("show", "SPY", "--interval", "5m", "--url", url)
    rows = {line.split()[0]: line for line in out.splitlines()}
    assert " 3 of 5" in rows["13:30:00"]
    assert " of " not in rows["13:35:00"]


def test_json_has_what_is_shown_with_the_place_it_is_of(shell: Shell) -> None:
    with served(active_desk()) as url:
        _, out, _ = shell("show", "SPY", "--last", "1", "--json", "--url", url)
    shown = json.loads(out)
    assert shown["as_of"]["active"] is True
    assert shown["symbol"]["status"] == "loaded"
    assert shown["symbol"]["metrics"]["volume"] == 230.0
    (bar,) = shown["bars"]
    assert (bar["start"], bar["end"], bar["close"]) == ("2013-10-08T13:44:00Z", "2013-10-08T13:45:00Z", 120.0)


@pytest.mark.parametrize("words", [("show", "SPY"), ("show", "NONE"), ("quality",), ("quality", "SPY"), ("gaps", "SPY")])
def test_while_the_gate_is_shut_nothing_is_told(shell: Shell, words: tuple[str, ...]) -> None:
    with served(inactive_desk()) as url:
        code, out, err = shell(*words, "--url", url)
    assert (code, out) == (4, "")
    assert "is shut, so nothing is told: `streams status` says why, --internal looks past it" in err


def test_an_internal_read_looks_past_the_gate(shell: Shell) -> None:
    with served(inactive_desk()) as url:
        code, out, _ = shell("show", "SPY", "--internal", "--url", url)
        assert code == 0
        assert "13 bars  volume 230" in out
        assert shell("gaps", "SPY", "--internal", "--url", url)[0] == 0


def test_quality_is_a_table_of_symbols_and_intervals(shell: Shell) -> None:
    with served(active_desk()) as url:
        _, out, _ = shell("quality", "SPY", "IBM", "--url", url)
        _, everything, _ = shell("quality", "--json", "--url", url)
    # 13 of the 15 minutes since 09:30; all three five-minute bars.
    assert table(out)[:3] == [["symbol", "1m", "5m"], ["SPY", "86.67", "100.00"], ["IBM", "0.00", "0.00"]]
    assert out.splitlines()[3:] == ["IBM: no 5m bar since 2013-10-08T13:30:00Z, when its trading day began"]
    assert json.loads(everything)["quality"]["NEW"] == {"1m": None, "5m": None}


def test_a_feed_that_began_after_the_open_is_told_from_one_with_holes(shell: Shell) -> None:
    """From 09:30 to 10:30 nothing, then 30 minutes of which 10:40 to 10:45 are missing: 5 of 18 windows, and 5 of 6 since the first."""
    desk = Desk(config("SPY", derived_intervals=["5m"]), at("09:30", DAY))
    desk.load("SPY")
    desk.flow(*minutes("SPY", at("10:30", DAY), 10), *minutes("SPY", at("10:45", DAY), 15))
    with served(desk) as url:
        _, out, _ = shell("quality", "--url", url)
    assert table(out)[1] == ["SPY", "27.78", "27.78"]
    expected = "SPY: its 5m bars begin at 14:30:00; 12 of 13 missing bars are of before, since 2013-10-08T13:30:00Z. Since then: 83.33"
    assert out.splitlines()[2:] == [expected]


def test_gaps_are_listed_with_where_they_begin_and_end(shell: Shell) -> None:
    with served(active_desk()) as url:
        _, out, _ = shell("gaps", "SPY", "--url", url)
        _, none, _ = shell("gaps", "SPY", "--interval", "5m", "--url", url)
        _, as_json, _ = shell("gaps", "SPY", "--json", "--url", url)
    assert table(out) == [
        "SPY 1m: 1 gap, 2 bars missing".split(), ["from", "to", "bars", "asked"], ["13:33:00", "13:35:00", "2", "0"],
    ]  # fmt: skip
    assert none == "SPY 5m: no gaps\n"
    assert json.loads(as_json)["gaps"] == [
        {"start": "2013-10-08T13:33:00Z", "end": "2013-10-08T13:35:00Z", "bar_count": 2, "retry_count": 0}
    ]


def test_an_unknown_symbol_is_told_with_those_that_there_are(shell: Shell) -> None:
    with served(active_desk()) as url:
        code, _, err = shell("show", "NOPE", "--url", url)
    assert code == 1
    assert err.startswith("error: NOPE is not in the session: it has BTC/USD%2F?, IBM, NEW, SPY")


def test_where_nobody_listens_the_exit_code_is_3_and_a_url_that_is_none_is_2(shell: Shell) -> None:
    code, _, err = shell("show", "SPY", "--url", "http://127.0.0.1:9")
    assert code == 3
    assert "nobody answered for the session" in err
    assert shell("show", "SPY", "--url", "localhost")[0] == 2


@pytest.mark.parametrize("words", [("show", "SPY"), ("gaps", "SPY")])
def test_an_interval_that_the_symbol_has_not_is_told_with_those_that_it_has(shell: Shell, words: tuple[str, ...]) -> None:
    with served(active_desk()) as url:
        code, out, err = shell(*words, "--interval", "7m", "--url", url)
    assert (code, out) == (1, "")
    assert err == "error: SPY has no bars of 7m: it has 1m, 5m\n"


@pytest.mark.parametrize("words", [("show", "SPY"), ("show", "NOPE"), ("quality",), ("quality", "SPY"), ("gaps", "SPY")])
@pytest.mark.parametrize("make", [active_desk, inactive_desk])
def test_a_worker_of_another_session_is_not_taken_for_the_one_that_is_meant(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], make: Callable[[], Desk]
) -> None:
    with served(make()) as url:
        code, out, err = shell(*words, "--url", url, "--session", "other")
        monkeypatch.setenv("STREAMS_SESSION", "other")
        assert shell(*words, "--url", url) == (code, out, err)
    assert (code, out) == (2, "")
    assert err == "error: this is a worker of session 'main', not of 'other': say with --url where a worker of it listens\n"
