"""`streams history list | verify | export`: what a store of past bars holds, whether it is sound, and a way out of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, tzinfo
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from streams.cli.files.bars import Counter, Store, counting
from streams.cli.folders import check_folder
from streams.cli.options import AsJson, Zone, data_console, parse_zone, print_json, say
from streams.cli.words import plural
from streams.errors import HistoryError
from streams.history.export import write_csv, write_jsonl, write_parquet
from streams.history.kinds import BARS, QUOTES, Kind
from streams.history.store.audit import audit
from streams.history.store.files import replace_file
from streams.history.store.store import HistoryStore, StoredSeries
from streams.instants import read_instant
from streams.times import interval_us

app = typer.Typer(
    no_args_is_help=True,
    help="A store of past bars: what it holds, whether it is sound, and a way out of it.",
    epilog="Example: streams history list --store bars",
)

_UNSOUND: Final = 1
_RECORDS_A_REDRAW: Final = 2000


class Format(StrEnum):
    """How records are written."""

    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


class Which(StrEnum):
    """A kind of records."""

    BARS = "bars"
    QUOTES = "quotes"


@app.command("list", epilog="Example: streams history list --store bars")
def list_(store: Store, as_json: AsJson = False) -> None:
    """List what a store holds, by kind, symbol and interval; dates are UTC."""
    opened = HistoryStore.open(store)
    found = opened.contents()
    if as_json:
        print_json({"store": str(store), "adjustment": opened.adjustment, "series": [_facts(one) for one in found]})
        return
    if not found:
        print(f"{store} holds nothing yet ({opened.adjustment} prices)")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("kind", "symbol", "interval", "first", "last"):
        table.add_column(name)
    for name in ("days", "records", "KB"):
        table.add_column(name, justify="right")
    for one in found:
        numbers = (f"{one.days:,}", f"{one.records:,}", f"{one.bytes / 1000:,.0f}")
        table.add_row(one.kind, one.symbol, one.interval, one.first.isoformat(), one.last.isoformat(), *numbers)
    data_console().print(table)
    print(f"{plural(sum(one.records for one in found), 'record')} with {opened.adjustment} prices")


@app.command(epilog="Example: streams history verify --store bars")
def verify(store: Store, as_json: AsJson = False) -> None:
    """Read all of a store: each file whole, in its place, in order, nothing twice, prices sane. Exits with 1 when something is not."""
    opened = HistoryStore.open(store)
    with counting("files", len(opened.files())) as counter:
        found = audit(opened, lambda done, of: counter.to(done))
    if as_json:
        faults = [{"path": str(fault.path), "message": fault.message} for fault in found.faults]
        print_json({"sound": found.is_sound, "files": found.files, "records": found.records, "faults": faults, "notes": found.notes})
    else:
        for fault in found.faults:
            print(fault)
        for note in found.notes:
            print(f"note: {note}")
        answer = "sound" if found.is_sound else f"not sound: {plural(len(found.faults), 'fault')}"
        print(f"{store}: {answer}; {plural(found.files, 'file')} with {plural(found.records, 'record')} read")
    if not found.is_sound:
        raise typer.Exit(_UNSOUND)


@app.command(epilog="Example: streams history export SPY --interval 1m --from 2013-10-07 --to 2013-10-08 --regular-hours XNYS --store bars")
def export(
    store: Store,
    symbols: Annotated[list[str] | None, typer.Argument(metavar="[SYMBOL]...", help="Whose; by default all.", show_default=False)] = None,
    interval: Annotated[str | None, typer.Option("--interval", help="Which, where there are several.", show_default=False)] = None,
    which: Annotated[Which, typer.Option("--kind", help="What to export.")] = Which.BARS,
    first: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="Only what starts at or after it: a date or an instant.", show_default=False),
    ] = None,
    last: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Only what starts before it: a date or an instant.", show_default=False)
    ] = None,
    zone: Zone = None,
    hours: Annotated[
        str | None,
        typer.Option("--regular-hours", metavar="EXCHANGE", help="Only what starts within this exchange's hours.", show_default=False),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="How it is written.")] = Format.CSV,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where to; by default standard output.", show_default=False)
    ] = None,
) -> None:
    """Write records of a store to a file or to standard output, symbol after symbol, each in order of time."""
    if form is Format.PARQUET and out is None:
        raise typer.BadParameter("a Parquet file needs a name, such as --out bars.parquet", param_hint="--out")
    if out is not None:
        check_folder(out.parent, "--out")
    place = parse_zone(zone) or UTC
    bounds = _bound(first, "--from", place), _bound(last, "--to", place)
    opened = HistoryStore.open(store, calendar=None if hours is None else _calendar(hours))
    kind: Kind[Any] = BARS if which is Which.BARS else QUOTES
    chosen = _choose(opened, kind, symbols or [], interval)
    with counting(kind.name, sum(one.records for one in chosen)) as counter:
        records = chain.from_iterable(_records(opened, kind, one, bounds, hours is not None, counter) for one in chosen)
        if out is None:
            (write_csv if form is Format.CSV else write_jsonl)(kind, records, sys.stdout)
            sys.stdout.flush()
            return
        try:
            replace_file(out, lambda beside: _write(form, kind, records, beside, opened.adjustment))
        except OSError as error:
            raise HistoryError(f"{out}: can't be written: {error.strerror}") from None
    say(f"wrote {out}")


def _write(form: Format, kind: Kind[Any], records: Iterator[Any], path: Path, adjustment: str) -> None:
    if form is Format.PARQUET:
        write_parquet(kind, records, path, {"streams.adjustment": adjustment})
        return
    with path.open("w", encoding="utf-8", newline="") as stream:
        (write_csv if form is Format.CSV else write_jsonl)(kind, records, stream)


def _records(
    store: HistoryStore, kind: Kind[Any], series: StoredSeries, bounds: tuple[int | None, int | None], regular: bool, counter: Counter
) -> Iterator[Any]:
    counter.at(series.symbol)
    found = store.read(kind, series.symbol, series.interval, *bounds, regular_hours_only=regular)
    for count, record in enumerate(found, start=1):
        if count % _RECORDS_A_REDRAW == 0:
            counter.add(_RECORDS_A_REDRAW)
        yield record


def _choose(store: HistoryStore, kind: Kind[Any], symbols: list[str], interval: str | None) -> list[StoredSeries]:
    """What is to be exported.

    Raises:
        HistoryError: the store does not have it, or has it in several intervals.
    """
    found = [one for one in store.contents() if one.kind == kind.name]
    known = sorted({one.symbol for one in found})
    lacking = [symbol for symbol in symbols if symbol not in known]
    if not found:
        raise HistoryError(f"{store.root} has no {kind.name} at all: `streams import` fills a store")
    if lacking:
        raise HistoryError(f"{store.root} has no {kind.name} of {', '.join(lacking)}: it has those of {', '.join(known)}")
    chosen = [one for one in found if not symbols or one.symbol in symbols]
    intervals = sorted({one.interval for one in chosen}, key=interval_us)
    if interval is not None:
        chosen = [one for one in chosen if one.interval == interval]
        if not chosen:
            raise HistoryError(f"{store.root} has no {kind.name} of {interval} of what was asked for: it has {', '.join(intervals)}")
    elif len(intervals) > 1:
        raise HistoryError(f"{store.root} has {kind.name} of {' and '.join(intervals)}: choose with --interval {intervals[0]}")
    return chosen


def _bound(text: str | None, option: str, zone: tzinfo) -> int | None:
    if text is None:
        return None
    try:
        return read_instant(text, zone)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _calendar(exchange: str) -> Any:
    from streams.calendar.trading import TradingCalendar  # pandas comes with it, which takes a second

    return TradingCalendar(exchange)


def _facts(one: StoredSeries) -> dict[str, object]:
    return {name: getattr(one, name) for name in one.__struct_fields__} | {"first": one.first.isoformat(), "last": one.last.isoformat()}
