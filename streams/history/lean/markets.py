"""LEAN's rules for each security type and market: which zone the times of a file are in, and what one unit of a price is.

The zones are facts of LEAN's market-hours database (`Data/market-hours/market-hours-database.json`, key `dataTimeZone`), as of its
commit 24863901 of 2026-08-21: one per type and market (`Crypto-coinbase-[*]`), and others for single symbols (`Index-usa-NDX`).
A data zone is that in which LEAN writes files; it is often not the exchange's. The unit of prices is that of LEAN's readers
(`TradeBar.cs`, `QuoteBar.cs`): ten-thousandths for equities, plain numbers for everything else that is read here.

    >>> data_zone(Market("crypto", "coinbase"), "BTCUSD")
    datetime.timezone.utc
    >>> price_scale("equity")
    10000
"""

from __future__ import annotations

from datetime import UTC, timedelta, timezone, tzinfo
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

TYPES: Final = ("equity", "crypto", "cryptofuture", "forex", "cfd", "future", "index")
"""The security types that are read, by the names of LEAN's folders."""
OTHER_TYPES: Final = ("option", "futureoption", "indexoption", "commodity", "base", "alternative")
"""Those that LEAN has besides."""

QUOTED_TYPES: Final = ("forex", "cfd")
"""Types that nobody reports trades of: their hour and daily files hold quote bars."""
ALWAYS_OPEN: Final = ("crypto", "cryptofuture")
"""Types that trade around the clock."""
CONTRACT_TYPES: Final = ("future", "cryptofuture")
"""Types whose zips hold one CSV per contract."""

_NEW_YORK: Final = "America/New_York"
_CHICAGO: Final = "America/Chicago"
_KOLKATA: Final = "Asia/Kolkata"
_UTC_5: Final = "UTC-05"

# By type and market, as folders spell them.
_ZONES: Final[dict[str, dict[str, str]]] = {
    "equity": {"usa": _NEW_YORK, "india": _KOLKATA},
    "crypto": dict.fromkeys(("binance", "binanceus", "bitfinex", "bybit", "coinbase", "ftx", "ftxus", "kraken"), "UTC"),
    "cryptofuture": dict.fromkeys(("binance", "bybit", "dydx"), "UTC"),
    "forex": {"oanda": "UTC", "interactivebrokers": "UTC", "fxcm": _UTC_5},
    "cfd": {"oanda": "UTC", "interactivebrokers": "UTC", "fxcm": _UTC_5},
    "future": {
        **dict.fromkeys(("cbot", "cfe", "cme", "comex", "ice", "nymex", "nyseliffe", "sgx"), "UTC"),
        "eurex": "Europe/Berlin",
        "hkfe": "Asia/Hong_Kong",
        "india": _KOLKATA,
        "krx": "Asia/Seoul",
    },
    "index": {
        "usa": _CHICAGO,
        "cboe": _NEW_YORK,
        "eurex": "Europe/Berlin",
        "hkfe": "Asia/Hong_Kong",
        "india": _KOLKATA,
        "krx": "Asia/Seoul",
        "ose": "Asia/Tokyo",
    },
}

# Symbols whose zone is not that of their market.
_OTHER_ZONES: Final[dict[tuple[str, str], tuple[str, frozenset[str]]]] = {
    ("future", "ice"): (_NEW_YORK, frozenset({"DX"})),
    ("cfd", "fxcm"): (
        "UTC",
        frozenset(
            """AU200AUD BCOUSD CH20CHF DE10YBEUR DE30EUR DXYUSD ES35EUR EU50EUR FR40EUR HK33HKD IT40EUR JP225JPY NAS100USD NATGASUSD
            SPX500USD UK100GBP US30USD WTICOUSD XAGUSD XAUUSD XCUUSD XPDUSD XPTUSD""".split()
        ),
    ),
    ("index", "usa"): (
        _NEW_YORK,
        frozenset(
            """AEX BKX BRR BRTI BXD BXM BXN BXR CEX CLL COMP COR1M COR1Y COR30D COR3M COR6M COR9M DJCIAGC DJCICC DJCIGC DJCIGR DJCIIK
            DJCIKC DJCISB DJCISI DJI DJINET DJR DJX DRG DTX DUX DVS DWCF DWCPF DXL DXY EVZ FTW5000 FVX GVZ HGX MID MIDG MIDV MRUT NYA
            NYFANG NYXBT OEX OSX OVX PUT RLS RUA RUI RUT RVX SET SGX SKEW SMLG SP600 SPGSCI SPSIBI SPSV SVX TNX TYX UKX UTIL UTY VAF
            VIF VIN VIX1D VIX1Y VIX3M VIX6M VIX9D VOLI VPD VPN VRO VVIX VWA VWB VXD VXN VXO VXSLV VXTH VXTLT XAU XDA XDB XEO XMI XNDX
            XSP""".split()
        ),
    ),
}


class Market(NamedTuple):
    """A security type and a market of it, by the names of LEAN's folders: `equity`, `usa`."""

    security_type: str
    market: str

    def __str__(self) -> str:
        return f"{self.security_type}/{self.market}"


def known_markets(security_type: str) -> list[str]:
    """The markets of a type whose zones are known, in order; none for a type that is not read."""
    return sorted(_ZONES.get(security_type, ()))


def data_zone(market: Market, symbol: str) -> tzinfo | None:
    """The zone of the times in a symbol's files, None for a market that is not known.

    Args:
        market: whose file it is.
        symbol: as LEAN names it, without an expiry; case does not matter.
    """
    zone, symbols = _OTHER_ZONES.get(market, ("", frozenset()))
    name = zone if symbol.upper() in symbols else _ZONES.get(market.security_type, {}).get(market.market)
    return None if name is None else _zone(name)


def price_scale(security_type: str) -> int:
    """How many units of a file's prices make one of the currency."""
    return 10_000 if security_type == "equity" else 1


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    # A fixed offset, all year: New York's standard time. It is no zone of the tz database, and read as a POSIX zone it would be five
    # hours ahead of UTC.
    return timezone(timedelta(hours=-5), _UTC_5) if name == _UTC_5 else ZoneInfo(name)
