"""The gate and what goes through it, by the rules of the design, on plain sets and lists.

`Gatebook` holds what the session is at the moment, and the outcomes that a transaction should have: `analysis` in order,
`events`, `replies` and `letters`. A symbol is in the lagging set when its `lagging` is set; the set is made when it is asked for.
"""

from __future__ import annotations

from typing import Any

from streams.config.session import SessionConfig
from streams.model.inputs import JournalInput
from streams.model.records import ControlCommand
from streams.times import DAY_US, SECOND_US, interval_us
from tests.support.simulation.books import NEVER, Day, Days, Kept, Life

Told = tuple[Any, ...]


class Gatebook:
    """The session as the model sees it."""

    def __init__(self, config: SessionConfig, days: Days, now_us: int) -> None:
        self.config = config
        self.calendar = days
        self.now_us = now_us
        # When what is told goes out: later than `now`, while time passes up to there.
        self.emitted_us = now_us
        self.lives: dict[str, Life] = {}
        self.active = self.ever_active = False
        self.clock_reason: str | None = None
        self.clock_behind_us = 0
        self.days = days.current(now_us).days
        self.next_incarnation = 1
        self.control_offset = 0
        self.answers: dict[str, tuple[str, str, str, int]] = {}
        self.analysis: list[Told] = []
        self.events: list[tuple[str, str | None]] = []
        self.qualities: list[tuple[str, str, int, int, int, int]] = []
        self.replies: list[tuple[str, str, str, str]] = []
        self.letters: list[tuple[str, int, str]] = []
        self.ended: list[Life] = []
        self.completed: dict[str, int] = {}
        # What it was when the gate shut, within the transaction.
        self.completed_before: dict[str, int] = {}
        self.late: set[tuple[tuple[str, int], int]] = set()

    # What is told

    def mark(self, kind: str, life: Life | None = None, interval: str | None = None, detail: object = None) -> None:
        """A marker on analysis."""
        symbol, incarnation, days = (life.symbol, life.incarnation, life.day.days) if life else (None, None, self.days)
        self.analysis.append((kind, symbol, incarnation, interval, days, detail))

    def tell(self, kind: str, life: Life | None = None) -> None:
        """News on the events topic."""
        self.events.append((kind, life.symbol if life else None))

    def answer(self, command_id: str, kind: str, symbol: str, status: str) -> None:
        """An answer to a command, remembered for a repeated id."""
        self.replies.append((command_id, kind, symbol, status))
        self.answers.pop(command_id, None)
        self.answers[command_id] = (kind, symbol, status, self.now_us)

    def answer_again(self, command: ControlCommand) -> bool:
        """Whether the id is known: then the last answer is given again."""
        known = self.answers.get(command.id)
        if known is not None:
            self.replies.append((command.id, *known[:3]))
        return known is not None

    # The policy of a symbol

    def threshold_us(self, life: Life) -> int:
        streaming = self.config.session_data_config.streaming
        own = streaming.symbols.get(life.symbol)
        seconds = streaming.catchup_threshold_seconds
        if own is not None and own.catchup_threshold_seconds is not None:
            seconds = own.catchup_threshold_seconds
        return round(seconds * SECOND_US)

    def gates(self, life: Life) -> bool:
        own = self.config.session_data_config.streaming.symbols.get(life.symbol)
        return own is None or own.gates

    def _cadence(self, life: Life) -> int:
        streaming = self.config.session_data_config.streaming
        own = streaming.symbols.get(life.symbol)
        return streaming.catchup_check_interval if own is None or own.catchup_check_interval is None else own.catchup_check_interval

    # The lagging set

    @property
    def lagging(self) -> list[str]:
        return sorted(life.symbol for life in self.lives.values() if life.lagging)

    def measure(self, life: Life, bar: Kept) -> None:
        """A bar has advanced the frontier: a stale one of the feed checks at once, a fresh one at its symbol's cadence."""
        streaming = self.config.session_data_config.streaming
        lag_us = self.now_us - (bar.start_us if streaming.reference == "open" else bar.end_us)
        if bar.provenance == "gap_fill" and lag_us > self.threshold_us(life):
            life.checks += 1
            return
        life.lag_us, life.silent = lag_us, False
        life.behind = lag_us > self.threshold_us(life)
        if life.behind:
            life.last_stale_us = self.now_us
            if self.gates(life) and not life.lagging:
                self.join(life)
                self.shut("lagging")
        else:
            every = streaming.check == "every_bar" or (streaming.check == "adaptive" and not self.active)
            if life.lagging and (every or life.checks % self._cadence(life) == 0):
                self.leave(life, "fresh")
        life.checks += 1

    def join(self, life: Life) -> None:
        life.lagging = True
        self.tell("symbol_lagging", life)

    def leave(self, life: Life, reason: str) -> None:
        life.lagging = False
        self.tell("symbol_caught_up", life)
        self.open(reason)

    def shut(self, reason: str) -> None:
        """Shut the gate when somebody lags."""
        if self.active and self.lagging:
            self.close(reason)

    def close(self, reason: str) -> None:
        """Shut the gate, and say who lags."""
        if self.active:
            self.active = False
            lags = tuple((symbol, self.lives[symbol].lag_us / SECOND_US) for symbol in self.lagging)
            self.mark("deactivated", detail=(False, reason, lags))
            self.tell("deactivated")
            self.completed_before, self.completed = self.completed, {}

    def open(self, reason: str) -> None:
        """Open the gate when nobody lags, no initial symbol is awaited, and the clock is right; what was held back is told before."""
        waits = any(life.initial and life.status == "pending" for life in self.lives.values())
        if self.active or self.lagging or waits or self.clock_reason is not None:
            return
        for symbol in sorted(self.lives):
            self.flush(self.lives[symbol])
        self.active = self.ever_active = True
        self.mark("activated", detail=(True, reason, ()))
        self.tell("activated")
        self.begin_waiting()

    def begin_waiting(self) -> None:
        """The gate has opened: from now on windows are told when they are complete."""
        raise NotImplementedError

    def fall_behind(self, lives: list[Life], reason: str) -> None:
        """What was missed is to be read first."""
        for life in lives:
            life.behind = True
            life.last_stale_us = self.now_us
            if life.frontier_us != NEVER:
                life.lag_us = max(life.lag_us, self.now_us - life.frontier_us)
            if self.gates(life) and not life.lagging:
                self.join(life)
        self.shut(reason)

    def judge_clock(self, given: JournalInput) -> None:
        """A wrong clock shuts the gate by itself; once it is right, what came meanwhile is read before the gate opens."""
        if given.reason is not None:
            self.clock_reason, self.clock_behind_us = given.reason, (given.end_us or 0) - (given.start_us or 0)
            self.tell("clock_wrong")
            self.close("clock")
        elif self.clock_reason is not None:
            self.clock_reason, self.clock_behind_us = None, 0
            self.tell("clock_right")
            read = [self.lives[symbol] for symbol in sorted(self.lives) if self.lives[symbol].is_read]
            for life in read:
                life.backlog = True
            self.fall_behind(read, "recovering")
            self.open("clock")

    def is_quiet(self, life: Life, now_us: int) -> bool:
        """Whether it is silent, if nothing of it is unread."""
        if life.silent or life.backlog or not life.is_read:
            return False
        last = max(life.last_stale_us if life.behind else life.last_update_us, life.added_us)
        opened = [first for first, end in life.day.segments if first <= now_us < end and life.base_us < DAY_US]
        silence_us = round(self.config.session_data_config.streaming.silence_threshold_seconds * SECOND_US)
        waits = life.behind or life.lagging
        if opened:
            apart_us = 0 if waits or life.base_us < silence_us else life.base_us
            return now_us - max(last, opened[0]) >= silence_us + apart_us
        return waits and now_us - last >= silence_us

    # Published or held back

    def offer(self, life: Life, interval: str, bar: Kept, *, rewrites: bool = False, rolled: Day | None = None) -> None:
        """A bar is accepted: it is published while the gate is open and it is fresh, else held back."""
        config = self.config.session_data_config
        is_base = interval == life.base
        reference_us = bar.start_us if is_base and config.streaming.reference == "open" else bar.end_us
        until_us = reference_us + self.threshold_us(life)
        too_few = not is_base and not rolled and bar.base_count < config.min_completeness * bar.expected_count
        life.accepted[interval] += 1
        if self.active and self.emitted_us <= until_us and not too_few and not rolled:
            life.counts["published"] += 1
            self.analysis.append(("bar", life.symbol, life.incarnation, interval, life.day.days, (tuple(bar), until_us)))
            return
        cause = "incomplete" if too_few else "stale" if self.active else "inactive"
        self.hold(life, interval, bar, cause, rolled)
        if self.active and (rewrites or rolled) and not too_few:
            life.revised.setdefault(interval, []).append((bar.start_us, bar.end_us))

    def hold(self, life: Life, interval: str, bar: Kept, cause: str, rolled: Day | None = None) -> None:
        """Put a bar into its run, and onto the ungated topic where there is one."""
        config = self.config.session_data_config
        if config.bars_topic:
            self._send_ungated(life, interval, bar, (rolled or life.day).days)
        life.counts["held_back"] += 1
        if not life.held.get(interval):
            life.held_cause[interval] = cause
        life.held.setdefault(interval, []).append((bar.start_us, bar.end_us))

    def _send_ungated(self, life: Life, interval: str, bar: Kept, days: int) -> None:
        of_open = interval == life.base and self.config.session_data_config.streaming.reference == "open"
        until_us = (bar.start_us if of_open else bar.end_us) + self.threshold_us(life)
        self.analysis.append(("bar held back", life.symbol, life.incarnation, interval, days, (tuple(bar), until_us)))

    def fill_ungated(self, most_bars: int) -> None:
        """Where the ungated topic was turned on, send what the day has: symbol by symbol, until a transaction has sent enough."""
        sent = 0
        for symbol in sorted(self.lives):
            life = self.lives[symbol]
            if not life.unsent or sent >= most_bars:
                continue
            life.unsent = False
            self.tell("bars_topic_filled", life)
            for interval, series in life.series().items():
                for start in sorted(series):
                    self._send_ungated(life, interval, series[start], life.day.days)
                    sent += 1

    def flush(self, life: Life, intervals: list[str] | None = None) -> None:
        """Tell what is held back of these intervals (all), shortest first."""
        for interval in sorted(life.held, key=interval_us):
            if intervals is None or interval in intervals:
                self.mark("held_back", life, interval, run_of(life, interval))
                del life.held[interval]

    def settle(self) -> None:
        """The end of a transaction: stretches to be read again, after what was held back of them."""
        for symbol in sorted(self.lives):
            life = self.lives[symbol]
            self.flush(life, list(life.revised))
            for interval in sorted(life.revised, key=interval_us):
                bars = life.revised[interval]
                self.mark("revised", life, interval, ("stale", min(bars)[0], max(end for _, end in bars), len(bars)))
            life.revised.clear()


def run_of(life: Life, interval: str) -> tuple[str, int, int, int]:
    """Cause, first start, last end and count of what is held back."""
    bars = life.held[interval]
    return life.held_cause[interval], min(start for start, _ in bars), max(end for _, end in bars), len(bars)
