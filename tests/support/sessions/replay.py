"""Replays in tests: configs, real bars, and what came out, as JSON lines and by kind."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any

from streams.config.session import SessionConfig
from streams.model.records import Bar, Event, HeldBackBar, Outcome, PublishedBar, Reply, Undecodable
from streams.model.transactions import DeadLetter
from streams.replay.commands import parse_commands
from streams.replay.pace import Pacer
from streams.replay.runner import EPOCH, Replay, ReplayStep
from streams.replay.sinks import JsonLines, Outputs
from streams.replay.source import BarSource, MemorySource
from streams.replay.summary import ReplaySummary
from streams.times import iso
from tests.support.engine import at, config

LEAN = Path(__file__).parents[3] / "examples" / "data" / "lean"
MINUTES = LEAN / "equity" / "usa" / "minute"
SECONDS = LEAN / "equity" / "usa" / "second"
DAYS = ("20131007", "20131008", "20131009")
OPEN_MS, CLOSE_MS = 34_200_000, 57_600_000
"""09:30 and 16:00 in New York, in milliseconds since midnight."""


@dataclass
class Result:
    """What a replay gave."""

    lines: list[dict[str, Any]]
    text: str
    sha256: str
    outcomes: list[tuple[int, Outcome]]
    dead_letters: list[DeadLetter]
    summary: ReplaySummary
    replay: Replay
    steps: list[ReplayStep]

    def markers(self, *kinds: str) -> list[dict[str, Any]]:
        """The records that are no bars, or those of some kinds."""
        return [line for line in self.lines if line["kind"] != "bar" and (not kinds or line["kind"] in kinds)]

    def bars(self, symbol: str, interval: str = "1m") -> list[dict[str, Any]]:
        """A symbol's published bars."""
        return [line for line in self.lines if line["kind"] == "bar" and (line["symbol"], line["interval"]) == (symbol, interval)]

    def events(self, kind: str) -> list[Event]:
        """Session events of a kind."""
        return [one for _, one in self.outcomes if isinstance(one, Event) and one.kind == kind]

    def replies(self) -> list[tuple[str, str, str | None]]:
        """Answers to commands: id, status, reason."""
        return [(one.command_id, one.status, one.reason) for _, one in self.outcomes if isinstance(one, Reply)]


def session_of(*symbols: str, **parts: Any) -> SessionConfig:
    """A backtest's config, its parts by name as for `tests.support.engine.config`."""
    return SessionConfig.from_dict({"mode": "backtest", **config(*symbols, **parts)})


def run_replay(
    session: SessionConfig,
    source: BarSource | Mapping[str, Sequence[Bar | Undecodable]],
    *,
    days: tuple[str, str] = ("2013-10-07", "2013-10-07"),
    commands: Iterable[Mapping[str, Any]] = (),
    pacer: Pacer | None = None,
) -> Result:
    """Replay all of it."""
    first, last = (date.fromisoformat(day) for day in days)
    bars = MemorySource(source) if isinstance(source, Mapping) else source
    given = parse_commands([json.dumps(command) for command in commands], "commands")
    replay = Replay(session, source=bars, start=first, end=last, commands=given, pacer=pacer)
    stream = StringIO()
    outputs = Outputs(session.session_name, EPOCH, JsonLines(stream))
    outcomes: list[tuple[int, Outcome]] = []
    dead_letters: list[DeadLetter] = []
    steps = list(replay.steps())
    for step in steps:
        outputs.take(step)
        outcomes += [(step.now_us, outcome) for outcome in step.outcomes]
        dead_letters += step.dead_letters
    text = stream.getvalue()
    lines = [json.loads(line) for line in text.splitlines()]
    return Result(lines, text, outputs.sha256, outcomes, dead_letters, replay.summary(), replay, steps)


def lean_rows(folder: Path, symbol: str, day: str = "20131007", *, from_ms: int = OPEN_MS, to_ms: int = CLOSE_MS) -> list[list[float]]:
    """The rows of a LEAN zip whose start lies in `[from_ms, to_ms)`, read without the code under test."""
    with zipfile.ZipFile(folder / symbol.lower() / f"{day}_trade.zip") as archive:
        rows = [[float(field) for field in row.split(",")] for row in archive.read(archive.namelist()[0]).decode().splitlines()]
    return [row for row in rows if from_ms <= row[0] < to_ms]


def check_sums(result: Result) -> None:
    """Every bar that went in is somewhere: counted here from the records alone, those of a symbol also as the engine counts them."""
    summary = result.summary
    accepted: Counter[tuple[str, int, str]] = Counter()
    for line in result.lines:
        if line["kind"] == "bar":
            accepted[line["symbol"], line["incarnation"], line["interval"]] += 1
        elif line["kind"] == "held_back":
            accepted[line["symbol"], line["incarnation"], line["interval"]] += line["extent"]["count"]
    accepted_base = sum(count for (_, _, interval), count in accepted.items() if interval == "1m")
    assert (summary.base_accepted, summary.still_held) == (accepted_base, 0)
    for data in result.replay.session.state.symbols.values():
        of_symbol = sum(count for series, count in accepted.items() if series[:2] == (data.symbol, data.incarnation))
        assert (data.symbol, of_symbol) == (data.symbol, data.counts.accepted)
    assert summary.bars_in == accepted_base + sum(summary.dropped.values()) + sum(summary.dead_letters.values())
    assert summary.accepted == summary.published + summary.held_back + summary.still_held
    assert sum(summary.dead_letters.values()) == len(result.dead_letters)
    assert [line["sequence"] for line in result.lines] == list(range(1, summary.sequence + 1))


def check_clock(result: Result, grace_us: int) -> None:
    """The clock stopped in time for each derived bar: it came by its grace, or with a base bar of its window that was late itself.

    For a session with a `bars_topic`, whose outcomes have the bars that are held back, too.
    """
    bars = [(now_us, one) for now_us, one in result.outcomes if isinstance(one, PublishedBar | HeldBackBar)]
    base_ends: dict[tuple[str, int], set[int]] = {}
    for now_us, one in bars:
        if one.bar.provenance != "derived":
            base_ends.setdefault((one.symbol, now_us), set()).add(one.bar.end_us)
    for now_us, one in bars:
        if one.bar.provenance == "derived" and one.bar.revision == 0 and now_us > one.bar.end_us + grace_us:
            came_with = base_ends.get((one.symbol, now_us), set())
            assert any(one.bar.start_us < end_us <= one.bar.end_us for end_us in came_with), f"{one} came after its grace, at {iso(now_us)}"


def clock(text: str, day: str = "2013-10-07") -> str:
    """The instant at which a clock in New York shows it, as records write it."""
    return iso(at(text, day))
