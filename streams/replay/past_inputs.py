"""Past days of a symbol in a replay: read from the replay's own source, whole or not at all.

What a symbol has of past days is what its source holds before the place at which its bars begin to be replayed: a late bar that
stands behind that place comes when it is due, as it does live. So nothing is known before its time, and a bar comes in
once. A backtest over days that are not there would compute other indicators than the live session, so it is refused.
"""

from __future__ import annotations

from collections.abc import Iterator

from streams.calendar.trading import TradingCalendar
from streams.engine.loading import Stretch, in_words, judged, shortened, stretches
from streams.engine.rules.past_days import Wanted
from streams.errors import HistoryError
from streams.model.inputs import JournalInput
from streams.model.records import PROVENANCE_GAP_FILL, Bar
from streams.replay.record_queue import WITNESSES
from streams.replay.source import BarSource
from streams.times import DAY_US, date_of_days


def past_inputs(source: BarSource, wanted: Wanted, calendar: TradingCalendar, now_us: int) -> list[JournalInput]:
    """The inputs that give a pending symbol its past days; none where none are wanted.

    Args:
        source: whose records are read.
        wanted: what for.
        calendar: of the session.
        now_us: the replay's clock.

    Raises:
        HistoryError: the source lacks days, or has bars among them that can't be; the message names them.
    """
    inputs: list[JournalInput] = []
    for interval in wanted.intervals:
        empty, faulty = [], []
        for asked in stretches(wanted, interval, calendar):
            found = judged(wanted, asked, _bars_of(source, wanted, asked), calendar, now_us)
            inputs += found.inputs
            empty += found.empty
            faulty += found.faulty
        missing = in_words(wanted, interval, empty, faulty)
        if missing:
            raise HistoryError(
                f"{missing}: a replay needs all of the {len(wanted.days)} trading days before {date_of_days(wanted.day.days)} that "
                "historical.trailing_days asks for"
            )
    return inputs


def _bars_of(source: BarSource, wanted: Wanted, asked: Stretch) -> list[Bar]:
    """What the source holds of a stretch, as the session would have it: a later bar for the same start is its correction."""
    found: dict[int, Bar] = {}
    for bar in _read(source, wanted, asked):
        in_stretch = asked.start_us <= bar.start_us < asked.end_us and (bar.symbol, bar.interval) == (wanted.symbol, asked.interval)
        if in_stretch and not (bar.provenance == PROVENANCE_GAP_FILL and bar.start_us in found):
            found[bar.start_us] = bar
    return [found[start_us] for start_us in sorted(found)]


def _read(source: BarSource, wanted: Wanted, asked: Stretch) -> Iterator[Bar]:
    """The bars from the stretch on, up to a day beyond it, where late ones may stand, or up to the symbol's own day."""
    day = wanted.day
    beyond_us = min(asked.end_us + DAY_US, day.open_us)
    beyond = 0
    opened = source.open(wanted.symbol, asked.interval, asked.start_us)
    try:
        for _, record, *_ in opened.records:
            if not isinstance(record, Bar):
                continue
            # One alone may be a stray, unless it is of the symbol's day: what comes from there on is replayed.
            beyond = beyond + 1 if record.end_us > beyond_us else 0
            if beyond == WITNESSES or day.open_us < record.end_us <= day.close_us:
                return
            yield record
    except HistoryError as error:
        raise HistoryError(shortened(str(error)), reason=shortened(error.reason)) from error
    finally:
        opened.close()
