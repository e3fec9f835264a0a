"""Loading past days from a source that answers, fails, hangs or gives nonsense, without a broker."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any

import pytest

from streams.calendar.trading import TradingCalendar
from streams.engine.rules.past_days import Wanted, wanted
from streams.model.inputs import InputKind, JournalInput
from streams.model.records import Bar
from streams.times import ManualClock, interval_us, to_us
from streams.worker.sources.history import HistoryLoader, LoaderLimits
from tests.support.engine import Desk, at, bar, config

NOON = at("12:00")
LIMITS = LoaderLimits(answer_seconds=0.2, slow_seconds=0.1, most_hanging=3)


class Source:
    """Answers as a test wants it, and remembers what it was asked."""

    def __init__(self, answer: Callable[[str, str, int, int], object] | None = None) -> None:
        self._answer = answer or full
        self.asked: list[tuple[str, str, int, int]] = []
        self.let_go = threading.Event()

    def get_bars(self, symbol: str, interval: str, start: datetime, end: datetime) -> Sequence[Bar]:
        self.asked.append((symbol, interval, to_us(start), to_us(end)))
        answer: Any = self._answer(*self.asked[-1])
        return answer


def full(symbol: str, interval: str, start_us: int, end_us: int) -> list[Bar]:
    """Bars around the clock."""
    return [bar(symbol, start, interval) for start in range(start_us, end_us, interval_us(interval))]


def hang(source: Source) -> object:
    source.let_go.wait(30)
    return []


def failing(symbol: str, interval: str, start_us: int, end_us: int) -> object:
    raise PermissionError("the licence has run out")


class WordlessError(Exception):
    """Can't say what is wrong."""

    def __str__(self) -> str:
        raise LookupError


def raise_(error: Exception) -> object:
    raise error


class Session:
    """A session with pending symbols, into which portions go."""

    def __init__(self, *symbols: str, trailing_days: int = 2, **parts: Any) -> None:
        self.desk = Desk(config(*symbols, historical={"trailing_days": trailing_days, **parts.pop("historical", {})}, **parts), NOON)
        self.portions: list[list[JournalInput]] = []

    @property
    def calendar(self) -> TradingCalendar:
        return self.desk.session.state.calendar

    def plan(self, symbol: str = "SPY") -> Wanted:
        return wanted(self.desk.session.state, self.desk.data(symbol))

    async def take(self, portion: list[JournalInput]) -> None:
        self.portions.append(portion)
        self.desk.apply(*portion)

    async def load(self, loader: HistoryLoader, symbol: str = "SPY") -> str | None:
        return await loader.load(self.plan(symbol), self.calendar, self.desk.now_us, self.take)

    def kept(self, symbol: str = "SPY") -> list[tuple[str, int]]:
        historical = self.desk.data(symbol).historical
        return [(interval, len(series)) for days in sorted(historical) for interval, series in historical[days].items()]

    def missing(self) -> list[tuple[str | None, int | None]]:
        return [(one.reason, one.count) for portion in self.portions for one in portion if one.reason is not None]


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


def test_all_days_come_in_portions_that_the_journal_can_hold() -> None:
    async def scenario() -> None:
        session, source = Session("SPY", trailing_days=80), Source()
        assert await session.load(HistoryLoader(source, ManualClock())) is None
        # Trading ended at 13:00 on the day before Independence Day.
        assert session.kept() == [("1m", 210 if place == 14 else 390) for place in range(80)]
        assert len(source.asked) == 2, "64 days of minutes make one question"
        sizes = [sum(len(one.bars.slots) for one in portion if one.bars is not None) for portion in session.portions]
        assert sum(sizes) == 79 * 390 + 210
        assert 20 * 390 < max(sizes) <= 23 * 390
        assert [portion[0].interval is None for portion in session.portions] == [True, *[False] * (len(sizes) - 1)]

    run(scenario())


def test_without_anything_wanted_nothing_is_asked_or_said() -> None:
    async def scenario() -> None:
        session, source = Session("SPY", historical={"apply_to": []}), Source()
        assert await session.load(HistoryLoader(source, ManualClock())) is None
        assert (source.asked, session.portions) == ([], [])

    run(scenario())


def test_without_a_source_it_is_said_and_the_load_ends() -> None:
    async def scenario() -> None:
        session = Session("SPY")
        reason = await session.load(HistoryLoader(None, ManualClock()))
        assert reason == "no 1m bars of 2013-10-03 to 2013-10-04: STREAMS_HISTORY names no source to ask"
        assert session.missing() == [(reason, 2)]
        assert session.kept() == []

    run(scenario())


ODD: list[tuple[str, Callable[[str, str, int, int], object], str]] = [
    ("it raises", failing, "PermissionError: the licence has run out"),
    ("it raises what can't be written", lambda *asked: raise_(OSError("no file a\udcff")), "OSError: no file a?"),
    ("it raises what can't be told", lambda *asked: raise_(WordlessError()), "WordlessError: its text can't be had, LookupError"),
    ("it gives no bars", lambda *asked: 5, "it gave a int instead of bars"),
    ("it gives other things", lambda *asked: [{"open": 3}], "it gave a dict among the bars"),
    ("it gives too many", lambda symbol, interval, start, end: full(symbol, interval, start, end) * 2, "it gave more than 1833 bars"),
    ("it gives words", lambda symbol, interval, start, end: [bar(symbol, start, open="dear")], "TypeError: "),
]


@pytest.mark.parametrize(("what", "answer", "words"), ODD, ids=[what for what, *_ in ODD])
def test_an_answer_that_is_none_is_a_reason(what: str, answer: Callable[[str, str, int, int], object], words: str) -> None:
    async def scenario() -> None:
        session = Session("SPY")
        reason = await session.load(HistoryLoader(Source(answer), ManualClock()))
        assert reason is not None
        assert reason.startswith("no 1m bars of 2013-10-03 to 2013-10-04: ")
        assert words in reason
        assert session.missing() == [(reason, 2)]

    run(scenario())


def test_a_bar_of_a_symbol_that_can_not_be_written_is_a_reason_that_can() -> None:
    async def scenario() -> None:
        session = Session("SPY")
        reason = await session.load(HistoryLoader(Source(lambda *asked: [bar("S\udcff", asked[2])]), ManualClock()))
        assert reason is not None
        assert "a 1m bar of S? that starts at" in reason

    run(scenario())


def test_a_day_that_fails_leaves_the_others() -> None:
    def answer(symbol: str, interval: str, start_us: int, end_us: int) -> object:
        if start_us == at("09:30", "2013-10-03"):
            raise OSError("no such file")
        return full(symbol, interval, start_us, end_us)

    async def scenario() -> None:
        session = Session("SPY", streams=["1s"], trailing_days=3)
        reason = await session.load(HistoryLoader(Source(answer), ManualClock()))
        assert reason == "no 1s bars of 2013-10-03: OSError: no such file"
        assert session.kept() == [("1s", 23_400)] * 2

    run(scenario())


def test_a_source_that_hangs_holds_up_one_time_limit_and_no_more() -> None:
    async def scenario() -> None:
        names = [f"S{number}" for number in range(20)]
        session, source = Session(*names), Source(lambda *asked: hang(source))
        loader = HistoryLoader(source, ManualClock(), LIMITS)
        clock_of_loader: ManualClock = loader._clock  # type: ignore[assignment]

        async def pass_time() -> None:
            while True:
                clock_of_loader.advance_seconds(0.05)
                await asyncio.sleep(0.05)

        passing = asyncio.create_task(pass_time())
        reasons = await asyncio.gather(*[session.load(loader, name) for name in names])
        passing.cancel()
        assert len(source.asked) <= 4
        assert all(reason is not None and "gave no answer within 0.2 s" in reason for reason in reasons)
        assert sum("left alone" in (reason or "") for reason in reasons) == 20 - len(source.asked)
        source.let_go.set()

    run(scenario())


def test_when_enough_questions_hang_no_more_are_asked_until_one_comes_back() -> None:
    async def scenario() -> None:
        session, source = Session("SPY"), Source(lambda *asked: hang(source))
        clock = ManualClock()
        loader = HistoryLoader(source, clock, LIMITS)
        for _ in range(3):
            assert "gave no answer" in (await session.load(loader) or "")
            clock.advance_seconds(61)
        assert "3 questions to the source hang" in (await session.load(loader) or "")
        assert len(source.asked) == 3
        source.let_go.set()
        source._answer = full
        while await session.load(loader) is not None:
            await asyncio.sleep(0.01)
        assert session.kept() == [("1m", 390)] * 2

    run(scenario())


def test_a_load_that_is_given_up_asks_no_more() -> None:
    async def scenario() -> None:
        session, source = Session("SPY"), Source(lambda *asked: hang(source))
        task = asyncio.create_task(session.load(HistoryLoader(source, ManualClock())))
        while not source.asked:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        source.let_go.set()
        assert [one.kind for portion in session.portions for one in portion] in ([], [InputKind.HISTORY])

    run(scenario())


def test_so_many_symbols_are_loaded_at_a_time() -> None:
    async def scenario() -> None:
        names = [f"S{number}" for number in range(12)]
        session, at_once, most = Session(*names), threading.Semaphore(0), 0
        running = 0
        lock = threading.Lock()

        def answer(symbol: str, interval: str, start_us: int, end_us: int) -> object:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            at_once.acquire(timeout=0.05)
            with lock:
                running -= 1
            return full(symbol, interval, start_us, end_us)

        loader = HistoryLoader(Source(answer), ManualClock())
        assert await asyncio.gather(*[session.load(loader, name) for name in names]) == [None] * 12
        assert most <= 4

    run(scenario())
