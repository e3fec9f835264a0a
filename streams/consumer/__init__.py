"""A session's reader for strategies: what is fresh, once each and in order; what came before, to begin from.

At 09:29 this is what a bot needs:

    prices = defaultdict(list)

    def learn(event):                       # true, and too late to act on: the day so far, and what was missed meanwhile
        prices[event.symbol].append(event.bar.close)

    with SessionConsumer(Settings.load(session="main"), warm_up=HttpState(), history=learn) as session:
        for event in session:
            if event.kind == "bar":         # fresh, and never seen before
                learn(event)
                trade(event.symbol, prices[event.symbol])
            elif event.kind == "deactivated":       # also when no worker is heard of any more
                cancel_orders(event.gate.reason)

Each bar comes once, either to `history` or out of the loop, or a `held_back` marker counts it. Whatever breaks that promise is
a `Hole`, which says in words what happened.
"""

from streams.consumer.bars_topic import BarsTopic
from streams.consumer.http_state import HttpState
from streams.consumer.liveness import HEARTBEAT, NO_HEARTBEAT
from streams.consumer.place import Hole, HoleKind, Position
from streams.consumer.session import SessionConsumer
from streams.consumer.warmup import Snapshot, Source, Wanted, WarmUp
from streams.kafka.reader import BEGINNING, END

__all__ = [
    "BEGINNING",
    "END",
    "HEARTBEAT",
    "NO_HEARTBEAT",
    "BarsTopic",
    "Hole",
    "HoleKind",
    "HttpState",
    "Position",
    "SessionConsumer",
    "Snapshot",
    "Source",
    "Wanted",
    "WarmUp",
]
