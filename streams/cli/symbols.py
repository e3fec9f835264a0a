"""`streams add-symbol | remove-symbol | symbol-list | list-dynamic`: which symbols a running session has."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Annotated

import typer
from rich.table import Table

from streams.cli.options import AsJson, Bootstrap, Session, Timeout, data_console, load_settings, print_json, say
from streams.cli.waiting import once_there
from streams.cli.words import NOBODY, NOBODY_AFTER_SECONDS, SymbolFacts, seconds_text, symbol_facts
from streams.client.control import REPLY_TIMEOUT_SECONDS, SessionControl
from streams.client.state import read_state
from streams.config.sections import check_stream
from streams.config.settings import Settings
from streams.instants import read_instant
from streams.model.records import ReplyStatus
from streams.times import SECOND_US, SystemClock, from_us, iso
from streams.wire.messages import CommandReply

app = typer.Typer(no_args_is_help=True)

Symbol = Annotated[str, typer.Argument(metavar="SYMBOL", show_default=False)]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is done, or only until the command is on its topic.")]


@app.command("add-symbol", epilog="Example: streams add-symbol IBM --session main --streams 1m,5m")
def add_symbol(
    symbol: Symbol,
    streams: Annotated[
        list[str] | None,
        typer.Option(
            "--streams", "--stream", metavar="1m,quotes", help="Intervals, quotes, ticks; the config's when left out.", show_default=False
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--start", metavar="INSTANT", help="Read from here, such as 2013-10-07T13:30:00Z, instead of the day's open."),
    ] = None,
    must_exist: Annotated[bool, typer.Option("--must-exist", help="Refuse a symbol whose topic does not exist.")] = False,
    wait: Wait = True,
    timeout: Timeout = REPLY_TIMEOUT_SECONDS,
    bootstrap: Bootstrap = None,
    session: Session = None,
    as_json: AsJson = False,
) -> None:
    """Add a symbol to a running session, with the history of its trading day."""
    wanted, start_us = _streams(streams or ()), _instant(start)
    command_id = str(uuid.uuid4())
    with _control(load_settings(bootstrap, session), "streams add-symbol", timeout if wait else 0) as control:
        control.add_symbol(
            symbol,
            streams=wanted,
            start=None if start_us is None else from_us(start_us),
            must_exist=must_exist,
            wait=wait,
            timeout_seconds=timeout,
            command_id=command_id,
            on_reply=_json_reply if as_json else _text_reply,
        )
    if not wait:
        _tell_sent(command_id, symbol, as_json)


@app.command("remove-symbol", epilog="Example: streams remove-symbol IBM --session main")
def remove_symbol(
    symbol: Symbol,
    immediate: Annotated[bool, typer.Option("--immediate", help="At once, without reading what its topic still holds.")] = False,
    wait: Wait = True,
    timeout: Timeout = REPLY_TIMEOUT_SECONDS,
    bootstrap: Bootstrap = None,
    session: Session = None,
    as_json: AsJson = False,
) -> None:
    """Remove a symbol from a running session, with everything that is kept about it; its bar topic stays."""
    command_id = str(uuid.uuid4())
    with _control(load_settings(bootstrap, session), "streams remove-symbol", timeout if wait else 0) as control:
        control.remove_symbol(
            symbol,
            immediate=immediate,
            wait=wait,
            timeout_seconds=timeout,
            command_id=command_id,
            on_reply=_json_reply if as_json else _text_reply,
        )
    if not wait:
        _tell_sent(command_id, symbol, as_json)


@app.command("symbol-list", epilog="Example: streams symbol-list --session main --json")
def symbol_list(bootstrap: Bootstrap = None, session: Session = None, as_json: AsJson = False) -> None:
    """List a session's symbols: status, intervals, the newest bar's end, lag."""
    _list(load_settings(bootstrap, session), as_json, only_dynamic=False)


@app.command("list-dynamic", epilog="Example: streams list-dynamic --session main")
def list_dynamic(bootstrap: Bootstrap = None, session: Session = None, as_json: AsJson = False) -> None:
    """List the symbols that were added while the session ran."""
    _list(load_settings(bootstrap, session), as_json, only_dynamic=True)


def _control(settings: Settings, sender: str, wait_seconds: float) -> SessionControl:
    """A way to send commands, once the session's first worker has made its topics."""
    return once_there(lambda: SessionControl(settings, sender=sender), wait_seconds, SystemClock(), tell=say)


def _list(settings: Settings, as_json: bool, *, only_dynamic: bool) -> None:
    view, now_us = read_state(settings), SystemClock().now_us()
    facts = [symbol_facts(view, row, now_us) for _, row in sorted(view.symbols.items()) if row.dynamic or not only_dynamic]
    if as_json:
        print_json(facts)
    elif not facts:
        print("no symbol was added while the session ran" if only_dynamic else "the session has no symbols")
    else:
        data_console().print(_table(facts))
    last_us = view.session.now_us if view.session is not None else 0
    if now_us - last_us > NOBODY_AFTER_SECONDS * SECOND_US:
        say(f"no worker is active since {iso(last_us)}: this is what the last one left; streams worker CONFIG starts one")
        raise typer.Exit(NOBODY)


def _table(facts: list[SymbolFacts]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("symbol", "status", "base", "derived", "newest bar", "lag", "note"):
        table.add_column(heading, justify="right" if heading == "lag" else "left")
    for fact in facts:
        table.add_row(
            str(fact["symbol"]),
            str(fact["status"]),
            str(fact["base_interval"]),
            " ".join(str(interval) for interval in fact["derived_intervals"]),
            fact["frontier"] or "-",
            "-" if fact["lag_seconds"] is None else seconds_text(fact["lag_seconds"]),
            fact["note"],
        )
    return table


def _text_reply(reply: CommandReply) -> None:
    if reply.status != ReplyStatus.FAILED:  # a failure ends the command, and is said there
        print(f"{reply.symbol}: {reply.status}{f' ({reply.reason})' if reply.reason else ''}", flush=True)


def _json_reply(reply: CommandReply) -> None:
    print_json(
        {
            "command_id": reply.command_id,
            "command": reply.kind,
            "symbol": reply.symbol,
            "status": reply.status,
            "reason": reply.reason,
            "time": iso(reply.time_us),
            "epoch": reply.epoch,
            "session": reply.session,
        }
    )


def _tell_sent(command_id: str, symbol: str, as_json: bool) -> None:
    if as_json:
        print_json({"command_id": command_id, "symbol": symbol, "status": "sent"})
    else:
        print(f"{symbol}: sent as command {command_id}")


def _streams(texts: Iterable[str]) -> tuple[str, ...]:
    streams = tuple(part.strip() for text in texts for part in text.split(","))
    for stream in streams:
        try:
            check_stream(stream)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--streams") from None
    return streams


def _instant(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return read_instant(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--start") from None
