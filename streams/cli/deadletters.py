"""`streams dead-letters list | show | resend`: records that a session could not take in, why, and how they are sent again."""

from __future__ import annotations

import sys
from collections import Counter, deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Final, TypedDict

import typer
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from streams.cli.options import AsJson, Bootstrap, Session, data_console, load_settings, print_json, say
from streams.cli.words import plural, short_instant
from streams.client.deadletters import DeadLetter, DeadLetters, Resend, Resent, prepared, send_again, value_text
from streams.client.resent import SentBefore, sent_before
from streams.config.settings import Settings
from streams.errors import BarFileError
from streams.instants import read_instant
from streams.kafka.clients import codec_of
from streams.model.records import Rejection
from streams.times import SECOND_US, SystemClock, iso
from streams.wire.codec import Codec

app = typer.Typer(
    no_args_is_help=True,
    help="Records that a session could not take in: list them, show one, send them again.",
    epilog="Example: streams dead-letters list --session main --symbol SPY",
)

_NOT_ALL: Final = 1
_NOT_CONFIRMED: Final = 2
_LONGEST_VALUE: Final = 300
_PLANS_SHOWN: Final = 20
_STDIN: Final = "-"

OfSymbol = Annotated[str | None, typer.Option("--symbol", help="Only those of this symbol's topics.", show_default=False)]
Reason = Annotated[
    str | None,
    typer.Option("--reason", metavar="WORD", help=f"Only those with this reason: {', '.join(Rejection)}.", show_default=False),
]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="INSTANT", help="Only those that failed then or later, such as 2013-10-07T13:30:00Z."),
]


class LetterFacts(TypedDict):
    """A dead letter as `--json` has it; `value` is JSON text, `value_hex` stands in its place where it can't be decoded."""

    offset: int
    time: str
    symbol: str
    reason: str
    stage: str
    message: str
    topic: str
    source_offset: int | None
    key: str | None
    headers: dict[str, str]
    value: str | None
    value_hex: str | None
    truncated: str | None
    resent_from: str | None


@app.command("list", epilog="Example: streams dead-letters list --session main --symbol SPY --reason misaligned")
def list_(
    symbol: OfSymbol = None,
    reason: Reason = None,
    since: Since = None,
    last: Annotated[int, typer.Option("--last", min=0, metavar="N", help="How many of the newest; 0 for all.")] = 20,
    before: Annotated[
        int | None, typer.Option("--before", min=0, metavar="OFFSET", help="Only those before this offset.", show_default=False)
    ] = None,
    bootstrap: Bootstrap = None,
    session: Session = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters, the newest last: offset, time, symbol, reason, and what was wrong in a sentence."""
    settings = load_settings(bootstrap, session)
    code, since_us = _code(reason), _instant(since)
    with DeadLetters(settings) as letters:
        count = 0
        found: deque[DeadLetter] = deque(maxlen=last or None)
        for letter in letters.read(symbol=symbol, code=code, since_us=since_us, before=before):
            count += 1
            found.append(letter)
    if as_json:
        codec = codec_of(settings)
        print_json([_facts(letter, codec) for letter in found])
        return
    if not found:
        print("no dead letters" if (symbol, reason, since, before) == (None, None, None, None) else "no dead letters of these")
        return
    data_console().print(_listing(found))
    if count > len(found):
        say(
            f"the newest {len(found)} of {count:,}; --before {found[0].offset} lists those before them, --last 0 all, `summary` counts them"
        )


@app.command("summary", epilog="Example: streams dead-letters summary --session main --since 2013-10-07T13:30:00Z")
def summary(
    symbol: OfSymbol = None,
    reason: Reason = None,
    since: Since = None,
    bootstrap: Bootstrap = None,
    session: Session = None,
    as_json: AsJson = False,
) -> None:
    """Count dead letters by reason and symbol, the most first, with the time of the newest and its offset."""
    settings = load_settings(bootstrap, session)
    counts: Counter[tuple[str, str]] = Counter()
    newest: dict[tuple[str, str], DeadLetter] = {}
    with DeadLetters(settings) as letters:
        for letter in letters.read(symbol=symbol, code=_code(reason), since_us=_instant(since)):
            kind = (letter.code, letter.symbol or letter.topic)
            counts[kind] += 1
            newest[kind] = letter
    if as_json:
        print_json([_counted(count, newest[kind]) for kind, count in counts.most_common()])
        return
    for (code, name), count in counts.most_common():
        print(f"{count:>8,}  {code}  {name}  newest {_second(newest[code, name])}, offset {newest[code, name].offset}")
    print(f"{counts.total():>8,}  in all" if counts else "no dead letters")


def _counted(count: int, newest: DeadLetter) -> dict[str, object]:
    """So many letters of the newest one's reason and symbol."""
    facts = {"reason": newest.code, "symbol": newest.symbol, "topic": newest.topic, "count": count}
    return {**facts, "newest": iso(newest.time_ms * 1000), "offset": newest.offset}


@app.command("show", epilog="Example: streams dead-letters show 12 --session main")
def show(
    offset: Annotated[int, typer.Argument(metavar="OFFSET", help="The letter's offset, as `list` has it.", min=0, show_default=False)],
    only_value: Annotated[bool, typer.Option("--value", help="Print the value alone, to be corrected in a file and sent again.")] = False,
    bootstrap: Bootstrap = None,
    session: Session = None,
    as_json: AsJson = False,
) -> None:
    """Show a dead letter: what was wrong, where it came from, and its value, as JSON where it can be decoded."""
    settings = load_settings(bootstrap, session)
    codec = codec_of(settings)
    (letter,) = _at(settings, [offset])
    if as_json:
        print_json(_facts(letter, codec))
    elif only_value:
        text = value_text(letter, letter.value, codec)
        if text is not None:
            print(text)
        else:
            sys.stdout.buffer.write(letter.value or b"")
    else:
        for line in _page(letter, codec):
            print(line)


@app.command("resend", epilog="Example: streams dead-letters resend 12 13 --session main")
def resend(
    offsets: Annotated[
        list[int] | None, typer.Argument(metavar="[OFFSET...]", help="The letters' offsets, as `list` has them.", show_default=False)
    ] = None,
    symbol: OfSymbol = None,
    reason: Reason = None,
    since: Since = None,
    value: Annotated[
        str | None,
        typer.Option("--value", metavar="FILE|-", help="A corrected value for one letter, JSON or framed Avro.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Send those too that would be rejected again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent, and send nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Send without asking.")] = False,
    bootstrap: Bootstrap = None,
    session: Session = None,
    as_json: AsJson = False,
) -> None:
    """Send dead letters again, once what was wrong is fixed: to the topic that they came from, with their key and headers.

    They are named by offset, or chosen by --symbol, --reason, and --since. What would be rejected again is shown and not sent, and what
    an earlier run has sent is not sent twice; --force sends both. Exit code 1 when not all were sent, 2 when nothing was confirmed.
    """
    chosen = symbol is not None or reason is not None or since is not None
    if bool(offsets) == chosen:
        raise typer.BadParameter("name offsets, or choose by --symbol, --reason, or --since, and not both", param_hint="OFFSET")
    if value is not None and len(offsets or ()) != 1:
        raise typer.BadParameter("is for one letter, named by its offset", param_hint="--value")
    settings = load_settings(bootstrap, session)
    codec, clock = codec_of(settings), SystemClock()
    letters = _at(settings, offsets) if offsets else _chosen(settings, symbol, _code(reason), _instant(since))
    other = None if value is None else _read_value(value)
    plans = [prepared(letter, codec, clock.now_us(), value=other) for letter in letters]
    before = SentBefore({}, {}) if force else sent_before(settings, letters)
    for topic, why in before.unread.items():
        say(f"warning: whether records were sent again to {topic} before is not known: {why}")
    plans = [plan for plan in plans if plan.letter.offset not in before.offsets]
    sendable = [plan for plan in plans if plan.letter.stream is not None and (plan.fault is None or force)]
    is_sent = {plan.letter.offset for plan in sendable}
    left = [plan for plan in plans if plan.letter.offset not in is_sent]
    if not as_json:
        for line in _plan_lines(plans, before, is_sent, codec, most=None if dry_run else _PLANS_SHOWN):
            print(line)
    if not letters:
        if as_json:
            print_json([])
        say("no dead letters of these")
        return
    if dry_run or not sendable:
        _finish(plans, [], left, before, as_json=as_json, would_send=sendable if dry_run else None)
        return
    if not yes and not _confirmed(len(sendable)):
        raise typer.Exit(_NOT_CONFIRMED)
    _finish(plans, send_again(settings, sendable, codec=codec, clock=clock), left, before, as_json=as_json)


def _finish(
    plans: list[Resend],
    sent: list[Resent],
    left: list[Resend],
    before: SentBefore,
    *,
    as_json: bool,
    would_send: list[Resend] | None = None,
) -> None:
    """Say what became of each letter; ends with 1 when one that was named was not sent.

    Raises:
        Exit: not all were sent.
    """
    failed = [one for one in sent if one.error is not None]
    total = len(plans) + len(before.offsets)
    if as_json:
        by_offset = {one.letter.offset: one for one in sent}
        earlier = [
            {"offset": offset, "topic": topic, "status": "sent before", "new_offset": now, "error": None}
            for offset, (topic, now) in before.places()
        ]
        print_json([_outcome(plan, by_offset.get(plan.letter.offset)) for plan in plans] + earlier)
    else:
        for one in failed:
            say(f"{one.letter.offset}: {one.error}")
        if would_send is None:
            counts = [
                f"sent again: {len(sent) - len(failed):,} of {plural(total, 'record')}; failed: {len(failed):,}; not sent: {len(left):,}"
            ]
        else:
            counts = [f"would be sent: {len(would_send):,} of {plural(total, 'record')}"]
        counts += [f"sent by an earlier run: {len(before.offsets):,}"] if before.offsets else []
        say("; ".join(counts))
    if failed or left:
        raise typer.Exit(_NOT_ALL)


def _outcome(plan: Resend, outcome: Resent | None) -> dict[str, object]:
    facts = {"offset": plan.letter.offset, "topic": plan.letter.topic}
    if outcome is None:
        return {**facts, "status": "not sent", "new_offset": None, "error": plan.fault}
    return {**facts, "status": "failed" if outcome.error else "sent", "new_offset": outcome.offset, "error": outcome.error}


def _confirmed(count: int) -> bool:
    if not sys.stdin.isatty():
        say("nothing was sent: --yes sends without asking, --dry-run only shows")
        return False
    return typer.confirm(f"Send {'this record' if count == 1 else f'these {count} records'} again?", err=True)


def _at(settings: Settings, offsets: list[int]) -> list[DeadLetter]:
    """The letters at these offsets, in their order on the topic.

    Raises:
        BadParameter: there is none at one of them.
    """
    with DeadLetters(settings) as letters:
        found = letters.at(offsets)
    missing = sorted(set(offsets) - set(found))
    if missing:
        raise typer.BadParameter(
            f"there is no dead letter at {', '.join(map(str, missing))}: `streams dead-letters list` shows which there are",
            param_hint="OFFSET",
        )
    return [found[offset] for offset in sorted(found)]


def _chosen(settings: Settings, symbol: str | None, code: str | None, since_us: int | None) -> list[DeadLetter]:
    with DeadLetters(settings) as letters:
        return list(letters.read(symbol=symbol, code=code, since_us=since_us))


def _plan_lines(plans: list[Resend], before: SentBefore, is_sent: set[int], codec: Codec, *, most: int | None) -> Iterator[str]:
    """What is to become of each letter, for `most` of those that are sent, that are not, and that were sent before."""
    for offset, (topic, now) in islice(before.places(), most):
        yield f"{offset} was sent again before: it is {topic} offset {now}; --force sends it once more"
    yield from _and_more(len(before.offsets), most, "were sent before")
    for wanted, words in ((False, "are not sent"), (True, "are sent")):
        ones = [plan for plan in plans if (plan.letter.offset in is_sent) is wanted]
        for plan in ones[:most]:
            yield _plan_line(plan, codec, is_sent=wanted)
        yield from _and_more(len(ones), most, words)


def _and_more(count: int, most: int | None, words: str) -> Iterator[str]:
    if most is not None and count > most:
        yield f"and {count - most:,} more that {words}: --dry-run shows each"


def _plan_line(plan: Resend, codec: Codec, *, is_sent: bool) -> str:
    letter = plan.letter
    head = f"{letter.offset} -> {letter.topic or 'unknown topic'}" if is_sent else f"{letter.offset} is not sent"
    key = f", key {_text(letter.key)}" if letter.key is not None else ""
    shown = _shortened(_shown(letter, plan.value, codec))
    fault = f"\n  would be rejected again: {plan.fault}" if plan.fault else ""
    return f"{head}{key}: {shown}{fault}"


def _shown(letter: DeadLetter, value: bytes | None, codec: Codec) -> str:
    if value is None:
        return "no value"
    return value_text(letter, value, codec) or f"{len(value)} bytes: {value.hex()}"


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}... ({len(text)} characters)"


def _listing(letters: deque[DeadLetter]) -> RenderableType:
    """Two lines a letter, since a reason in words needs the width of a terminal."""
    parts: list[RenderableType] = []
    beside = _second(letters[-1])
    width = len(str(letters[-1].offset))
    for letter in letters:
        head = f"{letter.offset:>{width}}  {short_instant(_second(letter), beside)}  {letter.symbol or letter.topic}  "
        again = f" (sent again from {letter.resent_from})" if letter.resent_from else ""
        parts.append(Text.assemble(head, (letter.code, "bold")))
        parts.append(Padding(Text(f"{letter.message}{again}"), (0, 0, 0, width + 2), expand=False))
    return Group(*parts)


def _second(letter: DeadLetter) -> str:
    return iso(letter.time_ms // 1000 * SECOND_US)


def _page(letter: DeadLetter, codec: Codec) -> list[str]:
    lines = [
        f"dead letter {letter.offset}, {letter.code} ({letter.stage}), at {iso(letter.time_ms * 1000)}",
        f"from {letter.topic or 'unknown'} offset {'unknown' if letter.source_offset is None else letter.source_offset}",
        letter.message,
    ]
    if letter.resent_from:
        lines.append(f"sent again from {letter.resent_from}")
    if letter.truncated:
        lines.append(f"cut off; {letter.truncated}")
    lines.append(f"key {'none' if letter.key is None else _text(letter.key)}")
    lines += [f"header {name}: {_text(value)}" for name, value in letter.headers]
    lines.append(f"value {_shown(letter, letter.value, codec)}")
    return lines


def _facts(letter: DeadLetter, codec: Codec) -> LetterFacts:
    text = value_text(letter, letter.value, codec)
    return {
        "offset": letter.offset,
        "time": iso(letter.time_ms * 1000),
        "symbol": letter.symbol,
        "reason": letter.code,
        "stage": letter.stage,
        "message": letter.message,
        "topic": letter.topic,
        "source_offset": letter.source_offset,
        "key": None if letter.key is None else _text(letter.key),
        "headers": {name: _text(value) for name, value in letter.headers},
        "value": text,
        "value_hex": letter.value.hex() if text is None and letter.value is not None else None,
        "truncated": letter.truncated,
        "resent_from": letter.resent_from,
    }


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.hex()


def _read_value(file: str) -> bytes:
    """A corrected value.

    Raises:
        BarFileError: the file can't be read.
    """
    if file == _STDIN:
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise BarFileError(f"{file}: {error.strerror}: name a file with the corrected value, or - for standard input") from None


def _code(reason: str | None) -> str | None:
    if reason is not None and reason not in {*Rejection}:
        raise typer.BadParameter(f"{reason!r} is not a reason: it is one of {', '.join(Rejection)}", param_hint="--reason")
    return reason


def _instant(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return read_instant(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--since") from None
