"""What must hold of the rows of a session's symbols: pure code over decoded rows, for the oracle.

The bars of the day are the last versions of what was read, and what they make; volume, high and low are theirs. Past days are
what the source has of them; indicators are plain sums over those. What is missing is counted bar by bar.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from streams.config.sections import IndicatorConfig
from streams.config.session import SessionConfig
from streams.model.records import Bar
from streams.model.rows import (
    BlockRow,
    Columns,
    IndicatorsRow,
    ProgressRow,
    QualityRow,
    Row,
    StretchRow,
    SymbolRow,
    quality_key,
)
from streams.times import DAY_US, interval_us, iso
from tests.support.kills.lives import Content, Life, LifeKey, Lives, aggregated

Bars = dict[int, tuple[int, Content]]
"""Revision and content of bars by their start."""


@dataclass(frozen=True)
class Day:
    """The trading day that a session of the oracle's stands in; it has no breaks, and one such day follows on another.

    `past` has, by symbol, the base bars that the history source has of the days before.
    """

    config: SessionConfig
    open_us: int
    past: Mapping[str, Sequence[Bar]]

    @property
    def days(self) -> int:
        """How many trading days before it are kept."""
        return self.config.session_data_config.historical.trailing_days


class Gap(NamedTuple):
    """Missing bars."""

    start_us: int
    end_us: int
    count: int
    retries: int


def wrong_state(lives: Lives, rows: Mapping[str, Row], day: Day) -> Iterator[str]:
    """A sentence for each row that is not what was read makes it."""
    series = _series(rows)
    for row in rows.values():
        if not isinstance(row, ProgressRow):
            continue
        key = (row.symbol, row.incarnation)
        life = lives.of.get(key)
        if life is None:
            continue
        of_day = {interval: bars for (symbol, days, interval), bars in series.items() if symbol == key and days == row.trading_days}
        yield from _wrong_day(life, row, of_day, day)
        yield from _wrong_counts(life, row)
        yield from _wrong_quality_row(life, rows.get(quality_key(row.symbol)))
        past = {(days, interval): bars for (symbol, days, interval), bars in series.items() if symbol == key and days != row.trading_days}
        yield from _wrong_past(key, row.trading_days, past, day)
    for row in rows.values():
        if (
            isinstance(row, SymbolRow | ProgressRow | BlockRow | QualityRow | IndicatorsRow)
            and (row.symbol, row.incarnation) not in lives.of
        ):
            yield f"{type(row).__name__} of {row.symbol} {row.incarnation}, which was never loaded"


def _series(rows: Mapping[str, Row]) -> dict[tuple[LifeKey, int, str], Bars]:
    """All bars of the state, with their days."""
    found: dict[tuple[LifeKey, int, str], Bars] = defaultdict(dict)
    base = {row.symbol: row.base_interval for row in rows.values() if isinstance(row, SymbolRow)}
    for row in rows.values():
        match row:
            case BlockRow():
                key = ((row.symbol, row.incarnation), row.trading_days, row.interval)
                found[key].update(_bars(row.bars, interval_us(row.interval)))
            case ProgressRow():
                interval = base[row.symbol]
                found[(row.symbol, row.incarnation), row.trading_days, interval].update(_bars(row.tail, interval_us(interval)))
    return found


def _bars(columns: Columns, width_us: int) -> Bars:
    bars = {}
    for place, slot in enumerate(columns.slots):
        count = columns.base_counts[place] if columns.base_counts else 1
        values = (column[place] for column in (columns.open, columns.high, columns.low, columns.close, columns.volume))
        revision = columns.revisions[place] if columns.revisions else 0
        bars[columns.first_start_us + slot * width_us] = (revision, Content(*values, count))
    return bars


def _made(bars: Sequence[Bar], width_us: int, origin_us: int) -> dict[int, Content]:
    """What base bars make of windows."""
    found: dict[int, list[Bar]] = defaultdict(list)
    for bar in bars:
        found[bar.start_us - (bar.start_us - origin_us) % width_us].append(bar)
    return {start_us: _as_one(parts) for start_us, parts in found.items()}


def _as_one(bars: Sequence[Bar]) -> Content:
    volume = sum(bar.volume for bar in bars)
    return Content(bars[0].open, max(bar.high for bar in bars), min(bar.low for bar in bars), bars[-1].close, volume, len(bars))


def _wrong_day(life: Life, row: ProgressRow, of_day: Mapping[str, Bars], day: Day) -> Iterator[str]:
    for interval, bars in of_day.items():
        if not life.interval or interval == life.interval:
            made = {one.start_us: (one.revision, Content(*_prices(one.bar), 1)) for one in life.bars()}
        else:
            windows = life.windows(interval_us(interval), day.open_us)
            contents = {start_us: aggregated(versions) for start_us, versions in windows.items()}
            made = {start_us: (bars[start_us][0], content) for start_us, content in contents.items() if content and start_us in bars}
            if life.is_behind:  # what base bars have changed is made at the end of the backlog
                put_off = {one.open_since_us for one in row.outdated if one.interval == interval}
                made = {start_us: bars[start_us] if start_us in put_off else one for start_us, one in made.items()}
        for start_us in sorted(made.keys() | bars.keys()):
            if made.get(start_us) != bars.get(start_us):
                yield f"{life.key} {interval} {iso(start_us)} is {bars.get(start_us)} in the state, what was read is {made.get(start_us)}"
    read = [one.bar for one in life.bars()]
    metrics = (len(read), sum(bar.volume for bar in read), max((bar.high for bar in read), default=None))
    metrics_of_row = (row.bar_count, row.session_volume, row.session_high)
    low = min((bar.low for bar in read), default=None)
    if (*metrics, low) != (*metrics_of_row, row.session_low):
        yield f"{life.key}: count, volume, high and low are {(*metrics_of_row, row.session_low)}, what was read has {(*metrics, low)}"


def _prices(bar: Bar) -> tuple[float, float, float, float, float]:
    return bar.open, bar.high, bar.low, bar.close, bar.volume


def _wrong_counts(life: Life, row: ProgressRow) -> Iterator[str]:
    late = sum(version.is_late for version in life.versions)
    corrected = sum(version.revision > 0 for version in life.versions)
    counted = (row.late, row.corrected, row.duplicates)
    if counted != (late, corrected, life.duplicates):
        yield f"{life.key}: {counted} bars are late, corrected and duplicates in the state, {(late, corrected, life.duplicates)} were read"


# ------------------------------------------------------------------------------------------------- completeness


def missing(life: Life, starts: set[int], width_us: int, day: Day, place: int, now_us: int) -> tuple[int, list[Gap]]:
    """How many bars of an interval are expected `now_us`, and the gaps, where those with these starts are there.

    What a source was asked for counts as far as it stands in the transactions up to `place`.
    """
    tries, empty = _tries(life, place)
    return _missing(starts, tries, empty, day.open_us, interval_us(life.interval), width_us, now_us)


def _tries(life: Life, place: int) -> tuple[dict[int, int], set[int]]:
    """How often each base bar was asked for without being told that there is none, and those of which it was told."""
    base_us = interval_us(life.interval)
    tries: dict[int, int] = defaultdict(int)
    empty: set[int] = set()
    for asked in life.asked:
        if asked.place > place:
            break
        for start_us in range(asked.start_us, asked.end_us - base_us + 1, base_us):
            if asked.is_empty:
                empty.add(start_us)
                tries.pop(start_us, None)
            else:
                tries[start_us] += 1
    return tries, empty


def _missing(
    there: set[int], tries: Mapping[int, int], empty: set[int], open_us: int, base_us: int, width_us: int, now_us: int
) -> tuple[int, list[Gap]]:
    expected, gaps = 0, list[Gap]()
    run: list[int] = []

    def end() -> None:
        if run:
            first_us, end_us = run[0], run[-1] + width_us
            retries = max((tries.get(start_us, 0) for start_us in range(first_us, end_us, base_us)), default=0)
            gaps.append(Gap(first_us, end_us, len(run), retries))
            run.clear()

    for start_us in range(open_us, now_us - width_us + 1, width_us):
        if start_us in there:
            expected += 1
            end()
        elif not all(part_us in empty for part_us in range(start_us, start_us + width_us, base_us)):
            expected += 1
            run.append(start_us)
    end()
    return expected, gaps


def _wrong_quality_row(life: Life, row: Row | None) -> Iterator[str]:
    if not life.interval:
        return
    _, empty = _tries(life, life.asked[-1].place if life.asked else 0)
    stored = row.empty if isinstance(row, QualityRow) and row.incarnation == life.key[1] else ()
    if _slots(stored, interval_us(life.interval)) != empty:
        yield f"{life.key}: confirmed to be empty are {[(iso(one.start_us), iso(one.end_us)) for one in stored]}, asked was {life.asked}"


def _slots(stretches: Sequence[StretchRow], width_us: int) -> set[int]:
    return {start_us for one in stretches for start_us in range(one.start_us, one.end_us, width_us)}


# ----------------------------------------------------------------------------------------------------- past days


def _wrong_past(key: LifeKey, today: int, past: Mapping[tuple[int, str], Bars], day: Day) -> Iterator[str]:
    if not day.days:
        return
    base = day.config.base_interval
    for back in range(1, day.days + 1):
        first_us = day.open_us - back * DAY_US
        bars = [bar for bar in day.past.get(key[0], ()) if first_us <= bar.start_us < first_us + DAY_US]
        for interval in (base, *day.config.derived_intervals):
            made = {bar.start_us: Content(*_prices(bar), 1) for bar in bars}
            if interval != base:
                made = _made(bars, interval_us(interval), first_us)
            found = {start_us: content for start_us, (_, content) in past.get((today - back, interval), {}).items()}
            if found != made:
                yield f"{key}: {len(found)} {interval} bars of {back} days ago are in the state, the source has {len(made)}, or others"
    if (older := {days for days, _ in past}) - set(range(today - day.days, today)):
        yield f"{key}: bars of the days {sorted(older)} are in the state on day {today}"


def wrong_indicators(rows: Mapping[str, Row], day: Day) -> Iterator[str]:
    """A sentence for each symbol whose indicators are not what its past days come to."""
    for row in rows.values():
        if isinstance(row, IndicatorsRow):
            values = {one.name: one.value for one in row.values}
            for indicator in day.config.session_data_config.historical.indicators:
                due = _indicator(indicator, day.past.get(row.symbol, ()), day)
                found = values.get(indicator.name)
                if (found is None) != (due is None) or (found is not None and due is not None and abs(found - due) > 1e-9 * abs(due)):
                    yield f"{row.symbol} {row.incarnation}: {indicator.name} is {found}, the past days come to {due}"


def _indicator(indicator: IndicatorConfig, past: Sequence[Bar], day: Day) -> float | None:
    def of_day(back: int) -> list[Bar]:
        first_us = day.open_us - back * DAY_US
        return [bar for bar in past if first_us <= bar.start_us < first_us + DAY_US]

    bars = of_day(1)
    match indicator.kind:
        case "prior_close":
            return bars[-1].close if bars else None
        case "prior_high":
            return max((bar.high for bar in bars), default=None)
        case "average_daily_volume":
            days = [of_day(back) for back in range(1, indicator.period + 1)]
            return sum(bar.volume for one in days for bar in one) / indicator.period if all(days) else None
        case "sma":
            closes = [
                content.close
                for back in range(day.days, 0, -1)
                for _, content in sorted(_made(of_day(back), interval_us(indicator.interval), day.open_us - back * DAY_US).items())
            ]
            last = closes[-indicator.period :]
            return sum(last) / indicator.period if len(last) == indicator.period else None
        case _:
            raise ValueError(f"the oracle computes no {indicator.kind}")
