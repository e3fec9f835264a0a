"""`streams verify`: drive a session's journal again, and compare all that the session has written.

It ends with 0 when everything is equal, with 1 when something differs or could not be checked, and with 3 when nobody is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Literal, TypedDict

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from streams.audit.verify import Difference, EpochChoice, VerifyReport, verify
from streams.cli.options import AsJson, Bootstrap, Session, data_console, load_settings, print_json
from streams.cli.words import plural

app = typer.Typer(no_args_is_help=True)


class DifferenceFacts(TypedDict):
    """A difference as `verify --json` tells of it."""

    kind: str
    topic: str
    offset: int | None
    epoch: int
    transaction: int
    sequence: int | None
    what: str
    field: str | None
    expected: str | None
    found: str | None


class VerifyFacts(TypedDict):
    """An audit's result as `verify --json` tells of it."""

    session: str
    result: Literal["equal", "differs", "unchecked"]
    epochs: list[int]
    transactions: int
    inputs: int
    bars: int
    quotes_and_ticks: int
    records: dict[str, int]
    rows: int
    rows_at_transaction: int | None
    difference_count: int
    differences: list[DifferenceFacts]
    unchecked: list[str]
    notes: list[str]
    duration_seconds: float


def _epoch_choice(given: str) -> EpochChoice:
    if given == "newest":
        return "newest"
    if given == "all":
        return "all"
    if given.isascii() and given.isdecimal() and int(given) > 0:
        return int(given)
    raise typer.BadParameter(f"{given!r} is no epoch: give its number, all, or newest")


@app.command("verify", epilog="Example: streams verify --session main")
def verify_session(
    bootstrap: Bootstrap = None,
    session: Session = None,
    epoch: Annotated[
        str, typer.Option("--epoch", metavar="N|all|newest", help="Which epoch; all that the journal holds whole.")
    ] = "newest",
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, metavar="N", help="How many differences to show.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Check a session against its journal: every record that it wrote and every row of its state.

    Drives a fresh engine through the journal and the bar topics, and compares. It only reads; the session may go on meanwhile.
    Ends with 0 when all is equal, with 1 when something differs or can't be checked, with 3 when nobody is there.
    """
    settings = load_settings(bootstrap, session)
    chosen = _epoch_choice(epoch)
    with _progress() as progress:
        report = verify(settings, epoch=chosen, progress=progress)
    if as_json:
        print_json(report_facts(report, limit))
    else:
        console = data_console()
        for line in report_lines(report, limit):
            console.print(line)
    if not report.is_equal:
        raise typer.Exit(1)


def report_facts(report: VerifyReport, limit: int) -> VerifyFacts:
    """What there is to tell of an audit, with at most `limit` differences."""
    return {
        "session": report.session,
        "result": _result(report),
        "epochs": report.epochs,
        "transactions": report.transactions,
        "inputs": report.inputs,
        "bars": report.bars,
        "quotes_and_ticks": report.extras,
        "records": report.compared,
        "rows": report.rows,
        "rows_at_transaction": report.rows_at,
        "difference_count": report.difference_count,
        "differences": [_difference_facts(difference) for difference in report.differences[:limit]],
        "unchecked": report.unchecked,
        "notes": report.notes,
        "duration_seconds": round(report.duration_seconds, 3),
    }


def report_lines(report: VerifyReport, limit: int) -> Iterator[str]:
    """The same for a person, a line each."""
    epochs = f"epoch {', '.join(str(number) for number in report.epochs)}" if report.epochs else "no epoch"
    verdict = {
        "equal": "equal: every record and every row is what the journal and the bars give",
        "differs": f"differs in {plural(report.difference_count, 'place')}, the first of them first",
        "unchecked": "no difference was found, but not everything could be checked",
    }[_result(report)]
    yield f"session {report.session}, {epochs}: {verdict}"
    for difference in report.differences[:limit]:
        yield f"  {difference}"
    if report.difference_count > limit:
        yield f"  and {report.difference_count - limit:,} more: --limit shows more of them"
    for reason in report.unchecked:
        yield f"  can't be checked: {reason}"
    for note in report.notes:
        yield f"  note: {note}"
    driven = f"{plural(report.transactions, 'transaction')} with {plural(report.inputs, 'input')} driven again"
    at = "" if report.rows_at is None else f" as of transaction {report.rows_at:,}"
    equal = f"{plural(report.records, 'record')} and {plural(report.rows, 'row')}{at} equal"
    extras = f" and {report.extras:,} quotes and ticks" if report.extras else ""
    yield f"{driven}, {plural(report.bars, 'bar')}{extras} read again, {equal}, in {report.duration_seconds:.1f} s"


def _result(report: VerifyReport) -> Literal["equal", "differs", "unchecked"]:
    if report.difference_count:
        return "differs"
    return "unchecked" if report.unchecked else "equal"


def _difference_facts(difference: Difference) -> DifferenceFacts:
    return {
        "kind": difference.kind.value,
        "topic": difference.topic,
        "offset": difference.offset,
        "epoch": difference.epoch,
        "transaction": difference.transaction,
        "sequence": difference.sequence,
        "what": difference.what,
        "field": difference.field,
        "expected": difference.expected,
        "found": difference.found,
    }


@contextmanager
def _progress() -> Iterator[Callable[[int, int], object] | None]:
    """A bar on the terminal, nothing in a pipe."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task("driving the journal again", total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)
