"""Sessions for tests of the API: with bars, a gap, a former day, quotes and ticks, symbols of odd names; active or not."""

from __future__ import annotations

from tests.support.engine import Desk, at, bar, config, minutes, quote, tick

YESTERDAY, DAY = "2013-10-07", "2013-10-08"
ODD = "BTC/USD%2F?"


def active_desk() -> Desk:
    """09:45 on Tuesday: SPY has Monday's last ten bars, and Tuesday's but 09:33 and 09:34; IBM and an oddly named one have none."""
    past = {"trailing_days": 2, "indicators": [{"name": "close", "kind": "prior_close"}, {"name": "mean", "kind": "sma", "period": 2}]}
    streams = ["1m", "quotes", "ticks"]
    desk = Desk(config("SPY", "IBM", ODD, streams=streams, derived_intervals=["5m"], historical=past), at("09:30", YESTERDAY))
    desk.load("SPY", "IBM", ODD)
    desk.flow(*minutes("SPY", at("15:50", YESTERDAY), 10))
    desk.advance(at("00:30", DAY))
    desk.command("add_symbol", "NEW", id="the-command", streams=("1m",))
    desk.flow(*minutes("SPY", at("09:30", DAY), 3), *minutes("SPY", at("09:35", DAY), 10, price=120.0, volume=20.0))
    desk.feed(quote("SPY", at("15:59", YESTERDAY)), quote("SPY", at("09:44", DAY)), tick("SPY", at("09:44:30", DAY)))
    assert desk.active
    return desk


def inactive_desk() -> Desk:
    """The same a moment later, with IBM lagging."""
    desk = active_desk()
    desk.feed(bar("IBM", at("09:30", DAY)))
    assert not desk.active
    return desk
