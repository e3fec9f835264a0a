"""`streams status`: a session as its worker last committed it, once or kept current."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Final, TypedDict
from zoneinfo import ZoneInfoNotFoundError

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from streams.calendar.ending import ENDING_DAYS, days_left, end_in_words
from streams.calendar.trading import TradingCalendar
from streams.cli.options import AsJson, Bootstrap, Session, data_console, load_settings, print_json, say
from streams.cli.status_table import SymbolTable
from streams.cli.waiting import Patience
from streams.cli.words import CLOSED, NOBODY, NOBODY_AFTER_SECONDS, SymbolFacts, plural, seconds_text, symbol_facts, whole_seconds
from streams.client.state import StateReader, StateView
from streams.config.session import SessionConfig
from streams.config.settings import Settings
from streams.errors import NobodyThereError, SessionConfigError
from streams.model.records import QUOTES
from streams.model.rows import SessionRow
from streams.model.status import SymbolStatus
from streams.times import SECOND_US, Clock, SystemClock, date_of_days, iso

app = typer.Typer(no_args_is_help=True)

_REFRESH_SECONDS: Final = 0.5
_HEALTH_SECONDS: Final = 1.0
_WITH_THE_ROLE: Final = frozenset({"active", "failing"})


class Condition(StrEnum):
    """What `--wait` waits for."""

    ACTIVE = "active"


class SessionFacts(TypedDict):
    """A session as `status --json` tells of it. `worker` is `active`, `failing` (it is there, and commits nothing), or `none`."""

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
    topics_unchecked_since: str | None
    topics_unchecked_reason: str | None
    clock: str | None
    symbols: list[SymbolFacts]
    remarks: list[str]


@app.command("status", epilog="Example: streams status --session main --once")
def status(
    once: Annotated[bool, typer.Option("--once", help="Show it once instead of keeping it current; so too without a terminal.")] = False,
    wait: Annotated[
        Condition | None,
        typer.Option("--wait", help="Wait until a worker runs the session and its gate is open, then show it once.", show_default=False),
    ] = None,
    timeout: Annotated[float, typer.Option("--timeout", min=0, metavar="SECONDS", help="How long --wait waits.")] = 60,
    bootstrap: Bootstrap = None,
    session: Session = None,
    as_json: AsJson = False,
) -> None:
    """Show a session: gate, symbols, lag, counts. Ctrl-C ends the live view; --json shows it once.

    Exit code 3 when no worker is active, or the active one commits nothing: what is shown is then what was committed last.
    With --wait active it is 0 as soon as the session is active; when time is up, 4 if the gate is closed, and 3 if no worker is active.
    """
    settings = load_settings(bootstrap, session)
    console = data_console()
    clock = SystemClock()
    patience = Patience(timeout if wait else 0, clock, lambda why: say(f"waiting for session {settings.session}: {why}"))
    with patience.until_there(lambda: caught_up(settings, clock)) as reader:

        def facts() -> SessionFacts:
            return status_facts(reader.view, now_us=clock.now_us(), ask=health_of, ask_clock=clock_of)

        found = facts()
        while wait and not found["gate_open"] and patience.lasts(why_inactive(found)):
            reader.follow(_REFRESH_SECONDS)
            found = facts()
        if as_json:
            print_json(found)
        elif once or wait or not console.is_terminal:
            console.print(status_page(found))
        else:
            _follow(reader, lambda: status_page(facts()), console)
            return
    if found["worker"] != "active":
        raise typer.Exit(NOBODY)
    if wait and not found["gate_open"]:
        raise typer.Exit(CLOSED)


def caught_up(settings: Settings, clock: Clock) -> StateReader:
    """A reader that has read all that is committed; errors as for `StateReader` and its `catch_up`."""
    with ExitStack() as stack:
        reader = stack.enter_context(StateReader(settings, clock=clock))
        reader.catch_up()
        stack.pop_all()
    return reader


def why_inactive(facts: SessionFacts) -> str:
    """Why a session is not active, in a few words."""
    if facts["worker"] == "none":
        return f"no worker is active since {whole_seconds(facts['as_of'])}"
    if facts["worker"] == "failing":
        return f"worker {facts['owner']} is there, and nothing was committed since {whole_seconds(facts['as_of'])}"
    pending = [symbol["symbol"] for symbol in facts["symbols"] if symbol["status"] == SymbolStatus.PENDING]
    words = [f"the gate is closed ({facts['gate_reason'] or 'new'})"]
    words += [f"lagging: {', '.join(facts['lagging'])}"] if facts["lagging"] else []
    words += [f"pending: {', '.join(pending)}"] if pending else []
    return "; ".join(words)


def _follow(reader: StateReader, page: Callable[[], RenderableType], console: Console) -> None:
    try:
        with Live(page(), console=console, auto_refresh=False, screen=True) as live:
            while True:
                reader.follow(_REFRESH_SECONDS)
                live.update(page(), refresh=True)
    except KeyboardInterrupt:
        return


def health_of(url: str, owner: str) -> str | None:
    """What the worker `owner` says of itself at `url`; None where it is not to be reached, or another one answers."""
    report = _health(url, owner)
    return None if report is None else str(report.get("status"))


def clock_of(url: str, owner: str) -> str | None:
    """What the worker `owner` says at `url` is wrong with its clock; None for nothing, or where it is not to be reached."""
    report = _health(url, owner)
    return None if report is None or report.get("clock") is None else str(report["clock"])


def _health(url: str, owner: str) -> dict[str, object] | None:
    import httpx  # takes as long to import as the rest of the command's own code

    try:
        answer = httpx.get(f"{url}/health", timeout=_HEALTH_SECONDS).json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return None
    return answer if isinstance(answer, dict) and answer.get("worker") == owner else None


def status_facts(
    view: StateView,
    *,
    now_us: int,
    ask: Callable[[str, str], str | None] = lambda url, owner: None,
    ask_clock: Callable[[str, str], str | None] = lambda url, owner: None,
) -> SessionFacts:
    """What there is to tell of the session.

    Args:
        view: the session's rows.
        now_us: the wall clock, for how old the rows are.
        ask: `health_of`; asked where nothing was committed for a while, since a worker may be there and not get through.
        ask_clock: `clock_of`; asked at that time too, since a worker whose clock is ahead commits nothing.

    Raises:
        NobodyThereError: there is no session in the rows; its state may be begun anew while one looks on.
    """
    row = view.session
    if row is None:
        raise NobodyThereError("the session's state was deleted: call again once a worker has begun it anew")
    symbols = [symbol_facts(view, symbol, now_us) for _, symbol in sorted(view.symbols.items())]
    calendar = _calendar_of(view)
    outside = outside_hours(view, calendar)
    age_seconds = (now_us - row.now_us - row.clock_behind_us) / SECOND_US
    clock = row.clock_reason
    if clock is None and age_seconds > NOBODY_AFTER_SECONDS and row.owner_url:
        clock = ask_clock(row.owner_url, row.owner)
    return {
        "session": row.session,
        "epoch": row.epoch,
        "active": row.active,
        "gate_reason": row.gate_reason,
        "lagging": [symbol["symbol"] for symbol in symbols if symbol["lagging"]],
        "worker": "active" if age_seconds <= NOBODY_AFTER_SECONDS else "failing" if _is_stuck(row, ask) else "none",
        "owner": row.owner,
        "as_of": iso(row.now_us),
        "age_seconds": round(age_seconds, 3),
        "trading_date": date_of_days(row.trading_days).isoformat() if row.trading_days else None,
        "calendar_last_date": None if calendar is None else calendar.last_date.isoformat(),
        "transaction": row.transaction,
        "sequence": row.sequence,
        "gate_open": row.active and age_seconds <= NOBODY_AFTER_SECONDS,
        "topics_unchecked_since": iso(row.unchecked_us) if row.unchecked_us > 0 else None,
        "topics_unchecked_reason": row.unchecked_reason or None,
        "clock": clock,
        "symbols": symbols,
        "remarks": [*_about_end(calendar, now_us), *(remark for symbol in symbols for remark in _remarks(symbol, outside, row.session))],
    }


def status_page(facts: SessionFacts) -> RenderableType:
    """The same for a terminal."""
    head = Text.assemble((facts["session"], "bold"), f"  epoch {facts['epoch']}  sequence {facts['sequence']:,}")
    if facts["trading_date"]:
        head.append(f"  trading day {facts['trading_date']}")
    head.append(f"  as of {whole_seconds(facts['as_of'])}")
    parts: list[RenderableType] = [head, _gate_line(facts)]
    age, since = seconds_text(facts["age_seconds"]), whole_seconds(facts["as_of"])
    if facts["worker"] == "none":
        nobody = f"no worker is active since {since} ({age} ago), or none whose transactions get through"
        parts.append(Text(f"{nobody}: streams worker CONFIG starts one", style="bold yellow"))
    if facts["worker"] == "failing":
        stuck = f"worker {facts['owner']} is there, and nothing was committed since {since} ({age} ago)"
        parts.append(Text(f"{stuck}: brokers do not take its transactions; its log says why", style="bold yellow"))
    if facts["topics_unchecked_since"] and facts["worker"] == "active":
        parts.append(Text(_unchecked_words(facts), style="bold yellow"))
    if facts["clock"]:
        parts.append(Text(f"clock of worker {facts['owner']}: {facts['clock']}", style="bold red"))
    parts.append(SymbolTable(facts["symbols"], facts["as_of"]) if facts["symbols"] else Text("no symbols"))
    parts.extend(Text(remark) for remark in facts["remarks"])
    return Group(*parts)


def _is_stuck(row: SessionRow, ask: Callable[[str, str], str | None]) -> bool:
    """Whether the worker that wrote the row is still there, and has the active role."""
    return bool(row.owner_url) and ask(row.owner_url, row.owner) in _WITH_THE_ROLE


def _unchecked_words(facts: SessionFacts) -> str:
    since, why = facts["topics_unchecked_since"], facts["topics_unchecked_reason"]
    return f"topics can't be checked since {since}: {why}; a topic that is deleted or truncated meanwhile goes unnoticed"


def _about_end(calendar: TradingCalendar | None, now_us: int) -> Iterator[str]:
    if calendar is not None and days_left(calendar, now_us) <= ENDING_DAYS:
        yield end_in_words(calendar, now_us)


def _unknown_words(names: list[str]) -> str:
    return f"unknown fields, which are ignored: {', '.join(names)}"


def _remarks(symbol: SymbolFacts, outside: str, session: str) -> Iterator[str]:
    name = symbol["symbol"]
    why = f"`streams dead-letters list --session {session} --symbol {name}` shows why"
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
        if facts is not None and facts["unknown_fields"]:
            yield f"{name}: {facts['unknown_fields']:,} {stream} had {_unknown_words(facts['unknown_names'])}"
        if facts is not None and facts["dead_letters"]:
            yield f"{name}: {facts['dead_letters']:,} {stream} are dead letters: {why}"
    if symbol["unknown_fields"]:
        yield f"{name}: {plural(symbol['unknown_fields'], 'bar')} had {_unknown_words(symbol['unknown_names'])}"
    if symbol["dead_letters"]:
        yield f"{name}: {plural(symbol['dead_letters'], 'dead letter')}: {why}"


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
