"""From rows that a reader cut up to records: each made, put in its pass of a repeated hour, checked, and out.

Readers of CSV, JSON lines and Parquet differ in the rows. What comes after is the same, and it stands here: a record is out as
soon as its row is in (but for a row that waits for others in the hour that clocks show twice), and a row that can't be read is
a `BarFileError` with its place, raised, or handed to `on_error`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from streams.errors import BarFileError
from streams.history.formats.checks import OnError
from streams.history.formats.fields import FieldError, Form, R, Repeated, Value
from streams.history.formats.repeated import RepeatedHours


class Row(NamedTuple):
    """A row: its number, counted from 1, and its values by meaning, or why there are none; `text` where places are found in it."""

    number: int
    values: Mapping[str, Value] | FieldError
    text: str = ""


class Rows(Protocol):
    """The rows of a file."""

    def __iter__(self) -> Iterator[Row]: ...

    def where(self, row: Row, field: str | None) -> str:
        """The file, and the place in it: `bars.csv: line 3, column 5`."""
        ...


class Series(NamedTuple):
    """What is in order of time in a file: of which series a record is, by which instant, and how strict that order is."""

    key: Callable[[Any], Hashable]
    time: Callable[[Any], int]
    slack_us: int = -1


def read_records(
    rows: Rows,
    make: Callable[[Mapping[str, Value], Form], R | Repeated[R]],
    form: Form,
    series: Series,
    *,
    on_error: OnError | None,
    check: Callable[[R], None] | None = None,
) -> Iterator[R]:
    """The records of these rows.

    Args:
        rows: the rows.
        make: makes a record of the values of a row.
        form: how to understand them.
        series: what is in order of time.
        on_error: takes a row that can't be read; without it the first one is raised.
        check: looks at each record, and refuses it with a `FieldError`.

    Raises:
        BarFileError: without `on_error`, a row can't be read.
    """
    hours: RepeatedHours[Row, R] = RepeatedHours(
        series.key, series.time, at_once=form.now_us is not None, in_order=form.in_order, slack_us=series.slack_us
    )

    def checked(settled: Iterator[tuple[Row, R | FieldError]]) -> Iterator[R]:
        for row, record in settled:
            try:
                if isinstance(record, FieldError):
                    raise record
                if check is not None:
                    check(record)
            except FieldError as error:
                report(row, error)
            else:
                yield record

    def report(row: Row, error: FieldError) -> None:
        fault = BarFileError(f"{rows.where(row, error.field)}: {error}")
        if on_error is None:
            raise fault from None
        on_error(fault)

    for row in rows:
        try:
            if isinstance(row.values, FieldError):
                raise row.values
            made = make(row.values, form)
        except FieldError as error:
            report(row, error)
            continue
        yield from checked(hours.take(row, made))
    yield from checked(hours.rest())
