"""From a bar's sending to its record at a read_committed reader, in milliseconds: at 20 and at 2,000 bars a second.

100 symbols with one-minute bars and 5m and 15m; worker, sender and reader in processes of their own. What is sent in the
first seconds warms everybody up and does not count. Each bar that was sent must be on analysis once, with no hole in the
sequence.
"""

from __future__ import annotations

from benchmarks.measure import Plan, Row, at_most
from benchmarks.stage import Reader, Stage, events_of, happens, percentile, played, sent_us, stage, symbols_named
from streams.wire.codec import Codec

SYMBOLS = 100
SECONDS = {20: 20.0, 2_000: 8.0}
WARM_SECONDS = 3.0
TARGETS_MS = {20: (10.0, 30.0), 2_000: (15.0, 80.0)}


def rows(plan: Plan) -> list[Row]:
    """Milliseconds at p50 and p99."""
    found: list[Row] = []
    with stage(plan) as place:
        for rate, seconds in SECONDS.items():
            median, high = TARGETS_MS[rate]
            found += played(
                f"bar to analysis, {rate:,} bars/s",
                plan,
                lambda rate=rate, seconds=seconds: _delays(place, rate, 2.0 if plan.small else seconds),  # type: ignore[misc]
                {"p50": "ms", "p99": "ms"},
                {"p50": [at_most(median)], "p99": [at_most(high)]},
            )
    return found


def _delays(place: Stage, per_second: float, seconds: float) -> dict[str, float]:
    each = max(1, round(per_second * (seconds + WARM_SECONDS) / SYMBOLS))
    with place.act(symbols_named(SYMBOLS)) as act:
        act.worker().wait_active()
        reader, sender = act.reader(act.names.analysis), act.sender(0, each, per_second=per_second)
        sender.begin()
        delays = published_delays_ms(reader, len(sender.finish()))[round(per_second * WARM_SECONDS) :]
    return {"p50": percentile(delays, 0.5), "p99": percentile(delays, 0.99)}


def published_delays_ms(reader: Reader, count: int) -> list[float]:
    """The delays of so many one-minute bars in the order of their sending, once all are there, each of them once."""
    codec = Codec()
    bars: list[tuple[int, int, str | None, int]] = []

    def all_there() -> bool:
        bars[:] = [
            (sent_us(event.bar.volume), one.at_us, event.symbol, event.bar.start_us)
            for one, event in events_of(reader.look(), codec)
            if event.bar is not None and event.interval == "1m"
        ]
        return len(bars) >= count

    if not happens(all_there, pause_seconds=0.5) or len(bars) != count or len({bar[2:] for bar in bars}) != count:
        raise RuntimeError(f"{len(bars)} bars are on analysis, {count} were sent")
    return [(at_us - sent) / 1000 for sent, at_us, _, _ in sorted(bars)]
