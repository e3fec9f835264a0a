"""What a replay from topics leaves out: symbols that the session had by command, and topics that are none of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest
from msgspec.structs import replace

from streams.cli.replay import left_out_words
from streams.config.session import SessionConfig
from streams.config.settings import Settings
from streams.errors import BrokerRefusedError
from streams.model.records import ControlCommand
from streams.replay import left_out
from streams.replay.commands import parse_commands
from streams.replay.days import ReplayDays
from streams.replay.left_out import LeftOut, LeftOutSymbol, judged
from tests.support.engine import at, config
from tests.support.sessions.topics_in_memory import Topics

TUESDAY, WEDNESDAY = "2013-10-08", "2013-10-09"
CONFIG = SessionConfig.from_dict(config("SPY", "BAC"))
DAYS = ReplayDays(CONFIG.calendar(), date(2013, 10, 8), date(2013, 10, 8), grace_us=0)


def add(symbol: str, clock: str, day: str = TUESDAY, **fields: Any) -> ControlCommand:
    return ControlCommand(f"add {symbol} {clock}", "add_symbol", symbol, at(clock, day), **fields)


def remove(symbol: str, clock: str, day: str = TUESDAY, **fields: Any) -> ControlCommand:
    return ControlCommand(f"remove {symbol} {clock}", "remove_symbol", symbol, at(clock, day), **fields)


def found(*commands: ControlCommand, given: tuple[ControlCommand, ...] = (), topics: Sequence[str] = ()) -> LeftOut:
    return judged(CONFIG.symbols, given, commands, DAYS, topics)


@pytest.mark.parametrize(
    ("commands", "symbols", "lines", "why"),
    [
        ([add("IBM", "12:00", "2013-10-07")], ["SPY", "BAC", "IBM"], [], "it was there from the first open on"),
        ([add("IBM", "12:00", "2013-10-07"), remove("IBM", "15:00", "2013-10-07")], [], [], "it had gone before"),
        ([add("IBM", "12:00")], [], [("16:00", "add_symbol")], "it came within the day"),
        ([add("IBM", "12:00"), remove("IBM", "13:00")], [], [("16:00", "add_symbol"), ("17:00", "remove_symbol")], "it came and went"),
        (
            [add("IBM", "12:00", "2013-10-07"), remove("IBM", "13:00")], ["SPY", "BAC", "IBM"], [("17:00", "remove_symbol")],
            "it was there, and went within the day",
        ),
        ([add("IBM", "12:00", WEDNESDAY)], [], [], "it came after the days"),
        ([remove("IBM", "13:00")], [], [], "it was never there: the session refused that"),
        ([add("SPY", "12:00")], [], [], "the config names it"),
        ([add("IBM", "12:00", "2013-10-07", streams=("5m",))], [], [("13:30", "add_symbol")], "streams of its own need a command"),
    ],
)  # fmt: skip
def test_what_to_write_follows_from_when_the_symbol_was_there(
    commands: list[ControlCommand], symbols: list[str], lines: list[tuple[str, str]], why: str
) -> None:
    rest = found(*commands, topics=["IBM"])
    assert rest.config_symbols == symbols, why
    written = parse_commands(rest.command_lines, "lines")
    assert [json.loads(line)["at"][11:16] for line in rest.command_lines] == [clock for clock, _ in lines], why
    assert [(one.kind, one.symbol) for one in written] == [(kind, "IBM") for _, kind in lines], "a file of commands may have them"
    assert rest.symbols == [LeftOutSymbol("IBM", in_session=bool(symbols or lines))], why


def test_a_line_has_all_that_the_command_had() -> None:
    rest = found(add("IBM", "12:00", streams=("1m", "5m"), start_us=at("10:00")), remove("IBM", "13:00", immediate=True))
    assert [json.loads(line) for line in rest.command_lines] == [
        {
            "at": "2013-10-08T16:00:00Z", "command": "add_symbol", "symbol": "IBM", "streams": ["1m", "5m"],
            "start": "2013-10-07T14:00:00Z",
        },
        {"at": "2013-10-08T17:00:00Z", "command": "remove_symbol", "symbol": "IBM", "immediate": True},
    ]  # fmt: skip


def test_what_the_file_of_commands_adds_is_not_left_out() -> None:
    rest = found(add("IBM", "12:00"), add("AIG", "12:00"), given=(add("IBM", "11:00"),), topics=["IBM", "AIG", "SPY"])
    assert [one.symbol for one in rest.symbols] == ["AIG"]


def test_topics_of_bars_that_are_no_part_of_the_session_are_told_apart() -> None:
    rest = found(add("IBM", "12:00"), topics=["IBM", "XYZ"])
    assert rest.symbols == [LeftOutSymbol("IBM", in_session=True), LeftOutSymbol("XYZ", in_session=False)]
    rest = replace(rest, symbols=[replace(rest.symbols[0], records=15_000), rest.symbols[1]])
    assert list(left_out_words("main", rest)) == [
        (
            "session 'main' got 1 symbol by command, which neither the config nor --commands names: IBM (15,000 records in their topics). "
            "They are not replayed"
        ),
        (
            'to replay those of these days, write into the file for --commands: {"at": "2013-10-08T16:00:00Z", "command": "add_symbol", '
            '"symbol": "IBM"}'
        ),
        "not replayed either: XYZ, which have topics of bars here and are no part of the session",
    ]


def test_many_symbols_are_counted_and_some_named() -> None:
    names = [f"S{number:02}" for number in range(20)]
    rest = found(*[add(name, "12:00", "2013-10-07") for name in names])
    words = list(left_out_words("main", rest))
    assert "S00, S01, S02, S03, S04, S05, S06, S07 and 12 more. They" in words[0]
    assert json.loads(words[1].partition('"symbols": ')[2]) == ["SPY", "BAC", *names], "what is to be written is there as a whole"


def test_that_the_commands_can_t_be_read_is_said_and_nothing_when_all_is_replayed() -> None:
    assert list(left_out_words("main", LeftOut(problem="no"))) == [
        "symbols that session 'main' got by command are not known, and not replayed: no"
    ]
    assert list(left_out_words("main", found(topics=["SPY"]))) == []


def test_the_control_topic_and_the_names_of_topics_tell_it(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings.load(bootstrap_servers="localhost:1", session="main")
    topics = Topics()
    control = topics["main.control"] = topics.new()
    noon_ms = at("12:00", TUESDAY) // 1000
    # Without an instant of its own a command has that of its message, and what is no command is passed over.
    control.append(noon_ms, None, b'{"id": "a", "command": "add_symbol", "symbol": "BTC/USD"}', [])
    control.append(noon_ms, None, b"no command", [])
    control.commit()
    present = frozenset(["main.control", "main.analysis", "bars.SPY", "bars.BTC_2FUSD", "bars.XYZ", "quotes.QQ"])
    monkeypatch.setattr(left_out, "make_admin", lambda settings, note: None)
    monkeypatch.setattr(left_out, "topics_on", lambda admin, settings, note: present)
    monkeypatch.setattr(left_out, "TopicReader", topics.reader)
    monkeypatch.setattr(left_out, "earliest", lambda admin, names, timeout_seconds: dict.fromkeys(names, 5))
    monkeypatch.setattr(left_out, "latest", lambda admin, names, timeout_seconds: dict.fromkeys(names, 12))
    rest = left_out.left_out(settings, CONFIG, [], DAYS)
    assert rest.symbols == [LeftOutSymbol("BTC/USD", in_session=True, records=7), LeftOutSymbol("XYZ", in_session=False)]
    assert [json.loads(line)["at"] for line in rest.command_lines] == ["2013-10-08T16:00:00Z"]
    assert rest.problem is None


def test_a_broker_that_refuses_ends_no_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> frozenset[str]:
        raise BrokerRefusedError("not allowed")

    monkeypatch.setattr(left_out, "make_admin", lambda settings, note: None)
    monkeypatch.setattr(left_out, "topics_on", refused)
    rest = left_out.left_out(Settings.load(bootstrap_servers="localhost:1", session="main"), CONFIG, [], DAYS)
    assert rest == LeftOut(problem="not allowed")


@pytest.mark.parametrize(("missing", "says"), [(["Read on topic main.control"], True), ([], False)])
def test_commands_that_may_not_be_read_are_no_session_without_commands(
    monkeypatch: pytest.MonkeyPatch, missing: list[str], says: bool
) -> None:
    monkeypatch.setattr(left_out, "make_admin", lambda settings, note: None)
    monkeypatch.setattr(left_out, "topics_on", lambda admin, settings, note: frozenset(["bars.SPY"]))
    monkeypatch.setattr("streams.kafka.hidden.make_admin", lambda settings, note: None)
    monkeypatch.setattr("streams.kafka.hidden.lacking", lambda settings, admin, topics: missing)
    problem = left_out.left_out(Settings.load(bootstrap_servers="localhost:1", session="main"), CONFIG, [], DAYS).problem
    if not says:
        assert problem is None, "the session has never run"
    else:
        assert problem is not None
        assert "reading the commands on main.control: User:ANONYMOUS lacks Read on topic main.control: allow it" in problem
