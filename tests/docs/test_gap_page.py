"""The page on gap filling: its config is one, its figures are there, and the example of a source fills a real worker's gap."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from streams.client.producer import BarProducer
from streams.config.session import SessionConfig
from streams.history.sources.source import parse_place
from streams.model.records import Bar
from streams.times import iso, parse_instant
from streams.worker.sources.gap_filling import FillerLimits
from tests.support import unique_symbol, wait_until
from tests.support.holes import Holed, gappy_config, opened_us
from tests.support.sessions.desk import LiveDesk
from tests.support.workers.processes import Workers

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "gap-filling.md").read_text(encoding="utf-8")


@contextmanager
def vendor(bars: list[Bar]) -> Iterator[str]:
    """A vendor that has these bars; gives its address."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
            first_us, end_us = parse_instant(asked["start"]), parse_instant(asked["end"])
            rows = [
                {"start": iso(bar.start_us), **{name: getattr(bar, name) for name in ("open", "high", "low", "close", "volume")}}
                for bar in bars
                if (bar.symbol, bar.interval) == (asked["symbol"], asked["interval"]) and first_us <= bar.start_us < end_us
            ]
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"complete_until": iso(bars[-1].end_us), "bars": rows}).encode())

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            serving.join()


def test_the_example_of_a_source_fills_a_gap(bootstrap_servers: str, session_name: str, workers: Workers) -> None:
    open_us = opened_us()
    holed = Holed.of(unique_symbol("VEND"), open_us, (20, 40), (60, 65))
    desk = LiveDesk(bootstrap_servers, gappy_config(session_name, [holed.symbol], open_us))
    with BarProducer(desk.settings) as producer:
        for bar in holed.known_of_feed():
            producer.send(bar)
    with vendor(holed.known((60, 65))) as url:
        environment = {
            "VENDOR_URL": url, "PYTHONPATH": f"{ROOT / 'examples'}:{ROOT}", "STREAMS_HISTORY": "vendor_history:VendorHistory",
        }  # fmt: skip
        worker = workers.start(desk.config, settings=environment)
        worker.wait_until("active")
        desk.await_progress(holed.symbol, lambda row: row.late == 20, "the bars that the vendor has")
        wait_until(lambda: "confirmed_empty" in {event.attributes.get("outcome") for event in desk.topics.events()}, "the empty answer")
        figures = set(re.findall(r"^(\w+)\{", worker.page("/metrics") or "", re.MULTILINE))
        assert worker.stop() == 0
    named = set(re.findall(r"`(streams_gap\w+)`", PAGE))
    assert len(named) == 6
    assert named <= figures
    desk.check_audit()


def test_the_config_and_the_settings_of_the_page_are_accepted_and_its_limits_hold() -> None:
    (config,) = re.findall(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert SessionConfig.from_json(config).session_data_config.gap_filler.enabled
    (table,) = re.findall(r"\| `STREAMS_HISTORY` \| asks \|\n\|---\|---\|\n(.*?)\n\n", PAGE, re.DOTALL)
    places = [parse_place(line.split("`")[1]) for line in table.splitlines()]
    assert [type(place).__name__ for place in places] == ["StorePlace", "TopicPlace", "TopicPlace", "ObjectPlace"]
    parse_place(re.findall(r"`(kafka://other:9093[^`]*)`", PAGE)[0])
    limits = FillerLimits()
    assert (limits.answer_seconds, limits.most_threads) == (30, 8)
    assert "within 30 seconds" in PAGE
    assert "Once eight threads hang" in PAGE
