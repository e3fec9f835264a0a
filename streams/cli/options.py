"""What several commands share: their common options, and the settings that come of them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from datetime import tzinfo
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer
from rich.console import Console

from streams.config.session import SessionConfig
from streams.config.settings import Settings, misspelt
from streams.history.formats.fields import BAR_FIELDS, QUOTE_FIELDS, TICK_FIELDS, Fields

_PIPE_WIDTH: Final = 500

Bootstrap = Annotated[
    str | None,
    typer.Option(
        "--bootstrap",
        envvar="STREAMS_BOOTSTRAP_SERVERS",
        metavar="HOST:PORT",
        help="Kafka's brokers; by default localhost:9092.",
        show_default=False,
    ),
]
Session = Annotated[
    str | None, typer.Option("--session", envvar="STREAMS_SESSION", metavar="NAME", help="The session's name.", show_default=False)
]
SessionName = Annotated[
    str | None,
    typer.Option("--session", metavar="NAME", help="Another name for the session than the config's.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
SymbolOfLines = Annotated[str | None, typer.Option("--symbol", help="The symbol of lines that do not name one.", show_default=False)]
IntervalOfLines = Annotated[
    str | None, typer.Option("--interval", help="The interval of lines that do not name one, such as 1m.", show_default=False)
]
Zone = Annotated[
    str | None,
    typer.Option("--zone", metavar="NAME", help="Of times without an offset, such as America/New_York.", show_default=False),
]
SecurityType = Annotated[
    str | None,
    typer.Option(
        "--security-type",
        metavar="TYPE",
        help="Of LEAN files that lie outside of its folders: equity, crypto, forex and so on.",
        show_default=False,
    ),
]
MarketName = Annotated[
    str | None,
    typer.Option(
        "--market", metavar="NAME", help="Of LEAN files that lie outside of its folders: usa, coinbase and so on.", show_default=False
    ),
]
DataZone = Annotated[
    str | None,
    typer.Option("--zone", metavar="NAME", help="Of the times in LEAN files, where it is not that of LEAN's database.", show_default=False),
]


def _columns(fields: Fields) -> Any:
    return typer.Option(
        "--column",
        metavar="FIELD=NAME",
        help=f"A column with a name of its own; may be repeated. Fields: {', '.join(fields.names)} (the date beside a time).",
        show_default=False,
    )


BarColumns = Annotated[list[str] | None, _columns(BAR_FIELDS)]
QuoteColumns = Annotated[list[str] | None, _columns(QUOTE_FIELDS)]
TickColumns = Annotated[list[str] | None, _columns(TICK_FIELDS)]
Ignored = Annotated[
    list[str] | None,
    typer.Option("--ignore-column", metavar="NAME", help="A column to leave aside; may be repeated.", show_default=False),
]
Timeout = Annotated[float, typer.Option("--timeout", min=0.1, metavar="SECONDS", help="How long to wait for the worker's answer.")]


def say(text: str) -> None:
    """A line for a person, on standard error: standard output is for data."""
    print(text, file=sys.stderr, flush=True)


def load_settings(bootstrap: str | None, session: str | None = None, *, tell: Callable[[str], object] = say) -> Settings:
    """The environment's settings with these options in place of theirs; `tell` takes what looks like a typing error among them.

    Raises:
        SettingsError: one of them can't be accepted.
    """
    for remark in misspelt(os.environ):
        tell(f"note: {remark}")
    return Settings.load(bootstrap_servers=bootstrap, session=session)


def data_console() -> Console:
    """Standard output for text: wrapped to the terminal's width, and not wrapped at all in a pipe."""
    console = plain_console()
    return console if console.is_terminal else plain_console(width=_PIPE_WIDTH)


def is_watched(console: Console) -> bool:
    """Whether someone watches this process there: a job in the background must not draw over what the foreground prints."""
    if not console.is_terminal:
        return False
    try:
        return os.tcgetpgrp(console.file.fileno()) == os.getpgrp()
    except OSError:  # it is not the terminal that controls this process
        return True


def plain_console(*, width: int | None = None, soft_wrap: bool = False) -> Console:
    """Standard output that shows text as it is: a note such as `mod:X:` or `[1]` is neither a picture nor a style."""
    return Console(highlight=False, markup=False, emoji=False, width=width, soft_wrap=soft_wrap)


def named(config: SessionConfig, name: str | None) -> SessionConfig:
    """The config under another session's name, if one was given.

    Raises:
        SessionConfigError: it can't be one.
    """
    return config if name is None else SessionConfig.from_dict({**config.to_dict(), "session_name": name})


def parse_zone(name: str | None) -> tzinfo | None:
    """The time zone of a name.

    Raises:
        BadParameter: there is none of that name.
    """
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise typer.BadParameter(f"{name!r} is not a time zone: write one such as America/New_York or UTC", param_hint="--zone") from None


def parse_columns(texts: Sequence[str] | None, fields: Fields) -> dict[str, str]:
    """What columns with names of their own hold: field to name, of texts such as `start=ts`.

    Raises:
        BadParameter: a text has not this form, or names another field.
    """
    names: dict[str, str] = {}
    for text in texts or ():
        field, separator, name = text.partition("=")
        if not separator or not name or field not in fields.names:
            right = f"FIELD=NAME such as {fields.time}=ts; fields are {', '.join(fields.names)}"
            raise typer.BadParameter(f"{text!r} is not {right}", param_hint="--column")
        names[field] = name
    return names


def print_json(value: object) -> None:
    """One line of JSON on standard output, there at once for whoever reads from a pipe."""
    print(json.dumps(value, ensure_ascii=False), flush=True)
