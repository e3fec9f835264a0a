"""A calendar as one line of JSON: what a session stores of the trading days that it goes by.

    {"exchange": "XSHG", "zone": "Asia/Shanghai", "first": 7658, "through": 20818, "days": "<base64>",
     "hours": [[-28800, 5400, 12600, 18000, 25200]], "runs": [0, 0]}

`first` and `through` are dates as days since 1970: the first trading day, and the last date of which it is known whether there is
trading. `days` is a bitmap of the dates from `first` on, the lowest bit first. Each entry of `hours` counts seconds from midnight UTC of
a date: where the day begins, then an open and a close for each stretch of trading. `runs` lists in pairs at which trading day, counted
from 0, which entry of `hours` sets in. Thirty-seven years of XNYS take 5 kB.

Everything is an instant by the time it stands here, so neither another version of exchange_calendars nor of the time zone data reads
anything else out of it, and equal calendars are equal texts.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from itertools import pairwise
from typing import Final

from msgspec import Struct

from streams.calendar.hours import Segments
from streams.times import DAY_US, SECOND_US

_KEYS: Final = ("exchange", "zone", "first", "through", "days", "hours", "runs")


class CalendarDays(Struct, frozen=True):
    """The trading days of a calendar, in order, one entry of each list a day.

    Attributes:
        exchange: the calendar's name.
        zone: the exchange's time zone.
        through: the last date that is known, days since 1970.
        days: the dates, days since 1970.
        starts: where each day begins at the earliest, microseconds since 1970, UTC.
        segments: when each day trades.
    """

    exchange: str
    zone: str
    through: int
    days: list[int]
    starts: list[int]
    segments: list[Segments]


def calendar_to_text(known: CalendarDays) -> str:
    """The days as text. All instants must be whole seconds, and there must be at least one day."""
    first = known.days[0]
    bitmap = bytearray((known.days[-1] - first) // 8 + 1)
    patterns: dict[tuple[int, ...], int] = {}
    runs: list[int] = []
    for index, (days, start_us, segments) in enumerate(zip(known.days, known.starts, known.segments, strict=True)):
        bitmap[(days - first) // 8] |= 1 << (days - first) % 8
        edges = (start_us, *(edge_us for segment in segments for edge_us in segment))
        pattern = tuple((edge_us - days * DAY_US) // SECOND_US for edge_us in edges)
        number = patterns.setdefault(pattern, len(patterns))
        if not runs or runs[-1] != number:
            runs += (index, number)
    values = (known.exchange, known.zone, first, known.through, b64encode(bytes(bitmap)).decode(), list(patterns), runs)
    return json.dumps(dict(zip(_KEYS, values, strict=True)), separators=(",", ":"))


def calendar_from_text(text: str) -> CalendarDays:
    """The days that `calendar_to_text` has written.

    Raises:
        ValueError: it is not such a text.
    """
    values = json.loads(text)
    if not isinstance(values, dict) or any(key not in values for key in _KEYS):
        raise ValueError(f"a stored calendar is a JSON object with the keys {', '.join(_KEYS)}, got {text[:80]!r}")
    bitmap, first, runs = b64decode(values["days"]), values["first"], values["runs"]
    days = [first + number for number in range(len(bitmap) * 8) if bitmap[number // 8] >> number % 8 & 1]
    starts: list[int] = []
    segments: list[Segments] = []
    ends = [*runs[2::2], len(days)]
    for number, end in zip(runs[1::2], ends, strict=True):
        start, *edges = values["hours"][number]
        for date in days[len(starts) : end]:
            midnight_us = date * DAY_US
            starts.append(midnight_us + start * SECOND_US)
            stretches = pairwise(midnight_us + edge * SECOND_US for edge in edges)
            segments.append(tuple(stretches)[::2])
    return CalendarDays(values["exchange"], values["zone"], values["through"], days, starts, segments)
