"""Which bars lie between a from and a to."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from streams.history.formats.selection import TimeWindow
from streams.history.lean.files import read_lean
from streams.model.records import Bar
from streams.times import parse_instant

NEW_YORK = ZoneInfo("America/New_York")
DATA = Path(__file__).parents[3] / "examples" / "data" / "lean" / "equity" / "usa"


def bar(start: str, minutes: int = 1) -> Bar:
    start_us = parse_instant(start)
    return Bar("SPY", f"{minutes}m", start_us, start_us + minutes * 60_000_000, 1.0, 1.0, 1.0, 1.0, 1.0)


def test_half_past_nine_to_four_are_390_one_minute_bars_of_a_regular_day() -> None:
    window = TimeWindow.parse("09:30", "16:00", zone=NEW_YORK)
    assert len(list(window.select(read_lean(DATA / "minute/spy")))) == 3 * 390


@pytest.mark.parametrize(
    ("first", "last", "start", "inside", "why"),
    [
        (None, None, "2013-10-07T13:30:00Z", True, "no bounds"),
        ("09:30", None, "2013-10-07T13:30:00Z", True, "from is part of it"),
        ("09:30", None, "2013-10-07T13:29:00Z", False, "a minute before"),
        (None, "16:00", "2013-10-07T19:59:00Z", True, "ends at to"),
        (None, "16:00", "2013-10-07T20:00:00Z", False, "starts at to"),
        ("09:30", "16:00", "2013-12-02T14:30:00Z", True, "the open in winter"),
        ("23:00", "24:00", "2013-10-08T03:59:00Z", True, "the last minute of the local day"),
        ("2013-10-08", None, "2013-10-08T04:00:00Z", True, "local midnight"),
        ("2013-10-08", None, "2013-10-08T03:59:00Z", False, "before local midnight"),
        (None, "2013-10-08T13:30:00Z", "2013-10-08T13:29:00Z", True, "ends at the instant"),
        ("09:30", "2013-10-08T13:30:00Z", "2013-10-07T13:29:00Z", False, "a time of day and an instant together"),
    ],
)
def test_a_bar_is_in_when_it_starts_at_or_after_from_and_ends_at_or_before_to(
    first: str | None, last: str | None, start: str, inside: bool, why: str
) -> None:
    assert TimeWindow.parse(first, last, zone=NEW_YORK).holds(bar(start)) is inside, why


@pytest.mark.parametrize(
    ("first", "last", "message"),
    [
        ("24:30", None, "no time of day: write 00:00 to 24:00"),
        ("soon", None, "neither a time of day such as 09:30 nor an instant"),
        ("16:00", "09:30", "the first must be the earlier one"),
        ("2013-03-10 02:30", None, "clocks skip that time"),
    ],
)
def test_a_bound_that_can_not_be_one_is_refused(first: str, last: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TimeWindow.parse(first, last, zone=NEW_YORK)
