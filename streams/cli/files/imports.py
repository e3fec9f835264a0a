"""`streams import lean | csv | parquet`: files of bars into a store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from streams.cli.files.bars import counting
from streams.cli.files.leanfiles import chosen, lean_found, parse_assumed
from streams.cli.folders import check_folder
from streams.cli.options import (
    AsJson,
    BarColumns,
    DataZone,
    Ignored,
    IntervalOfLines,
    MarketName,
    SecurityType,
    SymbolOfLines,
    Zone,
    parse_columns,
    parse_zone,
    print_json,
    say,
)
from streams.cli.words import plural, unknown_summary, unknown_total, unknown_words
from streams.errors import BarFileError
from streams.history.formats.fields import BAR_FIELDS, Form
from streams.history.importing import ImportedFile, ImportFile, csv_imports, import_file, lean_import, parquet_imports
from streams.history.kinds import ADJUSTMENTS, Adjustment
from streams.history.lean.files import check_one_market
from streams.history.store.store import HistoryStore, WriteResult
from streams.times import interval_us

app = typer.Typer(
    no_args_is_help=True,
    help="Fill a store of past bars from files: each file as a whole, or not at all.",
    epilog="Example: streams import lean examples/data/lean --store bars",
)

_REFUSED: Final = 1
_KINDS: Final = {"trade": "bars", "quote": "quotes"}


class Prices(StrEnum):
    """How prices are adjusted."""

    RAW = "raw"
    SPLIT = "split"
    TOTAL = "total"


class Stamped(StrEnum):
    """What the time of a line is that of."""

    OPEN = "open"
    CLOSE = "close"


class Only(StrEnum):
    """One kind of what LEAN has."""

    BARS = "bars"
    QUOTES = "quotes"


def _with_folder(store: Path) -> Path:
    check_folder(store.parent, "--store")
    return store


NewStore = Annotated[
    Path,
    typer.Option("--store", metavar="DIR", help="The store's folder, made if it is not there.", show_default=False, callback=_with_folder),
]
Paths = Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files, or folders of them.", show_default=False)]
Adjusted = Annotated[
    Prices,
    typer.Option("--adjustment", help="Of the prices: as traded, for splits, or for splits and dividends. A store has one of them."),
]
MaxErrors = Annotated[
    int, typer.Option("--max-errors", min=0, help="How many lines of a file that can't be kept are left out; with one more the file is.")
]
Stamp = Annotated[Stamped, typer.Option("--stamp", help="Whether a line's time is that of the bar's open or of its close.")]
NegativePrices = Annotated[
    bool, typer.Option("--allow-negative-prices", help="Take prices of zero and below: of spreads, power, or oil in April 2020.")
]
Sparse = Annotated[
    bool,
    typer.Option("--sparse", help="Take bars although all of them lie on a coarser grid than their interval's: of what trades seldom."),
]


@app.command(epilog="Example: streams import lean examples/data/lean/equity/usa/minute --symbols SPY,IBM --store bars")
def lean(
    paths: Paths,
    store: NewStore,
    only: Annotated[Only | None, typer.Option("--kind", help="Only these; by default both.", show_default=False)] = None,
    symbols: Annotated[str | None, typer.Option("--symbols", metavar="A,B", help="Only these.", show_default=False)] = None,
    interval: Annotated[str | None, typer.Option("--interval", metavar="1s|1m|1h|1d", help="Only this.", show_default=False)] = None,
    security_type: SecurityType = None,
    market: MarketName = None,
    zone: DataZone = None,
    adjustment: Adjusted = Prices.RAW,
    negative: NegativePrices = False,
    max_errors: MaxErrors = 0,
    as_json: AsJson = False,
) -> None:
    """Import LEAN's second, minute, hour and daily zips, trades as bars and quotes as quote bars, each type by LEAN's own rules."""
    found = lean_found(paths, parse_assumed(security_type, market, zone))
    kinds = sorted({_KINDS[file.what] for file in found})
    of_kind = [file for file in found if only in (None, _KINDS[file.what])]
    if not of_kind:
        raise BarFileError(f"there is no file of {only}: there are those of {' and '.join(kinds)}")
    files = chosen(of_kind, symbols, interval)
    check_one_market(files)
    files = sorted(files, key=lambda file: file.what == "quote")
    _import([lean_import(file) for file in files], store, adjustment, max_errors, negative=negative, as_json=as_json)


@app.command(epilog="Example: streams import csv bars.csv --symbol SPY --interval 1m --zone America/New_York --store bars")
def csv(
    paths: Paths,
    store: NewStore,
    symbol: SymbolOfLines = None,
    interval: IntervalOfLines = None,
    zone: Zone = None,
    stamp: Stamp = Stamped.OPEN,
    columns: BarColumns = None,
    ignored: Ignored = None,
    sparse: Sparse = False,
    adjustment: Adjusted = Prices.RAW,
    negative: NegativePrices = False,
    max_errors: MaxErrors = 0,
    as_json: AsJson = False,
) -> None:
    """Import CSV files with a header.

    Columns by their usual names, in any order: time (or start, timestamp, date; a date beside a time goes with it), open, high, low,
    close, volume, and where there are such symbol, interval, end, vwap, trades, provenance; others by --column. Times are ISO 8601,
    digits such as 20131007093000, or counts since 1970 of seconds to nanoseconds.
    """
    form = _form(symbol, interval, parse_zone(zone), stamp, columns, ignored)
    files = [file for path in paths for file in csv_imports(path, form, sparse=sparse)]
    _import(files, store, adjustment, max_errors, negative=negative, as_json=as_json)


@app.command(epilog="Example: streams import parquet bars.parquet --symbol SPY --interval 1m --column start=ts --store bars")
def parquet(
    paths: Paths,
    store: NewStore,
    symbol: SymbolOfLines = None,
    interval: IntervalOfLines = None,
    zone: Zone = None,
    stamp: Stamp = Stamped.OPEN,
    columns: BarColumns = None,
    ignored: Ignored = None,
    sparse: Sparse = False,
    adjustment: Adjusted = Prices.RAW,
    negative: NegativePrices = False,
    max_errors: MaxErrors = 0,
    as_json: AsJson = False,
) -> None:
    """Import Parquet files of other programs: columns as for csv, of any type that holds what is needed."""
    form = _form(symbol, interval, parse_zone(zone), stamp, columns, ignored)
    files = [file for path in paths for file in parquet_imports(path, form, sparse=sparse)]
    _import(files, store, adjustment, max_errors, negative=negative, as_json=as_json)


def _form(
    symbol: str | None,
    interval: str | None,
    zone: tzinfo | None,
    stamp: Stamped,
    columns: Sequence[str] | None,
    ignored: Sequence[str] | None,
) -> Form:
    if interval is not None:
        try:
            interval_us(interval)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--interval") from None
    names = parse_columns(columns, BAR_FIELDS)
    return Form(symbol, interval, zone, "close" if stamp is Stamped.CLOSE else "open", names, tuple(ignored or ()))


def _import(files: list[ImportFile], folder: Path, prices: Prices, max_errors: int, *, negative: bool, as_json: bool) -> None:
    adjustment: Adjustment = next(known for known in ADJUSTMENTS if known == prices.value)
    store = HistoryStore.planned(folder, adjustment=adjustment)
    done: list[ImportedFile] = []
    known: set[str] = set()
    with counting("files", len(files)) as counter:
        for file in files:
            counter.at(file.path.name)
            one = import_file(
                store, file, max_errors=max_errors, allow_negative_prices=negative, tell=lambda count: counter.at(f"{count:,} records")
            )
            done.append(one)
            counter.add(1)
            _tell(one, plain=not (as_json or counter.is_shown))
            if new := [name for name in one.unknown_columns if name not in known]:
                known.update(new)
                say(f"note: {one.path}: {unknown_words(new)}")
    refused = [one for one in done if one.refused is not None]
    total = sum((one.result for one in done), WriteResult())
    if as_json:
        unknown = unknown_total(one.unknown_columns for one in done)
        print_json({"files": [_facts(one) for one in done], "refused": len(refused), **_numbers(total), "unknown_columns": unknown})
    else:
        kept = len(done) - len(refused)
        print(f"imported {plural(kept, 'file')} into {folder}: {_words(total)}")
        if counts := unknown_total(one.unknown_columns for one in done if one.refused is None):
            print(unknown_summary(counts))
        if refused:
            print(f"refused {plural(len(refused), 'file')}: nothing of it is imported")
    if refused:
        raise typer.Exit(_REFUSED)
    if total == WriteResult():
        say("nothing is imported: the files hold no records")
        raise typer.Exit(_REFUSED)


def _tell(one: ImportedFile, *, plain: bool) -> None:
    if one.refused is not None:
        say(f"refused: {one.refused}")
    elif plain:
        print(f"{one.path}: {', '.join(one.series) or 'nothing'}: {one.kind}: {_words(one.result)}", flush=True)
    for fault in one.faults:
        say(f"  {fault}" if one.refused is not None else f"left out: {fault}")
    if one.fault_count > len(one.faults):
        say(f"  and {one.fault_count - len(one.faults)} more")


def _words(result: WriteResult) -> str:
    parts = [f"{result.added:,} new"]
    if result.replaced:
        parts.append(f"{result.replaced:,} replaced")
    if result.unchanged:
        parts.append(f"{result.unchanged:,} there already")
    return ", ".join(parts)


def _numbers(result: WriteResult) -> dict[str, int]:
    return {"added": result.added, "replaced": result.replaced, "unchanged": result.unchanged}


def _facts(one: ImportedFile) -> dict[str, object]:
    said = {"path": str(one.path), "kind": one.kind, "series": one.series, "refused": one.refused}
    return {**said, "fault_count": one.fault_count, "faults": one.faults, "unknown_columns": one.unknown_columns, **_numbers(one.result)}
