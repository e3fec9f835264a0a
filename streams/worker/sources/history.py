"""Loading past days: asks a history source for what a pending symbol is to have, and gives the engine's inputs in portions.

A source is somebody else's program, and may hang, raise or give nonsense. The invariant: whatever it does, a symbol's load comes
to an end, with the reason in words where something is missing, and the symbol is loaded without it. And a load of any length
takes a few portions of memory, since the next question waits until the portion before it is written.

- Each question is asked in a thread of its own, a daemon, so that one which hangs keeps no process from ending. After
  `answer_seconds` it is given up, and the rest of its symbol's load with it.
- A source that has failed after `slow_seconds` or more is left alone for `pause_seconds`: loads that would ask it fail at once.
  So a start with hundreds of symbols is held up by a source that hangs for one time limit, not for each of them.
- `at_once` symbols are loaded at a time; `most_hanging` threads may hang, then nothing is asked until one of them comes back.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from itertools import islice
from typing import Final, TypeVar

from loguru import logger
from msgspec import Struct

from streams.calendar.trading import TradingCalendar, TradingDay
from streams.engine.loading import (
    Judged,
    Stretch,
    begin_input,
    dates_of,
    in_words,
    judged,
    missing_input,
    shortened,
    size_of,
    stretches,
)
from streams.engine.rules.past_days import Wanted
from streams.errors import HistoryError
from streams.history.sources.source import VARIABLE, HistorySource, words_of
from streams.model.inputs import JournalInput
from streams.model.records import Bar
from streams.times import Clock, from_us, interval_us

PORTION_BYTES: Final = 400_000
"""What a portion takes in the journal at most, about: Kafka takes a million bytes, and it is written in one transaction."""

T = TypeVar("T")
HandOver = Callable[[list[JournalInput]], Awaitable[None]]
"""Takes a portion of inputs, and returns when there is room for the next one."""


class LoaderLimits(Struct, frozen=True):
    """How much a source may cost."""

    at_once: int = 4
    answer_seconds: float = 30.0
    slow_seconds: float = 5.0
    pause_seconds: float = 60.0
    most_hanging: int = 8


class HistoryLoader:
    """Loads past days of symbols.

    Args:
        source: who is asked, in threads; None where the settings name none.
        clock: for time limits.
        limits: how much the source may cost.
    """

    def __init__(self, source: HistorySource | None, clock: Clock, limits: LoaderLimits | None = None) -> None:
        self._source = source
        self._clock = clock
        self._limits = limits or LoaderLimits()
        self._turns = asyncio.Semaphore(self._limits.at_once)
        self._hanging = 0
        self._trouble = ""
        self._left_alone_until = clock.monotonic()

    async def load(self, wanted: Wanted, calendar: TradingCalendar, now_us: int, hand_over: HandOver) -> str | None:
        """Load what is wanted of a symbol, and hand its inputs over; gives what is missing, in words.

        Args:
            wanted: what; nothing is handed over where that is nothing.
            calendar: of the session.
            now_us: nothing that ends after it is taken.
            hand_over: takes the inputs.
        """
        if not wanted.intervals:
            return None
        async with self._turns:
            load = _Load(wanted, hand_over)
            await load.add([begin_input(wanted)])
            for interval in wanted.intervals:
                await self._load_interval(load, interval, calendar, now_us)
            await load.flush()
        return "; ".join(load.missing) or None

    async def _load_interval(self, load: _Load, interval: str, calendar: TradingCalendar, now_us: int) -> None:
        wanted = load.wanted
        empty: list[TradingDay] = []
        faulty: list[tuple[TradingDay, str]] = []
        unknown: list[TradingDay] = []
        trouble = ""
        for asked in stretches(wanted, interval, calendar):
            try:
                found = await self._answer(wanted, asked, calendar, now_us)
            except HistoryError as error:
                unknown += asked.days
                trouble = trouble or str(error)
                continue
            empty += found.empty
            faulty += found.faulty
            await load.add(found.inputs)
        reasons = [in_words(wanted, interval, empty, faulty)] if empty or faulty else []
        if unknown:
            reasons.append(f"no {interval} bars of {dates_of(wanted.days, unknown)}: {trouble}")
        if reasons:
            reason = shortened("; ".join(reasons))
            load.missing.append(reason)
            await load.add([missing_input(wanted, interval, len(empty) + len(faulty) + len(unknown), reason)])

    async def _answer(self, wanted: Wanted, asked: Stretch, calendar: TradingCalendar, now_us: int) -> Judged:
        """What comes of a question.

        Raises:
            HistoryError: there is no source, it has failed, or it is left alone.
        """
        source, limits = self._source, self._limits
        if source is None:
            raise HistoryError(f"{VARIABLE} names no source to ask")
        if self._clock.monotonic() < self._left_alone_until:
            raise HistoryError(f"the source is left alone for a while, after this: {self._trouble}")
        if self._hanging >= limits.most_hanging:
            raise HistoryError(f"{self._hanging} questions to the source hang: nothing is asked until one comes back")
        began = self._clock.monotonic()

        def ask() -> Judged:
            answer = source.get_bars(wanted.symbol, asked.interval, from_us(asked.start_us), from_us(asked.end_us))
            return judged(wanted, asked, _bars(answer, asked), calendar, now_us)

        try:
            return await self._in_thread(ask, f"history of {wanted.symbol}")
        except HistoryError as error:
            if self._clock.monotonic() - began >= limits.slow_seconds:
                self._trouble = str(error)
                self._left_alone_until = self._clock.monotonic() + limits.pause_seconds
                logger.bind(symbol=wanted.symbol).warning("the history source is left alone for {:g} s: {}", limits.pause_seconds, error)
            raise

    async def _in_thread(self, ask: Callable[[], T], name: str) -> T:
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[T] = loop.create_future()
        is_given_up = False

        def end(answer: T | None, error: BaseException | None) -> None:
            if is_given_up:
                self._hanging -= 1
            elif error is not None:
                answered.set_exception(error)
            else:
                answered.set_result(answer)  # type: ignore[arg-type]

        def run() -> None:
            answer, error = None, None
            try:
                answer = ask()
            except BaseException as raised:  # it is somebody else's program, which may raise anything
                error = HistoryError(shortened(words_of(raised)))
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(end, answer, error)

        try:
            threading.Thread(target=run, name=name, daemon=True).start()
        except RuntimeError as error:  # the system has no more threads
            raise HistoryError(str(error)) from error
        seconds = self._limits.answer_seconds
        try:
            return await asyncio.wait_for(asyncio.shield(answered), seconds)
        except TimeoutError:
            raise HistoryError(f"the source gave no answer within {seconds:g} s") from None
        finally:
            if not answered.done():
                is_given_up = True
                self._hanging += 1


class _Load:
    """The load of one symbol: inputs gather until they make a portion."""

    def __init__(self, wanted: Wanted, hand_over: HandOver) -> None:
        self.wanted = wanted
        self.missing: list[str] = []
        self._hand_over = hand_over
        self._portion: list[JournalInput] = []
        self._bytes = 0

    async def add(self, inputs: Iterable[JournalInput]) -> None:
        """Add inputs, and hand over what has become a portion."""
        for given in inputs:
            size = size_of(given)
            if self._bytes + size > PORTION_BYTES:
                await self.flush()
            self._portion.append(given)
            self._bytes += size

    async def flush(self) -> None:
        """Hand over what there is."""
        portion, self._portion, self._bytes = self._portion, [], 0
        if portion:
            await self._hand_over(portion)


def _bars(answer: object, asked: Stretch) -> list[Bar]:
    """The bars of an answer.

    Raises:
        HistoryError: it is not made of bars, or of too many.
    """
    if not isinstance(answer, Iterable):
        raise HistoryError(f"it gave a {type(answer).__name__} instead of bars")
    most = (asked.end_us - asked.start_us) // interval_us(asked.interval) + len(asked.days) + 1
    bars = list(islice(answer, most + 1))
    if len(bars) > most:
        raise HistoryError(f"it gave more than {most} bars where no more fit")
    for bar in bars:
        if not isinstance(bar, Bar):
            raise HistoryError(f"it gave a {type(bar).__name__} among the bars")
    return bars
