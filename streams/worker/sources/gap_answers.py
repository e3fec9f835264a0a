"""What a history source says about a gap, judged: good bars for the symbol's topic, or why it is no answer. Pure.

A source is somebody else's program. One that gives a wrong bar has misunderstood the question, or is broken, and what else it
gives is no better: the whole answer is refused, and nothing of it is produced.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from operator import index
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from streams.calendar.trading import TradingCalendar, TradingDay
from streams.engine.rules.placement import Place, place_of
from streams.engine.state.completeness import GapInfo
from streams.engine.state.symbol import SymbolSessionData
from streams.errors import StreamsError
from streams.history.sources.source import words_of
from streams.model.records import PROVENANCE_GAP_FILL, Bar
from streams.model.validation import ABOVE_ZERO, fault_of, future_fault, price_fault, text_of
from streams.times import DAY_US, interval_us, iso

MOST_SLOTS: Final = 1_000
"""How many bars are asked for at once: the rest of a longer gap is asked for after them, and the feed's bars come in between."""
LONGEST_REASON: Final = 300
"""Characters of a reason in the journal: a source may say whole pages."""


class Question(Struct, frozen=True):
    """What a source is asked at `now_us`: the base bars of a symbol for the slots of `day` that start in `[start_us, end_us)`.

    `from_us` is where the source is asked from: bars of some slots have other starts than those, such as midnight for a day's.
    """

    symbol: str
    incarnation: int
    interval: str
    start_us: int
    end_us: int
    from_us: int
    now_us: int
    day: TradingDay
    calendar: TradingCalendar
    anchor: str
    is_uneven: bool
    lowest_price: float = ABOVE_ZERO

    def __str__(self) -> str:
        return f"{self.interval} bars of {self.symbol} from {iso(self.start_us)} to {iso(self.end_us)}"


def question_of(data: SymbolSessionData, gap: GapInfo, calendar: TradingCalendar, now_us: int) -> Question:
    """What to ask about a gap, or about its beginning where it is long."""
    end_us = min(gap.end_us, gap.start_us + MOST_SLOTS * data.base_us)
    grid = data.bars.grid
    from_us = min(gap.start_us, grid.full_start_at(grid.line_of(gap.start_us)))
    if data.base_us >= DAY_US:
        from_us = min(from_us, data.day.days * DAY_US, calendar.midnight_of(data.day.days))
    return Question(
        data.symbol, data.incarnation, data.base_interval, gap.start_us, end_us, from_us, now_us, data.day, calendar, data.anchor,
        data.is_uneven, data.lowest_price,
    )  # fmt: skip


class NonsenseError(StreamsError):
    """An answer that is none; the text says why."""


def judged(question: Question, answer: object) -> list[Bar]:
    """The bars of an answer that fall into trading hours, in order, with the provenance of filled gaps.

    Args:
        question: what was asked.
        answer: whatever the source gave.

    Raises:
        NonsenseError: it is not made of bars, or one of them is not what was asked for.
    """
    width_us = interval_us(question.interval)
    most = -((question.from_us - question.end_us) // width_us)
    if not isinstance(answer, Iterable):
        raise NonsenseError(f"it gave a {type(answer).__name__} instead of bars")
    bars: dict[int, Bar] = {}
    given = list(islice(answer, most + 1))
    if len(given) > most:
        raise NonsenseError(f"it gave more than {most} bars where no more fit")
    for one in given:
        bar = _bar(question, one)
        if question.from_us <= bar.start_us < question.end_us:
            placed = _placed(question, bar, width_us)
            if placed is None:
                continue  # a stretch may span a break, and a source may have what was traded elsewhere meanwhile: it fills nothing
            bar = placed
        if not question.start_us <= bar.start_us < question.end_us:
            raise NonsenseError(f"it gave a bar that starts at {text_of(bar.start_us)}, outside the stretch that was asked for")
        if bar.start_us in bars:
            raise NonsenseError(f"it gave two bars that start at {iso(bar.start_us)}")
        bars[bar.start_us] = bar
    return [bars[start_us] for start_us in sorted(bars)]


def _placed(question: Question, bar: Bar, width_us: int) -> Bar | None:
    """The bar as it lies on its day, judged as the engine does; None for one outside the hours."""
    if not question.is_uneven:
        fault = fault_of(bar, width_us, question.now_us, 0, question.lowest_price)
        is_within = question.day.contains(bar.start_us)
    else:
        place = price_fault(bar, question.lowest_price) or place_of(bar, question.anchor, question.calendar)
        is_within = place is not None
        if isinstance(place, Place):
            bar = place.bar
            fault = future_fault(bar, question.now_us, 0)
        else:
            fault = place
    if fault is not None:
        raise NonsenseError(f"it gave a bar that can't be one: {fault[1]}")
    return bar if is_within else None


def in_words(error: BaseException) -> str:
    """What went wrong, in so many characters as the journal can have."""
    text = words_of(error, plain=NonsenseError)
    return text if len(text) <= LONGEST_REASON else f"{text[: LONGEST_REASON - 3]}..."


def _bar(question: Question, given: object) -> Bar:
    """The bar with numbers of Python's own: those of numpy, say, would not go into an Avro record."""
    if not isinstance(given, Bar):
        raise NonsenseError(f"it gave a {type(given).__name__} among the bars")
    if given.symbol != question.symbol or given.interval != question.interval:
        raise NonsenseError(f"it gave a {given.interval} bar of {given.symbol}")
    try:
        return replace(
            given,
            start_us=index(given.start_us), end_us=index(given.end_us),
            open=float(given.open), high=float(given.high), low=float(given.low), close=float(given.close), volume=float(given.volume),
            vwap=None if given.vwap is None else float(given.vwap), trades=None if given.trades is None else index(given.trades),
            provenance=PROVENANCE_GAP_FILL,
        )  # fmt: skip
    except (TypeError, ValueError, OverflowError) as error:
        raise NonsenseError(f"it gave a bar of other things than numbers: {error}") from None
