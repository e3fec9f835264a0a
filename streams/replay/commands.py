"""A file of commands for a replay: one JSON object a line, with the instant at which it takes effect.

    {"at": "2013-10-07T16:00:00Z", "command": "add_symbol", "symbol": "IBM"}
    {"at": "2013-10-07T19:00:00Z", "command": "remove_symbol", "symbol": "IBM", "immediate": true}

The other fields are those of a control command: `streams`, `start`, `immediate`, `id` and so on. Lines need not be in order
of time; of those with the same instant the earlier line comes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from streams.errors import BodyError, ReplayError
from streams.instants import read_instant
from streams.model.records import ControlCommand
from streams.wire.json import checked_command, command_of
from streams.wire.json_fields import object_of


def read_commands(path: Path) -> list[ControlCommand]:
    """The commands of a file in order of time; `sent_us` is when they take effect.

    Raises:
        ReplayError: the file or a line of it can't be read; the message names file and line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ReplayError(f"{path}: the commands can't be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ReplayError(f"{path}: commands must be UTF-8 text: byte {error.start} is none") from None
    return parse_commands(lines, str(path))


def parse_commands(lines: Iterable[str], name: str) -> list[ControlCommand]:
    """The commands of lines, as `read_commands`; `name` is what they are called in messages.

    Raises:
        ReplayError: a line can't be read, or two have the same id.
    """
    lines_of_ids: dict[str, int] = {}
    commands = []
    for number, command in _parsed(lines, name):
        earlier = lines_of_ids.setdefault(command.id, number)
        if earlier != number:
            raise ReplayError(f"{name}: line {number}: id {command.id!r} is that of line {earlier} already, and would not run again")
        commands.append(command)
    return sorted(commands, key=lambda command: command.sent_us)


def _parsed(lines: Iterable[str], name: str) -> Iterator[tuple[int, ControlCommand]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            fields = object_of(line.encode(), "command")
            at_us = _instant(fields.pop("at", None))
            if "sent_at" in fields:
                raise BodyError("command: write at, the instant at which it takes effect, instead of sent_at")
            command = checked_command(command_of(msgspec.json.encode(fields), f"line-{number}", at_us))
        except BodyError as error:
            raise ReplayError(f"{name}: line {number}: {error}") from None
        yield number, command


def _instant(value: object) -> int:
    if not isinstance(value, str):
        found = "is missing" if value is None else f"is {msgspec.json.encode(value).decode()}"
        raise BodyError(f"command: at {found}: write the instant at which it takes effect, such as 2013-10-07T16:00:00Z")
    try:
        return read_instant(value)
    except ValueError as error:
        raise BodyError(f"command: at: {error}") from None
