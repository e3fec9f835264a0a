"""What is new, to files, by exporters that are killed between any two steps: a bar version is in one file, and none is lost.

The worker is a desk: commands are applied to it at once, and what is committed are its tables.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.config.settings import Settings
from streams.engine.restore import restore_state
from streams.engine.state.session import SessionState
from streams.errors import CommandRefusedError, ExportError, NobodyThereError
from streams.exports.increments import Begun, NewExporter
from streams.exports.rows import Format
from streams.model.records import EventKind, ReplyStatus
from streams.model.rows import Row, SessionRow
from streams.times import MINUTE_US, SystemClock, date_of_days, iso
from streams.wire.messages import CommandReply
from tests.support.engine import CODEC, Desk, at, bar, config, events, minutes, replies
from tests.support.examples import examples

TEN = at("10:00")
NO_CLOCK = SystemClock()


class Killed(BaseException):
    """The exporter is gone."""


class DeskControl:
    """Sends commands to a desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def send_all(self, commands: Sequence[Any], *, timeout_seconds: float) -> list[CommandReply]:
        found = []
        for command in commands:
            fields = {name: getattr(command, name) for name in ("id", "export_number", "epoch", "incarnation")}
            one = replies(self._desk.command(command.kind, command.symbol, **fields))[-1]
            found.append(CommandReply(one.command_id, one.kind, one.symbol, one.status, one.reason, self._desk.now_us, 1, "main", one.text))
        return found


class DeskTables:
    """What a desk has committed, as of the last `read`; `hidden` reads come before what the last transaction wrote."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._rows: dict[str, Row] = {}
        self.hidden = 0

    def read(self, timeout_seconds: float) -> None:
        if self.hidden:
            self.hidden -= 1
            return
        self._rows = dict(self._desk.table)

    @property
    def session(self) -> SessionRow:
        row = self._rows["session"]
        assert isinstance(row, SessionRow)
        return row

    def row(self, key: str) -> Row | None:
        return self._rows.get(key)

    def symbols(self) -> list[str]:
        return sorted(key.partition("|")[2] for key in self._rows if key.startswith("symbol|"))

    def state(self) -> SessionState:
        return restore_state({key: CODEC.row_from(CODEC.row_to(row)) for key, row in self._rows.items()})


class Exporter(NewExporter):
    """One that is killed at a step, of those named here; `meanwhile` happens between any two."""

    STEPS = ("before begin", "after begin", "before write", "in write", "after write", "before end", "after end")

    def __init__(
        self,
        folder: Path,
        form: Format = Format.CSV,
        *,
        dies: str | None = None,
        meanwhile: Callable[[], object] = lambda: None,
        **keys: Any,
    ) -> None:
        super().__init__(Settings(session="main"), folder, form, timeout_seconds=0.05, clock=NO_CLOCK, **keys)
        self._dies = dies
        self._meanwhile = meanwhile

    def _reach(self, step: str) -> None:
        if step == self._dies:
            raise Killed(step)
        if step.startswith("after"):
            self._meanwhile()

    def begin(self, control: Any, symbols: Sequence[str]) -> list[Begun]:
        self._reach("before begin")
        begun = super().begin(control, symbols)
        self._reach("after begin")
        return begun

    def write(self, committed: Any, begun: Sequence[Begun]) -> Any:
        self._reach("before write")
        with pytest.MonkeyPatch.context() as patch:
            if self._dies == "in write":
                patch.setattr(os, "replace", self._die)
            written = super().write(committed, begun)
        self._reach("after write")
        return written

    def _die(self, *_: object) -> None:
        raise Killed("in write")

    def end(self, control: Any, begun: Sequence[Begun]) -> None:
        self._reach("before end")
        super().end(control, begun)
        self._reach("after end")

    def at(self, desk: Desk, symbols: Collection[str] | None = None) -> list[Any]:
        """Export a desk's symbols."""
        control, tables = DeskControl(desk), DeskTables(desk)
        found: list[Any] = self.export(control, tables, symbols)  # type: ignore[arg-type]
        return found


def desk_of(*symbols: str, **keys: Any) -> Desk:
    names = symbols or ("SPY",)
    desk = Desk(config(*names, derived_intervals=["5m"], **keys), TEN)
    desk.load(*names)
    return desk


Versions = dict[tuple[str, str, str, str], tuple[int, float]]


def newest(folder: Path) -> Versions:
    """All files of a folder one after another, by name: the last version of each bar; it must be newer than the one before."""
    found: Versions = {}
    for path in sorted(folder.glob("*.csv")):
        for row in csv.DictReader(path.open(newline="")):
            key = (row["symbol"], row["interval"], row["trading_date"], row["start"])
            revision = int(row["revision"])
            assert key not in found or revision > found[key][0], f"{path.name} repeats {row}"
            found[key] = (revision, float(row["close"]))
    return found


def bars_of(desk: Desk, symbol: str) -> Versions:
    """The bars that a symbol has by now."""
    data = desk.data(symbol)
    days = {data.day.days: {data.base_interval: data.bars, **data.derived}, **data.historical}
    days |= {} if data.exports is None else data.exports.days
    return {
        (symbol, interval, date_of_days(day).isoformat(), iso(one.start_us)): (one.revision, one.close)
        for day, by_interval in days.items() for interval, series in by_interval.items() for one in series
    }  # fmt: skip


# One exporter


@pytest.mark.parametrize("dies", Exporter.STEPS)
def test_one_that_is_killed_at_any_step_leaves_nothing_out_and_repeats_nothing(dies: str, tmp_path: Path) -> None:
    desk = desk_of()
    desk.flow(*minutes("SPY", TEN, 7))
    Exporter(tmp_path).at(desk)
    desk.flow(*minutes("SPY", at("10:07"), 7))
    with pytest.raises(Killed, match=dies):
        Exporter(tmp_path, dies=dies).at(desk)
    desk.flow(*minutes("SPY", at("10:14"), 2), bar("SPY", at("10:17")))
    desk.feed(bar("SPY", at("10:09"), price=90.0), bar("SPY", at("10:16")), bar("SPY", at("10:01"), price=80.0))
    desk.restart(desk.now_us + 1)
    desk.caught_up("SPY")
    Exporter(tmp_path).at(desk)
    Exporter(tmp_path).at(desk)
    assert newest(tmp_path) == bars_of(desk, "SPY")
    assert not list(tmp_path.glob(".*.part"))
    desk.check_redriven()


def test_a_file_that_is_there_is_left_as_it_is_whatever_its_format(tmp_path: Path) -> None:
    desk = desk_of()
    desk.flow(*minutes("SPY", TEN, 3))
    with pytest.raises(Killed):
        Exporter(tmp_path, Format.JSON, dies="after write").at(desk)
    (path,) = tmp_path.glob("SPY*")
    before = path.read_bytes()
    desk.feed(bar("SPY", TEN, price=50.0))
    (written,) = Exporter(tmp_path, Format.CSV).at(desk)
    assert (written.path, written.bar_count, path.read_bytes()) == (path, None, before)
    (written,) = Exporter(tmp_path, Format.CSV).at(desk)
    assert (written.path.name, written.bar_count) == ("SPY-001-00001-000002.csv", 1)


def test_rows_that_lag_behind_the_answer_are_waited_for(tmp_path: Path) -> None:
    desk = desk_of()
    desk.flow(*minutes("SPY", TEN, 3))
    tables = DeskTables(desk)
    exporter = Exporter(tmp_path)
    exporter._meanwhile = lambda: setattr(tables, "hidden", 3)
    exporter.export(DeskControl(desk), tables, ["SPY"])  # type: ignore[arg-type]
    assert len(newest(tmp_path)) == 3
    desk.flow(*minutes("SPY", at("10:03"), 3))
    exporter._meanwhile = lambda: setattr(tables, "hidden", 1 << 30)
    with pytest.raises(NobodyThereError, match="export 2 of SPY is not in the committed state"):
        exporter.export(DeskControl(desk), tables, ["SPY"])  # type: ignore[arg-type]


def test_files_of_a_symbol_sort_by_when_they_were_made_also_when_it_was_added_again(tmp_path: Path) -> None:
    desk = desk_of("BTC/USD")
    for _ in range(12):
        desk.flow(*minutes("BTC/USD", desk.now_us, 1))
        Exporter(tmp_path).at(desk)
    desk.command("remove_symbol", "BTC/USD", immediate=True)
    desk.add("BTC/USD")
    desk.flow(*minutes("BTC/USD", desk.now_us, 1))
    Exporter(tmp_path).at(desk)
    names = sorted(path.name for path in tmp_path.glob("BTC*"))
    assert (names[0], names[11], names[12]) == (
        "BTC_2FUSD-001-00001-000001.csv", "BTC_2FUSD-001-00001-000012.csv", "BTC_2FUSD-001-00002-000001.csv",
    )  # fmt: skip


def test_several_symbols_go_at_once_and_those_without_anything_new_have_no_file(tmp_path: Path) -> None:
    desk = desk_of("SPY", "IBM", "XOM")
    desk.flow(*minutes("SPY", TEN, 2))
    desk.feed(*minutes("IBM", TEN, 2))
    assert [one.symbol for one in Exporter(tmp_path).at(desk)] == ["IBM", "SPY"]
    assert Exporter(tmp_path).at(desk) == []


# Refusals


def test_an_inactive_session_is_exported_only_when_that_is_asked_for(tmp_path: Path) -> None:
    desk = desk_of()
    desk.flow(*minutes("SPY", TEN, 2))
    desk.restart(desk.now_us + 30 * MINUTE_US)
    with pytest.raises(ExportError, match=r"session 'main' is inactive \(recovering\).*--internal exports it all the same"):
        Exporter(tmp_path).at(desk)
    assert desk.data("SPY").exports is None, "nothing was begun"
    assert len(Exporter(tmp_path, internal=True).at(desk)) == 1


def test_a_session_that_becomes_inactive_on_the_way_leaves_its_export_under_way(tmp_path: Path) -> None:
    desk = desk_of()
    desk.flow(*minutes("SPY", TEN, 2))
    with pytest.raises(ExportError, match="is inactive"):
        Exporter(tmp_path, meanwhile=lambda: desk.restart(desk.now_us + 30 * MINUTE_US)).at(desk)
    assert not list(tmp_path.glob("SPY*"))
    desk.caught_up("SPY")
    desk.flow(*minutes("SPY", desk.now_us, 1))
    (written,) = Exporter(tmp_path).at(desk)
    assert (written.number, written.bar_count) == (1, 2)


def test_a_symbol_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="IBM is not in session 'main': streams symbol-list"):
        Exporter(tmp_path).at(desk_of(), ["IBM"])


def test_what_the_worker_refuses_is_said_as_it_says_it(tmp_path: Path) -> None:
    desk = desk_of("SPY", "IBM")
    desk.flow(*minutes("SPY", TEN, 2))
    exporter = Exporter(tmp_path, meanwhile=lambda: desk.session.symbol("SPY") and desk.command("remove_symbol", "SPY", immediate=True))
    with pytest.raises(ExportError, match="SPY was removed while it was exported"):
        exporter.at(desk)
    with pytest.raises(CommandRefusedError, match="SPY is not in the session"):
        Exporter(tmp_path).begin(DeskControl(desk), ["SPY"])


def test_another_exporter_who_ended_it_is_told_of(tmp_path: Path) -> None:
    desk = desk_of()
    desk.flow(*minutes("SPY", TEN, 2))
    other = lambda: desk.command("end_export", "SPY", export_number=1)  # noqa: E731
    with pytest.raises(ExportError, match="export 1 of SPY was ended by another exporter meanwhile"):
        Exporter(tmp_path, meanwhile=other).at(desk)


def test_a_folder_that_can_not_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    desk = desk_of()
    desk.flow(*minutes("SPY", TEN, 2))
    with pytest.raises(ExportError, match=re.escape(str(tmp_path / "file"))):
        Exporter(tmp_path / "file" / "folder").at(desk)
    assert len(Exporter(tmp_path).at(desk)) == 1, "nothing was lost by it"


def test_a_folder_is_one_sessions_and_no_other_writes_into_it(tmp_path: Path) -> None:
    desk = desk_of()
    desk.flow(*minutes("SPY", TEN, 2))
    Exporter(tmp_path).at(desk)
    other = desk_of(session_name="other")
    other.flow(*minutes("SPY", TEN, 2))
    with pytest.raises(ExportError, match="has exports of session 'main': use another folder"):
        Exporter(tmp_path).at(other)
    assert other.data("SPY").exports is None
    again = Desk(desk.config.to_dict(), TEN, epoch=2)
    again.load("SPY")
    again.flow(*minutes("SPY", TEN, 2))
    with pytest.raises(ExportError, match="a former session 'main', begun on another control topic"):
        Exporter(tmp_path).at(again)
    (tmp_path / ".streams-export.json").write_text("nonsense")
    with pytest.raises(ExportError, match="it should say whose exports the folder has"):
        Exporter(tmp_path).at(desk)


# Any history


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, int]]:
    kinds = ["flow"] * 4 + ["late", "correct", "correct", "export", "export", "restart", "night", "hole"]
    return draw(st.lists(st.tuples(st.sampled_from(kinds), st.integers(0, 10**6)), min_size=5, max_size=30))


def go_on(desk: Desk, folder: Path, kind: str, number: int) -> None:
    """What happens next."""
    behind = desk.now_us - desk.now_us % MINUTE_US - (1 + number % 70) * MINUTE_US

    def correct() -> None:
        if behind >= at("19:00"):
            desk.feed(bar("SPY", behind, price=70 + number % 23))

    match kind:
        case "flow":
            first = desk.now_us + MINUTE_US - desk.now_us % MINUTE_US
            made = minutes("SPY", first, 1 + number % 9, price=100 + number % 7)
            desk.feed(*made, now_us=made[-1].end_us)
        case "hole":
            desk.advance(desk.now_us + number % 40 * MINUTE_US)
        case "late" | "correct":
            correct()
        case "restart":
            desk.restart(desk.now_us + number % 90 * 1_000_000)
            desk.caught_up("SPY")
        case "night":
            desk.advance(desk.now_us + number % 9 * 60 * MINUTE_US)
        case "export":
            dies = (None, *Exporter.STEPS)[number % 8]
            with suppress(Killed):
                Exporter(folder, dies=dies, internal=True, meanwhile=correct).at(desk)


@settings(deadline=None, max_examples=examples(30), suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(steps=histories(), trailing_days=st.sampled_from([0, 1]), restores=st.booleans())
def test_whatever_happens_the_files_together_are_every_bar_in_its_last_version(
    steps: list[tuple[str, int]], trailing_days: int, restores: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("exported")
    values = config(
        "SPY", exchange="24/7", derived_intervals=["5m"], historical={"trailing_days": trailing_days}, exports={"keep_days": 30}
    )
    desk = Desk(values, at("19:00"), restores=restores)  # an hour before midnight in UTC
    desk.load("SPY")
    desk.flow(*minutes("SPY", desk.now_us, 1))
    Exporter(folder, internal=True).at(desk)
    truth: Versions = {}
    for kind, number in steps:
        go_on(desk, folder, kind, number)
        truth |= bars_of(desk, "SPY")
    for _ in range(2):
        Exporter(folder, internal=True).at(desk)
    truth |= bars_of(desk, "SPY")
    assert events(desk.outcomes, EventKind.EXPORT_LOST) == []
    assert newest(folder) == truth
    assert all(one.status is not ReplyStatus.FAILED for one in replies(desk.outcomes))
