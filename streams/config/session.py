"""`SessionConfig`: what a session is, from and to JSON.

    >>> config = SessionConfig.from_json('{"session_data_config": {"symbols": ["SPY"], "derived_intervals": ["5m"]}}')
    >>> config.base_interval, config.derived_intervals, config.threshold_us("SPY")
    ('1m', ('5m',), 60000000)

Invariant: a config that exists is valid, never changes, and `from_json(config.to_json())` equals it. Only the symbols
have no default. What is derived from it (microseconds, merged intervals) is computed once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from streams.calendar.hours import DayOverride, Hours
from streams.calendar.presets import hours_remark, preset_of
from streams.config.explain import explain
from streams.config.sections import (
    BacktestConfig,
    CalendarDay,
    Exchange,
    HoursOverride,
    Section,
    SessionDataConfig,
    SessionHours,
    SessionName,
    SymbolStreaming,
    extra_streams_of,
    pairs_of,
    to_whole_us,
)
from streams.errors import SessionConfigError
from streams.times import interval_us

if TYPE_CHECKING:
    from streams.calendar.trading import GivenDay, TradingCalendar

_AS_SESSION = SymbolStreaming()


class SessionConfig(Section):
    """One session: its name, its exchange and hours, its symbols and how they stream."""

    session_name: SessionName = "main"
    """The session's topics are named after it."""
    mode: Literal["live", "backtest"] = "live"
    """What it is meant for. A backtest refuses what a live session warns of, such as missing history."""
    exchange: Exchange = "XNYS"
    """The trading calendar, by its name in exchange_calendars; `24/7` is one."""
    hours: SessionHours = "regular"
    """The exchange's regular hours, a preset such as `us_equity_futures`, or windows of one's own in exchange time."""
    hours_overrides: dict[date, HoursOverride] = Field(default_factory=dict)
    """Other hours on single dates, or `closed`."""
    calendar_days: dict[date, CalendarDay] = Field(default_factory=dict)
    """Dates that exchange_calendars does not know yet: `regular`, hours, or `closed`. Further dates up to the last one here are closed."""
    window_anchor: Literal["session", "clock"] = "session"
    """Whether windows of derived intervals, and bars that the hours cut, begin at the open or at multiples of the exchange's clock."""
    backtest_config: BacktestConfig = BacktestConfig()
    session_data_config: SessionDataConfig = Field(description='an object with at least "symbols"')

    @field_validator("hours")
    @classmethod
    def _check_hours(cls, hours: SessionHours, info: ValidationInfo) -> SessionHours:
        exchange = info.data.get("exchange")
        if isinstance(hours, str) and hours != "regular" and exchange is not None:
            preset_of(hours, exchange)
        return hours

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parse a config.

        Raises:
            SessionConfigError: no JSON (with line and column), or keys or values that can't be accepted, one a line.
        """
        try:
            json.loads(text, object_pairs_hook=_without_repeated_keys)
        except json.JSONDecodeError as error:
            what = (
                "the session config is empty" if not text.strip() else f"not JSON at line {error.lineno} column {error.colno}: {error.msg}"
            )
            raise SessionConfigError(what) from None
        except RecursionError:
            raise SessionConfigError("no session config: it nests hundreds of lists or objects, a config has four levels") from None
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise SessionConfigError(explain(error, cls, root="the config")) from None

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Self:
        """Take a config from values as JSON has them.

        Raises:
            SessionConfigError: as `from_json`.
        """
        try:
            text = json.dumps(values)
        except (TypeError, ValueError) as error:
            raise SessionConfigError(f"a config must be made of what JSON has: {error}") from None
        return cls.from_json(text)

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a config from a file of JSON.

        Raises:
            SessionConfigError: the file can't be read, or as `from_json`; the message begins with the path.
        """
        try:
            return cls.from_json(Path(path).read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise SessionConfigError(f"{path}: the session config can't be read: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise SessionConfigError(f"{path}: a session config must be UTF-8 text: byte {error.start} is none") from None
        except SessionConfigError as error:
            message = str(error)
            raise SessionConfigError(f"{path}:\n{message}" if "\n" in message else f"{path}: {message}") from None

    def to_dict(self) -> dict[str, object]:
        """Every key with its value, as JSON has them."""
        return self.model_dump(mode="json")

    def to_json(self) -> str:
        """Every key with its value, indented, in an order that is always the same."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)

    def with_symbols(self, symbols: Iterable[str]) -> Self:
        """The same config over other symbols.

        Raises:
            SessionConfigError: a symbol that can't be one, twice the same, or more than `max_symbols`.
        """
        data = self.session_data_config.model_dump(mode="json") | {"symbols": list(symbols)}
        return self.from_dict(self.to_dict() | {"session_data_config": data})

    def calendar(self, through: date | None = None) -> TradingCalendar:
        """The trading calendar, made at the first call for a date. Needs the package exchange_calendars.

        Args:
            through: the last date that is asked for, by default about a year from today; it may end before, see `TradingCalendar`.

        Raises:
            SessionConfigError: no such exchange, or hours that overlap.
        """
        if through not in self._calendars:
            self._calendars[through] = self._make_calendar(through)
        return self._calendars[through]

    @property
    def hours_remark(self) -> str | None:
        """What is doubtful about the hours, or None."""
        return hours_remark(self.exchange, self.hours if isinstance(self.hours, str) else pairs_of(self.hours))

    @property
    def symbols(self) -> tuple[str, ...]:
        """The initial symbols."""
        return self.session_data_config.symbols

    @cached_property
    def base_interval(self) -> str:
        """The finest streamed interval: everything else is computed from its bars."""
        return min(self.session_data_config.intervals, key=interval_us)

    @cached_property
    def derived_intervals(self) -> tuple[str, ...]:
        """All intervals that are computed from base bars, shortest first."""
        names = {*self.session_data_config.intervals, *self.session_data_config.derived_intervals} - {self.base_interval}
        return tuple(sorted(names, key=interval_us))

    @cached_property
    def extra_streams(self) -> tuple[str, ...]:
        """What symbols stream besides bars: quotes, ticks."""
        return extra_streams_of(self.session_data_config.streams)

    @cached_property
    def completed_intervals(self) -> tuple[str, ...]:
        """The intervals of which it is told when all symbols have their bar, shortest first."""
        named = self.session_data_config.interval_complete
        return (self.base_interval,) if named is None else tuple(sorted(named, key=interval_us))

    @cached_property
    def smallest_threshold_us(self) -> int:
        """The threshold of the most impatient symbol."""
        return to_whole_us(self.session_data_config.streaming.smallest_threshold_seconds)

    @cached_property
    def grace_us(self) -> int:
        """How long a window waits for late bars after its end."""
        return to_whole_us(self.session_data_config.grace_or_default_seconds)

    @cached_property
    def future_tolerance_us(self) -> int:
        """How far after `now` a bar may end."""
        return to_whole_us(self.session_data_config.future_tolerance_seconds)

    @cached_property
    def silence_us(self) -> int:
        """How long a symbol may go without a bar before it is silent."""
        return to_whole_us(self.session_data_config.streaming.silence_threshold_seconds)

    @cached_property
    def quality_us(self) -> int:
        """How long after an event about an interval's quality the next one comes at the earliest."""
        return to_whole_us(self.session_data_config.quality.publish_seconds)

    def threshold_us(self, symbol: str) -> int:
        """The lag beyond which a symbol's bars are stale."""
        return self._thresholds_us.get(symbol, self._threshold_us)

    def check_interval(self, symbol: str) -> int:
        """How many of a symbol's base bars lie between two checks of its lag."""
        own = self._of_symbol(symbol).catchup_check_interval
        return self.session_data_config.streaming.catchup_check_interval if own is None else own

    def gates(self, symbol: str) -> bool:
        """Whether a symbol that lags closes the session's gate."""
        return self._of_symbol(symbol).gates

    def sparse(self, symbol: str, interval: str) -> bool:
        """Whether a missing bar is no gap."""
        own = self._of_symbol(symbol).sparse
        return interval in self.session_data_config.sparse_intervals if own is None else own

    def allows_negative_prices(self, symbol: str) -> bool:
        """Whether a symbol's prices may be zero and below."""
        allowed = self.session_data_config.allow_negative_prices
        return allowed if isinstance(allowed, bool) else symbol in allowed

    def has_history(self, symbol: str) -> bool:
        """Whether past days are loaded with a symbol, and its indicators computed."""
        historical = self.session_data_config.historical
        return historical.trailing_days > 0 and (historical.apply_to == "all" or symbol in historical.apply_to)

    def _of_symbol(self, symbol: str) -> SymbolStreaming:
        return self.session_data_config.streaming.symbols.get(symbol, _AS_SESSION)

    @cached_property
    def _threshold_us(self) -> int:
        return to_whole_us(self.session_data_config.streaming.catchup_threshold_seconds)

    @cached_property
    def _thresholds_us(self) -> dict[str, int]:
        own = self.session_data_config.streaming.symbols
        seconds = {symbol: streaming.catchup_threshold_seconds for symbol, streaming in own.items()}
        return {symbol: to_whole_us(threshold) for symbol, threshold in seconds.items() if threshold is not None}

    @cached_property
    def _calendars(self) -> dict[date | None, TradingCalendar]:
        return {}

    def _make_calendar(self, through: date | None) -> TradingCalendar:
        # The library behind it is large and comes with the worker only, so a client that reads a config does without.
        from streams.calendar.trading import TradingCalendar

        overrides: dict[date, DayOverride] = {
            day: "closed" if hours == "closed" else pairs_of(hours) for day, hours in self.hours_overrides.items()
        }
        given: dict[date, GivenDay] = {
            day: hours if isinstance(hours, str) else pairs_of(hours) for day, hours in self.calendar_days.items()
        }
        hours: Hours = self.hours if isinstance(self.hours, str) else pairs_of(self.hours)
        return TradingCalendar(self.exchange, hours, overrides, given=given, through=through)


def _without_repeated_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise SessionConfigError(f"{repeated} is written twice in one object: keep one of them")
    return values
