"""Topic names from symbols and back.

Kafka takes ASCII letters, digits, `.`, `_` and `-` in a name, at most 249 of them. A symbol's other characters become `_`
and two upper-case hex digits per UTF-8 byte, `_` itself included, so that the way back is exact:
`BTC/USD` -> `bars.BTC_2FUSD`.

    >>> names = TopicNames("main")
    >>> names.bars("BTC/USD"), names.symbol_of("bars.BTC_2FUSD"), names.analysis
    ('bars.BTC_2FUSD', 'BTC/USD', 'main.analysis')
    >>> names.quotes("SPY"), names.source_of("ticks.SPY")
    ('quotes.SPY', ('SPY', 'ticks'))
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import combinations
from typing import Final

from streams.errors import InvalidSymbolError, SettingsError
from streams.model.records import QUOTES, TICKS, check_symbol

MAX_TOPIC_LENGTH: Final = 249
_LEGAL: Final = re.compile(r"[A-Za-z0-9._-]+")
_ESCAPED: Final = re.compile(r"(?:[A-Za-z0-9.-]|_[0-9A-F]{2})+")
_PLACE: Final = "{symbol}"
BARS: Final = "bars"
_KINDS: Final = {BARS: "bar", QUOTES: "quote", TICKS: "tick"}


def escape(symbol: str) -> str:
    """The symbol in characters that a topic name may have."""
    return re.sub(r"[^A-Za-z0-9.-]", lambda match: "".join(f"_{byte:02X}" for byte in match[0].encode()), symbol)


def unescape(text: str) -> str | None:
    """The symbol that `escape` made this of, or None when it made no such text."""
    if _ESCAPED.fullmatch(text) is None:
        return None
    plain = re.sub(rb"_([0-9A-F]{2})", lambda match: bytes.fromhex(match[1].decode()), text.encode())
    try:
        symbol = plain.decode()
    except UnicodeDecodeError:
        return None
    return symbol if escape(symbol) == text else None


class TopicNames:
    """The topics of one session.

    Args:
        session: the session's name; ASCII letters, digits, `.`, `_` and `-`.
        prefix: put before every name but the overrides.
        bars_pattern, quotes_pattern, ticks_pattern: a symbol's topics, each with `{symbol}` once.
        overrides: whole names of the bar topics of single symbols.

    Raises:
        SettingsError: a name that Kafka would refuse, two patterns that are one, or an override that two symbols share.
    """

    def __init__(
        self,
        session: str,
        *,
        prefix: str = "",
        bars_pattern: str = f"bars.{_PLACE}",
        quotes_pattern: str = f"quotes.{_PLACE}",
        ticks_pattern: str = f"ticks.{_PLACE}",
        overrides: Mapping[str, str] | None = None,
    ) -> None:
        if not session:
            raise SettingsError("the session's name must not be empty: topics are named after it")
        self.session: Final = session
        self._session_prefix = prefix + session
        self._own = (self.control, self.replies, self.analysis, self.events, self.dlq, self.journal, self.all_bars, self.clock)
        for name in self._own:
            _check_name(name, f"session {session!r}")
        patterns = {None: bars_pattern, QUOTES: quotes_pattern, TICKS: ticks_pattern}
        self._patterns = {stream: _Pattern(prefix, pattern, stream or BARS) for stream, pattern in patterns.items()}
        for stream, other in combinations(patterns, 2):
            if patterns[stream] == patterns[other]:
                raise SettingsError(f"{stream or BARS} and {other} must not have the same pattern, {patterns[stream]!r}")
        self._topics = dict(overrides or {})
        self._symbols: dict[str, str] = {}
        self._names: dict[tuple[str, str | None], str] = {}
        for symbol, topic in self._topics.items():
            what = f"the override for {check_symbol(symbol)}"
            _check_name(topic, what)
            if topic in self._symbols:
                raise SettingsError(f"{what}: topic {topic} already belongs to {self._symbols[topic]}")
            if topic in self._own:
                raise SettingsError(f"{what}: topic {topic} is one of the session's own")
            self._symbols[topic] = symbol

    def bars(self, symbol: str) -> str:
        """The topic of a symbol's bars.

        Raises:
            InvalidSymbolError: it can't be a symbol, its topic's name would be longer than Kafka allows, or it would be
                the topic of something else.
        """
        return self._topics.get(symbol) or self._named(symbol, None)

    def quotes(self, symbol: str) -> str:
        """The topic of a symbol's quotes; errors as for `bars`."""
        return self._named(symbol, QUOTES)

    def ticks(self, symbol: str) -> str:
        """The topic of a symbol's ticks; errors as for `bars`."""
        return self._named(symbol, TICKS)

    def of(self, symbol: str, stream: str | None) -> str:
        """The topic of a symbol's stream, quotes or ticks, or with None of its bars; errors as for `bars`."""
        return self.bars(symbol) if stream is None else self._named(symbol, stream)

    def _named(self, symbol: str, stream: str | None) -> str:
        known = self._names.get((symbol, stream))
        if known is None:
            known = self._names[symbol, stream] = self._checked(symbol, stream)
        return known

    def _checked(self, symbol: str, stream: str | None) -> str:
        pattern = self._patterns[stream]
        name = pattern.topic(symbol)
        way_out = ": give it an override" if stream is None else ""
        if len(name) > MAX_TOPIC_LENGTH:
            raise InvalidSymbolError(
                f"symbol {symbol!r} would have a topic name of {len(name)} characters, Kafka allows {MAX_TOPIC_LENGTH}{way_out}"
            )
        if name in self._symbols:
            raise InvalidSymbolError(f"symbol {symbol!r} would have the topic {name}, which an override gives to {self._symbols[name]}")
        if name in (".", "..") or name in self._own:
            raise InvalidSymbolError(
                f"symbol {symbol!r} would have the topic {name}, which is not free for {pattern.what}{way_out}"
            )  # fmt: skip
        for other in self._patterns.values():
            if other is not pattern and other.may_give(name) and (owner := other.symbol_of(name)) is not None:
                what = f"symbol {symbol!r} would have the topic {name} for its {pattern.what}"
                raise InvalidSymbolError(f"{what}, which is that of the {other.what} of {owner}{way_out}")
        return name

    def symbol_of(self, topic: str) -> str | None:
        """The symbol whose bars a topic holds, or None when it is no bar topic of this session."""
        found = self.source_of(topic)
        return None if found is None or found[1] is not None else found[0]

    def source_of(self, topic: str) -> tuple[str, str | None] | None:
        """The symbol whose records a topic holds, and the stream, None for bars; None when it is no such topic of this session."""
        symbol = self._symbols.get(topic)
        if symbol is not None:
            return symbol, None
        for stream, pattern in self._patterns.items():
            symbol = pattern.symbol_of(topic)
            try:
                if symbol is not None and self.of(symbol, stream) == topic:
                    return symbol, stream
            except InvalidSymbolError:
                continue
        return None

    @property
    def control(self) -> str:
        """Commands to the session."""
        return f"{self._session_prefix}.control"

    @property
    def replies(self) -> str:
        """Answers to commands."""
        return f"{self._session_prefix}.replies"

    @property
    def analysis(self) -> str:
        """Gated bars and markers."""
        return f"{self._session_prefix}.analysis"

    @property
    def events(self) -> str:
        """Ungated news."""
        return f"{self._session_prefix}.events"

    @property
    def dlq(self) -> str:
        """Records that could not be taken in, as received."""
        return f"{self._session_prefix}.dlq"

    @property
    def journal(self) -> str:
        """One record a transaction."""
        return f"{self._session_prefix}.journal"

    @property
    def all_bars(self) -> str:
        """Bars of all symbols, published or held back; optional."""
        return f"{self._session_prefix}.bars"

    @property
    def clock(self) -> str:
        """Records by which workers read the brokers' clocks; optional."""
        return f"{self._session_prefix}.clock"

    def all_session_topics(self) -> tuple[str, ...]:
        """Every topic that a session always has, but those of its symbols and the changelogs."""
        return tuple(name for name in self._own if name not in (self.all_bars, self.clock))


class _Pattern:
    """The topics of one kind: a symbol between two texts."""

    def __init__(self, prefix: str, pattern: str, what: str) -> None:
        if pattern.count(_PLACE) != 1:
            kind = _KINDS.get(what, what)
            raise SettingsError(f"the pattern of {kind} topics must have {_PLACE} once, as in {what}.{_PLACE}, got {pattern!r}")
        self.what = what
        self._before, self._after = (prefix + pattern).split(_PLACE)
        _check_name(f"{self._before}X{self._after}", f"the pattern of {_KINDS.get(what, what)} topics")

    def topic(self, symbol: str) -> str:
        return self._before + escape(check_symbol(symbol)) + self._after

    def may_give(self, topic: str) -> bool:
        return topic.startswith(self._before) and topic.endswith(self._after)

    def symbol_of(self, topic: str) -> str | None:
        """The symbol that stands in a topic's name."""
        if not self.may_give(topic) or len(topic) < len(self._before) + len(self._after):
            return None
        symbol = unescape(topic[len(self._before) : len(topic) - len(self._after)])
        try:
            return None if symbol is None else check_symbol(symbol)
        except InvalidSymbolError:
            return None


def _check_name(name: str, what: str) -> None:
    if len(name) > MAX_TOPIC_LENGTH:
        raise SettingsError(f"{what}: topic name {name[:40]}... has {len(name)} characters, Kafka allows {MAX_TOPIC_LENGTH}")
    if _LEGAL.fullmatch(name) is None or name in (".", ".."):
        raise SettingsError(f"{what}: {name!r} is no topic name, Kafka takes ASCII letters, digits, '.', '_' and '-'")
