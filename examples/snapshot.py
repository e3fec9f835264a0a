"""Keeps the day's bars of one symbol, complete: a snapshot over HTTP, then each record of the analysis topic once, without a hole.

    python examples/snapshot.py SPY --url http://127.0.0.1:6066 --place spy.json

What it has and where it stands are in one file, which is replaced whole: ended at any moment, by kill -9 too, it goes on from there.
The topic has what is fresh; of what was held back or revised it has a note, and those bars are read over HTTP again. Only public
libraries are used: the same can be done in any language.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fastavro
import httpx
from confluent_kafka import Consumer, Message, TopicPartition

SCHEMA = fastavro.schema.load_schema(Path(__file__).parents[1] / "schemas" / "AnalysisEvent.avsc")
MICROSECONDS = 1_000_000


def say(text: str) -> None:
    print(text, flush=True)


class Keeper:
    """The bars of one symbol and interval, and the place on analysis that they are as of."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.symbol: str = arguments.symbol
        self.path = Path(arguments.place)
        # A standby sends readers on to the active worker.
        self.http = httpx.Client(base_url=arguments.url, follow_redirects=True, timeout=10)
        self.kept: dict[str, Any] = json.loads(self.path.read_text()) if self.path.exists() else {}

    def page(self, path: str, **query: str) -> dict[str, Any] | None:
        """An answer of the API; None while there is none, or the gate is shut."""
        try:
            answer = self.http.get(path, params=query or None)
        except httpx.TransportError:
            return None  # the worker is starting again, or another takes over
        if answer.status_code == 503:
            return None
        answer.raise_for_status()
        said: dict[str, Any] = answer.json()
        return said if said["session_active"] else None

    def bars(self, **query: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Closes by start, and the first page that they are on."""
        path = f"/v1/symbols/{self.symbol.replace('/', '%2F')}/bars"
        page = first = self.page(path, **query)
        found: dict[str, Any] = {}
        while page is not None:
            found |= {bar["start"]: bar["close"] for bar in page["bars"]}
            if page["next"] is None:
                return first or page, found
            page = self.page(page["next"])
        return None

    def begin(self) -> None:
        """Take a snapshot, when there is nothing to go on from."""
        if self.kept:
            say(f"going on with {len(self.kept['bars'])} bars at offset {self.kept['offset']}, after record {self.kept['sequence']}")
            return
        while (snapshot := self.bars()) is None:
            time.sleep(0.5)
        page, bars = snapshot
        place = page["as_of"]
        at = {"session": place["session"], "epoch": place["epoch"], "sequence": place["sequence"], "offset": place["analysis_offset"]}
        self.kept = {**at, "interval": page["interval"], "bars": bars, "to_read": []}
        self.save()
        say(f"snapshot: {len(bars)} bars as of record {place['sequence']}, going on at offset {place['analysis_offset']}")

    def take(self, message: Message) -> None:
        """Take in one record of analysis."""
        event: Any = fastavro.schemaless_reader(io.BytesIO((message.value() or b"")[5:]), SCHEMA, None)
        if (event["epoch"], event["sequence"]) != (self.kept["epoch"], self.kept["sequence"] + 1):
            raise SystemExit(
                f"after record {self.kept['sequence']} came {event['sequence']} of epoch {event['epoch']}: take a snapshot anew"
            )
        self.kept["sequence"], self.kept["offset"] = event["sequence"], message.offset() + 1
        if (event["symbol"], event["interval"]) != (self.symbol, self.kept["interval"]):
            return
        if event["kind"] == "bar":
            self.kept["bars"][instant(event["bar"]["start"])] = event["bar"]["close"]
            say(f"bar {instant(event['bar']['start'])} {event['bar']['close']}")
        elif event["extent"] is not None:  # held back or revised
            self.kept["to_read"].append([instant(event["extent"]["first_start"]), instant(event["extent"]["last_end"])])

    def read_again(self) -> None:
        """Read what analysis has only a note of."""
        while self.kept["to_read"]:
            start, end = self.kept["to_read"][0]
            found = self.bars(start=start, end=end)
            if found is None:
                return  # later: the gate is shut, or nobody answers
            self.kept["bars"] |= found[1]
            self.kept["to_read"].pop(0)
            say(f"read again: {len(found[1])} bars from {start}")

    def save(self) -> None:
        """Write all of it down at once."""
        beside = self.path.with_suffix(".new")
        beside.write_text(json.dumps(self.kept))
        os.replace(beside, self.path)


def instant(value: datetime | int) -> str:
    moment = value if isinstance(value, datetime) else datetime.fromtimestamp(value / MICROSECONDS, UTC)
    return moment.isoformat().replace("+00:00", "Z")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("symbol")
    parser.add_argument("--url", default="http://127.0.0.1:6066", help="a worker of the session")
    parser.add_argument("--bootstrap", default="localhost:9092", help="Kafka's brokers")
    parser.add_argument("--place", default="place.json", help="the file to keep the bars and the place in")
    arguments = parser.parse_args()
    keeper = Keeper(arguments)
    keeper.begin()
    consumer = Consumer(
        {"bootstrap.servers": arguments.bootstrap, "group.id": "unused", "enable.auto.commit": False, "isolation.level": "read_committed"}
    )
    consumer.assign([TopicPartition(f"{keeper.kept['session']}.analysis", 0, keeper.kept["offset"])])
    while True:
        for message in consumer.consume(500, timeout=0.5):
            if message.error() is None:
                keeper.take(message)
        keeper.read_again()
        keeper.save()


if __name__ == "__main__":
    main()
