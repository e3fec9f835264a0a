"""Holds the rows that the transactions wrote against the model: what a restart would go on from has to be what is true."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from math import isnan
from typing import Any

from streams.engine.reads import SessionData
from streams.engine.rules import exports
from streams.engine.rules.gap_filling import due_gaps
from streams.engine.session import Session
from streams.model.rows import (
    BlockRow,
    Columns,
    CommandRow,
    ConfigRow,
    ProgressRow,
    QualityRow,
    Row,
    SessionRow,
    SymbolRow,
)
from streams.times import DAY_US, interval_us, iso
from tests.support.simulation import extrabook, pastbook
from tests.support.simulation.barbook import volume_high_low
from tests.support.simulation.books import Day, Kept, Life, Series, Violation, base_slots, start_in_row
from tests.support.simulation.exportbook import content as exported
from tests.support.simulation.gatebook import run_of
from tests.support.simulation.judge import Judge
from tests.support.simulation.model import Model
from tests.support.simulation.qualitybook import completeness, content

COUNTS = (
    "published", "held_back", "late", "corrected", "duplicates", "out_of_hours", "other_interval", "other_day", "rejected",
    "engine_errors", "forming",
)  # fmt: skip


class Tables:
    """The rows, as a compacted changelog would hold them."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self._of_symbol: dict[str, dict[str, Row]] = defaultdict(dict)

    def take(self, changed: Mapping[str, Row | None]) -> None:
        """Write a transaction's rows."""
        for key, row in changed.items():
            symbol = getattr(row, "symbol", None) or key.rpartition("|")[2]
            if row is None:
                self.rows.pop(key, None)
                self._of_symbol[symbol].pop(key, None)
            else:
                self.rows[key] = row
                if not isinstance(row, CommandRow):
                    self._of_symbol[symbol][key] = row

    def check(self, model: Model, judge: Judge, changed: Mapping[str, Row | None]) -> None:
        """What holds after every transaction.

        Raises:
            Violation: the rows are not what is true.
        """
        self._check_session(model)
        for life in model.ended:
            left = [key for key, row in self._of_symbol[life.symbol].items() if getattr(row, "incarnation", None) == life.incarnation]
            if left:
                raise Violation("removing a symbol removes all of it", f"of {life.symbol} (incarnation {life.incarnation}) {left} are left")
        for life in model.lives.values():
            self._check_life(life, model, judge)
        for row in changed.values():
            if isinstance(row, BlockRow) and row.symbol in model.lives:
                self._check_block(model, model.lives[row.symbol], row)

    def _check_session(self, model: Model) -> None:
        row = self.rows["session"]
        assert isinstance(row, SessionRow)
        found: dict[str, Any] = {
            "active": row.active, "ever_active": row.ever_active, "trading_days": row.trading_days, "now_us": row.now_us,
            "next_incarnation": row.next_incarnation, "control_offset": row.control_offset,
            "clock_reason": row.clock_reason, "clock_behind_us": row.clock_behind_us,
            "unchecked": None if row.unchecked_us < 0 else (row.unchecked_us, row.unchecked_reason),
        }  # fmt: skip
        expected = {
            "active": model.active, "ever_active": model.ever_active, "trading_days": model.days, "now_us": model.now_us,
            "next_incarnation": model.next_incarnation, "control_offset": model.control_offset,
            "clock_reason": model.clock_reason, "clock_behind_us": model.clock_behind_us,
            "unchecked": model.unchecked,
        }  # fmt: skip
        _equal("the session's row says what the session is", "the session", found, expected)
        known = {key.partition("|")[2] for key, one in self.rows.items() if isinstance(one, CommandRow)}
        if known != model.answers.keys():
            raise Violation("answers are kept for seven days", f"{sorted(known ^ model.answers.keys())} are kept or missing")
        config = self.rows["config"]
        assert isinstance(config, ConfigRow)

    def _check_life(self, life: Life, model: Model, judge: Judge) -> None:
        what = f"{life.symbol} (incarnation {life.incarnation})"
        identity, row = self.rows.get(f"symbol|{life.symbol}"), self.rows.get(f"progress|{life.symbol}")
        if not isinstance(identity, SymbolRow) or not isinstance(row, ProgressRow):
            raise Violation("each symbol has an identity and a progress row", f"{what} has not")
        _equal(
            "a symbol's identity row says who it is", what,
            {"incarnation": identity.incarnation, "status": identity.status, "derived": identity.derived_intervals,
             "command": identity.command_id, "topic": identity.topic_id, "initial": identity.initial, "dynamic": identity.dynamic},
            {"incarnation": life.incarnation, "status": life.status, "derived": life.derived,
             "command": life.command_id, "topic": life.topic_id, "initial": life.initial, "dynamic": life.dynamic},
        )  # fmt: skip
        _equal(
            "the lagging set follows the rules of the gate", what,
            {"lagging": row.lagging, "behind": row.behind, "backlog": row.backlog, "silent": row.silent, "checks": row.checks,
             "lag_us": row.lag_us, "last_stale_us": row.last_stale_us},
            {"lagging": life.lagging, "behind": life.behind, "backlog": life.backlog, "silent": life.silent, "checks": life.checks,
             "lag_us": life.lag_us, "last_stale_us": life.last_stale_us},
        )  # fmt: skip
        extrabook.check(life, self._of_symbol[life.symbol])
        volume, high, low = volume_high_low(life)
        _equal(
            "the session's volume, high, low and count are those of its bars", what,
            {"volume": row.session_volume, "high": row.session_high, "low": row.session_low, "bars": row.bar_count},
            {"volume": volume, "high": high, "low": low, "bars": len(life.bars)},
        )  # fmt: skip
        _equal(
            "a symbol's row says how far it has come", what,
            {"offset": row.offset, "day": row.trading_days, "frontier": row.frontier_us, "updated": row.last_update_us,
             "errors in a row": row.consecutive_errors},
            {"offset": life.offset, "day": life.day.days, "frontier": life.frontier_us, "updated": life.last_update_us,
             "errors in a row": life.errors_in_a_row},
        )  # fmt: skip
        _equal(
            "each input is accounted for: accepted, duplicate, late, dropped with a count or a dead letter", what,
            {name: getattr(row, name) for name in COUNTS}, {name: life.counts[name] for name in COUNTS},
        )  # fmt: skip
        waiting = [(one.start_us, one.end_us, one.volume, one.close, one.provenance) for one in row.waiting]
        _equal(
            "of each bar that has not ended the last version waits, and it alone", what,
            {"waiting": waiting},
            {"waiting": [(one.start_us, one.end_us, one.volume, one.close, one.provenance) for _, one in sorted(life.waiting.items())]},
        )  # fmt: skip
        quality, most = self.rows.get(f"quality|{life.symbol}"), model.config.session_data_config.gap_filler.max_retries
        if quality is not None and (not isinstance(quality, QualityRow) or quality.trading_days != life.day.days):
            raise Violation("the row about quality is of the symbol's day", f"{what}: {quality}")
        _equal(
            "what was told of quality, asked for and found empty stands in a row", what,
            content(quality, life, most), model.known_of(life),
        )  # fmt: skip
        runs = {run.interval: (run.cause, run.first_start_us, run.last_end_us, run.count) for run in row.runs}
        _equal("what is held back stands in exact runs", what, runs, {interval: run_of(life, interval) for interval in life.held})
        counts = Counter({run.interval: run.count for run in row.runs})
        for interval, accepted in life.accepted.items():
            series = (life.symbol, life.incarnation, interval)
            told = judge.published[series] + judge.held[series] + counts[interval]
            if told != accepted:
                raise Violation(
                    "what is on analysis, what held-back records count and the open runs are every accepted bar",
                    f"{series}: {accepted} were accepted, {told} are accounted for",
                )

    def _check_block(self, model: Model, life: Life, row: BlockRow) -> None:
        found = _series(model, life, row.trading_days)
        if found is None or row.interval not in found[1]:
            return
        day, by_interval = found
        for bar in _bars(life, row.interval, row.bars, day):
            _equal_bar(life, row.interval, bar, by_interval[row.interval].get(bar.start_us))

    def check_whole(self, model: Model) -> None:
        """All bars of all symbols, and that nothing else is there.

        Raises:
            Violation: a bar is missing, wrong or left over.
        """
        for symbol, rows in self._of_symbol.items():
            life = model.lives.get(symbol)
            if life is None:
                left = [key for key, row in rows.items() if getattr(row, "incarnation", None) is not None]
                if left:
                    raise Violation("removing a symbol removes all of it", f"{left} are left of {symbol}")
                continue
            found: dict[tuple[int, str], dict[int, Kept]] = defaultdict(dict)
            for row in rows.values():
                if isinstance(row, BlockRow):
                    self._gather(model, life, row.trading_days, row.interval, row.bars, found)
                elif isinstance(row, ProgressRow):
                    self._gather(model, life, row.trading_days, life.base, row.tail, found)
            wrong = pastbook.wrong_indicators(model.config, life, model.calendar, rows.get(f"indicators|{symbol}"))
            if wrong is not None and life.is_read:
                raise Violation("indicators are those of the past days that are kept", f"{symbol}: {wrong}")
            expected = {(life.day.days, interval): series for interval, series in (life.series() | life.retired).items()}
            kept = life.past if life.exported is None else life.past | life.exported.kept
            expected |= {(days, interval): series for days, past in kept.items() for interval, series in past.items()}
            for key in found.keys() | expected.keys():
                missing = expected.get(key, {}).keys() - found[key].keys()
                extra = found[key].keys() - expected.get(key, {}).keys()
                if missing or extra:
                    what = f"{symbol} {key[1]} on day {key[0]}: missing {sorted(missing)}, left over {sorted(extra)}"
                    raise Violation("the tables hold exactly the bars that the session has", what)

    def _gather(
        self, model: Model, life: Life, days: int, interval: str, columns: Columns, found: dict[tuple[int, str], dict[int, Kept]]
    ) -> None:
        of_day = _series(model, life, days)
        day = model.calendar.on(days)
        assert day is not None
        for bar in _bars(life, interval, columns, day):
            if bar.start_us in found[days, interval]:
                raise Violation("the tables hold a bar once", f"{life.symbol} {interval} {bar.start_us} stands in two rows")
            found[days, interval][bar.start_us] = bar
            if of_day is not None and interval in of_day[1]:
                _equal_bar(life, interval, bar, of_day[1][interval].get(bar.start_us))


def check_quality(session: Session, model: Model, symbol: str, interval: str) -> None:
    """Quality and gaps of an interval, counted slot by slot from the calendar.

    Raises:
        Violation: the engine counts otherwise.
    """
    life, data = model.lives[symbol], session.symbol(symbol)
    assert data is not None
    present = completeness(life, interval, model.now_us).present
    # A derived window may still get its bar until its grace has passed.
    waits_us = 0 if interval == life.base else model.grace_us
    missing = completeness(life, interval, model.now_us - waits_us)
    reads = SessionData(session.state)
    found = [(gap.start_us, gap.end_us, gap.bar_count, gap.retry_count) for gap in reads.get_gaps(symbol, interval, internal=True)]
    quality = 100.0 * present / (present + missing.missing) if present + missing.missing else None
    if model.config.sparse(symbol, interval):
        quality, missing = None, missing._replace(gaps=[])
    _equal(
        "quality and gaps are counted by the calendar", f"{symbol} {interval}",
        {"quality": reads.get_quality(symbol, interval, internal=True), "gaps": found}, {"quality": quality, "gaps": missing.gaps},
    )  # fmt: skip


def check_due(session: Session, model: Model, symbol: str) -> None:
    """What a source is to be asked for.

    Raises:
        Violation: the engine asks for something else.
    """
    data = session.symbol(symbol)
    assert data is not None
    found = [(gap.start_us, gap.end_us, gap.bar_count, gap.retry_count) for gap in due_gaps(data, model.config, model.now_us)]
    due = model.due(model.lives[symbol])
    _equal("what is missing is asked for, again after a while, not for ever", symbol, {"due": found}, {"due": due})


def check_next_effect(session: Session, model: Model) -> None:
    """At which instant a clock has to stop next, up to two days on; one that has passed is due at once.

    Raises:
        Violation: the engine would let it stop elsewhere.
    """
    until_us = model.now_us + 2 * DAY_US
    found, expected = session.next_effect_us(until_us), model.next_effect()
    if found is not None:
        found = max(found, model.now_us)
    if expected is not None and expected > until_us:
        expected = None
    if found != expected:
        raise Violation(
            "the clock stops next where time alone has an effect",
            f"the engine says {found and iso(found)}, expected is {expected and iso(expected)} at {iso(model.now_us)}",
        )


def check_exports(session: Session, model: Model, symbol: str) -> None:
    """What the export under way holds, bar by bar, and its number.

    Raises:
        Violation: it holds something else.
    """
    life, data = model.lives[symbol], session.symbol(symbol)
    assert data is not None
    found = {key: {bar.start_us for bar in bars} for key, bars in exports.new_bars(data)}
    position = (0, False) if data.exports is None else (data.exports.number, data.exports.is_pending)
    expected = life.exported
    _equal(
        "an export holds each version of a bar that no export before it had, and none twice", symbol,
        {"position": position, "bars": found},
        {"position": (0, False) if expected is None else (expected.number, expected.frozen is not None), "bars": exported(life)},
    )  # fmt: skip


def _series(model: Model, life: Life, days: int) -> tuple[Day, dict[str, Series]] | None:
    if days == life.day.days and life.status != "pending":
        return life.day, life.series() | life.retired
    day = model.calendar.on(days)
    kept = life.past if life.exported is None else life.past | life.exported.kept
    return None if day is None or days not in kept else (day, kept[days])


def _bars(life: Life, interval: str, columns: Columns, day: Day) -> list[Kept]:
    """The bars of a row, read off its columns."""
    is_base, width_us = interval == life.base or columns.provenances == ("history",), interval_us(interval)
    slots = {} if is_base else life.slots(interval, day)
    own = base_slots(day, width_us, life.anchor) if is_base else {}
    bars, provenances = [], columns.provenances
    for place, number in enumerate(columns.slots):
        start = start_in_row(day, columns.first_start_us, number, width_us, life.anchor)
        start = max(start, day.open_us if is_base or width_us >= DAY_US else day.starts_us)
        count = columns.base_counts[place] if columns.base_counts else 1
        expected = 1 if is_base else slots[start].expected
        vwap = columns.vwap[place] if columns.vwap else float("nan")
        trades = columns.trades[place] if columns.trades else -1
        bars.append(
            Kept(
                start, own[start].end_us if is_base else slots[start].end_us,
                columns.open[place], columns.high[place], columns.low[place], columns.close[place], columns.volume[place],
                None if isnan(vwap) else vwap, None if trades == -1 else trades, count, expected,
                columns.revisions[place] if columns.revisions else 0, count == expected,
                provenances[place if len(provenances) > 1 else 0] if provenances else "feed" if is_base else "derived",
            )
        )  # fmt: skip
    return bars


def _equal_bar(life: Life, interval: str, found: Kept, expected: Kept | None) -> None:
    if found != expected:
        what = "base bars are those that were received" if interval == life.base else "derived bars are made of the base bars"
        raise Violation(f"{what}, in the rows too", f"{life.symbol} {interval}: {found} is stored, expected is {expected}")


def _equal(invariant: str, what: str, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    if found != expected:
        wrong = {name: (found.get(name), expected.get(name)) for name in found.keys() | expected.keys()}
        told = ", ".join(f"{name} is {one}, should be {other}" for name, (one, other) in sorted(wrong.items()) if one != other)
        raise Violation(invariant, f"{what}: {told}")
