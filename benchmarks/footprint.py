"""What a session of 100 symbols with 5m and 15m takes: bytes on its topics for each one-minute bar, and the worker's memory.

Counted are key, value and headers of every committed record of changelog and journal, divided by the one-minute bars; what
Kafka adds for each batch and record, and the markers of transactions, are not. Live, the bars of all symbols arrive together
once a "minute" of a quarter of a second; catching up, a full day of bars lies in the topics. Memory is measured after both,
of the worker process: its resident set, and its proportional share of it, in which shared pages count in part.
"""

from __future__ import annotations

from benchmarks.measure import Plan, Row, at_most
from benchmarks.stage import DAY_BARS, Reader, Stage, happens, played, stage, symbols_named
from streams.model.rows import ProgressRow
from streams.wire.codec import Codec

SYMBOLS = 100
MINUTES = 60
MINUTES_A_SECOND = 4
MEGABYTE = 1e6

THREE = "changelog, live, with 5m, 15m and 30m"
LIVE, CATCHING_UP = "changelog and journal, live", "changelog and journal, catching up"
PARTS = (": changelog", ": journal")
RESIDENT, PROPORTIONAL = "memory of the worker, resident", "memory of the worker, proportional"


def rows(plan: Plan) -> list[Row]:
    """Bytes a bar, and megabytes."""
    minutes = 10 if plan.small else MINUTES
    with stage(plan) as place:
        return played(
            "100 symbols, a day of one-minute bars",
            plan,
            lambda: {**_run(place, minutes), THREE: _with_three(place, minutes if plan.small else DAY_BARS)},
            {
                **{f"{mode}{part}": "B/bar" for mode in (LIVE, CATCHING_UP) for part in ("", *PARTS)},
                THREE: "B/bar",
                RESIDENT: "MB",
                PROPORTIONAL: "MB",
            },
            {LIVE: [at_most(600)], THREE: [at_most(400)], CATCHING_UP: [at_most(250)], RESIDENT: [at_most(300)]},
        )


def _run(place: Stage, minutes: int) -> dict[str, float]:
    figures: dict[str, float] = {}
    with place.act(symbols_named(SYMBOLS)) as act:
        worker = act.worker()
        worker.wait_active()
        worker.end()
        changelog, journal = act.reader(act.changelog), act.reader(act.names.journal)
        act.send(0, DAY_BARS)
        worker = act.worker()
        worker.wait_active()
        figures |= _bytes(CATCHING_UP, changelog, journal, SYMBOLS * DAY_BARS, DAY_BARS)
        live = act.sender(DAY_BARS, DAY_BARS + minutes, per_second=SYMBOLS * MINUTES_A_SECOND, burst=SYMBOLS)
        live.begin()
        figures |= _bytes(LIVE, changelog, journal, len(live.finish()), DAY_BARS + minutes)
        memory = worker.process.memory_full_info()
    return figures | {RESIDENT: memory.rss / MEGABYTE, PROPORTIONAL: memory.pss / MEGABYTE}


def _with_three(place: Stage, minutes: int) -> float:
    """Bytes of changelog for each live bar of a whole day, of a session with one derived interval more."""
    with place.act(symbols_named(SYMBOLS), derived=("5m", "15m", "30m")) as act:
        worker = act.worker()
        worker.wait_active()
        changelog, journal = act.reader(act.changelog), act.reader(act.names.journal)
        live = act.sender(0, minutes, per_second=SYMBOLS * MINUTES_A_SECOND, burst=SYMBOLS)
        live.begin()
        return _bytes(LIVE, changelog, journal, len(live.finish()), minutes)[f"{LIVE}{PARTS[0]}"]


def _bytes(mode: str, changelog: Reader, journal: Reader, bars: int, each: int) -> dict[str, float]:
    """Bytes for each bar of what the readers have met, once the state holds `each` bars of each symbol."""
    codec = Codec()
    counts: dict[str, int] = {}

    def all_there() -> bool:
        for one in changelog.look():
            row = codec.row_from(one.value) if one.key.startswith(b"progress|") else None
            if isinstance(row, ProgressRow):
                counts[row.symbol] = row.bar_count
        return len(counts) == SYMBOLS and min(counts.values()) == each

    if not happens(all_there, pause_seconds=0.5):
        raise RuntimeError(f"the state holds {sum(counts.values())} bars instead of {each} for each of {SYMBOLS} symbols")
    journal.look()
    found = {mode: 0.0}
    for part, reader in zip(PARTS, (changelog, journal), strict=True):
        found[f"{mode}{part}"] = sum(one.size for one in reader.seen) / bars
        found[mode] += found[f"{mode}{part}"]
        reader.seen.clear()
    return found
