"""How time should pass: from one instant to the next at which something may be due, and at each of them what is due there.

The model asks every symbol at every such instant, so it goes in small steps however far the engine's time leaps.
"""

from __future__ import annotations

from collections.abc import Iterator

from streams.times import DAY_US, MINUTE_US, SECOND_US
from tests.support.simulation.books import Life
from tests.support.simulation.qualitybook import Qualitybook

FAR_US = 1 << 62


class Timebook(Qualitybook):
    """The part of the model in which time passes."""

    def pass_time(self) -> None:
        """From the last transaction's time to this one's."""
        self._do_due()
        while (next_us := min((one for one in self._instants() if one > self.now_us), default=FAR_US)) <= self.emitted_us:
            self.now_us = next_us
            self._do_due()
        self.now_us = self.emitted_us

    def _do_due(self) -> None:
        self.take_waiting()
        self.end_silence()
        self.close_by_clock()
        self.punctuate_by_clock()
        self.roll_by_clock()
        for symbol in sorted(self.lives):
            self.let_go(self.lives[symbol])
        # An input may have made several days be over at once.
        rolls = [self.roll_us(life) for life in self.lives.values() if self._is_up_to_date(life)]
        if not any(life.is_read for life in self.lives.values()):
            rolls.append(self.calendar.after(self.days).starts_us)
        if rolls and min(rolls) <= self.now_us:
            self._do_due()

    def let_go(self, life: Life) -> None:
        """Remove a symbol that has drained, or whose deadline has come."""
        raise NotImplementedError

    def _instants(self) -> Iterator[int]:
        """When something may be due."""
        for life in self.lives.values():
            if life.is_read:
                yield self.roll_us(life)
                yield from (close_us for _, close_us in life.day.segments)
            yield from (bar.end_us for bar in life.waiting.values())
            if life.removal_deadline_us is not None:
                yield life.removal_deadline_us
            for interval, starts in life.unmade.items():
                yield from (life.slots(interval)[start].end_us + self.grace_us for start in starts)
        for interval in self.intervals_told() if self.active else []:
            end_us = self.next_end(interval)
            yield from (end_us + self.grace_us, end_us + round(self.smallest_threshold * SECOND_US))
        if not any(life.is_read for life in self.lives.values()):
            yield self.calendar.after(self.days).starts_us

    def roll_us(self, life: Life) -> int:
        """When the clock takes the symbol to its next day: once that has begun and the bars of the day it leaves would be stale."""
        waits_us = min(self.threshold_us(life), 5 * MINUTE_US)
        if life.base_us >= DAY_US and not life.bars:
            waits_us = self.threshold_us(life)
        return max(self.calendar.after(life.day.days).starts_us, life.day.close_us + waits_us)

    def _is_up_to_date(self, life: Life) -> bool:
        return life.is_read and not life.behind and not life.backlog

    def roll_by_clock(self) -> None:
        """Symbols that are up to date go to their next day when it is time."""
        for symbol in sorted(self.lives):
            life = self.lives[symbol]
            if self._is_up_to_date(life) and self.roll_us(life) <= self.now_us:
                self.roll(life, self.calendar.after(life.day.days))
        self.roll_session()

    # Where a clock has to stop

    def next_effect(self) -> int | None:
        """The next instant at which time alone changes something, or a symbol is quiet; none before now."""
        found = [max(self.now_us, one) for one in (*self._dues(), *self._quiet())]
        return min(found, default=None)

    def _dues(self) -> Iterator[int]:
        for life in self.lives.values():
            if life.status == "removing" and life.removal_deadline_us is not None:
                yield life.removal_deadline_us
            yield from (bar.end_us for bar in life.waiting.values())
            if life.silent:
                yield min([close_us for open_us, close_us in life.day.segments if open_us <= self.now_us < close_us], default=self.now_us)
            if self._is_up_to_date(life):
                yield self.roll_us(life)
                for interval, starts in life.unmade.items():
                    yield from (life.slots(interval)[start].end_us + self.grace_us for start in starts)
        for interval in self.intervals_told() if self.active else []:
            yield self.told_at(interval)
        if not any(life.is_read for life in self.lives.values()):
            yield self.calendar.after(self.days).starts_us

    def _quiet(self) -> Iterator[int]:
        silence_us = round(self.config.session_data_config.streaming.silence_threshold_seconds * SECOND_US)
        for life in self.lives.values():
            edges = [edge for segment in life.day.segments for edge in segment]
            counted = [*edges, life.last_update_us, life.last_stale_us, life.added_us]
            may = [self.now_us, *edges, *(one + silence_us + own for one in counted for own in (0, life.base_us))]
            yield from [one for one in sorted(may) if one >= self.now_us and self.is_quiet(life, one)][:1]
