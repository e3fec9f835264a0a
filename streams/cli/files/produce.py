"""`streams produce lean | csv | jsonl | quotes | ticks`: records from files or a pipe to the topics of their symbols."""

from __future__ import annotations

import math
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, tzinfo
from enum import StrEnum
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import Annotated, Final, Protocol, TextIO

import typer

from streams.cli.files.leanfiles import chosen, lean_found, parse_assumed, zone_of
from streams.cli.files.pacing import Pace, Survey
from streams.cli.files.sending import LineErrors, Sender
from streams.cli.options import (
    AsJson,
    BarColumns,
    Bootstrap,
    DataZone,
    Ignored,
    IntervalOfLines,
    MarketName,
    QuoteColumns,
    SecurityType,
    SymbolOfLines,
    TickColumns,
    Zone,
    load_settings,
    parse_columns,
    parse_zone,
    say,
)
from streams.cli.words import plural, unknown_words
from streams.config.settings import Settings
from streams.errors import BarFileError
from streams.history.formats.checks import Check, OnError, OrderCheck
from streams.history.formats.extras import EXTRA_FIELDS, read_extras
from streams.history.formats.fields import BAR_FIELDS, Fields
from streams.history.formats.fields import Form as LineForm
from streams.history.formats.selection import TimeWindow
from streams.history.formats.text import TextFormat, read_csv, read_jsonl
from streams.history.formats.unknown import UnknownColumns
from streams.history.lean.files import LeanFile, read_lean_files
from streams.model.records import QUOTES, TICKS, Bar, Quote, Tick
from streams.times import SystemClock

app = typer.Typer(
    no_args_is_help=True,
    help="Send bars, quotes or ticks from files or a pipe to the topics of their symbols.",
    epilog="Example: streams produce lean examples/data/lean/equity/usa/second/spy --rebase --speed 1",
)

_STDIN: Final = "-"
_ENDED_BY: Final = 128
"""What shells add to a signal's number in an exit code."""

Speed = Annotated[str, typer.Option("--speed", metavar="N|max", help="Times real time, by the ends of the bars; max: as fast as possible.")]
Rebase = Annotated[
    bool,
    typer.Option(
        "--rebase",
        help="Move the bars to now, aligned to their interval: with --speed max the last one ends now, with --speed 1 the first one does.",
    ),
]
JsonValues = Annotated[bool, typer.Option("--json-values", help="Write values as JSON instead of Avro.")]
From = Annotated[
    str | None,
    typer.Option("--from", metavar="TIME", help="Only bars that start at or after it: a time of day such as 09:30, or an instant."),
]
To = Annotated[
    str | None, typer.Option("--to", metavar="TIME", help="Only bars that end at or before it: a time of day such as 16:00, or an instant.")
]


class _Form(StrEnum):
    csv = "csv"
    jsonl = "jsonl"


Form = Annotated[
    _Form | None,
    typer.Option("--format", help="How a line is cut up; by default csv for a name that ends in .csv, else jsonl.", show_default=False),
]
File = Annotated[str, typer.Argument(metavar="FILE|-", help="The file, or - for standard input.", show_default=False)]
MaxErrors = Annotated[
    int, typer.Option("--max-errors", min=0, help="How many lines that can't be read are said and skipped; one more ends the run.")
]


@app.command(epilog="Example: streams produce lean examples/data/lean/equity/usa/second --symbols SPY --speed 1 --rebase")
def lean(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...", help="Trade zips, or folders of them (equity/usa/minute/spy/20131007_trade.zip).", show_default=False
        ),
    ],
    speed: Speed = "max",
    rebase: Rebase = False,
    symbols: Annotated[str | None, typer.Option("--symbols", metavar="A,B", help="Only these.")] = None,
    interval: Annotated[
        str | None, typer.Option("--interval", metavar="1s|1m|1h|1d", help="Only this, where the folders hold several.")
    ] = None,
    security_type: SecurityType = None,
    market: MarketName = None,
    zone: DataZone = None,
    first: From = None,
    last: To = None,
    json_values: JsonValues = False,
    bootstrap: Bootstrap = None,
    as_json: AsJson = False,
) -> None:
    """Send the bars of LEAN's trade zips, merged by time and symbol; times of day are those of the files' zone."""
    factor = _speed(speed)
    _window(first, last, UTC)  # what can't be read is said before any file is
    files = _of_one_interval(chosen(lean_found(paths, parse_assumed(security_type, market, zone), "trade"), symbols, interval))
    window = _window(first, last, _zone_of_times(files, first, last))
    settings = load_settings(bootstrap)
    # The files are read twice, once for counts and ends, so that they need not fit into memory.
    survey = Survey.of(window.select(read_lean_files(files)))
    pace = Pace.rebased(survey, speed=factor, now_us=SystemClock().now_us()) if rebase else None
    sender = Sender(settings, speed=factor, as_json=json_values, total=survey.count)
    _run(sender, window.select(read_lean_files(files)), pace, survey.counts, as_json=as_json)


@app.command(epilog="Example: streams produce csv bars.csv --symbol SPY --interval 1m --zone America/New_York")
def csv(
    file: File,
    symbol: SymbolOfLines = None,
    interval: IntervalOfLines = None,
    zone: Zone = None,
    speed: Speed = "max",
    rebase: Rebase = False,
    first: From = None,
    last: To = None,
    columns: BarColumns = None,
    ignored: Ignored = None,
    max_errors: MaxErrors = 0,
    json_values: JsonValues = False,
    bootstrap: Bootstrap = None,
    as_json: AsJson = False,
) -> None:
    """Send the bars of a CSV with a header.

    Columns by their usual names, in any order: time (or start, timestamp, date; a date beside a time goes with it), open, high, low,
    close, volume, and where there are such symbol, interval, end, vwap, trades; others by --column. Times are ISO 8601, digits such as
    20131007093000, or counts since 1970 of seconds to nanoseconds. Of the hour that comes twice the order of the lines tells which.
    """
    delivery = _delivery(bootstrap, speed, rebase, json_values, as_json, window=_window(first, last, parse_zone(zone) or UTC))
    form = _form(BAR_FIELDS, delivery, symbol, interval, zone, columns, ignored)
    source = _TextSource(file, form, LineErrors(max_errors))
    _send_text(read_csv, source, delivery)


@app.command(epilog="Example: my-feed | streams produce jsonl - --symbol SPY --interval 1s")
def jsonl(
    file: File,
    symbol: SymbolOfLines = None,
    interval: IntervalOfLines = None,
    zone: Zone = None,
    speed: Speed = "max",
    rebase: Rebase = False,
    first: From = None,
    last: To = None,
    columns: BarColumns = None,
    ignored: Ignored = None,
    max_errors: MaxErrors = 0,
    json_values: JsonValues = False,
    bootstrap: Bootstrap = None,
    as_json: AsJson = False,
) -> None:
    """Send the bars of lines that each hold one JSON object, with the same fields as a CSV has columns."""
    delivery = _delivery(bootstrap, speed, rebase, json_values, as_json, window=_window(first, last, parse_zone(zone) or UTC))
    form = _form(BAR_FIELDS, delivery, symbol, interval, zone, columns, ignored)
    source = _TextSource(file, form, LineErrors(max_errors))
    _send_text(read_jsonl, source, delivery)


@app.command(epilog="Example: streams produce quotes quotes.csv --symbol SPY --zone America/New_York")
def quotes(
    file: File,
    form: Form = None,
    symbol: SymbolOfLines = None,
    zone: Zone = None,
    speed: Speed = "max",
    rebase: Rebase = False,
    columns: QuoteColumns = None,
    ignored: Ignored = None,
    max_errors: MaxErrors = 0,
    json_values: JsonValues = False,
    bootstrap: Bootstrap = None,
    as_json: AsJson = False,
) -> None:
    """Send the quotes of a CSV with a header, or of lines that each hold one JSON object.

    Columns or fields by their usual names: time (or timestamp; a date beside it goes with it), bid, ask, bid_size, ask_size, symbol.
    One side may be missing. Others by --column.
    """
    delivery = _delivery(bootstrap, speed, rebase, json_values, as_json)
    source = _TextSource(file, _form(EXTRA_FIELDS[QUOTES], delivery, symbol, None, zone, columns, ignored), LineErrors(max_errors))
    _send_extras(QUOTES, form, source, delivery)


@app.command(epilog="Example: my-feed | streams produce ticks - --symbol SPY")
def ticks(
    file: File,
    form: Form = None,
    symbol: SymbolOfLines = None,
    zone: Zone = None,
    speed: Speed = "max",
    rebase: Rebase = False,
    columns: TickColumns = None,
    ignored: Ignored = None,
    max_errors: MaxErrors = 0,
    json_values: JsonValues = False,
    bootstrap: Bootstrap = None,
    as_json: AsJson = False,
) -> None:
    """Send the ticks of a CSV with a header, or of lines that each hold one JSON object: time (and date), price, size, symbol."""
    delivery = _delivery(bootstrap, speed, rebase, json_values, as_json)
    source = _TextSource(file, _form(EXTRA_FIELDS[TICKS], delivery, symbol, None, zone, columns, ignored), LineErrors(max_errors))
    _send_extras(TICKS, form, source, delivery)


def _send_extras(kind: str, form: _Form | None, source: _TextSource, delivery: _Delivery) -> None:
    chosen: TextFormat = form.value if form is not None else "csv" if source.file.lower().endswith((".csv", ".tsv", ".txt")) else "jsonl"
    with _opened(source.file) as (stream, name):
        records: Iterable[Quote | Tick] = read_extras(stream, kind, chosen, source.form, name=name, on_error=source.errors)
        pace, total = None, None
        if delivery.rebase:
            records = list(records)
            survey = Survey.of(records)
            total = survey.count
            pace = Pace.rebased(survey, speed=delivery.speed, now_us=SystemClock().now_us())
        sender = Sender(delivery.settings, speed=delivery.speed, as_json=delivery.json_values, total=total, thing=kind.removesuffix("s"))
        _run(sender, records, pace, (), as_json=delivery.as_json, source=source, thing=kind.removesuffix("s"))


@dataclass(frozen=True, slots=True)
class _TextSource:
    """A file of text, what its lines may leave out, and what becomes of a line that can't be read."""

    file: str
    form: LineForm
    errors: LineErrors


@dataclass(frozen=True, slots=True)
class _Delivery:
    """Where bars go, which of them, at which pace, and in which form."""

    settings: Settings
    speed: float | None
    rebase: bool
    window: TimeWindow
    json_values: bool
    as_json: bool


class _Reader(Protocol):
    """`read_csv` or `read_jsonl`."""

    def __call__(
        self, stream: Iterable[str], form: LineForm, *, name: str, on_error: OnError | None, check: Check | None
    ) -> Iterator[Bar]: ...


def _delivery(
    bootstrap: str | None, speed: str, rebase: bool, json_values: bool, as_json: bool, *, window: TimeWindow | None = None
) -> _Delivery:
    return _Delivery(load_settings(bootstrap), _speed(speed), rebase, window or _window(None, None, UTC), json_values, as_json)


def _form(
    fields: Fields,
    delivery: _Delivery,
    symbol: str | None,
    interval: str | None,
    zone: str | None,
    columns: list[str] | None,
    ignored: list[str] | None,
) -> LineForm:
    return LineForm(
        symbol,
        interval,
        parse_zone(zone),
        columns=parse_columns(columns, fields),
        ignored=tuple(ignored or ()),
        # Bars that are moved to now may be of any time.
        now_us=None if delivery.rebase else SystemClock().now_us,
        in_order=delivery.speed is not None,
        unknown=UnknownColumns(_tell_unknown),
    )


def _tell_unknown(names: Sequence[str]) -> None:
    say(f"note: {unknown_words(names)}")


def _send_text(read: _Reader, source: _TextSource, delivery: _Delivery) -> None:
    with _opened(source.file) as (stream, name):
        lines = read(stream, source.form, name=name, on_error=source.errors, check=OrderCheck())
        bars: Iterable[Bar] = delivery.window.select(lines)
        pace, total = None, None
        if delivery.rebase:
            # Where they go is known only once the last one is: they are held in memory, a pipe can't be read twice.
            bars = list(bars)
            survey = Survey.of(bars)
            total = survey.count
            pace = Pace.rebased(survey, speed=delivery.speed, now_us=SystemClock().now_us())
        sender = Sender(delivery.settings, speed=delivery.speed, as_json=delivery.json_values, total=total)
        _run(sender, bars, pace, (), as_json=delivery.as_json, source=source)


def _run(
    sender: Sender,
    records: Iterable[Bar | Quote | Tick],
    pace: Pace | None,
    symbols: Iterable[str],
    *,
    as_json: bool,
    source: _TextSource | None = None,
    thing: str = "bar",
) -> None:
    interrupted: int | None = None

    def end(number: int, _: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = number
        raise KeyboardInterrupt

    is_main = threading.current_thread() is threading.main_thread()  # where alone a handler can be set
    before = signal.signal(signal.SIGTERM, end) if is_main else None
    try:
        sender.run(records, pace, symbols)
    except KeyboardInterrupt:
        interrupted = interrupted or signal.SIGINT
    except BarFileError:
        say(f"sent {plural(sender.count, thing)}, then met a line that can't be read:")
        raise
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, before)
    skipped = source.errors.count if source else 0
    unknown = source.form.unknown.counts if source and source.form.unknown else {}
    sender.summary(as_json, skipped, unknown)
    if interrupted is not None:
        say("interrupted: what is counted above was sent")
        raise typer.Exit(_ENDED_BY + interrupted)
    if skipped and not sender.count:
        say("none of the lines could be read")
        raise typer.Exit(1)


def _of_one_interval(files: list[LeanFile]) -> list[LeanFile]:
    """The files themselves.

    Raises:
        BarFileError: a symbol has files of two intervals.
    """
    intervals: dict[str, set[str]] = {}
    for file in files:
        intervals.setdefault(file.symbol, set()).add(file.interval)
    for symbol, found in sorted(intervals.items()):
        if len(found) > 1:
            raise BarFileError(
                f"there are files of {symbol} with {' and '.join(sorted(found))} bars, a topic takes one: choose with --interval "
                f"{min(found)}"
            )
    return files


def _zone_of_times(files: list[LeanFile], first: str | None, last: str | None) -> tzinfo:
    """The zone of `--from` and `--to`.

    Raises:
        BarFileError: it can't be told, since the files have several.
    """
    zone = zone_of(files)
    if zone is None and (first is not None or last is not None):
        zones = ", ".join(sorted({str(file.zone) for file in files}))
        raise BarFileError(f"--from and --to need files of one zone, these have {zones}: choose with --symbols")
    return zone or UTC


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = math.nan
    if not (math.isfinite(speed) and speed > 0):
        raise typer.BadParameter(f"{text!r} is not a speed: write max, or how many times real time, such as 1 or 60", param_hint="--speed")
    return speed


def _window(first: str | None, last: str | None, zone: tzinfo) -> TimeWindow:
    try:
        return TimeWindow.parse(first, last, zone=zone)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--from/--to") from None


@contextmanager
def _opened(file: str) -> Iterator[tuple[TextIO, str]]:
    """The file's text and what it is called in messages; a byte order mark is not part of it."""
    if file == _STDIN:
        # Left open: it is not ours.
        yield TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig", newline=""), "standard input"
        return
    with ExitStack() as stack:
        try:
            stream = stack.enter_context(Path(file).open(encoding="utf-8-sig", newline=""))
        except OSError as error:
            raise BarFileError(f"{file}: {error.strerror}: name a file that can be read, or - for standard input") from None
        yield stream, file
