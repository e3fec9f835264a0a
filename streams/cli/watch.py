"""`streams watch`: what a session publishes on its analysis topic, for eyes or as JSON lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Final

import typer
from rich.text import Text

from streams.cli.options import AsJson, Bootstrap, Session, load_settings, plain_console, print_json, say
from streams.cli.waiting import once_there
from streams.cli.words import clock_text, plural, seconds_text
from streams.client.jsonlines import analysis_json
from streams.client.state import StateReader, StateView
from streams.config.settings import Settings
from streams.consumer import BEGINNING, END, SessionConsumer
from streams.errors import NoSessionError, StreamsError, WireError
from streams.model.records import AnalysisKind, LaggingSymbol
from streams.model.status import SymbolStatus
from streams.times import SECOND_US, Clock, SystemClock, date_of_days, iso
from streams.wire.messages import AnalysisBar, AnalysisEvent

app = typer.Typer(no_args_is_help=True)

_STYLES: Final[Mapping[str, str]] = {
    AnalysisKind.ACTIVATED: "bold green",
    AnalysisKind.DEACTIVATED: "bold red",
    AnalysisKind.HELD_BACK: "yellow",
    AnalysisKind.REVISED: "yellow",
    AnalysisKind.SYMBOL_ADDED: "cyan",
    AnalysisKind.SYMBOL_REMOVED: "cyan",
    AnalysisKind.SYMBOL_FAILED: "bold red",
    AnalysisKind.SESSION_ROLLED: "magenta",
    AnalysisKind.INTERVAL_COMPLETE: "dim",
}


@app.command("watch", epilog="Example: streams watch --session main --from-beginning --json --idle 5")
def watch(
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="From the first record on, instead of from now on.")] = False,
    count: Annotated[int | None, typer.Option("--count", min=1, metavar="N", help="End after so many records.", show_default=False)] = None,
    idle: Annotated[
        float | None, typer.Option("--idle", min=0.1, metavar="SECONDS", help="End after so long without a record.", show_default=False)
    ] = None,
    wait: Annotated[
        float, typer.Option("--wait", min=0, metavar="SECONDS", help="How long to wait for the session's first worker to start.")
    ] = 0,
    fresh_only: Annotated[bool, typer.Option("--fresh-only", help="Leave out bars whose valid_until has passed.")] = False,
    kind: Annotated[
        list[AnalysisKind] | None,
        typer.Option("--kind", metavar="KIND", help="Only records of this kind, such as bar; may be repeated.", show_default=False),
    ] = None,
    bootstrap: Bootstrap = None,
    session: Session = None,
    as_json: AsJson = False,
) -> None:
    """Watch what a session publishes: bars, and every change of the gate and of a symbol. Ctrl-C ends it.

    Of windows that no symbol has a bar for, one after another, only the first is shown. JSON lines have all records, with the fields
    of the Avro record; instants are ISO 8601. --count and --idle go by what is shown.
    """
    clock = SystemClock()
    settings = load_settings(bootstrap, session)
    if as_json:  # the records and nothing else: what a reader makes of it when none comes is none
        settings = settings.model_copy(update={"heartbeat_timeout_seconds": 0.0})
    start = BEGINNING if from_beginning else END
    console = plain_console(soft_wrap=True)

    def consume() -> SessionConsumer:
        return SessionConsumer(settings, start=start, fresh_only=fresh_only, on_hole=lambda hole: say(f"gap: {hole}"), clock=clock)

    with once_there(consume, wait, clock) as consumer:
        if not as_json and console.is_terminal:
            say(f"watching {settings.session} at {settings.bootstrap_servers}, Ctrl-C ends it")
        try:
            explains = not as_json
            empty = EmptyWindows()

            def is_shown(event: AnalysisEvent) -> bool:
                return (not kind or event.kind in kind) and (as_json or not empty.hides(event))

            if not as_json and not from_beginning and (closed := closed_line(settings, clock)) is not None:
                say(closed)
            for event in _until(consumer, is_shown, count, idle, clock):
                if as_json:
                    print_json(analysis_json(event))
                    continue
                console.print(event_line(event, clock.now_us()))
                if explains and event.bar is not None and event.bar.base_count < event.bar.expected_count:
                    console.print(partial_line(event.bar), style="dim")
                    explains = False
        except KeyboardInterrupt:
            return


def closed_line(settings: Settings, clock: Clock) -> str | None:
    """What the topic does not say to a reader from the end on: that the gate is closed, and why. None while it is open.

    Reading analysis does not take the right to read the state, which has bars that are held back. Without it, that is what is said.
    """
    try:
        with StateReader(settings, clock=clock) as reader:
            reader.catch_up()
            return closed_words(reader.view)
    except NoSessionError:
        return None
    except StreamsError as error:
        return f"whether the gate is open is not known until it changes or a bar comes: {error}"


def closed_words(view: StateView) -> str | None:
    """That the gate is closed, why, and which symbols keep it closed; None while it is open."""
    session = view.session
    if session is None or session.active:
        return None
    pending = sorted(name for name, row in view.symbols.items() if row.status == SymbolStatus.PENDING)
    lagging = sorted(name for name in view.symbols if (row := view.progress_of(name)) is not None and row.lagging)
    why = [session.gate_reason or "new"]
    why += [f"lagging: {', '.join(lagging)}"] if lagging else []
    why += [f"pending: {', '.join(pending)}"] if pending else []
    return f"the gate of session {session.session} is closed ({'; '.join(why)}): bars come once it opens, `streams status` shows more"


class EmptyWindows:
    """Windows that no symbol has a bar for, as before a feed begins: every second has one, and the first says it all."""

    def __init__(self) -> None:
        self._intervals: set[str | None] = set()

    def hides(self, event: AnalysisEvent) -> bool:
        """Whether the record is of such a window, right after another one of its interval."""
        if event.interval_complete is None:
            return False
        if event.interval_complete.present:
            self._intervals.discard(event.interval)
            return False
        if event.interval in self._intervals:
            return True
        self._intervals.add(event.interval)
        return False


def _until(
    consumer: SessionConsumer, is_shown: Callable[[AnalysisEvent], bool], count: int | None, idle_seconds: float | None, clock: Clock
) -> Iterator[AnalysisEvent]:
    """The records to show, until there were enough or none came for long enough; one that can't be decoded is reported and skipped."""
    shown = 0
    last = clock.monotonic()
    while idle_seconds is None or clock.monotonic() - last < idle_seconds:
        try:
            event = consumer.poll()
        except WireError as error:
            say(f"not an analysis record: {error}")
            continue
        if event is not None and is_shown(event):
            yield event
            shown += 1
            if shown == count:
                return
            last = clock.monotonic()


def event_line(event: AnalysisEvent, now_us: int) -> Text:
    """One record as one readable line: when it was emitted, what it is about, and what it says."""
    line = Text(f"{clock_text(event.emitted_us)}  ")
    line.append(f"{event.symbol or '':<8}{event.interval or '':<5}")
    if event.bar is not None:
        line.append(_bar_words(event.bar))
        if event.bar.valid_until_us < now_us:
            line.append(f"  stale for {seconds_text((now_us - event.bar.valid_until_us) / SECOND_US)}", style="dim")
        return line
    line.append(f"{event.kind:<18}", style=_STYLES.get(event.kind, ""))
    line.append("  ".join(_marker_words(event)))
    return line


def partial_line(bar: AnalysisBar) -> str:
    """What a bar with missing base bars is, for someone who meets the first one."""
    counts = f"{bar.base_count} of {plural(bar.expected_count, 'bar')}"
    return (
        f"          {counts}: the feed began within this window, or the others did not come. Readers see it in base_count and complete; "
        "min_completeness 1 publishes whole bars only"
    )


def _bar_words(bar: AnalysisBar) -> str:
    prices = f"o {bar.open:.10g}  h {bar.high:.10g}  l {bar.low:.10g}  c {bar.close:.10g}  v {bar.volume:.10g}"
    words = [f"{clock_text(bar.start_us)} to {clock_text(bar.end_us)}", prices]
    if not bar.complete:
        words.append(f"{bar.base_count} of {plural(bar.expected_count, 'bar')}")
    if bar.revision:
        words.append(f"revision {bar.revision}")
    return "  ".join(words)


def _lagging_words(lagging: LaggingSymbol) -> str:
    # A symbol without a bar has no lag: the record's number is 0 then.
    return f"{lagging.symbol} lags {seconds_text(lagging.lag_seconds)}" if lagging.lag_seconds else f"{lagging.symbol} reads its backlog"


def _marker_words(event: AnalysisEvent) -> list[str]:
    words = []
    if event.gate is not None:
        words.append(event.gate.reason)
        words.extend(_lagging_words(lagging) for lagging in event.gate.lagging)
    if event.extent is not None:
        extent = event.extent
        words.append(f"{plural(extent.count, 'bar')} from {iso(extent.first_start_us)} to {iso(extent.last_end_us)} ({extent.cause})")
    if event.interval_complete is not None:
        complete = event.interval_complete
        absent = f", without {', '.join(complete.absent)}" if complete.absent else ""
        words.append(f"{complete.present} of {complete.expected} at {clock_text(complete.end_us)}{absent}")
    if event.kind == AnalysisKind.SESSION_ROLLED and event.trading_days is not None:
        words.append(f"trading day {date_of_days(event.trading_days)}")
    if event.reason:
        words.append(event.reason)
    return words
