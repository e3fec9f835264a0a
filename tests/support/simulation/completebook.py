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
        self.completed = dict.fromkeys(self.intervals_told(), self.now_us)
        # One that was shut for no time at all lets a window that ends at this very instant be told, if it was not yet.
        self.completed |= {interval: max(end_us, self.now_us - 1) for interval, end_us in self.completed_before.items()}
        self.punctuate()

    def renew_waits(self) -> None:
        """Symbols or intervals are other ones."""
        if self.active:
            self.completed = {interval: self.completed.get(interval, self.now_us) for interval in self.intervals_told()}
            self.punctuate()

    def punctuate(self) -> None:
        """Tell the windows that are over for everybody."""
        for interval in self.intervals_told() if self.active else []:
            self._punctuate(interval)

    def punctuate_by_clock(self) -> None:
        """Tell what has been waited for long enough, by end, shortest first."""
        while self.active:
            intervals = [interval for interval in self.intervals_told() if self.told_at(interval) <= self.now_us]
            due = [(self.next_end(interval), interval_us(interval), interval) for interval in intervals]
            if not due:
                return
            _, _, interval = min(due)
            self._tell(interval)
            self._punctuate(interval)

    def told_at(self, interval: str) -> int:
        """When the clock tells the next window: later while somebody who may have its bar reads what was missed."""
        end_us = self.next_end(interval)
        waited_for = [life for life in self._expected(interval) if not self._is_over(life, interval, end_us)]
        patient = any(life.backlog and self.gates(life) for life in waited_for)
        return end_us + (max(self._grace_us, self._smallest_us) if patient else self._grace_us)

    def punctuate_day(self, next_open_us: int) -> None:
        """Somebody leaves a day for one that opens then."""
        for interval in self.intervals_told() if self.active else []:
            while self.next_end(interval) <= next_open_us:
                self._tell(interval)
            self._punctuate(interval)

    def _punctuate(self, interval: str) -> None:
        while (lives := self._expected(interval)) and all(self._is_over(life, interval, self.next_end(interval)) for life in lives):
            self._tell(interval)

    def intervals_told(self) -> list[str]:
        """The intervals of which windows are told, shortest first."""
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

    def next_end(self, interval: str) -> int:
        """The end of the window that is told next."""
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
        if life.backlog and any(life.slots(interval)[start].end_us == end_us for start in life.unmade[interval]):
            return False  # its bar comes at the end of the backlog
        made = life.made[interval] and life.made[interval][max(life.made[interval])].end_us >= end_us
        return bool(made) or life.frontier_us >= end_us + self._grace_us

    def _tell(self, interval: str) -> None:
        end_us, lives = self.next_end(interval), self._expected(interval)
        self.completed[interval] = end_us
        if not lives or self.emitted_us > end_us + 2 * self._smallest_us:
            return
        absent = []
        for life in lives:
            of_day = life.day.open_us < end_us <= life.day.close_us
            if not of_day or all(bar.end_us != end_us for bar in life.series()[interval].values()):
                absent.append(life.symbol)
        self.mark("interval_complete", None, interval, (end_us, len(lives), len(lives) - len(absent), tuple(absent)))
