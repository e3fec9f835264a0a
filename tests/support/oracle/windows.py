"""What must hold of the windows that are told to be complete: pure code over decoded records, for the oracle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from streams.model.records import AnalysisKind, IntervalComplete
from streams.times import interval_us, iso
from streams.wire.messages import AnalysisEvent

GOES = (AnalysisKind.SYMBOL_REMOVED, AnalysisKind.SYMBOL_FAILED)
Life = tuple[str, int]


def wrong_windows(analysis: Sequence[AnalysisEvent]) -> Iterator[str]:
    """A sentence for each window that was told out of turn, while the gate was shut, or untruly.

    That a symbol has its bar when a window is told is true if no first bar of that window follows. One that is to be removed is
    not waited for, which analysis does not tell until it is gone: of such symbols nothing is said here.
    """
    gone = {_life(event) for event in analysis if event.kind in GOES}
    active, epoch = False, 0
    loaded: dict[Life, int] = {}
    newest: dict[str, int] = {}
    told: dict[tuple[str, int], tuple[int, IntervalComplete]] = {}
    for event in analysis:
        if event.epoch != epoch:
            active, epoch, loaded, newest, told = False, event.epoch, {}, {}, {}
        match event.kind:
            case AnalysisKind.ACTIVATED | AnalysisKind.DEACTIVATED:
                active = event.kind == AnalysisKind.ACTIVATED
            case AnalysisKind.SYMBOL_ADDED:
                loaded[_life(event)] = event.sequence
            case AnalysisKind.SYMBOL_REMOVED | AnalysisKind.SYMBOL_FAILED:
                loaded.pop(_life(event), None)
        interval, complete = event.interval or "", event.interval_complete
        if complete is not None:
            yield from _faults(event, complete, active, newest.get(interval, 0), {symbol for symbol, _ in loaded})
            newest[interval] = complete.end_us
            told[interval, complete.end_us] = event.sequence, complete
        elif event.bar is not None and event.bar.revision == 0 and (interval, event.bar.end_us) in told:
            sequence, complete = told[interval, event.bar.end_us]
            life = _life(event)
            was_expected = loaded.get(life, sequence) < sequence and life not in gone
            if was_expected and life[0] not in complete.absent:
                yield f"{life} {interval} {iso(event.bar.end_us)} comes after it was told to be there"


def wrong_presence(
    analysis: Sequence[AnalysisEvent], all_bars: Sequence[AnalysisEvent], patience_us: int, stays: Callable[[str], bool]
) -> Iterator[str]:
    """A sentence for each window that was passed over though it was not long past, or told of a symbol what its bars contradict.

    `patience_us` is how old a window may be and is still told; `stays` tells the symbols that are never removed, of which all is
    known. Bars count whether they were published or held back.
    """
    first_told: dict[tuple[str, str, int], int] = {}
    for event in all_bars:
        if event.bar is not None:
            first_told.setdefault((event.symbol or "", event.interval or "", event.bar.end_us), event.emitted_us)
    loaded = {event.symbol: event.emitted_us for event in analysis if event.kind == AnalysisKind.SYMBOL_ADDED and stays(event.symbol or "")}
    newest: dict[str, int] = {}
    for event in analysis:
        interval, complete = event.interval or "", event.interval_complete
        if event.kind in (AnalysisKind.ACTIVATED, AnalysisKind.DEACTIVATED):
            newest = {}
        if complete is None:
            continue
        what = f"{event.sequence}: {interval} to {iso(complete.end_us)}"
        due_us = newest.get(interval, complete.end_us - interval_us(interval)) + interval_us(interval)
        if due_us < complete.end_us and event.emitted_us <= due_us + patience_us:
            yield f"{what} is told, and the one to {iso(due_us)} is not"
        newest[interval] = complete.end_us
        for symbol, since_us in loaded.items():
            if since_us < event.emitted_us:
                told_us = first_told.get((symbol or "", interval, complete.end_us))
                is_absent = symbol in complete.absent
                if is_absent and told_us is not None and told_us < event.emitted_us:
                    yield f"{what}: {symbol} is said to be absent, and its bar is there"
                if not is_absent and (told_us is None or told_us > event.emitted_us):
                    yield f"{what}: {symbol} is said to be there, and its bar is not"


def _faults(event: AnalysisEvent, complete: IntervalComplete, active: bool, newest_us: int, loaded: set[str]) -> Iterator[str]:
    what = f"{event.sequence}: {event.interval} to {iso(complete.end_us)}"
    checks: list[tuple[bool, Callable[[], str]]] = [
        (active, lambda: f"{what} was told while the gate was shut"),
        (complete.end_us > newest_us, lambda: f"{what} was told after {iso(newest_us)}"),
        (complete.present + len(complete.absent) == complete.expected, lambda: f"{what}: {complete} does not add up"),
        (list(complete.absent) == sorted(set(complete.absent)), lambda: f"{what}: {complete.absent} is not in order"),
        (complete.expected <= len(loaded) and set(complete.absent) <= loaded, lambda: f"{what} expects more than {sorted(loaded)}"),
    ]
    yield from (sentence() for holds, sentence in checks if not holds)


def _life(event: AnalysisEvent) -> Life:
    return event.symbol or "", event.incarnation or 0
