"""`streams watch`: what it says beside the records themselves."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from streams.cli import watch
from streams.cli.main import run
from streams.client.state import StateView
from streams.config.settings import Settings
from streams.errors import MissingRightError, NoSessionError
from streams.model.records import GateChange, IntervalComplete, LaggingSymbol
from streams.times import SECOND_US, ManualClock
from streams.wire.messages import AnalysisEvent
from tests.support.engine import Desk, at, bar, config
from tests.unit.cli.test_words import BAR, START_US

EVENT = AnalysisEvent(
    sequence=7, epoch=1, session="main", emitted_us=START_US, kind="bar", symbol="SPY", interval="5m",
    bar=replace(BAR, base_count=1, expected_count=5, revision=0),
)  # fmt: skip
WHOLE = replace(EVENT, bar=replace(BAR, base_count=5, complete=True))


class Records:
    """A consumer that has these records."""

    def __init__(self, events: list[AnalysisEvent]) -> None:
        self._events = list(events)

    def __enter__(self) -> Records:
        return self

    def __exit__(self, *_: object) -> None: ...

    def poll(self) -> AnalysisEvent | None:
        return self._events.pop(0) if self._events else None


def watched(
    events: list[AnalysisEvent], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str, count: int | None = None
) -> list[str]:
    monkeypatch.setattr(watch, "once_there", lambda *_: Records(events))
    monkeypatch.setattr(watch, "closed_line", lambda *_: None)
    until = ["--count", str(len(events) if count is None else count)]
    assert run(["watch", "--session", "main", "--bootstrap", "localhost:1", *until, *words]) == 0
    return capsys.readouterr().out.splitlines()


def complete(present: int, interval: str = "1s", second: int = 0) -> AnalysisEvent:
    window = IntervalComplete(START_US + second * SECOND_US, expected=1, present=present, absent=() if present else ("SPY",))
    return replace(EVENT, kind="interval_complete", symbol=None, interval=interval, bar=None, interval_complete=window)


def test_the_first_bar_that_lacks_base_bars_is_explained_and_no_other(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    lines = watched([WHOLE, EVENT, EVENT], monkeypatch, capsys)
    assert len(lines) == 4
    assert "of 5 bars" not in lines[0]
    assert "1 of 5 bars" in lines[1]
    assert (
        lines[2].split()
        == (
            "1 of 5 bars: the feed began within this window, or the others did not come. Readers see it in base_count and complete; "
            "min_completeness 1 publishes whole bars only"
        ).split()
    )
    assert "1 of 5 bars" in lines[3]


def test_of_windows_without_any_bar_only_the_first_in_a_row_is_shown(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    empty = [complete(0, second=second) for second in range(60)]
    events = [*empty, complete(0, "5s"), complete(1, second=60), complete(0, second=61), complete(0, second=62), WHOLE]
    lines = watched(events, monkeypatch, capsys, count=5)
    assert [" ".join(line.split()[1:5]) for line in lines] == [
        "1s interval_complete 0 of", "5s interval_complete 0 of", "1s interval_complete 1 of", "1s interval_complete 0 of",
        "SPY 5m 13:30:00 to",
    ]  # fmt: skip


def test_json_has_every_window(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    assert len(watched([complete(0)] * 5, monkeypatch, capsys, "--json")) == 5


def test_only_records_of_the_kinds_that_were_asked_for_are_shown_and_counted(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    opened = replace(EVENT, kind="activated", bar=None, gate=GateChange(active=True, reason="loaded"))
    events = [opened, complete(1), WHOLE, complete(1), WHOLE]
    assert len(watched(events, monkeypatch, capsys, "--kind", "bar", count=2)) == 2
    assert len(watched(events, monkeypatch, capsys, "--kind", "bar", "--kind", "activated", "--json", count=3)) == 3
    assert run(["watch", "--session", "main", "--kind", "bars"]) == 2


def test_a_symbol_that_has_no_bar_yet_is_not_said_to_lag_by_nothing() -> None:
    gate = GateChange(active=False, reason="lagging", lagging=(LaggingSymbol("IBM", 0.0), LaggingSymbol("SPY", 95.0)))
    event = AnalysisEvent(sequence=8, epoch=1, session="main", emitted_us=START_US, kind="deactivated", gate=gate)
    assert "lagging  IBM reads its backlog  SPY lags 95 s" in str(watch.event_line(event, START_US))


def test_json_lines_are_records_alone(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    lines = watched([EVENT, EVENT], monkeypatch, capsys, "--json")
    assert [line[0] for line in lines] == ["{", "{"]


def test_a_closed_gate_is_named_with_its_reason_and_who_keeps_it_closed() -> None:
    desk = Desk(config("IBM", "SPY"), at("10:00"))
    view = StateView()

    def words() -> str | None:
        for key, row in desk.table.items():
            if StateView.wants(key):
                view.apply(key, row)
        return watch.closed_words(view)

    assert words() == "the gate of session main is closed (new; pending: IBM, SPY): bars come once it opens, `streams status` shows more"
    desk.load("IBM", "SPY")
    assert words() is None
    desk.feed(bar("SPY", at("09:30")))
    assert words() == "the gate of session main is closed (lagging; lagging: SPY): bars come once it opens, `streams status` shows more"


def test_a_state_that_may_not_be_read_is_said_and_a_session_without_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[Exception] = []

    def refuse(*_: object, **__: object) -> object:
        raise raised[-1]

    monkeypatch.setattr(watch, "StateReader", refuse)
    settings, clock = Settings.load(session="main"), ManualClock()
    raised.append(MissingRightError("User:desk lacks Read on topic main-state-changelog: allow it"))
    assert watch.closed_line(settings, clock) == (
        "whether the gate is open is not known until it changes or a bar comes: "
        "User:desk lacks Read on topic main-state-changelog: allow it"
    )
    raised.append(NoSessionError("nothing is committed"))
    assert watch.closed_line(settings, clock) is None


def test_watch_says_it_once_before_the_first_record(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(watch, "once_there", lambda *_: Records([EVENT]))
    monkeypatch.setattr(watch, "closed_line", lambda *_: "it is closed")
    assert run(["watch", "--session", "main", "--bootstrap", "localhost:1", "--count", "1"]) == 0
    assert capsys.readouterr().err.splitlines() == ["it is closed"]
