"""What requests may say, and the form it has: instants, intervals, page sizes."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated, Final

from fastapi import Query
from pydantic import BeforeValidator, WithJsonSchema

from streams.instants import read_instant
from streams.model.records import EXTRA_STREAMS
from streams.times import from_us, interval_us

PAGE: Final = 1000
LARGEST_PAGE: Final = 5000
SYMBOLS_PAGE: Final = 100
LARGEST_SYMBOLS_PAGE: Final = 200
INTERVAL_PATTERN: Final = "^[1-9][0-9]{0,4}[smhd]$"
STREAM_PATTERN: Final = f"{INTERVAL_PATTERN}|^({'|'.join(EXTRA_STREAMS)})$"

_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_BARE_PLUS: Final = re.compile(r"(T[0-9:.]+) ([0-9]{2}:?[0-9]{2})$")


def _instant(value: object) -> datetime:
    if not isinstance(value, str):
        raise ValueError(f"must be an instant such as 2013-10-07T13:30:00Z, got {value!r}")
    # A plus that was not sent as %2B arrives as a blank.
    return from_us(read_instant(_BARE_PLUS.sub(r"\1+\2", value)))


def _interval(value: object) -> str:
    interval_us(str(value))
    return str(value)


def _stream(value: object) -> str:
    return str(value) if value in EXTRA_STREAMS else _interval(value)


Stream = Annotated[str, BeforeValidator(_stream), WithJsonSchema({"type": "string", "pattern": STREAM_PATTERN, "examples": ["1m"]})]


def _day(value: object) -> date:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise ValueError(f"must be a date such as 2013-10-07, got {value!r}")
    return date.fromisoformat(value)


Day = Annotated[date, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date", "examples": ["2013-10-07"]})]
Instant = Annotated[
    datetime, BeforeValidator(_instant), WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2013-10-07T13:30:00Z"]})
]
Interval = Annotated[
    Annotated[str, BeforeValidator(_interval), WithJsonSchema({"type": "string", "pattern": INTERVAL_PATTERN, "examples": ["1m"]})] | None,
    Query(description="Interval of the bars; by default the symbol's base interval."),
]
Start = Annotated[Instant | None, Query(description="Only what starts at this instant or later.")]
End = Annotated[Instant | None, Query(description="Only what starts before this instant.")]
Limit = Annotated[
    int | None,
    Query(ge=1, le=LARGEST_PAGE, description=f"The most that one page has, {PAGE} by default; with it `next` leads to the one after it."),
]
