"""A strategy: it says when a symbol's price crosses the mean of its last bars.

    python examples/strategy.py --session main --bars-topic          # from <session>.bars
    python examples/strategy.py --session main                       # from the worker, over HTTP

It begins with the bars of the day so far and goes on with each fresh bar once. What it knows stands in one file, together with the
place on the topic that it is as of: ended at any moment, by kill -9 too, it goes on from there. `pip install .` in the clone is
all that it needs.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from statistics import fmean
from typing import Any

from streams.config.settings import Settings
from streams.consumer import BarsTopic, Hole, HttpState, SessionConsumer, WarmUp
from streams.wire.messages import AnalysisEvent

BARS = 20


class Crossing:
    """The newest closes by symbol and start; all that it does with a bar is the same for one that is history."""

    def __init__(self, path: Path, interval: str) -> None:
        self.path = path
        self.interval = interval
        self.kept: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"position": None, "closes": {}}

    def learn(self, event: AnalysisEvent) -> bool | None:
        """Take a bar in; whether the price is above its mean now, or None while that is not known."""
        if event.bar is None or event.symbol is None:
            return None
        closes: dict[str, float] = self.kept["closes"].setdefault(event.symbol, {})
        closes[event.bar.start.isoformat()] = event.bar.close  # a later revision takes the place of the one before
        for start in sorted(closes)[:-BARS]:  # keep no more than is needed: all of it is written to the file with each bar
            del closes[start]
        return closes[max(closes)] > fmean(closes.values()) if len(closes) == BARS else None

    def forget(self, hole: Hole) -> None:
        """What is known has a hole, and the day's bars come anew."""
        print(f"hole: {hole}", flush=True)
        self.kept["closes"] = {}

    def trade(self, session: SessionConsumer) -> None:
        """Deal with what comes, one event after another."""
        for event in session:
            if event.kind == "bar":
                above = self.learn(event)
                if above is not None and session.active:
                    print(f"{event.symbol} {'above' if above else 'below'} its mean", flush=True)
            elif event.kind in ("held_back", "revised"):  # bars that did not come, or that came to be others
                for bar in session.bars_of(event):
                    self.learn(bar)
            elif event.kind == "deactivated" and event.gate is not None:
                print(f"stop trading: {event.gate.reason}", flush=True)
            self.save(session)

    def save(self, session: SessionConsumer) -> None:
        """Write what is known and where it stands at once."""
        self.kept["position"] = str(session.position) if session.position else None
        beside = self.path.with_suffix(".new")
        beside.write_text(json.dumps(self.kept))
        os.replace(beside, self.path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--session", default="main")
    parser.add_argument("--bootstrap", help="Kafka's brokers, by default localhost:9092")
    parser.add_argument("--url", default="http://127.0.0.1:6066", help="a worker of the session")
    parser.add_argument("--bars-topic", action="store_true", help="begin from <session>.bars instead of a worker's state")
    parser.add_argument("--interval", default="1m")
    parser.add_argument("--keep", type=Path, default=Path("strategy.json"), help="the file to keep all in")
    arguments = parser.parse_args()
    strategy = Crossing(arguments.keep, arguments.interval)
    if strategy.kept["position"] is None:
        strategy.kept["closes"] = {}
    warm_up: WarmUp = BarsTopic() if arguments.bars_topic else HttpState(arguments.url)
    with SessionConsumer(
        Settings.load(session=arguments.session, bootstrap_servers=arguments.bootstrap),
        position=strategy.kept["position"],
        warm_up=warm_up,
        history=strategy.learn,
        on_hole=strategy.forget,
        intervals=[arguments.interval],
    ) as session:
        strategy.trade(session)


if __name__ == "__main__":
    main()
