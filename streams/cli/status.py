"""`streams status`: a session as its worker last committed it, once or kept current."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Annotated, Final, TypedDict
from zoneinfo import ZoneInfoNotFoundError

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from streams.calendar import TradingCalendar
from streams.calendar_end import ENDING_DAYS, days_left, end_in_words
from streams.cli.options import AsJson, Bootstrap, Session, data_console, load_settings, print_json
from streams.cli.words import NOBODY, NOBODY_AFTER_SECONDS, SymbolFacts, plural, seconds_text, short_instant, symbol_facts
from streams.client.kafka import topics_of
from streams.client.state import StateReader, StateView
from streams.config import SessionConfig
from streams.errors import NobodyThereError, SessionConfigError
from streams.records import EXTRA_STREAMS, QUOTES, TICKS
from streams.times import SECOND_US, SystemClock, date_of_days, iso

app = typer.Typer(no_args_is_help=True)

_REFRESH_SECONDS: Final = 0.5


class SessionFacts(TypedDict):
    """A session as `status --json` tells of it."""

    session: str
    epoch: int
    active: bool
    gate_reason: str
    lagging: list[str]
    worker: str
    owner: str
    as_of: str
    age_seconds: float
    trading_date: str | None
    calendar_last_date: str | None
    transaction: int
    sequence: int
    gate_open: bool
    symbols: list[SymbolFacts]
    remarks: list[str]


@app.command("status", epilog="Example: streams status --session main --once")
def status(
    once: Annotated[bool, typer.Option("--once", help="Show it once instead of keeping it current; so too without a terminal.")] = False,
    bootstrap: Bootstrap = None,
    session: Session = None,
    as_json: AsJson = False,
) -> None:
    """Show a session: gate, symbols, lag, counts. Ctrl-C ends the live view; --json shows it once.

    Exit code 3 when no worker is active: what is shown is then what the last one left.
    """
    settings = load_settings(bootstrap, session)
    console = data_console()
    clock = SystemClock()
    with StateReader(settings, clock=clock) as reader:
        reader.catch_up()

        def facts() -> SessionFacts:
            return status_facts(reader.view, dlq=topics_of(settings).dlq, now_us=clock.now_us())

        found = facts()
        if as_json:
            print_json(found)
        elif once or not console.is_terminal:
            console.print(status_page(found))
        else:
            _follow(reader, lambda: status_page(facts()), console)
            return
    if found["worker"] == "none":
        raise typer.Exit(NOBODY)


def _follow(reader: StateReader, page: Callable[[], RenderableType], console: Console) -> None:
    try:
        with Live(page(), console=console, auto_refresh=False, screen=True) as live:
            while True:
                reader.follow(_REFRESH_SECONDS)
                live.update(page(), refresh=True)
    except KeyboardInterrupt:
        return


def status_facts(view: StateView, *, dlq: str, now_us: int) -> SessionFacts:
    """What there is to tell of the session.

    Args:
        view: the session's rows.
        dlq: the topic of its dead letters.
        now_us: the wall clock, for how old the rows are.

    Raises:
        NobodyThereError: there is no session in the rows; its state may be begun anew while one looks on.
    """
    row = view.session
    if row is None:
        raise NobodyThereError("the session's state was deleted: call again once a worker has begun it anew")
    symbols = [symbol_facts(view, symbol, now_us) for _, symbol in sorted(view.symbols.items())]
    calendar = _calendar_of(view)
    outside = outside_hours(view, calendar)
    age_seconds = (now_us - row.now_us) / SECOND_US
    return {
        "session": row.session,
        "epoch": row.epoch,
        "active": row.active,
        "gate_reason": row.gate_reason,
        "lagging": [symbol["symbol"] for symbol in symbols if symbol["lagging"]],
        "worker": "none" if age_seconds > NOBODY_AFTER_SECONDS else "active",
        "owner": row.owner,
        "as_of": iso(row.now_us),
        "age_seconds": round(age_seconds, 3),
        "trading_date": date_of_days(row.trading_days).isoformat() if row.trading_days else None,
        "calendar_last_date": None if calendar is None else calendar.last_date.isoformat(),
        "transaction": row.transaction,
        "sequence": row.sequence,
        "gate_open": row.active and age_seconds <= NOBODY_AFTER_SECONDS,
        "symbols": symbols,
        "remarks": [*_about_end(calendar, now_us), *(remark for symbol in symbols for remark in _remarks(symbol, outside, dlq))],
    }


def status_page(facts: SessionFacts) -> RenderableType:
    """The same for a terminal."""
    head = Text.assemble((facts["session"], "bold"), f"  epoch {facts['epoch']}  sequence {facts['sequence']:,}")
    if facts["trading_date"]:
        head.append(f"  trading day {facts['trading_date']}")
    head.append(f"  as of {facts['as_of']}")
    parts: list[RenderableType] = [head, _gate_line(facts)]
    if facts["worker"] == "none":
        age = seconds_text(facts["age_seconds"])
        parts.append(Text(f"no worker is active since {facts['as_of']} ({age} ago): streams worker CONFIG starts one", style="bold yellow"))
    parts.append(_table(facts["symbols"], facts["as_of"]) if facts["symbols"] else Text("no symbols"))
    parts.extend(Text(remark) for remark in facts["remarks"])
    return Group(*parts)


def _about_end(calendar: TradingCalendar | None, now_us: int) -> Iterator[str]:
    if calendar is not None and days_left(calendar, now_us) <= ENDING_DAYS:
        yield end_in_words(calendar, now_us)


def _remarks(symbol: SymbolFacts, outside: str, dlq: str) -> Iterator[str]:
    name = symbol["symbol"]
    if symbol["out_of_hours"]:
        yield f"{name}: {plural(symbol['out_of_hours'], 'bar')} dropped: {outside}"
    if symbol["other_interval"]:
        yield f"{name}: {plural(symbol['other_interval'], 'bar')} dropped: of another interval than {symbol['base_interval']}"
    if symbol["other_day"]:
        yield f"{name}: {plural(symbol['other_day'], 'bar')} dropped: of another trading day"
    if symbol["duplicates"]:
        yield f"{name}: {plural(symbol['duplicates'], 'bar')} dropped: equal to one that is there"
    for stream in symbol["streams"]:
        facts = symbol["quotes"] if stream == QUOTES else symbol["ticks"]
        if facts is not None and facts["out_of_hours"]:
            yield f"{name}: {facts['out_of_hours']:,} {stream} dropped: {outside}"
        if facts is not None and facts["dead_letters"]:
            yield f"{name}: {facts['dead_letters']:,} {stream} are dead letters: the reasons stand in the headers on {dlq}"
    if symbol["dead_letters"]:
        yield f"{name}: {plural(symbol['dead_letters'], 'dead letter')}: the reasons stand in the headers on {dlq}"


def outside_hours(view: StateView, calendar: TradingCalendar | None) -> str:
    """`outside XNYS hours, next open Mon 09:30 New York`; without the second part where no further trading day is known."""
    if view.session is None or view.config_json is None:
        return "outside trading hours"
    try:
        if calendar is None:
            return f"outside {SessionConfig.from_json(view.config_json).exchange} hours"
        return f"outside {calendar.exchange} hours, next open {calendar.format_next_open(view.session.now_us)}"
    except SessionConfigError:
        return "outside trading hours"  # a worker of another version may write what this one does not know
    except ValueError:
        return f"outside {calendar.exchange} hours" if calendar is not None else "outside trading hours"


def _calendar_of(view: StateView) -> TradingCalendar | None:
    """The calendar that the session goes by: the stored one, else that of the library, where it is installed."""
    try:
        return _calendar(view.config_json, view.calendar)
    except (ImportError, SessionConfigError, ZoneInfoNotFoundError):
        return None


@lru_cache(maxsize=1)
def _calendar(config_json: str | None, stored: str) -> TradingCalendar | None:
    # Reading a calendar takes up to a second, and a live view asks again and again.
    if stored:
        return TradingCalendar.from_text(stored)
    return None if config_json is None else SessionConfig.from_json(config_json).calendar()


def _gate_line(facts: SessionFacts) -> Text:
    line = Text("gate ")
    line.append("open" if facts["active"] else "closed", style="bold green" if facts["active"] else "bold red")
    line.append(f"  {facts['gate_reason']}")
    lags = [f"{symbol['symbol']} by {seconds_text(symbol['lag_seconds'] or 0.0)}" for symbol in facts["symbols"] if symbol["lagging"]]
    if lags:
        line.append(f"  lagging: {', '.join(lags)}")
    return line


_HEADINGS: Final = ("symbol", "status", "last bar", "lag", "bars", "published", "held back", "late", "dropped", "dead")
_TEXTS: Final = frozenset({"symbol", "status", "last bar", "note"})


def _table(symbols: list[SymbolFacts], as_of: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    streams = [stream for stream in EXTRA_STREAMS if any(stream in symbol["streams"] for symbol in symbols)]
    with_notes = any(symbol["note"] for symbol in symbols)
    for heading in (*_HEADINGS, *streams, *(["note"] if with_notes else [])):
        table.add_column(heading, justify="left" if heading in _TEXTS else "right", no_wrap=heading != "note")
    for symbol in symbols:
        dropped = symbol["duplicates"] + symbol["out_of_hours"] + symbol["other_interval"] + symbol["other_day"]
        lag = "-" if symbol["lag_seconds"] is None else seconds_text(symbol["lag_seconds"])
        counts = {QUOTES: symbol["quotes"], TICKS: symbol["ticks"]}
        table.add_row(
            symbol["symbol"],
            symbol["status"],
            short_instant(symbol["frontier"], as_of),
            Text(lag, style="red" if symbol["lagging"] else ""),
            f"{symbol['bars']:,}",
            f"{symbol['published']:,}",
            f"{symbol['held_back']:,}",
            f"{symbol['late']:,}",
            f"{dropped:,}",
            f"{symbol['dead_letters']:,}",
            *("-" if (facts := counts[stream]) is None else f"{facts['count']:,}" for stream in streams),
            *([symbol["note"]] if with_notes else []),
        )
    return table
