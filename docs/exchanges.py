"""The page on exchanges: what exchange_calendars knows of each, read off its calendars; `docs/build.py` writes it."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any, Final

import exchange_calendars

YEAR: Final = ("2026-01-01", "2026-12-31")
MORE_THAN_HALF: Final = 0.5

PAGE: Final = """# Exchanges

*Made from the code by `make docs`, with exchange_calendars {{VERSION}}.*

What the calendars know that `exchange` names, in 2026. Hours and breaks are those of most days, by the zone's clock; holidays, early
closes and late opens come on top. A time with a minus, such as -17:00, is on the evening before the date. "A year ahead" counts from
the day on which the calendar is read.

Check the row of your exchange before you rely on it. [days.md](days.md#what-the-calendars-do-not-know) lists what is known to be
missing, and what to write in the config instead.

| `exchange` | zone | hours | break | days | last day known |
|---|---|---|---|---|---|
{{ROWS}}

Other names of the same calendars: {{ALIASES}}.
"""


def exchanges() -> str:
    """The page."""
    names = sorted(exchange_calendars.get_calendar_names(include_aliases=False))
    aliases = exchange_calendars.calendar_utils.global_calendar_dispatcher.aliases_to_names()
    others = ", ".join(f"`{alias}` ({name})" for alias, name in sorted(aliases.items()) if "." not in alias and alias != name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package warns of its own use of pandas
        rows = "\n".join(_row(name) for name in names)
    return PAGE.replace("{{VERSION}}", version("exchange_calendars")).replace("{{ROWS}}", rows).replace("{{ALIASES}}", others)


def _row(name: str) -> str:
    calendar = exchange_calendars.get_calendar(name, start=YEAR[0], end=YEAR[1])
    hours, breaks = Counter(_hours(calendar)).most_common(1)[0][0]
    last = type(calendar).bound_max()
    known = "a year ahead" if last is None else f"{last:%Y-%m-%d}"
    return f"| `{name}` | {calendar.tz.key} | {hours} | {breaks} | {_weekdays(calendar)} | {known} |"


def _hours(calendar: Any) -> Iterator[tuple[str, str]]:
    schedule = calendar.schedule
    for date, day in schedule.iterrows():

        def shown(instant: Any, date: Any = date) -> str:
            local = instant.tz_convert(calendar.tz)
            sign = {-1: "-", 0: "", 1: "+"}[(local.tz_localize(None).normalize() - date).days]
            return "24:00" if sign == "+" and f"{local:%H:%M}" == "00:00" else f"{sign}{local:%H:%M}"

        has_break = day["break_start"] == day["break_start"]
        breaks = f"{shown(day['break_start'])} to {shown(day['break_end'])}" if has_break else ""
        yield f"{shown(day['open'])} to {shown(day['close'])}", breaks


def _weekdays(calendar: Any) -> str:
    """The weekdays that have sessions in most weeks; `every day` for all seven."""
    counted = Counter(calendar.sessions.dayofweek)
    found = [day for day in range(7) if counted[day] > MORE_THAN_HALF * 52]
    if found == list(range(7)):
        return "every day"
    names = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    if found == list(range(found[0], found[-1] + 1)):
        return f"{names[found[0]]} to {names[found[-1]]}"
    return ", ".join(names[day] for day in found)
