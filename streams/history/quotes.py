"""Quote bars: what bid and ask did over an interval. They are kept at rest only; no session streams them yet."""

from __future__ import annotations

from msgspec import Struct


class QuoteBar(Struct, frozen=True, gc=False):
    """Bid and ask of one symbol over `[start_us, end_us)`: prices in currency, sizes as last shown, in units of the instrument.

    A side that nobody quoted is `None` in all of its four prices; its size may then be 0 or `None`.
    """

    symbol: str
    interval: str
    start_us: int
    end_us: int
    bid_open: float | None
    bid_high: float | None
    bid_low: float | None
    bid_close: float | None
    bid_size: float | None
    ask_open: float | None
    ask_high: float | None
    ask_low: float | None
    ask_close: float | None
    ask_size: float | None
