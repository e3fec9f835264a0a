"""What should become of a bar: judged, kept, and made into derived bars again from scratch wherever it matters."""

from __future__ import annotations

import math
from datetime import datetime, time

from msgspec.structs import replace

from streams.model.records import Bar
from streams.times import DAY_US, SECOND_US, date_of_days, days_of, interval_us
from tests.support.simulation import exportbook, pastbook
from tests.support.simulation.books import NEVER, Day, Kept, Life, Series, Slot, base_slots, inside, summed
from tests.support.simulation.completebook import Completebook


class Barbook(Completebook):
    """The part of the model that takes bars."""

    @property
    def grace_us(self) -> int:
        """How long a window waits: as configured, else five seconds or half of the smallest threshold."""
        config = self.config.session_data_config
        if config.grace_seconds is not None:
            return round(config.grace_seconds * SECOND_US)
        return round(min(5.0, self.smallest_threshold / 2) * SECOND_US)

    @property
    def smallest_threshold(self) -> float:
        streaming = self.config.session_data_config.streaming
        own = [one.catchup_threshold_seconds for one in streaming.symbols.values() if one.catchup_threshold_seconds is not None]
        return min([streaming.catchup_threshold_seconds, *own])

    def take(self, life: Life, bar: Bar, offset: int) -> None:
        """One bar of a symbol that is being read."""
        life.errors_in_a_row = 0
        if bar.interval != life.base:
            life.counts["other_interval"] += 1
            return
        fault, day = self._price_fault(life, bar), None
        if fault is None:
            fault, day, bar = self._placed(bar, life)
        if fault is None and (day is not None or self.calendar.is_even(life.base_us, life.anchor)):
            fault = self._future_fault(bar)
        if fault is not None:
            life.counts["rejected"] += 1
            self.letters.append((life.symbol, offset, fault))
            return
        if bar.end_us > self.now_us and (day is not None or self.calendar.is_even(life.base_us, life.anchor)):
            self._keep_waiting(life, bar)
            return
        if day is None:
            life.counts["out_of_hours"] += 1
        elif day.days < life.day.days:
            self._take_rolled(life, day, bar)
        else:
            if day.days > life.day.days:
                self.roll(life, day)
                self.roll_session()
            if bar.start_us > life.last_start_us:
                self._take_new(life, bar)
            else:
                self._take_old(life, bar)
            self.punctuate()

    def _keep_waiting(self, life: Life, bar: Bar) -> None:
        """Nothing may use the bar before its end: the last version that comes until then counts."""
        before = life.waiting.get(bar.start_us)
        if before is not None and bar.provenance == "gap_fill" and before.provenance != "gap_fill":
            life.counts["duplicates"] += 1
            return
        life.counts["forming"] += before is not None
        life.waiting[bar.start_us] = bar

    def take_waiting(self) -> None:
        """What has ended by now is taken in as if it came now, by end and symbol."""
        due = sorted((bar.end_us, symbol, bar.start_us) for symbol, life in self.lives.items() for bar in life.waiting.values())
        for end_us, symbol, start_us in due:
            life = self.lives[symbol]
            if end_us <= self.now_us and start_us in life.waiting:
                self.take_record(life, life.waiting.pop(start_us), -1)

    def take_record(self, life: Life, record: object, offset: int) -> None:
        """A record of a symbol's topic, whatever it is."""
        raise NotImplementedError

    def end_of(self, bar: Bar, life: Life) -> int:
        """When the bar is known."""
        return self._placed(bar, life)[2].end_us if bar.interval == life.base else bar.end_us

    def may_be_negative(self, symbol: str) -> bool:
        """Whether the config allows prices of the symbol that are zero and below."""
        allowed = self.config.session_data_config.allow_negative_prices
        return allowed is True or (allowed is not False and symbol in allowed)

    def _price_fault(self, life: Life, bar: Bar) -> str | None:
        prices = [bar.open, bar.high, bar.low, bar.close, *([] if bar.vwap is None else [bar.vwap])]
        if any(not math.isfinite(number) or abs(number) > 1e100 for number in (*prices, bar.volume)) or bar.volume < 0:
            return "bad_prices"
        if bar.volume == 0 and bar.vwap == 0:
            prices.pop()  # the average price of no trades
        if min(prices) <= 0 and not self.may_be_negative(life.symbol):
            return "bad_prices"
        if bar.trades is not None and not 0 <= bar.trades <= 10**12:
            return "bad_prices"
        if bar.high != max(bar.open, bar.high, bar.low, bar.close) or bar.low != min(bar.open, bar.high, bar.low, bar.close):
            return "bad_prices"
        return None

    def _placed(self, bar: Bar, life: Life) -> tuple[str | None, Day | None, Bar]:
        """A fault, the day (None: outside the hours), and the bar as it lies on it."""
        if self.calendar.is_even(life.base_us, life.anchor):
            aligned = bar.end_us - bar.start_us == life.base_us and bar.start_us % life.base_us == 0
            return None if aligned else "misaligned", self.calendar.holding(bar.start_us), bar
        if life.base_us >= DAY_US:
            return self._placed_on_day(bar)
        near = [
            (day, slot)
            for days in range((bar.start_us - DAY_US) // DAY_US, bar.end_us // DAY_US + 2)
            if (day := self.calendar.on(days)) is not None
            for slot in base_slots(day, life.base_us, life.anchor).values()
        ]
        for day, slot in near:
            if bar.start_us in (slot.line_us, slot.start_us) and bar.end_us in (slot.line_us + life.base_us, slot.end_us):
                return None, day, replace(bar, start_us=slot.start_us, end_us=slot.end_us)
        trades = any(first < bar.start_us + life.base_us and bar.start_us < last for day, _ in near for first, last in day.segments)
        return "misaligned" if trades else None, None, bar

    def _placed_on_day(self, bar: Bar) -> tuple[str | None, Day | None, Bar]:
        local = datetime.fromtimestamp(bar.start_us / SECOND_US, self.calendar.zone)
        date = bar.start_us // DAY_US
        opening = [day for days in (date - 1, date, date + 1) if (day := self.calendar.on(days)) and day.open_us == bar.start_us]
        if opening and opening[0].close_us == bar.end_us:
            return None, opening[0], bar
        if bar.start_us % DAY_US == 0:
            found = self.calendar.on(date)
        elif local.time() == time():
            found = self.calendar.on(days_of(local.date()))
        elif opening:
            found = opening[0]
        else:
            return "misaligned", None, bar
        if found is None:
            return None, None, bar
        tomorrow = datetime.combine(date_of_days(found.days + 1), time(), self.calendar.zone)
        if bar.end_us not in (bar.start_us + DAY_US, found.close_us, round(tomorrow.timestamp()) * SECOND_US):
            return "misaligned", None, bar
        return None, found, replace(bar, start_us=found.open_us, end_us=found.close_us)

    def _future_fault(self, bar: Bar) -> str | None:
        tolerance_us = round(self.config.session_data_config.future_tolerance_seconds * SECOND_US)
        return "future" if bar.end_us - self.now_us > tolerance_us else None

    def _take_new(self, life: Life, bar: Bar) -> None:
        kept = _as_kept(bar, 0)
        self.measure(life, kept)
        life.bars[bar.start_us] = kept
        life.last_start_us, life.frontier_us, life.last_update_us = bar.start_us, bar.end_us, self.now_us
        left = []
        for interval in () if life.backlog else life.derived:
            own = life.window_of(interval, bar.start_us)
            for start in life.unmade[interval] - {own.start_us}:
                slot = life.slots(interval)[start]
                if slot.end_us + self.grace_us <= bar.end_us:
                    left.append((slot.end_us, interval_us(interval), start, interval))
        for _, _, start, interval in sorted(left):
            self.make(life, interval, start)
        self.offer(life, life.base, kept)
        for interval in life.derived:
            slot = life.window_of(interval, bar.start_us)
            life.filled[interval][slot.start_us] += 1
            if slot.start_us in life.made[interval]:
                if life.backlog:
                    self._put_off(life, interval, slot)
                else:
                    self.make(life, interval, slot.start_us, rewrites=True)
            elif life.filled[interval][slot.start_us] == slot.expected:
                self.make(life, interval, slot.start_us)
            else:
                life.unmade[interval].add(slot.start_us)

    def make(self, life: Life, interval: str, start_us: int, *, rewrites: bool = False) -> None:
        """Make a derived bar of what is there, and offer it."""
        slot = life.slots(interval)[start_us]
        before = life.made[interval].get(start_us)
        bar = summed(inside(life.bars, slot, life.base_us), slot, 0 if before is None else before.revision + 1)
        life.made[interval][start_us] = bar
        life.unmade[interval].discard(start_us)
        life.outdated[interval].discard(start_us)
        self.offer(life, interval, bar, rewrites=rewrites)

    def _put_off(self, life: Life, interval: str, slot: Slot) -> None:
        """While a backlog is read, what a bar changes waits for its end, unless that was the last bar that a window lacked."""
        before = life.made[interval].get(slot.start_us)
        if life.filled[interval][slot.start_us] == slot.expected and (before is None or not before.complete):
            self.make(life, interval, slot.start_us, rewrites=True)
        else:
            (life.unmade if before is None else life.outdated)[interval].add(slot.start_us)

    def end_backlog(self, life: Life) -> None:
        """The backlog is read, or goes no further: what has waited for that is made, by end and length, each once."""
        if not life.backlog:
            return
        for end_us, _, start, interval in self._put_off_until_now(life):
            if start in life.outdated[interval]:
                self._make_if_changed(life, interval, start)
            elif end_us + self.grace_us <= life.frontier_us:
                self.make(life, interval, start, rewrites=True)

    def _put_off_until_now(self, life: Life) -> list[tuple[int, int, int, str]]:
        return sorted(
            (life.slots(interval)[start].end_us, interval_us(interval), start, interval)
            for interval in life.derived
            for start in life.unmade[interval] | life.outdated[interval]
        )

    def _make_if_changed(self, life: Life, interval: str, start_us: int) -> None:
        life.outdated[interval].discard(start_us)
        slot, before = life.slots(interval)[start_us], life.made[interval][start_us]
        if summed(inside(life.bars, slot, life.base_us), slot, before.revision) != before:
            self.make(life, interval, start_us, rewrites=True)

    def _take_old(self, life: Life, bar: Bar) -> None:
        kept, fills = self._put_old(life, life.bars, bar)
        if kept is None:
            return
        life.last_update_us = self.now_us
        self.offer(life, life.base, kept, rewrites=True)
        for interval in life.derived:
            slot = life.window_of(interval, bar.start_us)
            life.filled[interval][slot.start_us] += fills
            if life.backlog:
                self._put_off(life, interval, slot)
                continue
            due_us = slot.end_us + self.grace_us
            is_over = due_us <= life.frontier_us or (due_us <= self.now_us and not life.behind and not life.backlog)
            full = life.filled[interval][slot.start_us] == slot.expected
            if slot.start_us in life.made[interval] or full or is_over:
                self.make(life, interval, slot.start_us, rewrites=True)
            else:
                life.unmade[interval].add(slot.start_us)

    def _put_old(self, life: Life, bars: Series, bar: Bar) -> tuple[Kept | None, bool]:
        """Late, corrected or a duplicate; and whether it filled a hole."""
        before = bars.get(bar.start_us)
        if before is None:
            kept = bars[bar.start_us] = _as_kept(bar, 0)
            life.counts["late"] += 1
            self.late.add(((life.symbol, life.incarnation), bar.start_us))
            self.tell("bar_late", life)
            return kept, True
        kept = _as_kept(bar, before.revision + 1)
        if kept.content() == before.content() or bar.provenance == "gap_fill":
            life.counts["duplicates"] += 1
            return None, False
        bars[bar.start_us] = kept
        life.counts["corrected"] += 1
        self.tell("bar_corrected", life)
        return kept, False

    def _take_rolled(self, life: Life, day: Day, bar: Bar) -> None:
        past = life.past.get(day.days)
        if past is None:
            trailing = self.config.session_data_config.historical.trailing_days
            if day not in self.calendar.before(life.day.days, trailing):
                life.counts["other_day"] += 1
                return
            past = life.past[day.days] = {interval: {} for interval in (life.base, *life.derived)}
            exportbook.follow(life, day.days)
            self.trim(life)
        if life.base not in past:
            life.counts["other_day"] += 1
            return
        kept, _ = self._put_old(life, past[life.base], bar)
        if kept is None:
            return
        self.offer(life, life.base, kept, rolled=day)
        for interval in sorted(past.keys() - {life.base}, key=interval_us):
            if pastbook.is_given(past[interval]):
                continue
            slot = life.window_of(interval, bar.start_us, day)
            before = past[interval].get(slot.start_us)
            made = summed(inside(past[life.base], slot, life.base_us), slot, 0 if before is None else before.revision + 1)
            past[interval][slot.start_us] = made
            if interval in life.derived:
                self.offer(life, interval, made, rolled=day)

    # Time

    def close_by_clock(self) -> None:
        """Close the windows that the clock has passed, of symbols that are up to date."""
        due = []
        for life in self.lives.values():
            if not life.is_read or life.behind or life.backlog:
                continue
            for interval, starts in life.unmade.items():
                for start in starts:
                    end_us = life.slots(interval)[start].end_us
                    if end_us + self.grace_us <= self.now_us:
                        due.append((end_us, life.symbol, interval_us(interval), start, interval))
        for _, symbol, _, start, interval in sorted(due):
            self.make(self.lives[symbol], interval, start)

    def roll(self, life: Life, day: Day) -> None:
        """Leave the day: open windows are closed with what they have, runs are told, the day becomes history."""
        for _, _, start, interval in self._put_off_until_now(life):
            if start in life.outdated[interval]:
                self._make_if_changed(life, interval, start)
            else:
                self.make(life, interval, start)
        self.punctuate_day(day.open_us)
        self.flush(life)
        self.tell("symbol_rolled", life)
        if life.bars:
            self._leave_exports(life)
            life.past[life.day.days] = pastbook.leave_day(self.config, life)
        self.trim(life)
        life.stand_on(day)

    def _leave_exports(self, life: Life) -> None:
        if life.exported is None:
            return
        days = life.day.days
        exportbook.follow(life, days)
        lost = any(exportbook.new_of(life, (days, name), series) for name, series in life.retired.items())
        for name in life.retired:
            exportbook.forget(life, days, name)
        if lost:
            self.tell("export_lost", life)

    def trim(self, life: Life) -> None:
        """Let go of the days that the config does not keep, but for those which an export lacks bars of."""
        exported = life.exported
        if exported is not None:
            life.past |= exported.kept
            exported.kept = {}
        for days in sorted(life.past)[: max(0, len(life.past) - self.config.session_data_config.historical.trailing_days)]:
            past = life.past.pop(days)
            if exported is not None and exportbook.count_new(life, days, past):
                exported.kept[days] = {name: bars for name, bars in past.items() if (days, name) in exported.followed}
            else:
                exportbook.forget(life, days)
        if exported is not None:
            for days in sorted(exported.kept)[: max(0, len(exported.kept) - self.config.session_data_config.exports.keep_days)]:
                del exported.kept[days]
                exportbook.forget(life, days)
                self.tell("export_lost", life)

    def roll_session(self) -> None:
        """The session's day is the earliest of its symbols'."""
        reached = [life.day.days for life in self.lives.values() if life.is_read]
        following = self.calendar.after(self.days)
        if not reached and following.starts_us <= self.now_us:
            # Nobody stands on a day: it is the clock's, one at a time.
            reached = [following.days]
        if reached and min(reached) > self.days:
            self.days = min(reached)
            self.mark("session_rolled")

    def end_silence(self) -> None:
        """Outside trading hours nothing is silent."""
        for symbol in sorted(self.lives):
            life = self.lives[symbol]
            if life.silent and not life.day.trades_at(self.now_us):
                life.silent = False
                if life.lagging and not life.behind:
                    self.leave(life, "closed")


def _as_kept(bar: Bar, revision: int) -> Kept:
    return Kept(
        bar.start_us, bar.end_us, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.vwap, bar.trades,
        1, 1, revision, True, bar.provenance,
    )  # fmt: skip


def volume_high_low(life: Life) -> tuple[float, float | None, float | None]:
    """The session's metrics, from its bars."""
    bars = life.bars.values()
    if life.last_start_us == NEVER:
        return 0.0, None, None
    return sum(bar.volume for bar in bars), max(bar.high for bar in bars), min(bar.low for bar in bars)
