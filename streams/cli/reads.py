"""`streams show`, `quality`, `gaps`: what a session's symbols hold, read from its worker over HTTP, behind the gate."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Final

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from streams.cli.options import AsJson, Session, data_console, print_json
from streams.cli.words import CLOSED, plural, seconds_text, short_instant
from streams.client.answers import Place
from streams.client.calls import Overview
from streams.client.session import SessionClient
from streams.config.settings import Settings
from streams.errors import RequestRefusedError, SettingsError
from streams.model.records import SessionBar
from streams.model.views import GapInfo, SymbolSnapshot
from streams.times import interval_us, iso, to_us

app = typer.Typer(no_args_is_help=True)

PATIENCE_SECONDS: Final = 3.0
_MOST_GAPS: Final = 50
_GOOD_PERCENT: Final = 99.0
_MOST_EXPLAINED: Final = 20

Symbol = Annotated[str, typer.Argument(help="The symbol.", show_default=False)]
Interval = Annotated[
    str | None, typer.Option("--interval", help="Of which bars; by default the symbol's base interval.", show_default=False)
]
Internal = Annotated[bool, typer.Option("--internal", help="Look past the gate; needs STREAMS_READ_TOKEN.")]
Url = Annotated[
    str | None,
    typer.Option(
        "--url", envvar="STREAMS_URL", metavar="URL[,URL]", help="The session's workers; by default this machine's.", show_default=False
    ),
]


@app.command("show", epilog="Example: streams show SPY --interval 1m --last 5")
def show(
    symbol: Symbol,
    interval: Interval = None,
    last: Annotated[int, typer.Option("--last", min=0, metavar="N", help="How many of the newest bars.")] = 10,
    internal: Internal = False,
    url: Url = None,
    session_name: Session = None,
    as_json: AsJson = False,
) -> None:
    """Show a symbol: how far it is, what its day comes to, and its newest bars.

    While the gate is shut there is nothing to see without --internal, and the exit code is 4.
    """
    with SessionClient(url_of(url), patience_seconds=PATIENCE_SECONDS) as session:
        snapshot = _existing(session, symbol, interval, of=session_name, internal=internal)
        bars = session.get_last_n_bars(symbol, last, interval, internal=internal)
        place = session.place
        if as_json:
            print_json({"as_of": _place_fields(place), "symbol": _fields_of(snapshot), "bars": [_bar_fields(bar) for bar in bars]})
        else:
            data_console().print(_page(snapshot, bars, interval or snapshot.base_interval, place))


@app.command("quality", epilog="Example: streams quality SPY")
def quality(
    symbols: Annotated[list[str] | None, typer.Argument(help="The symbols; by default all.", show_default=False)] = None,
    internal: Internal = False,
    url: Url = None,
    session_name: Session = None,
    as_json: AsJson = False,
) -> None:
    """Show how complete the bars are: present of expected from the open until now, in percent, by interval.

    A dash stands where a missing bar is no gap, or before any bar is expected. Where a symbol's first bar came long after the open, a
    line says how complete the bars are since then.
    """
    with SessionClient(url_of(url), patience_seconds=PATIENCE_SECONDS) as session:
        wanted = symbols or sorted(_open(session, of=session_name, internal=internal).active_symbols)
        found = {}
        for symbol in wanted:
            _existing(session, symbol, of=session_name, internal=internal)
            found[symbol] = session.get_qualities(symbol, internal=internal)
        if as_json:
            print_json({"as_of": _place_fields(session.place), "quality": found})
            return
        intervals = list(dict.fromkeys(name for one in found.values() for name in one))
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("symbol")
        for name in intervals:
            table.add_column(name, justify="right")
        for symbol, by_interval in found.items():
            table.add_row(symbol, *(_percent(by_interval[name]) if name in by_interval else "" for name in intervals))
        lines: list[str] = []
        for symbol in list(found)[:_MOST_EXPLAINED]:
            lines += _before_first_bar(session, symbol, found[symbol], internal=internal)
        data_console().print(Group(table, *map(Text, lines)) if found else Text("no symbols"))


@app.command("gaps", epilog="Example: streams gaps SPY --interval 1m")
def gaps(
    symbol: Symbol,
    interval: Interval = None,
    internal: Internal = False,
    url: Url = None,
    session_name: Session = None,
    as_json: AsJson = False,
) -> None:
    """List the gaps of a symbol's day: runs of missing bars, in order."""
    with SessionClient(url_of(url), patience_seconds=PATIENCE_SECONDS) as session:
        snapshot = _existing(session, symbol, interval, of=session_name, internal=internal)
        found = session.get_gaps(symbol, interval, internal=internal)
        if as_json:
            fields = [
                {"start": iso(gap.start_us), "end": iso(gap.end_us), "bar_count": gap.bar_count, "retry_count": gap.retry_count}
                for gap in found
            ]
            print_json({"as_of": _place_fields(session.place), "interval": interval or snapshot.base_interval, "gaps": fields})
            return
        data_console().print(_gaps_page(symbol, interval or snapshot.base_interval, found))


def _before_first_bar(session: SessionClient, symbol: str, qualities: dict[str, float | None], *, internal: bool) -> Iterator[str]:
    """Say how much of what is missing lies before the symbol's first bar: a feed that began at noon has no morning."""
    measured = [(name, quality) for name, quality in qualities.items() if quality is not None]
    if not measured or measured[-1][1] >= _GOOD_PERCENT:
        return
    interval, _ = measured[-1]
    found = session.get_gaps(symbol, interval, internal=internal)
    if not found or session.get_bars(symbol, interval, end=found[0].start, internal=internal):
        return
    present, missing = session.get_bar_count(symbol, interval, internal=internal), sum(gap.bar_count for gap in found)
    first = found[0]
    opened, begun = iso(first.start_us), short_instant(iso(first.end_us), iso(first.start_us))
    if not present:
        yield f"{symbol}: no {interval} bar since {opened}, when its trading day began"
        return
    since = 100 * present / (present + missing - first.bar_count)
    missed = f"{first.bar_count:,} of {plural(missing, 'missing bar')}"
    yield f"{symbol}: its {interval} bars begin at {begun}; {missed} are of before, since {opened}. Since then: {since:.2f}"


def url_of(url: str | None) -> str:
    """Where the session's workers are: as said, or where the settings have them on this machine."""
    if url is not None:
        return url
    settings = Settings.load()
    host = "127.0.0.1" if settings.http_host in ("0.0.0.0", "::") else settings.http_host
    return f"http://{host}:{settings.http_port or 6066}"


def _open(session: SessionClient, *, of: str | None, internal: bool) -> Overview:
    """The session, if it may be told of.

    Raises:
        Exit: the gate is shut.
        SettingsError: it is another session than is meant.
    """
    found = session.get_overview(internal=internal)
    _check_name(found.place, of)
    if not found.place.active and not internal:
        typer.echo(
            f"the gate of session {found.place.session!r} is shut, so nothing is told: `streams status` says why, --internal looks past it",
            err=True,
        )
        raise typer.Exit(CLOSED)
    return found


def _existing(session: SessionClient, symbol: str, interval: str | None = None, *, of: str | None, internal: bool) -> SymbolSnapshot:
    """A symbol that is there, and has the interval.

    Raises:
        Exit: the gate is shut.
        RequestRefusedError: it is not in the session, or has no such interval.
        SettingsError: it is another session than is meant.
    """
    found = session.get_symbol_data(symbol, internal=internal)
    if session.place is not None:
        _check_name(session.place, of)
    if found is None:
        symbols = sorted(_open(session, of=of, internal=internal).active_symbols)
        raise RequestRefusedError(404, "unknown_symbol", f"{symbol} is not in the session: it has {', '.join(symbols) or 'no symbols'}")
    known = (found.base_interval, *found.derived_intervals)
    if interval is not None and interval_us(interval) not in map(interval_us, known):
        raise RequestRefusedError(404, "unknown_interval", f"{symbol} has no bars of {interval}: it has {', '.join(known)}")
    return found


def _check_name(place: Place, wanted: str | None) -> None:
    """See that the worker is one of the session that is meant: every session's first worker listens on the same port."""
    if wanted is not None and place.session != wanted:
        raise SettingsError(
            f"this is a worker of session {place.session!r}, not of {wanted!r}: say with --url where a worker of it listens"
        )


def _page(snapshot: SymbolSnapshot, bars: list[SessionBar], interval: str, place: Place | None) -> RenderableType:
    metrics = snapshot.metrics
    head = Text.assemble(
        (snapshot.symbol, "bold"), f"  {snapshot.status}  {', '.join((snapshot.base_interval, *snapshot.derived_intervals))}"
    )
    head.append(f"  trading day {snapshot.trading_date}  lag {seconds_text(snapshot.lag_seconds)}")
    for word, holds in (("lagging", snapshot.lagging), ("silent", snapshot.silent)):
        if holds:
            head.append(f"  {word}", style="bold yellow")
    day = f"{plural(metrics.bar_count, 'bar')}  volume {metrics.volume:,.15g}"
    if metrics.high is not None:
        day += f"  high {metrics.high:.15g}  low {metrics.low:.15g}"
    parts: list[RenderableType] = [head, Text(day)]
    if snapshot.reason:
        parts.append(Text(snapshot.reason))
    parts.append(_bars_table(bars, interval) if bars else Text(f"no bars of {interval} yet"))
    if place is not None:
        parts.append(
            Text(
                f"as of {_iso(place.now)}, epoch {place.epoch}, sequence {place.sequence:,}, offset {place.analysis_offset:,} of analysis",
                style="dim",
            )
        )
    return Group(*parts)


def _bars_table(bars: list[SessionBar], interval: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in (interval, "open", "high", "low", "close", "volume", "base", "note"):
        table.add_column(heading, justify="left" if heading in (interval, "note") else "right")
    beside = iso(bars[-1].start_us)
    for bar in bars:
        notes = [f"revision {bar.revision}"] if bar.revision else []
        notes += [bar.provenance] if bar.provenance not in ("feed", "derived") else []
        count = f"{bar.base_count}" if bar.complete else f"{bar.base_count} of {bar.expected_count}"
        figures = (f"{value:.15g}" for value in (bar.open, bar.high, bar.low, bar.close))
        table.add_row(short_instant(iso(bar.start_us), beside), *figures, f"{bar.volume:,.15g}", count, ", ".join(notes))
    return table


def _gaps_page(symbol: str, interval: str, found: list[GapInfo]) -> RenderableType:
    if not found:
        return Text(f"{symbol} {interval}: no gaps")
    head = Text(f"{symbol} {interval}: {plural(len(found), 'gap')}, {plural(sum(gap.bar_count for gap in found), 'bar')} missing")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("from", "to", "bars", "asked"):
        table.add_column(heading, justify="left" if heading in ("from", "to") else "right")
    beside = iso(found[-1].start_us)
    for gap in found[-_MOST_GAPS:]:
        table.add_row(
            short_instant(iso(gap.start_us), beside), short_instant(iso(gap.end_us), beside), str(gap.bar_count), str(gap.retry_count)
        )
    left_out = len(found) - _MOST_GAPS
    return Group(head, table) if left_out <= 0 else Group(head, Text(f"the newest {_MOST_GAPS}; --json lists all", style="dim"), table)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _iso(instant: datetime) -> str:
    return iso(to_us(instant))


def _place_fields(place: Place | None) -> dict[str, object] | None:
    if place is None:
        return None
    return {
        "session": place.session, "epoch": place.epoch, "sequence": place.sequence, "analysis_offset": place.analysis_offset,
        "now": _iso(place.now), "active": place.active,
    }  # fmt: skip


def _fields_of(snapshot: SymbolSnapshot) -> dict[str, object]:
    fields: dict[str, object] = {name: getattr(snapshot, name) for name in snapshot.__struct_fields__}
    metrics, latest = snapshot.metrics, snapshot.latest_bar
    return fields | {
        "status": snapshot.status.value,
        "trading_date": snapshot.trading_date.isoformat(),
        "derived_intervals": list(snapshot.derived_intervals),
        "streams": list(snapshot.streams),
        "latest_bar": None if latest is None else _bar_fields(latest),
        "metrics": {
            "volume": metrics.volume, "high": metrics.high, "low": metrics.low, "bar_count": metrics.bar_count,
            "last_update": None if metrics.last_update is None else _iso(metrics.last_update),
        },
    }  # fmt: skip


def _bar_fields(bar: SessionBar) -> dict[str, object]:
    fields: dict[str, object] = {name: getattr(bar, name) for name in bar.__struct_fields__ if not name.endswith("_us")}
    return {"start": iso(bar.start_us), "end": iso(bar.end_us), **fields}
