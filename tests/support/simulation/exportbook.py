"""What exports of what is new should hold: each bar's last exported version, held against the version that is there.

Where the engine keeps positions and notes what changes behind them, this keeps every exported bar.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.support.simulation.books import Kept, Life, Series

SeriesKey = tuple[int, str]
"""A day and an interval."""


@dataclass
class Exported:
    """What the exports of a life have had, once one was begun; `frozen` is what the one under way was begun with."""

    number: int = 0
    done: dict[SeriesKey, Series] = field(default_factory=dict)
    frozen: dict[SeriesKey, Series] | None = None
    followed: set[SeriesKey] = field(default_factory=set)
    kept: dict[int, dict[str, Series]] = field(default_factory=dict)


def covered(life: Life) -> dict[SeriesKey, Series]:
    """The series that exports are made of: the day's, those of dropped intervals among them, and those of days that are followed."""
    found = {(life.day.days, interval): series for interval, series in (life.series() | life.retired).items()}
    exported = life.exported
    if exported is not None:
        for days, by_interval in (life.past | exported.kept).items():
            found.update({(days, name): series for name, series in by_interval.items() if (days, name) in exported.followed})
    return found


def new_of(life: Life, key: SeriesKey, series: Series) -> dict[int, Kept]:
    """The bars of a series whose version no export has had."""
    done = {} if life.exported is None else life.exported.done.get(key, {})
    return {start: bar for start, bar in series.items() if done.get(start) != bar}


def content(life: Life) -> dict[SeriesKey, set[int]]:
    """What the export under way holds: what it was begun with, but for what has changed since."""
    if life.exported is None or life.exported.frozen is None:
        return {}
    found = covered(life)
    return {
        key: {start for start, bar in frozen.items() if found[key].get(start) == bar}
        for key, frozen in life.exported.frozen.items() if key in found
    }  # fmt: skip


def begin(life: Life) -> None:
    """Freeze what is new, unless an export is under way."""
    exported = life.exported or Exported()
    if exported.frozen is None:
        frozen = {key: new for key, series in covered(life).items() if (new := new_of(life, key, series))}
        if not frozen:
            return
        exported.number += 1
        exported.frozen = frozen
    life.exported = exported


def may_end(life: Life | None, number: int | None) -> bool:
    """Whether the export of this number is the last that was begun."""
    return life is not None and life.exported is not None and number == life.exported.number


def end(life: Life) -> None:
    """What was frozen is exported; days that were kept for it go."""
    exported = life.exported
    if exported is None or exported.frozen is None:
        return
    for key, bars in exported.frozen.items():
        exported.done.setdefault(key, {}).update(bars)
    exported.frozen = None
    for days in [days for days in exported.kept if not count_new(life, days, exported.kept[days])]:
        del exported.kept[days]
        forget(life, days)


def count_new(life: Life, days: int, by_interval: dict[str, Series]) -> int:
    """How many bars of a day that is followed no export has had."""
    followed = set() if life.exported is None else life.exported.followed
    return sum(len(new_of(life, (days, name), series)) for name, series in by_interval.items() if (days, name) in followed)


def follow(life: Life, days: int) -> None:
    """The day is over, or begins among those that are."""
    if life.exported is not None:
        life.exported.followed.update((days, interval) for interval in (life.base, *life.derived))


def forget(life: Life, days: int, interval: str | None = None) -> None:
    """A day, or an interval of it, is there no more."""
    exported = life.exported
    if exported is None:
        return
    exported.followed -= {key for key in exported.followed if key[0] == days and interval in (None, key[1])}
    for by_key in (exported.done, exported.frozen or {}):
        for key in [key for key in by_key if key[0] == days and interval in (None, key[1])]:
            del by_key[key]


def lost_days(life: Life) -> int:
    """On how many days there are bars that no export has had."""
    return 0 if life.exported is None else len({key[0] for key, series in covered(life).items() if new_of(life, key, series)})


def drop_interval(life: Life, interval: str) -> None:
    """The config has dropped an interval: of days that are over it goes."""
    exported = life.exported
    if exported is None:
        return
    for days in {key[0] for key in exported.followed} - {life.day.days}:
        forget(life, days, interval)
    for by_interval in exported.kept.values():
        by_interval.pop(interval, None)
