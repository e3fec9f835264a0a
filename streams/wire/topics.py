"""Topic names from symbols and back.

Kafka takes ASCII letters, digits, `.`, `_` and `-` in a name, at most 249 of them. A symbol's other characters become `_`
and two upper-case hex digits per UTF-8 byte, `_` itself included, so that the way back is exact:
`BTC/USD` -> `bars.BTC_2FUSD`.

    >>> names = TopicNames("main")
    >>> names.bars("BTC/USD"), names.symbol_of("bars.BTC_2FUSD"), names.analysis
    ('bars.BTC_2FUSD', 'BTC/USD', 'main.analysis')
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from streams.errors import InvalidSymbolError, SettingsError
from streams.records import check_symbol

MAX_TOPIC_LENGTH: Final = 249
_LEGAL: Final = re.compile(r"[A-Za-z0-9._-]+")
_ESCAPED: Final = re.compile(r"(?:[A-Za-z0-9.-]|_[0-9A-F]{2})+")
_PLACE: Final = "{symbol}"


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
        bars_pattern: a symbol's bar topic, with `{symbol}` once.
        overrides: whole names of the bar topics of single symbols.

    Raises:
        SettingsError: a name that Kafka would refuse, or an override that two symbols share.
    """

    def __init__(
        self, session: str, *, prefix: str = "", bars_pattern: str = f"bars.{_PLACE}", overrides: Mapping[str, str] | None = None
    ) -> None:
        if bars_pattern.count(_PLACE) != 1:
            raise SettingsError(f"the pattern of bar topics must have {_PLACE} once, as in bars.{_PLACE}, got {bars_pattern!r}")
        if not session:
            raise SettingsError("the session's name must not be empty: topics are named after it")
        self.session: Final = session
        self._session_prefix = prefix + session
        self._own = (self.control, self.replies, self.analysis, self.events, self.dlq, self.journal)
        for name in self._own:
            _check_name(name, f"session {session!r}")
        _check_name(prefix + bars_pattern.replace(_PLACE, "X"), "the pattern of bar topics")
        self._before, self._after = (prefix + bars_pattern).split(_PLACE)
        self._topics = dict(overrides or {})
        self._symbols: dict[str, str] = {}
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
        override = self._topics.get(symbol)
        if override is not None:
            return override
        name = self._before + escape(check_symbol(symbol)) + self._after
        if len(name) > MAX_TOPIC_LENGTH:
            raise InvalidSymbolError(
                f"symbol {symbol!r} would have a topic name of {len(name)} characters, Kafka allows {MAX_TOPIC_LENGTH}: give it an override"
            )
        if name in self._symbols:
            raise InvalidSymbolError(f"symbol {symbol!r} would have the topic {name}, which an override gives to {self._symbols[name]}")
        if name in (".", "..") or name in self._own:
            raise InvalidSymbolError(f"symbol {symbol!r} would have the topic {name}, which is not free for bars: give it an override")
        return name

    def symbol_of(self, topic: str) -> str | None:
        """The symbol whose bars a topic holds, or None when it is no bar topic of this session."""
        symbol = self._symbols.get(topic)
        if symbol is not None:
            return symbol
        if not topic.startswith(self._before) or not topic.endswith(self._after):
            return None
        symbol = unescape(topic[len(self._before) : len(topic) - len(self._after)])
        try:
            return symbol if symbol is not None and self.bars(symbol) == topic else None
        except InvalidSymbolError:
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

    def all_session_topics(self) -> tuple[str, ...]:
        """Every topic of the session but the bars' and the changelogs'."""
        return self._own


def _check_name(name: str, what: str) -> None:
    if len(name) > MAX_TOPIC_LENGTH:
        raise SettingsError(f"{what}: topic name {name[:40]}... has {len(name)} characters, Kafka allows {MAX_TOPIC_LENGTH}")
    if _LEGAL.fullmatch(name) is None or name in (".", ".."):
        raise SettingsError(f"{what}: {name!r} is no topic name, Kafka takes ASCII letters, digits, '.', '_' and '-'")
