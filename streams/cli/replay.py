"""`streams replay CONFIG`: a session's past bars through the live rules."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, TypedDict

import msgspec
import typer

from streams.cli.files.leanfiles import lean_found, parse_assumed, say_hours
from streams.cli.options import AsJson, Bootstrap, DataZone, MarketName, SecurityType, SessionName, load_settings, named, say
from streams.cli.words import plural
from streams.config.session import SessionConfig
from streams.config.settings import Settings
from streams.errors import StreamsError
from streams.history.lean.files import LeanFile
from streams.history.store.store import HistoryStore
from streams.kafka.clients import topics_of
from streams.model.records import ControlCommand, Event, EventKind, Marker, Reply, ReplyStatus
from streams.replay.commands import read_commands
from streams.replay.lean_source import LeanSource
from streams.replay.left_out import LeftOut, LeftOutSymbol, left_out
from streams.replay.pace import Pacer
from streams.replay.runner import EPOCH, Replay, ReplayStep
from streams.replay.sinks import JsonLines, NoSink, Outputs, Sink
from streams.replay.source import BarSource
from streams.replay.store_source import StoreSource
from streams.replay.summary import ReplaySummary
from streams.replay.topic_sink import TopicSink
from streams.replay.topic_source import KafkaSource
from streams.times import SECOND_US, Clock, SystemClock, date_of_days, iso

app = typer.Typer()

_DEAD_LETTERS_SAID: Final = 10
_NAMES_SAID: Final = 8
_INTERRUPTED: Final = 130
_DATE: Final = "%Y-%m-%d"


class From(StrEnum):
    """Where bars come from."""

    KAFKA = "kafka"
    LEAN = "lean"
    STORE = "store"


class To(StrEnum):
    """Where analysis records go."""

    JSONL = "jsonl"
    TOPIC = "topic"
    NONE = "none"


class Report(TypedDict):
    """What `--json` prints; `sha256` is that of the records as JSON lines, `left_out` has the fields of `LeftOut`."""

    summary: dict[str, object]
    start: str
    end: str
    steps: int
    seconds: float
    bars_per_second: float
    interrupted: bool
    sha256: str
    left_out: dict[str, object]
    commands_left_out: list[dict[str, str]]


Start = Annotated[
    datetime | None,
    typer.Option("--start", formats=[_DATE], metavar="DATE", help="The first trading date; by default the config's.", show_default=False),
]
End = Annotated[
    datetime | None,
    typer.Option("--end", formats=[_DATE], metavar="DATE", help="The last one, included; by default the config's.", show_default=False),
]


@app.command(
    "replay",
    epilog="Example: streams replay examples/backtest.json --commands examples/commands.jsonl --source lean examples/data/lean",
)
def replay(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The session's config file, JSON.", show_default=False)],
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH]...", help="LEAN trade zips, or folders of them: with --source lean.", show_default=False),
    ] = None,
    start: Start = None,
    end: End = None,
    commands: Annotated[
        Path | None,
        typer.Option("--commands", metavar="FILE", help="Commands with their instants, one JSON object a line.", show_default=False),
    ] = None,
    source: Annotated[
        From | None,
        typer.Option("--source", help="Where the bars come from; by default kafka, or what PATH or --store is for.", show_default=False),
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option("--store", metavar="DIR", help="With --source store: its folder, as `streams import` made it.", show_default=False),
    ] = None,
    to: Annotated[To, typer.Option("--to", help="What becomes of the analysis records; none: they are only counted.")] = To.JSONL,
    topic: Annotated[
        str | None,
        typer.Option("--topic", metavar="NAME", help="With --to topic: its name; by default SESSION.replay.analysis.", show_default=False),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="With --to topic: empty it first if it is not empty.")] = False,
    speed: Annotated[
        float | None,
        typer.Option(
            "--speed", min=0, metavar="N", help="Times real time; 0: as fast as possible. By default the config's.", show_default=False
        ),
    ] = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Exit with code 0 although a symbol or a command has failed: the rest was replayed.")
    ] = False,
    security_type: SecurityType = None,
    market: MarketName = None,
    zone: DataZone = None,
    bootstrap: Bootstrap = None,
    session: SessionName = None,
    as_json: AsJson = False,
) -> None:
    """Replay a session: its bars in order of event time, through the rules of the live worker.

    The same bars, commands and config give the same records, and so the same hash, at every speed. Summary and hash go to standard
    output, or to standard error where the records go to standard output; --json makes them JSON. Nights pass at once at every speed.

    A symbol or a command that fails does so alone and the rest is replayed; the exit code is then 1, unless --keep-going is given.
    """
    origin = source or (From.LEAN if paths else From.STORE if store else From.KAFKA)
    _check_origin(origin, paths, store)
    if to is not To.TOPIC and (topic is not None or overwrite):
        raise typer.BadParameter("--topic and --overwrite are for --to topic", param_hint="--to")
    loaded = named(SessionConfig.load(config), session)
    given = read_commands(commands) if commands is not None else []
    settings = load_settings(bootstrap, loaded.session_name)
    factor = loaded.backtest_config.speed_multiplier if speed is None else speed
    files = lean_found(paths, parse_assumed(security_type, market, zone), "trade") if paths else []
    say_hours(files, {*loaded.symbols, *(command.symbol for command in given)}, loaded.exchange)
    with _source(origin, files, store, settings, loaded, given) as bars:
        run = Replay(loaded, source=bars, start=_day(start), end=_day(end), commands=given, pacer=Pacer(factor))
        _tell_beforehand(loaded, run)
        rest = left_out(settings, loaded, given, run.days) if origin is From.KAFKA else LeftOut()
        for line in left_out_words(loaded.session_name, rest):
            say(f"note: {line}")
        sink: Sink
        match to:
            case To.JSONL:
                sink = JsonLines(sys.stdout, at_once=factor > 0)
            case To.TOPIC:
                sink = _topic_sink(settings, loaded, topic, overwrite=overwrite)
            case To.NONE:
                sink = NoSink()
        outputs, to_stdout = Outputs(loaded.session_name, EPOCH, sink), to is not To.JSONL
        _run(run, outputs, sink, origin, rest, to_stdout=to_stdout, as_json=as_json, keep_going=keep_going)


def _run(
    run: Replay, outputs: Outputs, sink: Sink, origin: From, rest: LeftOut, *, to_stdout: bool, as_json: bool, keep_going: bool
) -> None:
    clock: Clock = SystemClock()
    began = clock.monotonic()
    steps, told, interrupted = 0, 0, False
    try:
        for step in run.steps():
            outputs.take(step)
            told = _tell_trouble(step, told, origin)
            steps += 1
        sink.close()
    except KeyboardInterrupt:
        interrupted = True
        sink.close()
    except StreamsError:
        _tell_partial(sink)
        raise
    if interrupted:
        _tell_partial(sink)
    seconds = clock.monotonic() - began
    if not steps:
        raise typer.Exit(_INTERRUPTED)
    summary = run.summary()
    report: Report = {
        "summary": {name: getattr(summary, name) for name in summary.__struct_fields__},
        "start": date_of_days(run.days.first.days).isoformat(),
        "end": date_of_days(run.days.last.days).isoformat(),
        "steps": steps,
        "seconds": round(seconds, 3),
        "bars_per_second": round(summary.bars_in / seconds) if seconds > 0 else 0,
        "interrupted": interrupted,
        "sha256": outputs.sha256,
        "left_out": msgspec.to_builtins(rest),
        "commands_left_out": [{"id": one.id, "at": iso(one.sent_us), "command": one.kind, "symbol": one.symbol} for one in run.left_out],
    }
    for line in [json.dumps(report, ensure_ascii=False)] if as_json else _words(summary, report, rest):
        print(line, file=sys.stdout if to_stdout else sys.stderr, flush=True)
    if interrupted:
        raise typer.Exit(_INTERRUPTED)
    if not summary.bars_in:
        say(f"error: there was no bar to replay from {report['start']} to {report['end']}: are these the bars' days and symbols?")
        raise typer.Exit(1)
    if not summary.accepted:
        bars = f"{plural(summary.bars_in, 'bar')} from {report['start']} to {report['end']}"
        say(f"error: none of the {bars} was accepted: see above what was dropped and what became a dead letter")
        raise typer.Exit(1)
    failures = _failures(summary)
    if failures and not keep_going:
        say(f"error: {failures}: the rest was replayed (--keep-going: exit with 0 all the same)")
        raise typer.Exit(1)


def _tell_partial(sink: Sink) -> None:
    # Its readers can't tell a part from a whole.
    if isinstance(sink, TopicSink):
        say(f"topic {sink.topic} holds only a part of the replay: replay again with --overwrite")


def _failures(summary: ReplaySummary) -> str:
    """The symbols and commands that failed, in words; empty without any."""
    parts = []
    if summary.failed:
        parts.append(f"{plural(len(summary.failed), 'symbol')} failed ({', '.join(summary.failed)})")
    if commands := summary.commands.get(ReplyStatus.FAILED, 0):
        parts.append(f"{plural(commands, 'command')} failed")
    return ", ".join(parts)


def _day(given: datetime | None) -> date | None:
    return None if given is None else given.date()


def _check_origin(origin: From, paths: list[Path] | None, store: Path | None) -> None:
    if (origin is From.LEAN) is not bool(paths):
        hint = "--source lean needs a PATH" if origin is From.LEAN else "a PATH is for --source lean"
        raise typer.BadParameter(f"{hint}, such as examples/data/lean", param_hint="PATH")
    if (origin is From.STORE) is not bool(store):
        hint = "--source store needs a folder, such as --store bars" if origin is From.STORE else "a store is for --source store"
        raise typer.BadParameter(hint, param_hint="--store")


@contextmanager
def _source(
    origin: From,
    files: list[LeanFile],
    store: Path | None,
    settings: Settings,
    session: SessionConfig,
    commands: Iterable[ControlCommand],
) -> Iterator[BarSource]:
    source: BarSource
    if origin is From.LEAN:
        source = LeanSource(files)
    elif store is not None:
        source = StoreSource(HistoryStore.open(store, adjustment=session.session_data_config.historical.adjustment))
    else:
        source = KafkaSource(settings, sorted({*session.symbols, *(command.symbol for command in commands)}))
    try:
        yield source
    finally:
        source.close()


def _topic_sink(settings: Settings, config: SessionConfig, topic: str | None, *, overwrite: bool) -> TopicSink:
    name = topic or topics_of(settings).analysis.removesuffix("analysis") + "replay.analysis"
    all_bars = f"{name.removesuffix('.analysis')}.bars" if config.session_data_config.bars_topic else None
    return TopicSink(settings, name, session=config.session_name, epoch=EPOCH, overwrite=overwrite, all_bars=all_bars)


def _tell_beforehand(session: SessionConfig, run: Replay) -> None:
    if session.mode == "live":
        say("note: this is the config of a live session; its past bars are replayed, the session itself is not touched")
    if run.left_out:
        count = plural(len(run.left_out), "command")
        say(f"note: {count} left out, outside the days from {date_of_days(run.days.first.days)} to {date_of_days(run.days.last.days)}")


def _tell_trouble(step: ReplayStep, told: int, origin: From) -> int:
    """Say what went wrong in a step; of dead letters the first few. Gives how many of those have been said."""
    for outcome in step.outcomes:
        if isinstance(outcome, Marker) and outcome.kind == "symbol_failed":
            say(f"warning: {outcome.symbol} failed: {_detail(step, outcome.reason)}")
        elif isinstance(outcome, Event) and outcome.kind is EventKind.SOURCE_LOST:
            say(f"warning: {outcome.symbol}: no {outcome.attributes.get('stream', 'bars')}: {_detail(step, outcome.reason)}")
        elif isinstance(outcome, Event) and outcome.kind is EventKind.SYMBOL_LOADED and outcome.reason is not None:
            say(f"warning: {outcome.symbol}: {outcome.reason}")
        elif isinstance(outcome, Reply) and outcome.status is ReplyStatus.FAILED:
            say(f"warning: command {outcome.command_id} ({outcome.kind} {outcome.symbol}) failed: {_detail(step, outcome.reason)}")
    for letter in step.dead_letters[: max(0, _DEAD_LETTERS_SAID - told)]:
        # Files have no offsets: theirs are the starts of the bars in seconds.
        place = f"at offset {letter.offset}" if origin is From.KAFKA else f"of {iso(letter.offset * SECOND_US)}"
        say(f"dead letter: {letter.symbol} {place}: {letter.code}: {letter.message}")
    return told + len(step.dead_letters)


def _detail(step: ReplayStep, reason: str | None) -> str:
    """A reason as people are told it, with the path or the host that records leave out."""
    return step.details.get(reason or "", reason or "")


def left_out_words(session: str, rest: LeftOut) -> Iterator[str]:
    """What is not replayed, in words, and what to write so that it is."""
    if rest.problem is not None:
        yield f"symbols that session {session!r} got by command are not known, and not replayed: {rest.problem}"
    if rest.of_session:
        yield (
            f"session {session!r} got {plural(len(rest.of_session), 'symbol')} by command, which neither the config nor --commands names: "
            f"{_some(rest.of_session)}{_records(rest.of_session)}. They are not replayed"
        )
    if rest.config_symbols:
        yield f'to replay those of before the first day, write in session_data_config: "symbols": {json.dumps(rest.config_symbols)}'
    if rest.command_lines:
        yield "to replay those of these days, write into the file for --commands: " + "  ".join(rest.command_lines[:_NAMES_SAID])
        if len(rest.command_lines) > _NAMES_SAID:
            yield f"and {len(rest.command_lines) - _NAMES_SAID} commands more, which --json has in left_out.command_lines"
    if rest.others:
        yield f"not replayed either: {_some(rest.others)}, which have topics of bars here and are no part of the session"


def _some(symbols: list[LeftOutSymbol]) -> str:
    names = ", ".join(one.symbol for one in symbols[:_NAMES_SAID])
    return names + (f" and {len(symbols) - _NAMES_SAID:,} more" if len(symbols) > _NAMES_SAID else "")


def _records(symbols: list[LeftOutSymbol]) -> str:
    known = sum(one.records or 0 for one in symbols)
    return f" ({plural(known, 'record')} in their topics)" if known else ""


def _words(summary: ReplaySummary, report: Report, rest: LeftOut) -> Iterator[str]:
    days = plural(summary.trading_days, "trading day")
    yield (
        f"replayed {days}, {report['start']} to {report['end']}: {plural(summary.bars_in, 'bar')} in {report['seconds']:.1f} s "
        f"({report['bars_per_second']:,.0f} a second)"
    )
    derived = summary.accepted - summary.base_accepted
    yield (
        f"accepted {summary.accepted:,} ({summary.base_accepted:,} of the source, {derived:,} derived from them): "
        f"published {summary.published:,}, held back {summary.held_back + summary.still_held:,}"
    )
    yield f"dropped {_reasons(summary.dropped)}; dead letters {_reasons(summary.dead_letters)}"
    if summary.quotes_and_ticks:
        yield f"took in {summary.quotes_and_ticks:,} quotes and ticks, {summary.bad_quotes_and_ticks:,} of them dead letters"
    gate = "open" if summary.active else "shut"
    yield f"the gate opened {plural(summary.activations, 'time')}, shut {plural(summary.deactivations, 'time')}, and ends {gate}"
    if failures := _failures(summary):
        yield failures
    if rest.of_session:
        yield f"not replayed: {_some(rest.of_session)}{_records(rest.of_session)}, which the session got by command (see the notes above)"
    if report["interrupted"]:
        yield "interrupted: the numbers and the hash are of the part that was replayed"
    yield f"sha256 {report['sha256']}"


def _reasons(counts: dict[str, int]) -> str:
    if not counts:
        return "0"
    return f"{sum(counts.values()):,} ({', '.join(f'{count:,} {reason}' for reason, count in counts.items())})"
