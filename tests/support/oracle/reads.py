"""What must hold of what others have read of a session: answers over HTTP, exported files, a consumer's notebook. Pure code.

An answer says which state it is of. So it can be held against the topics at any moment of the session's life: what was told up
to the transaction that made that state, and nothing later.
"""

from __future__ import annotations

import csv
import sys
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

from streams.model.inputs import JournalRecord
from streams.model.records import AnalysisKind, EventKind
from streams.model.rows import ExportRow, ProgressRow, Row
from streams.times import interval_us, iso, parse_instant
from streams.wire.messages import AnalysisEvent, SessionEvent
from tests.support.http_readers import LAST, Answer
from tests.support.kills.lives import Life, Lives
from tests.support.oracle.state import Day, missing

Series = tuple[str, int, str]
Seen = tuple[int, int, float, float]
"""Start, revision, close and volume of a bar."""


class Told:
    """The bars of one series as they were told, by when."""

    def __init__(self) -> None:
        self.places: list[tuple[int, int]] = []
        self.bars: list[Seen] = []

    def at(self, now_us: int, sequence: int) -> list[Seen]:
        """The newest version of each bar, as of a state."""
        newest: dict[int, Seen] = {}
        for bar in self.bars[: bisect_right(self.places, (now_us, sequence))]:
            newest[bar[0]] = bar
        return [newest[start_us] for start_us in sorted(newest)]


def told_bars(all_bars: Sequence[AnalysisEvent]) -> dict[Series, Told]:
    """The ungated topic by series."""
    told: dict[Series, Told] = defaultdict(Told)
    for event in all_bars:
        if event.bar is not None:
            one = told[event.symbol or "", event.incarnation or 0, event.interval or ""]
            one.places.append((event.emitted_us, event.sequence))
            one.bars.append((event.bar.start_us, event.bar.revision, event.bar.close, event.bar.volume))
    return told


def wrong_answers(
    answers: Sequence[Answer],
    lives: Lives,
    journal: Sequence[JournalRecord],
    analysis: Mapping[int, AnalysisEvent],
    all_bars: Sequence[AnalysisEvent],
    day: Day,
) -> Iterator[str]:
    """A sentence for each answer that is not what the topics had told by then; only of symbols that were added once."""
    told = told_bars(all_bars)
    only = {key[0]: life for key, life in lives.of.items() if sum(other[0] == key[0] for other in lives.of) == 1}
    times = [record.now_us for record in journal]
    for one in answers:
        place = bisect_right(times, one.now_us) - 1
        what = f"{one.what} of {one.symbol} {one.interval} as of {iso(one.now_us)}, sequence {one.sequence}"
        before, after = analysis.get(one.analysis_offset - 1), analysis.get(one.analysis_offset)
        if (before is not None and before.sequence > one.sequence) or (after is not None and after.sequence != one.sequence + 1):
            yield f"{what}: analysis does not go on at {one.analysis_offset}"
        life = only.get(one.symbol)
        if life is None or not life.interval or life.loaded_at > place or one.interval is None:
            continue
        series = told.get((*life.key, one.interval), Told())
        yield from (f"{what}: {wrong}" for wrong in _wrong_answer(one, life, series, day, place))


def _wrong_answer(one: Answer, life: Life, series: Told, day: Day, place: int) -> Iterator[str]:
    width_us = interval_us(one.interval or "")
    bars = series.at(one.now_us, one.sequence)
    match one.what:
        case "bars":
            said = [_seen(bar) for bar in one.body["bars"]]
            if said != bars[-LAST:] or one.body["bar_count"] != len(bars):
                yield f"{one.body['bar_count']} bars, the last {said[-3:]}; told were {len(bars)}, the last {bars[-3:]}"
        case "latest":
            bar = one.body["bar"]
            if (None if bar is None else _seen(bar)) != (bars[-1] if bars else None):
                yield f"{bar}; told was {bars[-1:]}"
        case "gaps" if day.config.sparse(one.symbol, one.interval or ""):
            if one.body["gap_count"]:
                yield "gaps where a missing bar is none"
        case "gaps":
            waits_us = 0 if one.interval == life.interval else day.config.grace_us
            _, gaps = missing(life, {bar[0] for bar in bars}, width_us, day, place, one.now_us - waits_us)
            said_gaps = [
                (parse_instant(gap["start"]), parse_instant(gap["end"]), gap["bar_count"], gap["retry_count"]) for gap in one.body["gaps"]
            ]
            if said_gaps != [tuple(gap) for gap in gaps[: len(said_gaps)]] or one.body["gap_count"] != len(gaps):
                odd = next(((ours, said) for ours, said in zip_longest(gaps, said_gaps) if ours is None or tuple(ours) != said), None)
                yield f"{one.body['gap_count']} gaps, counted are {len(gaps)}; the first that differ are {odd}"
        case _:
            pass


def wrong_qualities(
    answers: Sequence[Answer], lives: Lives, journal: Sequence[JournalRecord], told: Mapping[Series, Told], day: Day
) -> Iterator[str]:
    """The same of quality, which an answer tells of several intervals."""
    times = [record.now_us for record in journal]
    for one in answers:
        keys = [key for key in lives.of if key[0] == one.symbol]
        if one.what != "quality" or len(keys) != 1 or not lives.of[keys[0]].interval:
            continue
        place = bisect_right(times, one.now_us) - 1
        if lives.of[keys[0]].loaded_at > place:
            continue
        for said in one.body["intervals"]:
            interval, quality = said["interval"], said["quality"]
            bars = told.get((*keys[0], interval), Told()).at(one.now_us, one.sequence)
            life, starts, width_us = lives.of[keys[0]], {bar[0] for bar in bars}, interval_us(interval)
            ended, gaps = missing(life, starts, width_us, day, place, one.now_us)
            present = ended - sum(gap.count for gap in gaps)
            if interval != life.interval:  # a window without a bar is missing once its grace has passed
                _, gaps = missing(life, starts, width_us, day, place, one.now_us - day.config.grace_us)
            lacking = sum(gap.count for gap in gaps)
            expected = present + lacking
            due = None if day.config.sparse(one.symbol, interval) or not expected else 100.0 * (expected - lacking) / expected
            if quality != due and (quality is None or due is None or abs(quality - due) > 1e-9):
                yield f"quality of {one.symbol} {interval} as of {iso(one.now_us)} is {quality}, counted is {due} ({lacking} of {expected})"


def wrong_news(
    events: Sequence[SessionEvent], lives: Lives, journal: Sequence[JournalRecord], told: Mapping[Series, Told], day: Day
) -> Iterator[str]:
    """A sentence for each event about quality whose numbers a count of the bars, as they were told by then, does not give."""
    times = [record.now_us for record in journal]
    grace_us = day.config.grace_us
    for event in events:
        life = lives.of.get((event.symbol or "", event.incarnation or 0))
        if event.kind != EventKind.QUALITY or life is None or not life.interval:
            continue
        interval, now_us = event.attributes["interval"], event.emitted_us
        bars = told.get((*life.key, interval), Told()).at(now_us, sys.maxsize)
        place = bisect_right(times, now_us) - 1
        expected, gaps = missing(life, {bar[0] for bar in bars}, interval_us(interval), day, place, now_us - grace_us)
        counted = (expected, sum(gap.count for gap in gaps), len(gaps))
        said = tuple(int(event.attributes[name]) for name in ("expected", "missing", "gaps"))
        if said != counted:
            yield f"{life.key} {interval} at {iso(now_us)}: {said} are expected, missing and in gaps, counted are {counted}"


def _seen(bar: Mapping[str, object]) -> tuple[object, ...]:
    return parse_instant(str(bar["start"])), bar["revision"], bar["close"], bar["volume"]


# ------------------------------------------------------------------------------------------------------ consumers


def wrong_notes(notes: Sequence[tuple[object, ...]], analysis: Sequence[AnalysisEvent]) -> Iterator[str]:
    """A sentence for each event that a consumer was not given, twice or too late to act on; heartbeats are handed to nobody."""
    for note, event in zip_longest(notes, [event for event in analysis if event.kind != AnalysisKind.HEARTBEAT]):
        due = None
        if event is not None:
            bar = (None, None) if event.bar is None else (event.bar.start_us, event.bar.revision)
            due = (event.epoch, event.sequence, event.kind, event.symbol, event.interval, event.incarnation, *bar)
        if note is None or note[:-1] != due:
            yield f"the consumer has {note}, analysis {due}"
            return  # all that follows is shifted
        acted_us = note[-1]
        if event.kind != AnalysisKind.BAR and not acted_us:
            yield f"{due} is no bar, and was not handed over"
        # It is handed over a moment after it was found fresh.
        if event.bar is not None and isinstance(acted_us, int) and acted_us > event.bar.valid_until_us + 1_000_000:
            yield f"{due} was handed over at {iso(acted_us)}, valid until {iso(event.bar.valid_until_us)}"


# -------------------------------------------------------------------------------------------------------- exports


def wrong_files(folder: Path, all_bars: Sequence[AnalysisEvent], rows: Mapping[str, Row]) -> Iterator[str]:
    """A sentence for each bar version that stands in no file or in two, or that was never told."""
    told: dict[Series, set[Seen]] = {series: set(one.bars) for series, one in told_bars(all_bars).items()}
    newest: dict[Series, dict[int, int]] = defaultdict(dict)
    for path in sorted(folder.glob("*.csv")):
        incarnation = int(path.stem.rsplit("-", 2)[1])
        with path.open(newline="") as stream:
            for row in csv.DictReader(stream):
                series = (row["symbol"], incarnation, row["interval"])
                seen = (parse_instant(row["start"]), int(row["revision"]), float(row["close"]), float(row["volume"]))
                if seen not in told.get(series, set()):
                    yield f"{path.name}: {series} {row['start']} revision {row['revision']} was never told"
                if seen[1] <= newest[series].get(seen[0], -1):
                    yield f"{path.name}: {series} {row['start']} revision {row['revision']} stands in a file before it"
                newest[series][seen[0]] = seen[1]
    if parts := list(folder.glob("*.part")):
        print(f"{len(parts)} files of exporters that were killed as they wrote")
    for row_ in rows.values():
        if isinstance(row_, ExportRow):
            yield from _wrong_marks(row_, rows, newest, told)


def _wrong_marks(
    row: ExportRow, rows: Mapping[str, Row], newest: Mapping[Series, Mapping[int, int]], told: Mapping[Series, set[Seen]]
) -> Iterator[str]:
    """What lies before a mark, but for what has changed since, stands in the files as it was told last."""
    if row.is_pending:
        yield f"export {row.number} of {row.symbol} is still under way"
    progress = rows.get(f"progress|{row.symbol}")
    today = progress.trading_days if isinstance(progress, ProgressRow) else 0
    for mark in row.done:
        if mark.trading_days != today:
            continue
        series = (row.symbol, row.incarnation, mark.interval)
        last: dict[int, int] = {}
        for start_us, revision, _, _ in told.get(series, set()):
            last[start_us] = max(revision, last.get(start_us, -1))
        due = {
            start_us: revision
            for start_us, revision in last.items()
            if start_us <= mark.exported_to_us and not any(one.start_us <= start_us < one.end_us for one in mark.changed)
        }
        found = {start_us: newest.get(series, {}).get(start_us) for start_us in due}
        if found != due:
            odd = [(iso(start_us), found[start_us], revision) for start_us, revision in sorted(due.items()) if found[start_us] != revision]
            yield f"{series}: {len(odd)} bars before the mark are not in the files as they were told last: {odd[:3]}"
