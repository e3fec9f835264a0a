"""A strategy as a process, to be killed at any moment: what it was handed stands in a file, a line each, with the position.

    python -m tests.support.workers.bot SESSION FILE bars_topic|http://...

A line is written at once, and one that was cut short never was. So after a kill the last whole line says what it knows and where it
stands; without a position there it begins anew.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from streams.config.settings import Settings
from streams.consumer import BarsTopic, HttpState, SessionConsumer, WarmUp
from streams.wire.messages import AnalysisEvent


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The whole lines of the file."""
    text = path.read_bytes() if path.exists() else b""
    return [json.loads(line) for line in text[: text.rfind(b"\n") + 1].splitlines()]


def line_of(event: AnalysisEvent, way: str, position: str | None) -> dict[str, Any]:
    """What is kept of an event; `way` is `history` or `live`."""
    line: dict[str, Any] = {"way": way, "kind": event.kind, "symbol": event.symbol, "interval": event.interval, "position": position}
    if event.bar is not None:
        line["bar"] = [event.symbol, event.incarnation, event.interval, event.bar.start_us, event.bar.revision]
    if event.kind == "held_back" and event.extent is not None:
        line["held_back"] = [event.extent.first_start_us, event.extent.last_end_us]
    return line


def main() -> None:
    """Read until the end comes from outside."""
    name, path, way = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    before = lines_of(path)
    position = before[-1]["position"] if before else None
    kept = [json.dumps(line) for line in before] if position is not None else []
    warm_up: WarmUp = BarsTopic() if way == "bars_topic" else HttpState(way, internal=True)
    beside = path.with_suffix(".new")
    beside.write_text("".join(line + "\n" for line in kept))
    os.replace(beside, path)
    with path.open("ab", buffering=0) as file:

        def write(event: AnalysisEvent, way: str) -> None:
            at = session.position
            file.write(json.dumps(line_of(event, way, None if at is None else str(at))).encode() + b"\n")

        settings = Settings.load(session=name)
        with SessionConsumer(settings, position=position, warm_up=warm_up, history=lambda event: write(event, "history")) as session:
            is_kept = False
            while True:
                event = session.poll()
                if event is not None:
                    write(event, "live")
                elif session.position is not None and not is_kept:
                    is_kept = True  # the warm-up is complete: from here on there is a place to go on from
                    file.write(json.dumps({"way": "begun", "position": str(session.position)}).encode() + b"\n")


if __name__ == "__main__":
    main()
