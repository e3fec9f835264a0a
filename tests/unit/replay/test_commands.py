"""A file of commands: what it may hold, and what is said of what it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.errors import ReplayError
from streams.replay.commands import parse_commands, read_commands
from tests.support.engine import at

ADD = '{"at": "2013-10-07T16:00:00Z", "command": "add_symbol", "symbol": "IBM"}'


def test_the_example_is_read() -> None:
    first, second = read_commands(Path("examples/commands.jsonl"))
    assert (first.id, first.kind, first.symbol, first.sent_us) == ("line-1", "add_symbol", "IBM", at("12:00"))
    assert (second.kind, second.sent_us) == ("remove_symbol", at("15:00", "2013-10-08"))


def test_all_fields_are_taken_and_blank_lines_are_none() -> None:
    line = '{"at": "2013-10-07T12:00:00-04:00", "command": "add_symbol", "symbol": "A", "streams": ["1s"], "id": "x", "sender": "me"}'
    (command,) = parse_commands(["", line, "  "], "f")
    assert (command.id, command.sent_us, command.streams, command.sender) == ("x", at("12:00"), ("1s",), "me")


def test_commands_are_in_order_of_time_and_then_of_lines() -> None:
    lines = [ADD.replace("16:00", hour).replace("IBM", symbol) for hour, symbol in (("17:00", "A"), ("16:00", "B"), ("17:00", "C"))]
    assert [command.symbol for command in parse_commands(lines, "f")] == ["B", "A", "C"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("add IBM", "not JSON"),
        ("[1]", "a JSON object is needed"),
        ('{"command": "add_symbol", "symbol": "IBM"}', "at is missing: write the instant"),
        (ADD.replace('"2013-10-07T16:00:00Z"', "16"), "at is 16: write the instant"),
        (ADD.replace("16:00:00Z", "16:00:00"), "has no time zone"),
        (ADD.replace("2013-10-07T16:00:00Z", "160000"), "before 1973. It may be the time of day 16:00:00 without its date"),
        (ADD.replace("add_symbol", "add_symbl"), "did you mean 'add_symbol'"),
        (ADD.replace("IBM", "I BM"), "has a blank"),
        (ADD.replace('"symbol"', '"symbl"'), "unknown field 'symbl', did you mean 'symbol'"),
        (ADD.replace('"IBM"', '"IBM", "streams": ["1x"]'), "'1x' is no interval"),
        (ADD.replace('"IBM"', '"IBM", "sent_at": "2013-10-07T16:00:00Z"'), "write at"),
    ],
)
def test_a_wrong_line_is_named_with_its_number(line: str, said: str) -> None:
    with pytest.raises(ReplayError) as caught:
        parse_commands([ADD, "", line], "day.jsonl")
    assert str(caught.value).startswith("day.jsonl: line 3: ")
    assert said in str(caught.value)


def test_an_id_that_two_lines_share_is_refused() -> None:
    line = ADD.replace('"IBM"', '"IBM", "id": "x"')
    with pytest.raises(ReplayError, match="line 2: id 'x' is that of line 1 already"):
        parse_commands([line, line], "f")


def test_a_file_that_can_t_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReplayError, match=r"no-such\.jsonl: the commands can't be read: No such file"):
        read_commands(tmp_path / "no-such.jsonl")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(ReplayError, match="must be UTF-8"):
        read_commands(tmp_path / "binary")
