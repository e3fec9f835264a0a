"""A session's rows and records in words and in JSON: what `status`, `watch` and the lists have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypedDict

from streams.client.state import StateView
from streams.model.records import QUOTES, TICKS
from streams.model.rows import ProgressRow, StreamRow, SymbolRow
from streams.times import SECOND_US, from_us, iso

NOBODY: Final = 3
"""The exit code for: no broker, or no worker of the session, is there."""

CLOSED: Final = 4
"""The exit code for: the gate of the session is closed."""

NOBODY_AFTER_SECONDS: Final = 5.0
"""A worker commits at least once a second; one that did not for so long is taken for gone."""

_DAY_SECONDS: Final = 86_400
_NAMES_SHOWN: Final = 8
_HOUR_SECONDS: Final = 3_600
_MINUTE_SECONDS: Final = 60


class StreamFacts(TypedDict):
    """A symbol's quotes or ticks: those of the day, in all, and what became of the others; `latest` is the time of the latest one."""

    count: int
    total: int
    latest: str | None
    out_of_hours: int
    dead_letters: int
    unknown_fields: int
    unknown_names: list[str]
    reason: str | None


class SymbolFacts(TypedDict):
    """One symbol as the command line tells of it; instants are ISO 8601, `None` where there is nothing yet."""

    symbol: str
    status: str
    incarnation: int
    dynamic: bool
    base_interval: str
    derived_intervals: list[str]
    frontier: str | None
    lag_seconds: float | None
    lagging: bool
    silent: bool
    backlog: bool
    bars: int
    published: int
    held_back: int
    late: int
    corrected: int
    duplicates: int
    forming: int
    unknown_fields: int
    unknown_names: list[str]
    waiting: int
    out_of_hours: int
    other_interval: int
    other_day: int
    dead_letters: int
    streams: list[str]
    quotes: StreamFacts | None
    ticks: StreamFacts | None
    note: str


def symbol_facts(view: StateView, row: SymbolRow, now_us: int) -> SymbolFacts:
    """What there is to tell of a symbol; its lag is how old its newest bar is at `now_us`."""
    progress = view.progress_of(row.symbol)
    return {
        "symbol": row.symbol,
        "status": row.status,
        "incarnation": row.incarnation,
        "dynamic": row.dynamic,
        "base_interval": row.base_interval,
        "derived_intervals": list(row.derived_intervals),
        "frontier": _instant(progress.frontier_us) if progress else None,
        "lag_seconds": _lag_seconds(progress, now_us) if progress else None,
        "lagging": bool(progress and progress.lagging),
        "silent": bool(progress and progress.silent),
        "backlog": bool(progress and progress.backlog),
        "bars": progress.bar_count if progress else 0,
        "published": progress.published if progress else 0,
        "held_back": progress.held_back if progress else 0,
        "late": progress.late if progress else 0,
        "corrected": progress.corrected if progress else 0,
        "duplicates": progress.duplicates if progress else 0,
        "forming": progress.forming if progress else 0,
        "unknown_fields": progress.unknown_fields if progress else 0,
        "unknown_names": list(progress.unknown_names) if progress else [],
        "waiting": len(progress.waiting) if progress else 0,
        "out_of_hours": progress.out_of_hours if progress else 0,
        "other_interval": progress.other_interval if progress else 0,
        "other_day": progress.other_day if progress else 0,
        "dead_letters": progress.rejected + progress.engine_errors if progress else 0,
        "streams": list(row.streams),
        "quotes": _stream_facts(view.extra_of(row.symbol, QUOTES)),
        "ticks": _stream_facts(view.extra_of(row.symbol, TICKS)),
        "note": _note(view, row, progress),
    }


def _lag_seconds(progress: ProgressRow, now_us: int) -> float | None:
    if progress.frontier_us > 0:
        return (now_us - progress.frontier_us) / SECOND_US
    return progress.lag_us / SECOND_US if progress.checks else None


def seconds_text(seconds: float) -> str:
    """A duration as a person says it: `0.4 s`, `95 s`, `12 min`, `3 h 05 min`, `4740 d`."""
    size = abs(seconds)
    if size < 10:
        return f"{seconds:.1f} s"
    if size < 2 * _MINUTE_SECONDS:
        return f"{seconds:.0f} s"
    if size < 2 * _HOUR_SECONDS:
        return f"{seconds / _MINUTE_SECONDS:.0f} min"
    if size < 2 * _DAY_SECONDS:
        hours, rest = divmod(round(size / _MINUTE_SECONDS), 60)
        return f"{'-' if seconds < 0 else ''}{hours} h {rest:02d} min"
    return f"{seconds / _DAY_SECONDS:.0f} d"


def clock_text(instant_us: int) -> str:
    """The time of day of an instant in UTC, with a fraction where there is one."""
    moment = from_us(instant_us)
    return f"{moment:%H:%M:%S}" + (f".{moment.microsecond // 1000:03d}" if moment.microsecond else "")


def short_instant(instant: str | None, beside: str) -> str:
    """An ISO instant for a table: without its date where that is the date of `beside`, and `-` for none."""
    if instant is None:
        return "-"
    day, _, time = instant.removesuffix("Z").partition("T")
    return time if beside.startswith(day) else f"{day} {time}"


def whole_seconds(instant: str) -> str:
    """An ISO instant in UTC without its fraction of a second, which a line for people does not need."""
    return f"{instant[:19]}Z"


def plural(count: int, thing: str) -> str:
    """`1 bar`, `412 bars`, `4,120 bars`."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def unknown_words(names: Sequence[str]) -> str:
    """That columns of these names are not read, and what to do about it."""
    shown = ", ".join(name or repr(name) for name in names[:_NAMES_SHOWN])
    more = f" and {len(names) - _NAMES_SHOWN:,} more" if len(names) > _NAMES_SHOWN else ""
    holds, them = ("it holds", "it") if len(names) == 1 else ("they hold", "them")
    return f"not read: {shown}{more}: say with --column what {holds}, or leave {them} out with --ignore-column"


def unknown_total(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sums of counts of unknown columns."""
    total: dict[str, int] = {}
    for one in counts:
        for name, count in one.items():
            total[name] = total.get(name, 0) + count
    return total


def unknown_summary(counts: Mapping[str, int]) -> str:
    """Counts of unknown columns in a line of a summary: `not read: adj_close (390 records), note (12 records)`."""
    parts = [f"{name or repr(name)} ({plural(count, 'record')})" for name, count in counts.items()]
    more = f" and {len(parts) - _NAMES_SHOWN:,} more" if len(parts) > _NAMES_SHOWN else ""
    return f"not read: {', '.join(parts[:_NAMES_SHOWN])}{more}"


def _stream_facts(row: StreamRow | None) -> StreamFacts | None:
    if row is None:
        return None
    latest = row.quote or row.tick
    return {
        "count": row.count,
        "total": row.total,
        "latest": None if latest is None else iso(latest.time_us),
        "out_of_hours": row.out_of_hours,
        "dead_letters": row.rejected + row.engine_errors,
        "unknown_fields": row.unknown_fields,
        "unknown_names": list(row.unknown_names),
        "reason": row.reason,
    }


def _note(view: StateView, row: SymbolRow, progress: ProgressRow | None) -> str:
    notes = [row.reason] if row.reason else []
    for stream in row.streams:
        extra = view.extra_of(row.symbol, stream)
        if extra is not None and extra.reason:
            notes.append(f"no {stream}: {extra.reason}")
    if progress is not None:
        if progress.lagging:
            notes.append("lagging: reads its backlog" if progress.backlog else "lagging")
        if progress.silent:
            notes.append("silent")
    return "; ".join(notes)


def _instant(instant_us: int) -> str | None:
    # The engine writes a negative number where nothing has happened yet.
    return iso(instant_us) if instant_us > 0 else None
