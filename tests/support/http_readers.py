"""Reads over HTTP while workers are killed: what each answer must be by itself, and a record of those that can be held against topics.

An answer is 200, 307 from a standby, or 503 while nobody has the state; a symbol that is not there, or has no such interval, is
404. Within an epoch no later answer is as of an earlier state. Who reads without a token while the gate is shut is told nothing.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from streams.times import parse_instant

READ_TOKEN, COMMAND_TOKEN = "the-token-that-reads", "the-token-that-commands"
TOKENS = {"STREAMS_READ_TOKEN": READ_TOKEN, "STREAMS_COMMAND_TOKEN": COMMAND_TOKEN}
LAST = 30
_PAUSE_SECONDS = 0.05
_ANSWER_SECONDS = 30.0
_OF_SYMBOL = ("", "/bars", "/bars", "/bars", "/latest", "/quality", "/gaps", "/metrics", "/history", "/indicators", "/quotes", "/ticks")


@dataclass(frozen=True)
class Answer:
    """An answer about one symbol and what it is as of; `what` is the last part of its path."""

    symbol: str
    what: str
    interval: str | None
    epoch: int
    sequence: int
    analysis_offset: int
    now_us: int
    body: dict[str, Any]


class HttpReaders:
    """One reader without a token and one with, which ask all workers at random. `wrong` has a sentence for each answer that can't be."""

    def __init__(self, urls: Sequence[str], symbols: Sequence[str], intervals: Sequence[str], seed: int) -> None:
        self._urls = urls
        self._symbols = symbols
        self._intervals = intervals
        self._seed = seed
        self._stopping = threading.Event()
        self.statuses: Counter[str] = Counter()
        self.answers: list[Answer] = []
        self.shut = 0
        self.wrong: list[str] = []

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Both ask while the block runs."""
        threads = [
            threading.Thread(target=self._run, args=(internal,), name=f"http reader, internal={internal}", daemon=True)
            for internal in (False, True)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            for thread in threads:
                thread.join()

    def _run(self, internal: bool) -> None:
        chance = random.Random(f"{self._seed}-{internal}")
        newest = (0, 0, 0, 0)
        headers = {"Authorization": f"Bearer {READ_TOKEN}"} if internal else {}
        with httpx.Client(headers=headers, timeout=_ANSWER_SECONDS) as client:
            while not self._stopping.wait(_PAUSE_SECONDS):
                path = self._path(chance)
                query = "internal=true" if internal else ""
                url = f"{chance.choice(self._urls)}{path}{'&' if '?' in path else '?'}{query}"
                try:
                    response = client.get(url)
                except httpx.TransportError as error:
                    self.statuses[type(error).__name__] += 1
                    continue
                self.statuses[str(response.status_code)] += 1
                try:
                    newest = self._judge(url, response, internal, newest)
                except (KeyError, TypeError, ValueError) as error:
                    self.wrong.append(f"{url}: {error!r} in {response.text[:300]}")

    def _path(self, chance: random.Random) -> str:
        if chance.random() < 0.15:
            return chance.choice(("/v1/session", "/v1/symbols"))
        what = chance.choice(_OF_SYMBOL)
        query = ""
        if what in ("/bars", "/latest", "/quality", "/gaps"):
            query = f"?interval={chance.choice(self._intervals)}" + (f"&last={LAST}" if what == "/bars" else "")
        return f"/v1/symbols/{chance.choice(self._symbols)}{what}{query}"

    def _judge(self, url: str, response: httpx.Response, internal: bool, newest: tuple[int, ...]) -> tuple[int, int, int, int]:
        status = response.status_code
        if status in (307, 503) or (status == 404 and response.json()["error"]["code"] in ("unknown_symbol", "unknown_interval")):
            return newest  # type: ignore[return-value]
        if status != 200:
            self.wrong.append(f"{url}: {status} {response.text[:300]}")
            return newest  # type: ignore[return-value]
        body = response.json()
        place = body["as_of"]
        as_of = (place["epoch"], place["sequence"], place["analysis_offset"], parse_instant(place["now"]))
        if as_of[0] == newest[0] and any(one < other for one, other in zip(as_of, newest, strict=True)):
            self.wrong.append(f"{url}: as of {as_of}, after an answer as of {newest}")
        if not internal and not body["session_active"]:
            self.shut += 1
            echo = {part for part in (body.get("symbol"), body.get("interval")) if isinstance(part, str)}
            said = {
                name: value
                for name, value in body.items()
                if name not in ("as_of", "session_active") and value and (not isinstance(value, str) or value not in echo)
            }
            if said:
                self.wrong.append(f"{url}: {said} is told while the gate is shut")
        elif "symbol" in body and isinstance(body["symbol"], str):
            what = url.partition("?")[0].rpartition("/")[2]
            self.answers.append(Answer(body["symbol"], what, body.get("interval"), *as_of, body))
        return as_of
