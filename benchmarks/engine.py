"""The engine alone: microseconds per base bar with 5m and 15m derived, in batches of 2,000 over 100 symbols."""

from __future__ import annotations

from benchmarks.measure import Better, Plan, Row, in_turn, seconds_of
from streams.config.session import SessionConfig
from streams.engine.session import Session
from streams.engine.transaction import Transaction
from streams.model.inputs import InputKind, JournalInput
from streams.model.records import Bar
from streams.model.transactions import RangeRead
from streams.times import MINUTE_US, parse_instant

OPEN_US = parse_instant("2013-10-07T13:30:00Z")
SYMBOLS = 100
BARS, SMALL_BARS = 380, 40
BATCH = 20


def rows(plan: Plan) -> list[Row]:
    """Fresh bars (published) and a stale backlog (held back), with and without the rows of the state."""
    bars = SMALL_BARS if plan.small else BARS
    symbols = [f"S{number:03d}" for number in range(SYMBOLS)]
    batches = [
        [
            [
                Bar(symbol, "1m", start, start + MINUTE_US, 1.0, 2.0, 0.5, 1.5, 100.0)
                for start in range(OPEN_US + first * MINUTE_US, OPEN_US + (first + BATCH) * MINUTE_US, MINUTE_US)
            ]
            for symbol in symbols
        ]
        for first in range(0, bars, BATCH)
    ]

    def drive(*, fresh: bool) -> float:
        session = session_of(symbols)
        seconds = 0.0
        for number, batch in enumerate(batches):
            first = number * BATCH
            ranges = [
                RangeRead(symbol, place + 1, first, first + BATCH, list(range(first, first + BATCH)), batch[place])
                for place, symbol in enumerate(symbols)
            ]
            now_us = OPEN_US + (first + BATCH) * MINUTE_US if fresh else OPEN_US + 600 * MINUTE_US

            def run(ranges: list[RangeRead] = ranges, now_us: int = now_us) -> None:
                transaction = Transaction(session, owner="bench", now_us=now_us)
                transaction.read(ranges)
                transaction.finish()

            seconds += seconds_of(run)
        return seconds / (SYMBOLS * bars) * 1e6

    return in_turn(
        "engine, rows included",
        "us/bar",
        {"bars as they come": lambda: drive(fresh=True), "a stale backlog": lambda: drive(fresh=False)},
        plan.rounds,
        better=Better.LOWER,
    )


def session_of(symbols: list[str]) -> Session:
    """A session whose symbols are loaded, without a bar."""
    config = SessionConfig.from_dict(
        {"session_data_config": {"symbols": symbols, "derived_intervals": ["5m", "15m"], "streaming": {"catchup_threshold_seconds": 1800}}}
    )
    session, transaction = Transaction.of_new_session(config, epoch=1, control_topic_id="", control_offset=0, owner="bench", now_us=OPEN_US)
    for number, symbol in enumerate(symbols):
        transaction.apply(JournalInput(InputKind.LOADED, symbol, number + 1, topic_id="", first_offset=0, end_offset=0))
    transaction.finish()
    return session
