"""What a worker says about itself: its state for a load balancer, and its figures for Prometheus.

`starting` and `recovering` pass by themselves; `standby` and `active` are healthy; `failing` is an active worker whose
transactions no longer get through; `waiting` is one that does not begin, since its clock is ahead. Figures are taken from the engine's
state when they are asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streams.calendar.ending import days_left
from streams.engine.state.symbol import SymbolSessionData
from streams.model.records import EXTRA_STREAMS
from streams.times import SECOND_US, Clock, iso
from streams.worker.ledger.ledger import Ledger
from streams.worker.runner import SessionRunner

OVERDUE_SECONDS: Final = 5.0
_COUNTS: Final = {
    "accepted": "bars, base and derived, that went into the state",
    "published": "bars that went to analysis",
    "held_back": "bars that are in the state and not on analysis",
    "late": "bars that filled a hole behind the frontier",
    "corrected": "bars that replaced another",
    "duplicates": "bars that were there already",
    "forming": "versions of bars that were replaced before the bar's end",
    "out_of_hours": "bars dropped because they start outside trading hours",
    "other_interval": "bars dropped because they are not of the base interval",
    "other_day": "bars dropped because their trading day is over",
    "unknown_fields": "bars that have fields which a bar does not have; they are ignored",
    "rejected": "bars that went to the dead-letter topic",
    "engine_errors": "bars on which the engine failed",
}

_GAP_COUNTS: Final = {
    "gaps_asked": "stretches of missing bars that the history source was asked for",
    "gaps_filled": "of those, the ones that it gave bars for",
    "gaps_empty": "of those, the ones that it has no bars for either",
    "gaps_failed": "of those, the ones that it gave no good answer for, or whose bars could not be produced",
    "gap_bars": "bars that were produced to fill gaps",
}


class WorkerStatus(StrEnum):
    """Where a worker is in its life."""

    STARTING = "starting"
    RECOVERING = "recovering"
    STANDBY = "standby"
    ACTIVE = "active"
    FAILING = "failing"
    WAITING = "waiting"


HEALTHY: Final = frozenset({WorkerStatus.STANDBY, WorkerStatus.ACTIVE})


class Health:
    """The worker's state and figures."""

    def __init__(
        self, runner: SessionRunner, ledger: Ledger, clock: Clock, *, owner: str, session: str, overdue_seconds: float = OVERDUE_SECONDS
    ) -> None:
        self._overdue_seconds = overdue_seconds
        self._runner = runner
        self._ledger = ledger
        self._clock = clock
        self._owner = owner
        self._session = session
        self._phase = WorkerStatus.STARTING
        self._figures = _Figures(self, runner, ledger, clock, session)

    def enter(self, phase: WorkerStatus) -> None:
        """The worker has come to another phase of its life."""
        self._phase = phase

    @property
    def status(self) -> WorkerStatus:
        """The phase, or `failing` when an active worker's transactions don't get through."""
        if self._phase is WorkerStatus.ACTIVE and self.committed_seconds > OVERDUE_SECONDS:
            return WorkerStatus.FAILING
        return self._phase

    @property
    def is_overdue(self) -> bool:
        """Whether no transaction has got through for so long that nobody is to go by what this worker knows."""
        return self.committed_seconds > self._overdue_seconds

    @property
    def committed_seconds(self) -> float:
        """How long ago an active worker's last transaction was committed, by its monotonic clock."""
        return self._clock.monotonic() - self._runner.committed_at

    def identity(self) -> dict[str, object]:
        """Which worker this is."""
        return {"session": self._session, "worker": self._owner, "pid": os.getpid()}

    def report(self) -> dict[str, object]:
        """The state in a few fields, for JSON."""
        report: dict[str, object] = {"status": self.status, **self.identity()}
        report |= self.report_of_checks()
        reason, off_seconds = self._runner.watch.reason(), self._runner.watch.off_seconds
        report |= {} if reason is None else {"clock": reason}
        report |= {} if off_seconds is None else {"clock_off_seconds": round(off_seconds, 3)}
        session = self._runner.session
        if session is not None and self._runner.active:
            state = session.state
            report |= {
                "epoch": state.epoch,
                "sequence": state.sequence,
                "session_active": state.active and not self.is_overdue,
                "gate_reason": state.gate_reason,
                "lagging": sorted(state.lagging),
                "symbols": len(state.symbols),
                "as_of": iso(state.now_us),
                "calendar_last_date": state.calendar.last_date.isoformat(),
                "commits": self._ledger.commits,
                "last_commit_ms": round(self._ledger.last_commit_seconds * 1000, 3),
            }
        return report

    def report_of_checks(self) -> dict[str, object]:
        """Since when questions about topics are refused or not answered, and why; empty when they are answered."""
        unchecked = self._runner.unchecked
        if unchecked is None:
            return {}
        since_us = self._clock.now_us() - round(self.unchecked_seconds() * SECOND_US)
        return {"topics_unchecked_since": iso(since_us), "topics_unchecked_reason": unchecked.reason}

    def unchecked_seconds(self) -> float:
        """For how long questions about topics are refused or not answered; 0 when they are answered."""
        unchecked = self._runner.unchecked
        return 0.0 if unchecked is None else self._clock.monotonic() - unchecked.since

    def figures(self) -> list[Metric]:
        """The figures as they are now."""
        return list(self._figures.collect())


def in_text(figures: list[Metric]) -> bytes:
    """Figures in Prometheus' text form."""
    registry = CollectorRegistry()
    registry.register(_Taken(figures))
    return generate_latest(registry)


class _Taken(Collector):
    def __init__(self, figures: list[Metric]) -> None:
        self._taken = figures

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> list[Metric]:
        return self._taken


class _Figures:
    def __init__(self, health: Health, runner: SessionRunner, ledger: Ledger, clock: Clock, session: str) -> None:
        self._health = health
        self._runner = runner
        self._ledger = ledger
        self._clock = clock
        self._session = session

    def collect(self) -> Iterator[Metric]:
        status = GaugeMetricFamily("streams_worker_status", "1 for the state that the worker is in", labels=["session", "status"])
        for one in WorkerStatus:
            status.add_metric([self._session, one.value], float(one is self._health.status))
        yield status
        for stream in (None, *EXTRA_STREAMS):
            name = stream or "bars"
            yield self._counter(f"streams_{name}_read", f"records read from topics of {name}", self._runner.records_read[stream])
        yield self._counter("streams_transactions", "transactions committed", self._ledger.commits)
        yield self._counter("streams_epoch_renewals", "times that new producer epochs were taken after a commit", self._ledger.renewals)
        yield self._counter("streams_commit_seconds", "seconds spent in writing and committing", self._ledger.commit_seconds)
        yield self._gauge(
            "streams_topics_unchecked_seconds", "how long questions about topics are refused or not answered, 0 when they are answered",
            self._health.unchecked_seconds(),
        )  # fmt: skip
        watch = self._runner.watch
        if watch.off_seconds is not None:
            yield self._gauge(
                "streams_clock_off_seconds",
                "how far the machine's clock is ahead of the brokers', below zero: behind",
                watch.off_seconds,
            )
        yield self._gauge("streams_clock_wrong", "1 while the clock is off by more than is tolerated", float(watch.reason() is not None))
        yield self._counter("streams_dead_letters", "records that went to the dead-letter topic", self._runner.dead_letters)
        if self._runner.filler is not None:
            counts = self._runner.filler.counts
            for name, meaning in _GAP_COUNTS.items():
                yield self._counter(f"streams_{name}", meaning, getattr(counts, name))
            yield self._gauge("streams_gap_questions_hanging", "questions to the history source that hang", counts.gap_questions_hanging)
        session = self._runner.session
        if session is None or not self._runner.active:
            return
        state = session.state
        yield self._gauge("streams_last_commit_seconds", "duration of the last transaction", self._ledger.last_commit_seconds)
        yield self._gauge(
            "streams_session_active",
            "1 while the gate is open and transactions get through",
            float(state.active and not self._health.is_overdue),
        )
        yield self._gauge("streams_lagging_symbols", "symbols that keep the gate shut", len(state.lagging))
        yield self._gauge("streams_symbols", "symbols in the session", len(state.symbols))
        yield self._gauge("streams_sequence", "number of the last analysis record", state.sequence)
        yield self._gauge("streams_epoch", "epoch of the session", state.epoch)
        yield self._gauge(
            "streams_calendar_days_left", "days until the session's calendar ends", days_left(state.calendar, self._clock.now_us())
        )
        symbols = list(state.symbols.values())
        yield self._by_symbol("streams_symbol_lag_seconds", "age of a symbol's newest bar", symbols, self._lag_of)
        yield self._by_symbol("streams_symbol_lagging", "1 while a symbol keeps the gate shut", symbols, lambda data: float(data.lagging))
        yield self._by_symbol("streams_symbol_silent", "1 while a symbol is silent", symbols, lambda data: float(data.silent))
        yield self._by_symbol("streams_symbol_held_back_open", "bars in open runs", symbols, lambda data: float(data.runs.count()))
        for name, meaning in _COUNTS.items():
            family = CounterMetricFamily(f"streams_symbol_{name}", meaning, labels=["session", "symbol"])
            for data in symbols:
                family.add_metric([self._session, data.symbol], float(getattr(data.counts, name)))
            yield family

    def _lag_of(self, data: SymbolSessionData) -> float | None:
        return (self._clock.now_us() - data.frontier_us) / SECOND_US if data.frontier_us > 0 else None

    def _counter(self, name: str, meaning: str, value: float) -> Metric:
        family = CounterMetricFamily(name, meaning, labels=["session"])
        family.add_metric([self._session], value)
        return family

    def _gauge(self, name: str, meaning: str, value: float) -> Metric:
        family = GaugeMetricFamily(name, meaning, labels=["session"])
        family.add_metric([self._session], value)
        return family

    def _by_symbol(
        self, name: str, meaning: str, symbols: list[SymbolSessionData], value_of: Callable[[SymbolSessionData], float | None]
    ) -> Metric:
        family = GaugeMetricFamily(name, meaning, labels=["session", "symbol"])
        for data in symbols:
            value = value_of(data)
            if value is not None:
                family.add_metric([self._session, data.symbol], value)
        return family
