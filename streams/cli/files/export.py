"""`streams export`: what a session holds, to a file or a folder; all of it, or what is new since the last export."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from streams.cli.folders import check_folder
from streams.cli.options import AsJson, Bootstrap, Session, Timeout, load_settings, print_json, say
from streams.cli.words import plural
from streams.client.control import REPLY_TIMEOUT_SECONDS
from streams.config.settings import Settings
from streams.exports.committed import CommittedState
from streams.exports.content import Content
from streams.exports.increments import NewExporter, check_active, chosen, put
from streams.exports.rows import Format
from streams.wire.topics import escape

app = typer.Typer(no_args_is_help=True)


@app.command("export", epilog="Example: streams export SPY --session main --format csv --output spy.csv")
def export(
    symbols: Annotated[list[str] | None, typer.Argument(metavar="[SYMBOL]...", help="Which symbols, or --all.", show_default=False)] = None,
    everything: Annotated[bool, typer.Option("--all", help="All symbols of the session.")] = False,
    form: Annotated[
        Format | None,
        typer.Option("--format", help="How it is written; by default as the file's name ends, else JSON.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FILE|DIR",
            help="Where to; into a folder that is there one file a symbol. By default standard output.",
            show_default=False,
        ),
    ] = None,
    delta: Annotated[
        bool, typer.Option("--delta", help="Only what is new since the last such export, into a folder; moves the export position.")
    ] = False,
    internal: Annotated[bool, typer.Option("--internal", help="Also while the session is inactive, when it may be out of date.")] = False,
    timeout: Timeout = REPLY_TIMEOUT_SECONDS,
    bootstrap: Bootstrap = None,
    session: Session = None,
    as_json: AsJson = False,
) -> None:
    """Export what a session holds: bars with quality and gaps, metrics, past days, quotes and ticks.

    It reads the state as it was last committed, so a session whose worker is gone is exported too; --delta needs the worker.
    """
    wanted = _wanted(symbols, everything)
    if delta and (output is None or output.is_file()):
        raise typer.BadParameter("--delta needs the folder that its files are put into, such as --output exported", param_hint="--output")
    form = chosen_form(form, output)
    if form is Format.PARQUET and output is None:
        raise typer.BadParameter("a Parquet file needs a name, such as --output bars.parquet", param_hint="--output")
    folder = None if output is None else output if delta else output.parent
    if folder is not None:
        check_folder(folder, "--output")
    settings = load_settings(bootstrap, session)
    if delta and output is not None:
        _export_new(settings, wanted, output, form, internal=internal, timeout_seconds=timeout, as_json=as_json)
    else:
        _export_all(settings, wanted, output, form, internal=internal, timeout_seconds=timeout, as_json=as_json)


def chosen_form(form: Format | None, output: Path | None) -> Format:
    """How it is written: as is said, or as the name of the file says, which must not say something else.

    Raises:
        BadParameter: it does.
    """
    ending = "" if output is None or output.is_dir() else output.suffix.removeprefix(".").lower()
    named = next((one for one in Format if one == ending), None)
    if form is not None and named is not None and form is not named:
        raise typer.BadParameter(
            f"{form} is not what the name {output} says: leave out --format, or name another file", param_hint="--format"
        )
    return form or named or Format.JSON


def _wanted(symbols: Sequence[str] | None, everything: bool) -> list[str] | None:
    """The symbols that are named; None for all."""
    if bool(symbols) == everything:
        raise typer.BadParameter("name the symbols, or give --all", param_hint="SYMBOL")
    return list(symbols) if symbols else None


def _export_all(
    settings: Settings,
    wanted: list[str] | None,
    output: Path | None,
    form: Format,
    *,
    internal: bool,
    timeout_seconds: float,
    as_json: bool,
) -> None:
    with CommittedState(settings, symbols=wanted) as committed:
        committed.read(timeout_seconds)
        names = chosen(committed, wanted)
        check_active(committed.session, internal=internal)
        state = committed.state()
    if output is None:
        Content.full(state, names).write(form, sys.stdout.buffer)
        sys.stdout.flush()
        return
    files = {output / f"{escape(name)}.{form}": [name] for name in names} if output.is_dir() else {output: names}
    told = []
    for path, of in files.items():
        content = Content.full(state, of)
        put(path, content, form)
        count = content.count()
        told.append({"path": str(path), "symbols": of, "bars": count})
        if not as_json:
            say(f"wrote {path}: {plural(count, 'bar')} of {', '.join(of) if len(of) < 9 else plural(len(of), 'symbol')}")
    if as_json:
        print_json(told)


def _export_new(
    settings: Settings, wanted: list[str] | None, output: Path, form: Format, *, internal: bool, timeout_seconds: float, as_json: bool
) -> None:
    written = NewExporter(settings, output, form, internal=internal, timeout_seconds=timeout_seconds).run(wanted)
    if as_json:
        print_json([{"symbol": one.symbol, "number": one.number, "path": str(one.path), "bars": one.bar_count} for one in written])
        return
    for one in written:
        if one.bar_count is None:
            say(f"{one.path} was there from a run that was stopped: export {one.number} of {one.symbol} is done now")
        else:
            say(f"wrote {one.path}: {plural(one.bar_count, 'bar')} of {one.symbol}")
    if not written:
        say("nothing is new since the last export")
