"""What must hold of a session's output, whatever happened to its workers: pure code over decoded records.

    findings = judge(evidence)          # sentences, empty when all is well

It knows nothing of the engine. It takes what the journal says was read from each symbol's topic, and accounts for each bar
there: published once, or within exactly one held-back record or open run of the state. Without an ungated topic it presumes a
feed that keeps the promises of its tests: per symbol in order of start, no repetition, no correction. With one each version
of each bar is known, so bars may come late, again and otherwise.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import inf

import msgspec

from streams.model.inputs import InputKind, JournalRecord
from streams.model.records import AnalysisKind, Bar, CommandKind, ControlCommand, Extent, Quote, Tick
from streams.model.rows import ExportRow, ProgressRow, Row, SessionRow, StreamRow
from streams.times import SECOND_US, interval_us, iso
from streams.wire.messages import AnalysisBar, AnalysisEvent, SessionEvent
from tests.support.kills.lives import EarlyBars, Lives
from tests.support.oracle.quality import wrong_quality
from tests.support.oracle.state import Day, wrong_indicators, wrong_state
from tests.support.oracle.versions import wrong_extents, wrong_versions
from tests.support.oracle.windows import wrong_windows

Life = tuple[str, int]
"""A symbol and its incarnation."""
Series = tuple[str, int, str]
"""A life and an interval."""

_MOST_OF_A_KIND = 5
# How long a window waits for bars, unless a config says otherwise.
_LONGEST_GRACE_US = 5 * SECOND_US


@dataclass(frozen=True)
class Evidence:
    """What a stopped session has left behind, decoded.

    `topics` has the bars of each symbol's topic by offset, `extras` its quotes and ticks; `threshold_us` tells each symbol's threshold,
    for sessions whose bars are referred to by their close; `all_bars` is the ungated topic, where there is one; `events` is the events
    topic, with at least `publish_us` between two events about the quality of an interval. With `day` the rows of symbols are held
    against what was read, too.
    """

    analysis: Sequence[AnalysisEvent]
    journal: Sequence[JournalRecord]
    rows: Mapping[str, Row]
    topics: Mapping[str, Mapping[int, Bar]]
    threshold_us: Callable[[str], int]
    extras: Mapping[tuple[str, str], Mapping[int, Quote | Tick]] = field(default_factory=dict)
    all_bars: Sequence[AnalysisEvent] | None = None
    events: Sequence[SessionEvent] | None = None
    publish_us: int = 0
    day: Day | None = None
    grace_us: int = 5 * SECOND_US
    tolerance_us: int = 5 * SECOND_US


@dataclass
class _Findings:
    """Sentences by kind; of each kind the first few and a count."""

    kinds: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, kind: str, sentence: str) -> None:
        self.kinds[kind].append(sentence)

    def sentences(self) -> list[str]:
        told = []
        for kind, sentences in self.kinds.items():
            told += [f"{kind}: {sentence}" for sentence in sentences[:_MOST_OF_A_KIND]]
            if len(sentences) > _MOST_OF_A_KIND:
                told.append(f"{kind}: and {len(sentences) - _MOST_OF_A_KIND} more")
        return told


def judge(evidence: Evidence) -> list[str]:
    """Everything that is not as it must be, a sentence each."""
    findings = _Findings()
    _check_sequence(evidence, findings)
    _check_journal(evidence, findings)
    _check_gate(evidence, findings)
    read = _bars_read(evidence, findings)
    if evidence.all_bars is None:
        _check_repetition_and_order(evidence, findings)
        _check_values(evidence, read, findings)
        _check_base_bars_are_accounted_for(evidence, read, findings)
        _check_windows_are_accounted_for(evidence, read, findings)
    else:
        _check_versions(evidence, evidence.all_bars, findings)
    _check_state_counts(evidence, findings)
    _check_extras(evidence, findings)
    _check_exports(evidence, read, findings)
    for sentence in wrong_windows(evidence.analysis):
        findings.add("windows", sentence)
    for sentence in wrong_quality(evidence.events, evidence.journal, evidence.rows, evidence.publish_us) if evidence.events else ():
        findings.add("quality", sentence)
    return findings.sentences()


def _check_sequence(evidence: Evidence, findings: _Findings) -> None:
    last = (0, 0)
    for event in evidence.analysis:
        here = (event.epoch, event.sequence)
        follows = here == (last[0], last[1] + 1) or (here[0] == last[0] + 1 and here[1] == 1)
        if not follows:
            findings.add("sequence", f"after {last} comes {here} ({event.kind} {event.symbol})")
        last = here
    session = evidence.rows.get("session")
    if isinstance(session, SessionRow) and (session.epoch, session.sequence) != last:
        findings.add("sequence", f"analysis ends at {last}, the state says {(session.epoch, session.sequence)}")


def _check_journal(evidence: Evidence, findings: _Findings) -> None:
    transaction, sequence, now_us, epoch = 0, 0, 0, 0
    for record in evidence.journal:
        if record.epoch == epoch + 1:
            epoch, transaction, sequence = record.epoch, 0, 0
        if (record.epoch, record.transaction, record.before_sequence) != (epoch, transaction + 1, sequence):
            findings.add(
                "journal",
                f"transaction {record.transaction} of epoch {record.epoch} (from sequence {record.before_sequence}) "
                f"follows {transaction} of {epoch} (to {sequence})",
            )
        if record.now_us < now_us:
            findings.add("journal", f"time goes back in transaction {record.transaction}")
        epoch, transaction, sequence, now_us = record.epoch, record.transaction, record.last_sequence, record.now_us


def _check_gate(evidence: Evidence, findings: _Findings) -> None:
    active, epoch = False, 0
    for event in evidence.analysis:
        if event.epoch != epoch:
            active, epoch = False, event.epoch
        what = f"{event.sequence}: {event.symbol} {event.interval}"
        if event.kind in (AnalysisKind.ACTIVATED, AnalysisKind.DEACTIVATED):
            opens = event.kind == AnalysisKind.ACTIVATED
            if opens == active:
                findings.add("gate", f"{event.sequence}: {event.kind} while the gate was that already")
            active = opens
        if event.kind == AnalysisKind.HEARTBEAT and not active:
            findings.add("gate", f"{event.sequence}: a heartbeat while the gate was shut")
        if event.bar is None:
            continue
        if not active:
            findings.add("gate", f"{what} was published while the gate was shut")
        if event.emitted_us > event.bar.valid_until_us:
            findings.add("stale", f"{what} was emitted at {iso(event.emitted_us)}, valid until {iso(event.bar.valid_until_us)}")
        if event.bar.valid_until_us != event.bar.end_us + evidence.threshold_us(event.symbol or ""):
            findings.add("stale", f"{what} ends at {iso(event.bar.end_us)} and says it is valid until {iso(event.bar.valid_until_us)}")
    session = evidence.rows.get("session")
    if isinstance(session, SessionRow) and session.active != active:
        findings.add("gate", f"it is {'open' if active else 'shut'} on analysis and not in the state")


def _bars_of(analysis: Iterable[AnalysisEvent]) -> list[tuple[Series, AnalysisBar]]:
    return [((event.symbol or "", event.incarnation or 0, event.interval or ""), event.bar) for event in analysis if event.bar is not None]


def _check_repetition_and_order(evidence: Evidence, findings: _Findings) -> None:
    newest: dict[Series, tuple[int, int]] = {}
    seen: set[tuple[Series, int, int]] = set()
    # At the end of a backlog windows that lack bars are told of, behind those that were whole before.
    ends = {
        (given.symbol, given.incarnation, record.now_us)
        for record in evidence.journal
        for given in record.inputs
        if given.kind is InputKind.CAUGHT_UP and record.rules >= 2
    }
    for event, (series, bar) in zip((one for one in evidence.analysis if one.bar is not None), _bars_of(evidence.analysis), strict=True):
        if (series, bar.start_us, bar.revision) in seen:
            findings.add("repeated", f"{series} {iso(bar.start_us)} revision {bar.revision}")
            continue
        seen.add((series, bar.start_us, bar.revision))
        before = newest.get(series, (0, 0))
        is_left_over = not bar.complete and (event.symbol, event.incarnation, event.emitted_us) in ends
        if bar.revision == 0 and bar.start_us < before[0] and not is_left_over:
            findings.add("order", f"{series} {iso(bar.start_us)} comes after {iso(before[0])}")
        newest[series] = max(before, (bar.start_us, bar.revision))


def _bars_read(evidence: Evidence, findings: _Findings) -> dict[Life, list[Bar]]:
    """The bars that each life was given, in order, by the offset ranges of the journal."""
    positions: dict[Life, int] = {}
    read: dict[Life, list[Bar]] = {}
    by_offset = {symbol: sorted(bars.items()) for symbol, bars in evidence.topics.items()}
    cursor: dict[Life, int] = {}
    early = EarlyBars(evidence.tolerance_us)
    for record in evidence.journal:
        for life, bar in early.ended(record.now_us):
            read[life].append(bar)
        for given in record.inputs:
            life = (given.symbol or "", given.incarnation or 0)
            if given.kind is InputKind.LOADED:
                positions[life], read[life], cursor[life] = given.first_offset or 0, [], 0
            elif given.kind is InputKind.RANGE and given.stream is None:
                first, following = given.first_offset or 0, given.next_offset or 0
                if positions.get(life) != first:
                    findings.add("position", f"{life} was read from {first} while it stood at {positions.get(life)}")
                positions[life] = following
                bars, place = by_offset.get(life[0], []), cursor.get(life, 0)
                while place < len(bars) and bars[place][0] < following:
                    if bars[place][0] >= first and not early.is_early(life, bars[place][1], record):
                        read.setdefault(life, []).append(bars[place][1])
                    place += 1
                cursor[life] = place
            elif given.kind is InputKind.COMMAND:
                early.remove(given)
    _check_positions(evidence, positions, early, findings)
    return read


def _check_positions(evidence: Evidence, positions: Mapping[Life, int], early: EarlyBars, findings: _Findings) -> None:
    """Where each symbol stands in the state, and which bars wait there for their end."""
    for row in evidence.rows.values():
        if not isinstance(row, ProgressRow):
            continue
        life = (row.symbol, row.incarnation)
        if positions.get(life, row.offset) != row.offset:
            findings.add("position", f"{row.symbol} stands at {row.offset} in the state, the journal read to another offset")
        waits = {one.start_us: one.volume for one in row.waiting}
        expected = {start_us: bar.volume for start_us, bar in early.waiting.get(life, {}).items()}
        if (waits, row.forming) != (expected, early.replaced[life]):
            told = f"{waits} wait in the state and {row.forming} were replaced"
            findings.add("waiting", f"{life}: {told}, by what was read {expected} wait and {early.replaced[life]} were")


def _check_values(evidence: Evidence, read: Mapping[Life, Sequence[Bar]], findings: _Findings) -> None:
    by_start = {life: {bar.start_us: bar for bar in bars} for life, bars in read.items()}
    base = _base_intervals(read)
    starts = {life: sorted(bars) for life, bars in by_start.items()}
    for (symbol, incarnation, interval), bar in _bars_of(evidence.analysis):
        life = (symbol, incarnation)
        what = f"{symbol} {interval} {iso(bar.start_us)} revision {bar.revision}"
        if interval == base.get(life):
            source = by_start[life].get(bar.start_us)
            parts = [] if source is None else [source]
        else:
            known, bars = starts.get(life, []), by_start.get(life, {})
            parts = [bars[start] for start in _between(known, bar.start_us, bar.end_us)][: bar.base_count]
        if not parts or len(parts) != bar.base_count:
            findings.add("value", f"{what} is made of {bar.base_count} bars, {len(parts)} were read")
        elif (bar.open, bar.high, bar.low, bar.close) != _prices(parts) or abs(bar.volume - sum(part.volume for part in parts)) > 1e-6:
            findings.add("value", f"{what} is {(bar.open, bar.high, bar.low, bar.close, bar.volume)}, what was read makes {_prices(parts)}")


def _between(starts: Sequence[int], first_us: int, end_us: int) -> Sequence[int]:
    return starts[bisect_left(starts, first_us) : bisect_left(starts, end_us)]


def _prices(parts: Sequence[Bar]) -> tuple[float, float, float, float]:
    return parts[0].open, max(part.high for part in parts), min(part.low for part in parts), parts[-1].close


def _base_intervals(read: Mapping[Life, Sequence[Bar]]) -> dict[Life, str]:
    return {life: bars[0].interval for life, bars in read.items() if bars}


def _extents(evidence: Evidence) -> dict[Series, list[Extent]]:
    """Held-back stretches: the records', and the runs that are still open in the state."""
    found: dict[Series, list[Extent]] = defaultdict(list)
    for event in evidence.analysis:
        if event.kind == AnalysisKind.HELD_BACK and event.extent is not None:
            found[event.symbol or "", event.incarnation or 0, event.interval or ""].append(event.extent)
    for row in evidence.rows.values():
        if isinstance(row, ProgressRow):
            for run in row.runs:
                extent = Extent(run.cause, run.first_start_us, run.last_end_us, run.count)
                found[row.symbol, row.incarnation, run.interval].append(extent)
    return found


def _check_base_bars_are_accounted_for(evidence: Evidence, read: Mapping[Life, Sequence[Bar]], findings: _Findings) -> None:
    published: dict[Series, set[int]] = defaultdict(set)
    for series, bar in _bars_of(evidence.analysis):
        published[series].add(bar.start_us)
    extents = _extents(evidence)
    for life, interval in _base_intervals(read).items():
        series = (*life, interval)
        held: Counter[int] = Counter()
        accounted = len(published[series]) + sum(extent.count for extent in extents[series])
        if accounted != len(read[life]):
            findings.add(
                "account",
                f"{series}: {len(read[life])} bars were read, {len(published[series])} are published and "
                f"{accounted - len(published[series])} held back",
            )
        for extent in extents[series]:
            inside = [
                bar.start_us
                for bar in read[life]
                if extent.first_start_us <= bar.start_us and bar.end_us <= extent.last_end_us and bar.start_us not in published[series]
            ]
            held.update(inside)
            if len(inside) != extent.count:
                stretch = f"{series}: the stretch from {iso(extent.first_start_us)}"
                findings.add("account", f"{stretch} counts {extent.count} bars, {len(inside)} lie in it")
        for bar in read[life]:
            places = held[bar.start_us] + (bar.start_us in published[series])
            if places != 1:
                findings.add("account", f"{series} {iso(bar.start_us)} is accounted for {places} times")


def _check_windows_are_accounted_for(evidence: Evidence, read: Mapping[Life, Sequence[Bar]], findings: _Findings) -> None:
    """Each derived bar whose window was read to its end is published, or lies in a stretch that was held back.

    Windows are taken to begin at multiples of their length. How many versions of one were held back is not told here: the
    clock may close one before its last bar comes, and what comes then makes another version of it. One that lacks bars waits for
    them for a while: there is no bar of it yet, and if its symbol is removed meanwhile there never is.
    """
    waiting = _waiting_since(evidence, read)
    published: dict[Series, set[int]] = defaultdict(set)
    for series, bar in _bars_of(evidence.analysis):
        published[series].add(bar.start_us)
    extents = _extents(evidence)
    base = _base_intervals(read)
    intervals = {series[2] for series in (*published, *extents)}
    for life, interval in product(read, intervals):
        if not read[life] or interval == base[life]:
            continue
        series, width_us = (*life, interval), interval_us(interval)
        starts = {bar.start_us - bar.start_us % width_us for bar in read[life]}
        ended = {start for start in starts if start + width_us <= read[life][-1].end_us}
        held = {start for one in extents.get(series, ()) for start in ended if one.first_start_us <= start < one.last_end_us}
        for start in sorted(ended - held - published.get(series, set())):
            count = sum(start <= bar.start_us < start + width_us for bar in read[life])
            if count < width_us // interval_us(base[life]) and start >= waiting(series):
                continue
            findings.add("account", f"{series} {iso(start)} was read to its end, and is neither published nor held back")


def _waiting_since(evidence: Evidence, read: Mapping[Life, Sequence[Bar]]) -> Callable[[Series], float]:
    """From which window on one may wait for bars: as the state says, or, of a life that was removed, near its newest bar."""
    rows = [row for row in evidence.rows.values() if isinstance(row, ProgressRow)]
    stored = {
        (row.symbol, row.incarnation, one.interval): one.open_since_us for row in rows for one in row.windows if one.open_since_us >= 0
    }
    removed = {(event.symbol, event.incarnation) for event in evidence.analysis if event.kind == AnalysisKind.SYMBOL_REMOVED}

    def since(series: Series) -> float:
        if series[:2] not in removed:
            return stored.get(series, inf)
        return read[series[:2]][-1].end_us - interval_us(series[2]) - _LONGEST_GRACE_US + 1

    return since


def _check_state_counts(evidence: Evidence, findings: _Findings) -> None:
    published: Counter[Life] = Counter()
    held: Counter[Life] = Counter()
    for series, _ in _bars_of(evidence.analysis):
        published[series[:2]] += 1
    for series, extents in _extents(evidence).items():
        held[series[:2]] += sum(extent.count for extent in extents)
    for row in evidence.rows.values():
        if not isinstance(row, ProgressRow):
            continue
        life = (row.symbol, row.incarnation)
        if (row.published, row.held_back) != (published[life], held[life]) or row.accepted != row.published + row.held_back:
            findings.add(
                "counts",
                f"{life}: the state says {row.accepted} = {row.published} published + {row.held_back} held back, "
                f"analysis and runs say {published[life]} and {held[life]}",
            )


def _check_exports(evidence: Evidence, read: Mapping[Life, Sequence[Bar]], findings: _Findings) -> None:
    """The rows of exports: of a life that is there, no further than its bars, and none begun that nobody asked for."""
    texts = [given.text or "" for record in evidence.journal for given in record.inputs if given.kind is InputKind.COMMAND]
    commands = [msgspec.json.decode(text, type=ControlCommand) for text in texts]
    begun = Counter(command.symbol for command in commands if command.kind == CommandKind.BEGIN_EXPORT)
    for row in evidence.rows.values():
        if not isinstance(row, ExportRow):
            continue
        life = (row.symbol, row.incarnation)
        progress = evidence.rows.get(f"progress|{row.symbol}")
        if not isinstance(progress, ProgressRow) or progress.incarnation != row.incarnation:
            findings.add("exports", f"{life} has an export position and is not there")
        if not 0 < row.number <= begun[row.symbol]:
            findings.add("exports", f"{life} is at export {row.number}, {begun[row.symbol]} were asked for")
        done = {(mark.trading_days, mark.interval): mark.exported_to_us for mark in row.done}
        newest_us = max((bar.start_us for bar in read.get(life, ())), default=-1)
        for mark in row.pending:
            before_us = done.get((mark.trading_days, mark.interval))
            if not row.is_pending or before_us is None or mark.exported_to_us < before_us:
                findings.add("exports", f"{life}: export {row.number} of {mark.interval} does not follow on what is exported")
        for mark in (*row.done, *row.pending):
            if mark.exported_to_us > newest_us:
                findings.add(
                    "exports", f"{life} {mark.interval} is exported to {iso(mark.exported_to_us)}, its newest bar is {iso(newest_us)}"
                )


def _check_extras(evidence: Evidence, findings: _Findings) -> None:
    """The rows of quotes and ticks against what the journal says was read: each once, and the latest one is the one with the latest time.

    It presumes that all are good, and of hours and of the day that the session stands in.
    """
    read: dict[tuple[Life, str], range] = {}
    for record in evidence.journal:
        for given in record.inputs:
            key = ((given.symbol or "", given.incarnation or 0), given.stream or "")
            first = given.first_offset or 0
            if given.kind is InputKind.STREAM_LOCATED:
                read[key] = range(first, first)
            elif given.kind is InputKind.RANGE and given.stream is not None:
                before = read.get(key, range(0))
                if before.stop != first:
                    findings.add("position", f"{key} was read from {first} while it stood at {before.stop}")
                read[key] = range(before.start, given.next_offset or 0)
    for row in evidence.rows.values():
        if not isinstance(row, StreamRow) or (row.symbol, row.stream) not in evidence.extras:
            continue
        key = ((row.symbol, row.incarnation), row.stream)
        offsets, records = read.get(key, range(0)), evidence.extras[row.symbol, row.stream]
        if offsets.stop != row.offset and row.topic_id:
            findings.add("position", f"{key} stands at {row.offset} in the state, the journal read to {offsets.stop}")
        taken = [record for offset, record in sorted(records.items()) if offset in offsets]
        if (row.count, row.total) != (len(taken), len(taken)):
            findings.add("counts", f"{key}: the state says {row.count} of the day and {row.total} in all, {len(taken)} were read")
        latest = max(enumerate(taken), key=lambda one: (one[1].time_us, one[0]), default=None)
        kept = row.quote or row.tick
        if (None if latest is None else latest[1].time_us) != (None if kept is None else kept.time_us):
            findings.add("latest", f"{key}: {kept} is kept as the latest, it is {latest}")


def _check_versions(evidence: Evidence, all_bars: Sequence[AnalysisEvent], findings: _Findings) -> None:
    """The ungated topic has what is published as it is published, and among it each version of each bar once."""
    published = [event for event in all_bars if not event.held_back]
    if published != [event for event in evidence.analysis if event.bar is not None]:
        findings.add("ungated", f"{len(published)} bars of the ungated topic are said to be published, and they are not those of analysis")
    last = (0, 0)
    for event in all_bars:
        if (event.epoch, event.sequence) < last:
            findings.add("ungated", f"{event.symbol} {event.interval} has sequence {event.sequence} behind {last}")
        last = (event.epoch, event.sequence)
    lives = Lives(evidence.journal, evidence.topics, tolerance_us=evidence.tolerance_us)
    origin_us = 0 if evidence.day is None else evidence.day.open_us
    for sentence in wrong_versions(lives, evidence.journal, evidence.analysis, all_bars, origin_us=origin_us, grace_us=evidence.grace_us):
        findings.add("versions", sentence)
    for sentence in wrong_extents(evidence.analysis, all_bars, evidence.rows):
        findings.add("extents", sentence)
    if evidence.day is not None:
        for sentence in wrong_state(lives, evidence.rows, evidence.day):
            findings.add("state", sentence)
        for sentence in wrong_indicators(evidence.rows, evidence.day):
            findings.add("indicators", sentence)
