"""What makes a bar, a quote or a tick invalid, apart from its place in the session: those go to the dead-letter topic with the reason.

The engine calls these for every record; the common case is a handful of comparisons.
"""

from __future__ import annotations

from typing import Final

from streams.model.records import Bar, Quote, Rejection, Tick, Undecodable
from streams.times import SECOND_US, iso

# Sums and products of what is below these, over all bars of a day, fit into a double and into the wire's eight bytes.
LARGEST_VALUE: Final = 1e100
MOST_TRADES: Final = 10**12

LOWEST_PRICE: Final = -LARGEST_VALUE
"""That of symbols whose prices may be below zero."""
ABOVE_ZERO: Final = 5e-324
"""That of all others: the least number above zero. Under the first rules it was zero."""
NEGATIVE_HINT: Final = ": session_data_config.allow_negative_prices allows prices of zero and below"

Fault = tuple[Rejection, str]


def fault_of(bar: Bar, interval_us: int, now_us: int, future_tolerance_us: int, lowest_price: float = ABOVE_ZERO) -> Fault | None:
    """Why the bar can't be accepted, or None. `interval_us` is the length of the bar's own interval."""
    # Chained comparisons are false for NaN, so a bar with one falls through to the slow path.
    low, high = bar.low, bar.high
    if (
        lowest_price <= low <= bar.open <= high <= LARGEST_VALUE
        and low <= bar.close <= high
        and 0.0 <= bar.volume <= LARGEST_VALUE
        and bar.start_us % interval_us == 0
        and bar.end_us == bar.start_us + interval_us
        and bar.end_us <= now_us + future_tolerance_us
        and (bar.vwap is None or lowest_price <= bar.vwap <= LARGEST_VALUE)
        and (bar.trades is None or 0 <= bar.trades <= MOST_TRADES)
    ):
        return None
    return price_fault(bar, lowest_price) or _time_fault(bar, interval_us, now_us, future_tolerance_us)


def price_fault(bar: Bar, lowest_price: float = ABOVE_ZERO) -> Fault | None:
    """Why prices, volume or trades can't be, or None. A bar without trades may have an average price of zero: it is of nothing."""
    values = {"open": bar.open, "high": bar.high, "low": bar.low, "close": bar.close, "volume": bar.volume}
    if bar.vwap is not None and not bar.vwap == bar.volume == 0.0:
        values["vwap"] = bar.vwap
    for name, value in values.items():
        lowest = 0.0 if name == "volume" else lowest_price
        if not lowest <= value <= LARGEST_VALUE:
            hint = "" if name == "volume" else _hint(value, lowest)
            return Rejection.BAD_PRICES, f"{name} must be {prices_from(lowest)}, got {value}{hint}"
    if bar.trades is not None and not 0 <= bar.trades <= MOST_TRADES:
        return Rejection.BAD_PRICES, f"trades must be a whole number from 0 to {MOST_TRADES}, got {bar.trades}"
    if bar.low > bar.high:
        return Rejection.BAD_PRICES, f"low {bar.low} is above high {bar.high}"
    for name in ("open", "close"):
        if not bar.low <= values[name] <= bar.high:
            return Rejection.BAD_PRICES, f"{name} {values[name]} lies outside low {bar.low} and high {bar.high}"
    return None


def prices_from(lowest: float) -> str:
    """The numbers from a lowest one on, in words."""
    if lowest == ABOVE_ZERO:
        return f"a number above 0 and up to {LARGEST_VALUE:g}"
    return f"a number from {lowest:g} to {LARGEST_VALUE:g}"


def _hint(price: float, lowest_price: float) -> str:
    return NEGATIVE_HINT if 0.0 <= lowest_price <= ABOVE_ZERO and -LARGEST_VALUE <= price <= 0.0 else ""


def _time_fault(bar: Bar, interval_us: int, now_us: int, future_tolerance_us: int) -> Fault | None:
    if bar.end_us != bar.start_us + interval_us:
        return Rejection.MISALIGNED, (
            f"a {bar.interval} bar that starts at {text_of(bar.start_us)} ends at {text_of(bar.start_us + interval_us)}, "
            f"not at {text_of(bar.end_us)}"
        )
    if bar.start_us % interval_us:
        return Rejection.MISALIGNED, f"start {text_of(bar.start_us)} is not a multiple of {bar.interval}"
    return future_fault(bar, now_us, future_tolerance_us)


def future_fault(bar: Bar, now_us: int, future_tolerance_us: int) -> Fault | None:
    """Why the bar ends too far after now, or None."""
    ahead_us = bar.end_us - now_us
    if ahead_us > future_tolerance_us:
        return Rejection.FUTURE, (
            f"the bar ends at {text_of(bar.end_us)}, {ahead_us / SECOND_US:.3f} s after now ({iso(now_us)}); at most "
            f"{future_tolerance_us / SECOND_US:g} s are tolerated. It may be a candle that is still forming, a start that is "
            "stamped with the close, or a clock that is off"
        )
    return None


def fault_of_quote(quote: Quote, now_us: int, future_tolerance_us: int, lowest_price: float = 0.0) -> Fault | None:
    """Why the quote can't be accepted, or None. A bid above the ask is no fault: crossed markets exist."""
    bid, ask, bid_size, ask_size = quote.bid, quote.ask, quote.bid_size, quote.ask_size
    if (
        (bid is None or lowest_price < bid <= LARGEST_VALUE)
        and (ask is None or lowest_price < ask <= LARGEST_VALUE)
        and (bid is not None or ask is not None)
        and (bid_size is None or 0.0 <= bid_size <= LARGEST_VALUE)
        and (ask_size is None or 0.0 <= ask_size <= LARGEST_VALUE)
        and quote.time_us <= now_us + future_tolerance_us
    ):
        return None
    if bid is None and ask is None:
        return Rejection.BAD_PRICES, "a quote must have a bid or an ask"
    for name, price in (("bid", bid), ("ask", ask)):
        if price is not None and not lowest_price < price <= LARGEST_VALUE:
            return Rejection.BAD_PRICES, (
                f"{name} must be a number above {lowest_price:g} and up to {LARGEST_VALUE:g}, or null for none, got {price}"
                f"{_hint(price, lowest_price)}"
            )
    for name, size in (("bid_size", bid_size), ("ask_size", ask_size)):
        if size is not None and not 0.0 <= size <= LARGEST_VALUE:
            return Rejection.BAD_PRICES, f"{name} must be a number from 0 to {LARGEST_VALUE:g}, or null for none, got {size}"
    return _future_fault("quote", quote.time_us, now_us, future_tolerance_us)


def fault_of_tick(tick: Tick, now_us: int, future_tolerance_us: int, lowest_price: float = 0.0) -> Fault | None:
    """Why the tick can't be accepted, or None."""
    is_price = lowest_price < tick.price <= LARGEST_VALUE
    if is_price and 0.0 <= tick.size <= LARGEST_VALUE and tick.time_us <= now_us + future_tolerance_us:
        return None
    if not is_price:
        return Rejection.BAD_PRICES, (
            f"price must be a number above {lowest_price:g} and up to {LARGEST_VALUE:g}, got {tick.price}{_hint(tick.price, lowest_price)}"
        )
    if not 0.0 <= tick.size <= LARGEST_VALUE:
        return Rejection.BAD_PRICES, f"size must be a number from 0 to {LARGEST_VALUE:g}, got {tick.size}"
    return _future_fault("tick", tick.time_us, now_us, future_tolerance_us)


def _future_fault(what: str, time_us: int, now_us: int, future_tolerance_us: int) -> Fault:
    return Rejection.FUTURE, (
        f"the {what} is of {text_of(time_us)}, {(time_us - now_us) / SECOND_US:.3f} s after now ({iso(now_us)}); at most "
        f"{future_tolerance_us / SECOND_US:g} s are tolerated. A clock may be off"
    )


def text_of(instant_us: int) -> str:
    """An instant in words, whatever it is."""
    try:
        return iso(instant_us)
    except OverflowError:
        return f"{instant_us} us since 1970, which no calendar has"


def undecodable_reason(record: Undecodable, rules: int) -> str:
    """What a dead letter says of a record that can't be decoded; under the first rules without what its headers tell."""
    return record.message if record.hint is None or rules < 2 else f"{record.message}; {record.hint}"
