"""When a window is told to be complete, asked of all symbols and all windows again each time."""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache

from streams.times import SECOND_US, interval_us
from tests.support.simulation.books import Day, Life, base_slots, slots_of
from tests.support.simulation.gatebook import Gatebook


@lru_cache(maxsize=1024)
def _ends(day: Day, base_us: int, width_us: int, anchor: str) -> list[int]:
    slots = base_slots(day, base_us, anchor) if base_us == width_us else slots_of(day, base_us, width_us, anchor)
    return [slot.end_us for slot in slots.values()]


class Completebook(Gatebook):
    """The part of the model that waits for everybody's bar of a window."""

    def begin_waiting(self) -> None:
        """The gate has opened."""
        self.completed = dict.fromkeys(self._intervals(), self.now_us)
        self.punctuate()

    def renew_waits(self) -> None:
        """Symbols or intervals are other ones."""
        if self.active:
            self.completed = {interval: self.completed.get(interval, self.now_us) for interval in self._intervals()}
            self.punctuate()

    def punctuate(self) -> None:
        """Tell the windows that are over for everybody."""
        for interval in self._intervals() if self.active else []:
            self._punctuate(interval)

    def punctuate_by_clock(self) -> None:
        """Tell what has been waited for long enough, by end, shortest first."""
        while self.active:
            due = []
            for interval in self._intervals():
                end_us = self._next_end(interval)
                late_us = self.now_us - end_us
                waited_for = [life for life in self._expected(interval) if not self._is_over(life, interval, end_us)]
                patient = late_us < self._smallest_us and any(life.backlog and self.gates(life) for life in waited_for)
                if late_us >= self._grace_us and not patient:
                    due.append((end_us, interval_us(interval), interval))
            if not due:
                return
            _, _, interval = min(due)
            self._tell(interval)
            self._punctuate(interval)

    def punctuate_day(self, next_open_us: int) -> None:
        """Somebody leaves a day for one that opens then."""
        for interval in self._intervals() if self.active else []:
            while self._next_end(interval) <= next_open_us:
                self._tell(interval)
            self._punctuate(interval)

    def _punctuate(self, interval: str) -> None:
        while (lives := self._expected(interval)) and all(self._is_over(life, interval, self._next_end(interval)) for life in lives):
            self._tell(interval)

    def _intervals(self) -> list[str]:
        named = self.config.session_data_config.interval_complete
        return [self.config.base_interval] if named is None else sorted(named, key=interval_us)

    @property
    def _smallest_us(self) -> int:
        streaming = self.config.session_data_config.streaming
        own = [one.catchup_threshold_seconds for one in streaming.symbols.values() if one.catchup_threshold_seconds is not None]
        return round(min([streaming.catchup_threshold_seconds, *own]) * SECOND_US)

    @property
    def _grace_us(self) -> int:
        own = self.config.session_data_config.grace_seconds
        return min(5 * SECOND_US, self._smallest_us // 2) if own is None else round(own * SECOND_US)

    def _expected(self, interval: str) -> list[Life]:
        lives = [self.lives[symbol] for symbol in sorted(self.lives)]
        return [life for life in lives if life.status == "loaded" and interval in life.series()]

    def _next_end(self, interval: str) -> int:
        after_us = self.completed[interval]
        day = self.calendar.unfinished(after_us)
        base = min(self.config.base_interval, interval, key=interval_us)
        ends = _ends(day, interval_us(base), interval_us(interval), self.config.window_anchor)
        return ends[bisect_right(ends, after_us)]

    def _is_over(self, life: Life, interval: str, end_us: int) -> bool:
        if life.day.open_us >= end_us:
            return True
        if interval == life.base:
            return life.frontier_us >= end_us
        made = life.made[interval] and life.made[interval][max(life.made[interval])].end_us >= end_us
        return bool(made) or life.frontier_us >= end_us + self._grace_us

    def _tell(self, interval: str) -> None:
        end_us, lives = self._next_end(interval), self._expected(interval)
        self.completed[interval] = end_us
        if not lives or self.now_us > end_us + 2 * self._smallest_us:
            return
        absent = []
        for life in lives:
            of_day = life.day.open_us < end_us <= life.day.close_us
            if not of_day or all(bar.end_us != end_us for bar in life.series()[interval].values()):
                absent.append(life.symbol)
        self.mark("interval_complete", None, interval, (end_us, len(lives), len(lives) - len(absent), tuple(absent)))
