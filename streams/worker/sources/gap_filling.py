"""Filling gaps: asks a history source for missing bars, and puts what it gives into the symbol's topic.

The engine says which stretches are due. Each is a question to the source, asked in a thread of its own; the bars of a good
answer are produced to `bars.<SYMBOL>` with provenance `gap_fill`, and when they are delivered the engine is told that the
stretch was asked for (an input like any other). So the bars come in by the topic, late, as any replay will see them. Whoever is
killed between the two asks again, and produces bars that are there already: the engine drops them.

The source is somebody else's program, and may hang, raise or give nonsense. The invariant: whatever it does costs no more than
a few threads, the session's loop never waits for it, and each question ends in one input, with the reason where it failed.

- Symbols are looked at in turn, for at most about `look_seconds` each second, since bars wait meanwhile.
- At most `at_once` questions are asked at a time, of each symbol one.
- One that has no answer after `answer_seconds` is written off: it has failed, and another thread may ask the next one. There are
  `most_threads` of both kinds at most: once all of them hang, nothing is asked until one of them comes back.
- The threads are daemons, so one that hangs does not keep the process from ending.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Sequence

from loguru import logger
from msgspec import Struct

from streams.engine.rules.gap_filling import due_gaps
from streams.engine.session import Session
from streams.history.sources.source import HistorySource
from streams.model.inputs import InputKind, JournalInput
from streams.model.records import Bar
from streams.times import Clock, from_us
from streams.worker.feed.batches import GapAnswers
from streams.worker.sources.gap_answers import Question, in_words, judged, question_of


class FillerLimits(Struct, frozen=True):
    """How much a source may cost."""

    look_seconds: float = 0.01
    at_once: int = 4
    answer_seconds: float = 30.0
    most_threads: int = 8


class FillerCounts(Struct):
    """Questions by what became of them, the bars that were produced, and the questions that hang now."""

    gaps_asked: int = 0
    gaps_filled: int = 0
    gaps_empty: int = 0
    gaps_failed: int = 0
    gap_bars: int = 0
    gap_questions_hanging: int = 0


class _Asking:
    """A question that is being asked. Once it is written off it must produce nothing any more."""

    def __init__(self, question: Question, began: float) -> None:
        self.question = question
        self.began = began
        self._lock = threading.Lock()
        self._state = "asked"

    def begin_to_produce(self) -> bool:
        """Whether the answer is still wanted; from now on it is not written off, since producing has a limit of its own."""
        with self._lock:
            if self._state == "asked":
                self._state = "producing"
            return self._state == "producing"

    def write_off(self) -> bool:
        """Give it up; no while its answer is being produced."""
        with self._lock:
            if self._state == "asked":
                self._state = "written off"
            return self._state == "written off"


class _Answer(Struct, frozen=True):
    """How many bars were produced, or why none were."""

    bars: int = 0
    reason: str | None = None


def start_thread(run: Callable[[], None], name: str) -> None:
    """Run something in a thread that does not keep the process from ending."""
    threading.Thread(target=run, name=name, daemon=True).start()


class GapFiller:
    """Asks a history source for what is due.

    Its methods are called in the loop's thread.

    Args:
        source: who is asked, in threads.
        produce: puts bars of one symbol into its topic and waits until they are there; called in threads, raises when it can't.
        clock: for time limits.
        send: puts an item on the merge agent's channel.
        call_soon: has something called in the loop's thread; called in threads.
        start: starts a thread.
        limits: how much the source may cost.
    """

    def __init__(
        self,
        *,
        source: HistorySource,
        produce: Callable[[Sequence[Bar]], None],
        clock: Clock,
        send: Callable[[GapAnswers], None],
        call_soon: Callable[[Callable[[], None]], None],
        start: Callable[[Callable[[], None], str], None] = start_thread,
        limits: FillerLimits | None = None,
    ) -> None:
        self._source = source
        self._produce = produce
        self._clock = clock
        self._send = send
        self._call_soon = call_soon
        self._start = start
        self._limits = limits or FillerLimits()
        self._asking: dict[str, _Asking] = {}
        self._hanging: set[_Asking] = set()
        self._answers: list[JournalInput] = []
        self._looked_at = ""
        self._trouble: str | None = None
        self._is_stuck = False
        self.counts = FillerCounts()

    def begin(self) -> None:
        """Reading has begun anew, and what was on the channel may be lost: what was answered is still true."""
        if self._answers:
            self._send(GapAnswers())

    def ask(self, session: Session, now_us: int) -> None:
        """Ask for what is due, as far as there are threads for it; give up what takes too long."""
        self._write_off()
        waiting = {given.symbol for given in self._answers}
        began = self._clock.monotonic()
        for symbol in self._in_turn(session):
            if not self._has_room() or self._clock.monotonic() - began > self._limits.look_seconds:
                break
            self._looked_at = symbol
            if symbol in self._asking or symbol in waiting:
                continue
            data = session.state.symbols[symbol]
            due = next(due_gaps(data, session.state.config, now_us), None)
            if due is not None:
                self._ask(question_of(data, due, session.state.calendar, now_us))

    def take_answers(self) -> list[JournalInput]:
        """What was asked and came to an end since this was called last: inputs, in the order in which they did."""
        answers, self._answers = self._answers, []
        return answers

    # ------------------------------------------------------------------------------------------- below, in the loop

    def _in_turn(self, session: Session) -> list[str]:
        """The symbols from behind the one that was looked at last on: nobody waits for others' gaps."""
        symbols = sorted(session.state.symbols)
        place = bisect_right(symbols, self._looked_at)
        return [*symbols[place:], *symbols[:place]]

    def _has_room(self) -> bool:
        free = self._limits.most_threads - len(self._hanging)
        if not free and not self._is_stuck:
            self._is_stuck = True
            logger.warning("{} questions to the history source hang: nothing is asked until one comes back", len(self._hanging))
        return len(self._asking) < min(self._limits.at_once, free)

    def _ask(self, question: Question) -> None:
        asking = self._asking[question.symbol] = _Asking(question, self._clock.monotonic())
        self.counts.gaps_asked += 1
        logger.bind(symbol=question.symbol).debug("asking the history source for {}", question)
        try:
            self._start(lambda: self._run(asking), f"gap of {question.symbol}")
        except RuntimeError as error:  # the system has no more threads
            self._end(asking, _Answer(reason=in_words(error)))

    def _write_off(self) -> None:
        """Fail what has had no answer for too long."""
        seconds = self._limits.answer_seconds
        for asking in list(self._asking.values()):
            if self._clock.monotonic() - asking.began >= seconds and asking.write_off():
                self._hanging.add(asking)
                self.counts.gap_questions_hanging = len(self._hanging)
                self._end(asking, _Answer(reason=f"it gave no answer within {seconds:g} s"))

    def _ended(self, asking: _Asking, answer: _Answer) -> None:
        """The question's thread has come to its end."""
        if asking in self._hanging:
            self._hanging.discard(asking)
            self.counts.gap_questions_hanging = len(self._hanging)
            self._is_stuck = False
        else:
            self._end(asking, answer)

    def _end(self, asking: _Asking, answer: _Answer) -> None:
        question = asking.question
        del self._asking[question.symbol]
        self._count(answer)
        self._log(question, answer)
        self._answers.append(
            JournalInput(
                InputKind.GAP_ASKED, question.symbol, question.incarnation, interval=question.interval,
                start_us=question.start_us, end_us=question.end_us, count=answer.bars, reason=answer.reason,
            )
        )  # fmt: skip
        if len(self._answers) == 1:
            self._send(GapAnswers())

    def _count(self, answer: _Answer) -> None:
        counts = self.counts
        counts.gap_bars += answer.bars
        if answer.reason is not None:
            counts.gaps_failed += 1
        elif answer.bars:
            counts.gaps_filled += 1
        else:
            counts.gaps_empty += 1

    def _log(self, question: Question, answer: _Answer) -> None:
        """Say it when filling begins to fail, and when it works again; each question's own end is an event."""
        if answer.reason is not None and self._trouble is None:
            logger.bind(symbol=question.symbol).warning("gaps can't be filled: asked for {}: {}", question, answer.reason)
        elif answer.reason is None and self._trouble is not None:
            logger.bind(symbol=question.symbol).info("gaps are filled again: the history source has answered")
        self._trouble = answer.reason

    # --------------------------------------------------------------------------------------------- in a thread

    def _run(self, asking: _Asking) -> None:
        """Ask, judge, produce."""
        answer = _Answer(reason="it was given up")
        try:
            question = asking.question
            given = self._source.get_bars(question.symbol, question.interval, from_us(question.from_us), from_us(question.end_us))
            bars = judged(question, given)
            if asking.begin_to_produce():
                if bars:
                    self._produce(bars)
                answer = _Answer(bars=len(bars))
        except BaseException as error:  # it is somebody else's program, which may raise anything
            answer = _Answer(reason=in_words(error))
        self._call_soon(lambda: self._ended(asking, answer))
