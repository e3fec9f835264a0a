"""Named trading hours of markets that open on the evening before their trading date: futures and currencies.

A preset says whose dates and hours hold. Those of CME products come from `pandas_market_calendars`, which knows each product
group's holidays, halts and early closes; those of ICE and of currencies are windows of our own, since the libraries miss Sunday's
open (docs/days.md tells where the libraries disagree, and which one was taken).

    >>> PRESETS["us_equity_futures"].exchange, PRESETS["us_equity_futures"].market
    ('CMES', 'CME Globex Equity')

This module is data and imports no calendar: a client reads configs without one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from types import MappingProxyType
from typing import Final, Literal

from msgspec import Struct

from streams.calendar.hours import DAY_SECONDS, Window, Windows, parse_windows
from streams.times import date_of_days

PresetName = Literal[
    "us_equity_futures",
    "us_rate_futures",
    "us_fx_futures",
    "us_energy_futures",
    "us_metal_futures",
    "us_grain_futures",
    "ice_energy_futures",
    "fx",
]

EVENING_EXCHANGES: Final = frozenset({"CMES", "CME", "CBOT", "COMEX", "NYMEX", "IEPA", "ICE", "ICEUS", "NYFE", "us_futures"})
"""Calendars of exchange_calendars, with their other names, whose sessions open on the evening before their date."""

_MONDAY: Final = 0
_UNTIL_2015: Final = date(2012, 11, 19), date(2015, 9, 18)
"""CME moved the close of index futures, energy and metals from 16:15 to 16:00 with 2015-09-21; earlier hours are not known here."""


class Preset(Struct, frozen=True):
    """Hours by name, of the calendar `exchange`: those of a `market` of pandas_market_calendars, or `windows` in `zone`."""

    exchange: str
    """The calendar of exchange_calendars that the config names, in which the preset's dates lie."""
    what: str
    """What trades in these hours, for docs."""
    market: str = ""
    """A calendar of pandas_market_calendars; the dates are its own."""
    halts_of: str = ""
    """Another one, whose breaks within the day are taken too."""
    closed_later: tuple[date, date] | None = None
    """First and last date on which a day that nothing shortens closed a quarter of an hour later than the library says."""
    windows: Windows = ()
    """Windows on each of the calendar's dates, which the calendar's early closes end."""
    mondays: Windows = ()
    """Windows on Mondays instead."""
    zone: str = ""
    """The windows' time zone, where it is not the calendar's."""
    closed: frozenset[tuple[int, int]] = frozenset()
    """Month and day of dates without trading that the calendar has."""

    def windows_on(self) -> Callable[[int], tuple[Window, ...]]:
        """What gives the windows of a date; none where it is closed."""
        usual, mondays = parse_windows(self.windows), parse_windows(self.mondays or self.windows)

        def on(days: int) -> tuple[Window, ...]:
            day = date_of_days(days)
            if (day.month, day.day) in self.closed:
                return ()
            return mondays if day.weekday() == _MONDAY else usual

        return on


PRESETS: Final[Mapping[str, Preset]] = MappingProxyType(
    {
        "us_equity_futures": Preset(
            "CMES",
            "CME equity index futures (ES, NQ, YM, RTY)",
            market="CME Globex Equity",
            halts_of="CME_Equity",
            closed_later=_UNTIL_2015,
        ),
        "us_rate_futures": Preset("CMES", "CME interest rate futures (ZN, ZB, SR3)", market="CME Globex Fixed Income"),
        "us_fx_futures": Preset("CMES", "CME currency futures (6E, 6J)", market="CMEGlobex_FX"),
        "us_energy_futures": Preset("CMES", "NYMEX energy futures (CL, NG, RB, HO)", market="CMEGlobex_Energy", closed_later=_UNTIL_2015),
        "us_metal_futures": Preset("CMES", "COMEX metal futures (GC, SI, HG)", market="CMEGlobex_Metals", closed_later=_UNTIL_2015),
        "us_grain_futures": Preset("CMES", "CBOT grain and oilseed futures (ZC, ZW, ZS)", market="CME_Agriculture"),
        "ice_energy_futures": Preset(
            "IEPA",
            "ICE energy futures (Brent, gasoil)",
            windows=("20:00 previous day", "18:00"),
            mondays=("18:00 previous day", "18:00"),
        ),
        "fx": Preset(
            "24/5",
            "currencies, over the counter",
            windows=("17:00 previous day", "17:00"),
            zone="America/New_York",
            closed=frozenset({(1, 1), (12, 25)}),
        ),
    }
)


def preset_of(name: str, exchange: str) -> Preset:
    """The preset of that name.

    Raises:
        ValueError: there is none, or it is of another calendar than `exchange`; the words go on from "hours ".
    """
    preset = PRESETS.get(name)
    if preset is None:
        raise ValueError(f"must be regular, windows, or one of {', '.join(PRESETS)}, got {name!r}")
    if preset.exchange != exchange:
        raise ValueError(f"must be of the same exchange: {name!r} needs exchange {preset.exchange!r}, got {exchange!r}")
    return preset


def hours_remark(exchange: str, hours: Windows | str) -> str | None:
    """What to tell a user whose windows open on the date itself where trading opens on the evening before, or None."""
    if exchange not in EVENING_EXCHANGES or isinstance(hours, str):
        return None
    windows = parse_windows(hours)
    if windows[0].open_seconds < 0 or windows[-1].close_seconds <= DAY_SECONDS:
        return None
    names = " or ".join(name for name, preset in PRESETS.items() if preset.exchange == exchange)
    return (
        f"hours: a window that opens on the date itself and closes on the next one leaves Sunday evening out of {exchange}, and adds "
        'Friday evening, on which nothing trades: open it on the previous day ("18:00 previous day")'
        + (f", or write a preset ({names})" if names else "")
    )
