"""Quotes and ticks from a user's own text: CSV with a header, or one JSON object a line.

As with bars, a record is out as soon as its line is in, and a line that can't be read is a `BarFileError` with file, line and
column, raised or handed to `on_error`.

    with open("quotes.csv", encoding="utf-8-sig", newline="") as stream:
        for quote in read_extras(stream, QUOTES, "csv", Form("SPY")):
            producer.send(quote)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from streams.history.formats.checks import OnError
from streams.history.formats.fields import (
    QUOTE_FIELDS,
    TICK_FIELDS,
    FieldError,
    Fields,
    Form,
    Repeated,
    Value,
    one_or_two,
    place_moment,
    read_moment,
    read_symbol,
    text_of,
)
from streams.history.formats.reading import Series, read_records
from streams.history.formats.text import STANDARD_INPUT, TextFormat, text_rows
from streams.instants import Moment
from streams.model.records import PROVENANCE_FEED, QUOTES, TICKS, Quote, Tick
from streams.times import MINUTE_US

EXTRA_FIELDS: Final[Mapping[str, Fields]] = {QUOTES: QUOTE_FIELDS, TICKS: TICK_FIELDS}

_PLAIN: Final = Form()
# Venues send at the same time, and networks swap messages: a minute back is no second pass of a repeated hour.
_SERIES: Final = Series(lambda record: record.symbol, lambda record: record.time_us, slack_us=MINUTE_US)


def read_extras(
    stream: Iterable[str],
    kind: str,
    text_format: TextFormat,
    form: Form = _PLAIN,
    *,
    name: str = STANDARD_INPUT,
    on_error: OnError | None = None,
) -> Iterator[Quote | Tick]:
    """The quotes or ticks of a text.

    Args:
        stream: the lines, opened with `newline=""`.
        kind: `quotes` or `ticks`.
        text_format: how a line is cut up.
        form: what the lines don't say themselves.
        name: what the file is called in messages.
        on_error: takes a line that can't be read; without it the first one is raised.

    Raises:
        BarFileError: the header lacks a column, or, without `on_error`, a line can't be read.
    """
    rows = text_rows(stream, text_format, EXTRA_FIELDS[kind], form, name)
    if kind == QUOTES:
        return read_records(rows, _make_quote, form, _SERIES, on_error=on_error)
    return read_records(rows, _make_tick, form, _SERIES, on_error=on_error)


def _make_quote(values: Mapping[str, Value], form: Form) -> Quote | Repeated[Quote]:
    symbol = read_symbol(values, form)
    bid, ask, bid_size, ask_size = (_number(values, meaning) for meaning in ("bid", "ask", "bid_size", "ask_size"))
    if bid is None and ask is None:
        raise FieldError("bid", "there is neither a bid nor an ask")
    moment, times = _times(values, form)
    quotes = [Quote(symbol, time_us, bid, ask, bid_size, ask_size, _provenance(values)) for time_us in times]
    return one_or_two(quotes, times, moment, "time", form)


def _make_tick(values: Mapping[str, Value], form: Form) -> Tick | Repeated[Tick]:
    symbol = read_symbol(values, form)
    price, size = _number(values, "price"), _number(values, "size")
    if price is None or size is None:
        raise FieldError("price" if price is None else "size", f"there is no {'price' if price is None else 'size'}")
    moment, times = _times(values, form)
    ticks = [Tick(symbol, time_us, price, size, _provenance(values)) for time_us in times]
    return one_or_two(ticks, times, moment, "time", form)


def _times(values: Mapping[str, Value], form: Form) -> tuple[Moment, list[int]]:
    if text_of(values.get("time")) is None:
        raise FieldError("time", "there is no time")
    moment = read_moment(values, "time", form, text_of(values.get("day")))
    return moment, [*place_moment(moment, "time", form)]


def _provenance(values: Mapping[str, Value]) -> str:
    return text_of(values.get("provenance")) or PROVENANCE_FEED


def _number(values: Mapping[str, Value], meaning: str) -> float | None:
    value = values.get(meaning)
    if value is None or text_of(value) is None:
        return None
    try:
        number = None if isinstance(value, bool) else float(value)
    except ValueError:
        number = None
    if number is None or not math.isfinite(number):
        raise FieldError(meaning, f"{meaning} is {value!r}: it must be a number such as 167.41")
    return number
