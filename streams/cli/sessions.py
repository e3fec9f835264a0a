"""`streams sessions`: which sessions a cluster has, whether a worker is at work on each, and which one."""

from __future__ import annotations

from typing import Final, TypedDict

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from streams.cli.options import AsJson, Bootstrap, data_console, load_settings, print_json, say
from streams.cli.words import NOBODY_AFTER_SECONDS, plural, seconds_text
from streams.client.sessions import SessionState, read_sessions
from streams.times import SECOND_US, SystemClock, date_of_days, iso

app = typer.Typer(no_args_is_help=True)

_UNREADABLE: Final = 1


class SessionSummary(TypedDict):
    """A session as `sessions --json` lists it; what `status --json` has too has the same name and meaning there."""

    session: str
    worker: str
    owner: str | None
    owner_url: str | None
    active: bool | None
    gate_reason: str | None
    gate_open: bool | None
    epoch: int | None
    sequence: int | None
    trading_date: str | None
    as_of: str | None
    age_seconds: float | None
    problem: str | None


@app.command("sessions", epilog="Example: streams sessions --bootstrap localhost:9092")
def sessions(bootstrap: Bootstrap = None, as_json: AsJson = False) -> None:
    """List the sessions of a cluster: whether a worker is at work on each, which one, and how the gate stands.

    Exit code 1 when a session is there and can't be read, such as for want of a right; 3 when no broker answers.
    """
    settings = load_settings(bootstrap)
    found = read_sessions(settings)
    now_us = SystemClock().now_us()
    facts = [summary(state, now_us) for state in found]
    under = f" under the prefix {settings.topic_prefix}" if settings.topic_prefix else ""
    none = f"no sessions at {settings.bootstrap_servers}{under}, among the topics that this user may describe"
    if as_json:
        print_json(facts)
        if not facts:
            say(none)
    elif facts:
        data_console().print(Group(_table(facts), _summary_line(facts)))
    else:
        print(none)
    problems = [fact for fact in facts if fact["problem"]]
    for fact in problems:
        say(f"session {fact['session']}: {fact['problem']}")
    if problems:
        raise typer.Exit(_UNREADABLE)


def summary(state: SessionState, now_us: int) -> SessionSummary:
    """A session as it is listed; `worker` is `active`, `none`, or `unknown` where its state can't be read."""
    row = state.row
    if row is None:
        return {
            "session": state.name, "worker": "unknown" if state.problem else "none", "owner": None, "owner_url": None, "active": None,
            "gate_reason": None, "gate_open": None, "epoch": None, "sequence": None, "trading_date": None, "as_of": None,
            "age_seconds": None, "problem": state.problem,
        }  # fmt: skip
    age_seconds = (now_us - row.now_us) / SECOND_US
    at_work = age_seconds <= NOBODY_AFTER_SECONDS
    return {
        "session": state.name,
        "worker": "active" if at_work else "none",
        "owner": row.owner,
        "owner_url": row.owner_url or None,
        "active": row.active,
        "gate_reason": row.gate_reason,
        "gate_open": row.active and at_work,
        "epoch": row.epoch,
        "sequence": row.sequence,
        "trading_date": date_of_days(row.trading_days).isoformat() if row.trading_days else None,
        "as_of": iso(row.now_us),
        "age_seconds": round(age_seconds, 3),
        "problem": None,
    }


def _table(facts: list[SessionSummary]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("session", "worker", "gate", "last commit", "by"):
        table.add_column(heading, overflow="fold")
    for fact in facts:
        age = fact["age_seconds"]
        at_work = fact["worker"] == "active"
        gate = "-" if fact["active"] is None else "open" if fact["gate_open"] else "closed"
        committed = "can't be read" if fact["problem"] else "nothing yet" if age is None else f"{seconds_text(age)} ago"
        table.add_row(
            fact["session"],
            Text(fact["worker"], style="green" if at_work else "yellow"),
            Text(gate, style="green" if gate == "open" else ""),
            committed,
            fact["owner"] or "-",
        )
    return table


def _summary_line(facts: list[SessionSummary]) -> Text:
    at_work = sum(fact["worker"] == "active" for fact in facts)
    return Text(f"{plural(len(facts), 'session')}, {at_work} with an active worker; streams status --session NAME shows one")
