"""Where past bars are asked for: what a history source is, and how a setting names one.

    class MySource:
        def get_bars(self, symbol, interval, start, end):
            return [Bar(symbol, interval, ...) for row in my_vendor.bars(symbol, start, end)]

A source is asked for the bars of a stretch of time: for gaps of the running day, and for past days when a symbol is added. The
difference that matters is between "there are none" and "I don't know". An empty answer means that there was no such bar, and a
gap is then not asked for again; a source that can't tell, because it is behind or has lost what was there, raises.

`STREAMS_HISTORY` names the source: `parse_place` reads it, `streams.history.sources.opening` makes the source of it. Nothing here
needs more than the plain install.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol, runtime_checkable
from urllib.parse import parse_qsl

from streams.config.settings import OWN_PROPERTIES, SERVER
from streams.errors import SettingsError, StreamsError
from streams.model.records import Bar

VARIABLE: Final = "STREAMS_HISTORY"
KAFKA: Final = "kafka://"
PATTERN: Final = "pattern"

_FORMS: Final = "a store's folder, kafka://host:port of a cluster that has the bars, or module:attribute of a source of your own"
_TOPICS: Final = re.compile(r"kafka://([^/?#]*)([^?#]*)(?:\?([^#]*))?(#.*)?")
_OBJECT: Final = re.compile(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*):([^\W\d]\w*)")


@runtime_checkable
class HistorySource(Protocol):
    """Who is asked for past bars.

    A source is asked in several threads at once, and may take its time: whoever asks does not wait for ever. It may have a
    method `close()`, which is called at the end, and an attribute `adjustment` (`raw`, `split` or `total`), which is then
    compared with that of the config.
    """

    def get_bars(self, symbol: str, interval: str, start: datetime, end: datetime) -> Sequence[Bar]:
        """The bars of a symbol that start in `[start, end)`, in order.

        Args:
            symbol, interval: whose.
            start, end: aware.

        Returns:
            The bars; none when there were none.

        Raises:
            Exception: any, when the source can't tell; its text is shown as the reason.
        """
        ...


def words_of(error: BaseException, plain: type[BaseException] = StreamsError) -> str:
    """What a source has raised, in words that any topic takes: its exceptions may be as odd as its answers.

    A `plain` one needs no name before its text. The name of a file that is no UTF-8 has characters that nothing can be written
    with, and a text may raise when it is asked for.
    """
    try:
        text = str(error).strip()
    except Exception as trouble:
        text = f"its text can't be had, {type(trouble).__name__} was raised"
    words = text if isinstance(error, plain) else f"{type(error).__name__}: {text}" if text else type(error).__name__
    return words.encode(errors="replace").decode()


@dataclass(frozen=True, slots=True)
class StorePlace:
    """The folder of a Parquet store."""

    folder: Path


@dataclass(frozen=True, slots=True)
class TopicPlace:
    """Bar topics on another cluster: its brokers, the pattern of names (None: named as here), and properties of its own."""

    servers: str
    pattern: str | None
    properties: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ObjectPlace:
    """A source of the user's own: an attribute of a module, which is the source or makes it when it is called."""

    module: str
    attribute: str


Place = StorePlace | TopicPlace | ObjectPlace


def parse_place(text: str) -> Place:
    """What a setting means.

    Args:
        text: `bars`, `/data/bars`, `kafka://host:9092,other:9092?pattern=bars.{symbol}` or `package.module:attribute`.

    Raises:
        SettingsError: it means nothing.
    """
    if text.startswith(KAFKA):
        return _topic_place(text)
    scheme, mark, _ = text.partition("://")
    if mark:
        raise SettingsError(f"{VARIABLE} must be {_FORMS}, got one that begins with {scheme}://")
    match = _OBJECT.fullmatch(text)
    if match is not None:
        return ObjectPlace(match[1], match[2])
    if not text.strip():
        raise SettingsError(f"{VARIABLE} must be {_FORMS}, got {text!r}")
    return StorePlace(Path(text))


def close_source(source: HistorySource) -> None:
    """Let a source go, where it wants to be told."""
    close = getattr(source, "close", None)
    if close is not None:
        close()


def _topic_place(text: str) -> TopicPlace:
    # The text is not shown whole where it is wrong: passwords may stand in it.
    # It is no URL that the library for those would take, as it names several hosts.
    found = _TOPICS.fullmatch(text)
    servers, path, query, fragment = ("", text, "", "") if found is None else (found[1], found[2], found[3] or "", found[4] or "")
    for server in servers.split(","):
        match = SERVER.fullmatch(server.strip())
        if match is None or not 1 <= int(match[1] or 9092) <= 65535:
            raise SettingsError(f"{VARIABLE} must name brokers as in kafka://host:9092,other:9092, got {server.strip()!r}")
    if path.strip("/") or fragment:
        raise SettingsError(f"{VARIABLE} must have nothing but ?pattern=bars.{{symbol}} behind the brokers, got {path or '#'!r}")
    pattern: str | None = None
    properties: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name == PATTERN:
            pattern = value
        elif name in OWN_PROPERTIES or "." not in name:
            raise SettingsError(f"{VARIABLE} takes ?pattern=bars.{{symbol}} and properties of librdkafka behind the brokers, not {name}")
        else:
            properties[name] = value
    if pattern is not None and pattern.count("{symbol}") != 1:
        raise SettingsError(f"{VARIABLE}: pattern must have {{symbol}} in it once, such as bars.{{symbol}}, got {pattern!r}")
    return TopicPlace(servers, pattern, tuple(properties.items()))
