"""The sections of a session config: their keys, defaults and bounds. `streams.config.session` puts them together.

All are frozen and refuse unknown keys and wrong types. Durations are seconds, whole or fractional.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, PlainSerializer, Tag, ValidationInfo, field_validator

from streams.calendar.hours import parse_windows
from streams.calendar.presets import PRESETS, PresetName
from streams.model.records import EXTRA_STREAMS, check_symbol
from streams.times import DAY_US, SECOND_US, interval_us

MAX_SECONDS: Final = 1_000_000_000
"""No duration is longer (31 years): an instant plus a duration has to stay one that the wire can carry."""

_SESSION_NAME: Final = re.compile("[A-Za-z0-9_-]{1,48}")


def check_interval(name: str) -> str:
    """The name itself, when it is an interval of bars that can be streamed or derived.

    Raises:
        ValueError: no interval, one longer than a day, or quotes or ticks.
    """
    if name in EXTRA_STREAMS:
        raise ValueError(f"must be an interval of bars such as 1s, 1m or 1d: {name} are streamed, see streams, and nothing is made of them")
    if interval_us(name) > DAY_US:
        raise ValueError(f"must be at most 1d, since windows end with their trading day, got {name!r}")
    return name


def check_stream(name: str) -> str:
    """The name itself, when it is an interval of bars, `quotes` or `ticks`.

    Raises:
        ValueError: it is none of them.
    """
    return name if name in EXTRA_STREAMS else check_interval(name)


def intervals_of(streams: Iterable[str]) -> tuple[str, ...]:
    """Those of the streams that are intervals of bars."""
    return tuple(name for name in streams if name not in EXTRA_STREAMS)


def extra_streams_of(streams: Iterable[str]) -> tuple[str, ...]:
    """Quotes and ticks, where they are among the streams."""
    return tuple(name for name in EXTRA_STREAMS if name in streams)


def _check_seconds(seconds: float) -> float:
    if seconds > MAX_SECONDS:
        raise ValueError(f"must be at most {MAX_SECONDS} seconds, got {_as_written(seconds)}")
    return seconds


def _check_unique(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"names {name} twice")
    return names


def _check_lengths(names: tuple[str, ...]) -> tuple[str, ...]:
    by_length: dict[int, str] = {}
    for name in intervals_of(_check_unique(names)):
        other = by_length.setdefault(interval_us(name), name)
        if other != name:
            raise ValueError(f"names one interval twice, as {other} and as {name}")
    return names


def _check_session_name(name: str) -> str:
    if not _SESSION_NAME.fullmatch(name):
        raise ValueError(f"must be 1 to 48 letters, digits, _ or -, since topics are named after it, got {name!r}")
    return name


def _check_exchange(name: str) -> str:
    if not name.strip():
        raise ValueError(f"must be the name of a calendar such as XNYS or 24/7, got {name!r}")
    return name


def _as_written(number: float) -> float | int:
    return int(number) if number.is_integer() else number


SessionName = Annotated[str, AfterValidator(_check_session_name)]
Exchange = Annotated[str, AfterValidator(_check_exchange)]
Seconds = Annotated[float, AfterValidator(_check_seconds), PlainSerializer(_as_written)]
Interval = Annotated[str, AfterValidator(check_interval)]
Intervals = Annotated[tuple[Interval, ...], AfterValidator(_check_lengths)]
Stream = Annotated[str, AfterValidator(check_stream)]
Streams = Annotated[tuple[Stream, ...], AfterValidator(_check_lengths)]
Symbol = Annotated[str, AfterValidator(check_symbol)]
Symbols = Annotated[tuple[Symbol, ...], AfterValidator(_check_unique)]


class Section(BaseModel):
    """What all parts of a config have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class HoursWindow(Section):
    """A window of trading hours, `HH:MM` in exchange time; the close is the first such time after the open."""

    open: str
    """a time such as "09:30", in exchange time, or "18:00 previous day" for the evening before the trading date"""
    close: str
    """a time such as "16:00", in exchange time; the first such time after the open"""


def _check_windows(windows: HoursWindow | tuple[HoursWindow, ...]) -> HoursWindow | tuple[HoursWindow, ...]:
    parse_windows(pairs_of(windows))
    return windows


def pairs_of(windows: HoursWindow | Sequence[HoursWindow]) -> list[tuple[str, str]]:
    """Opens and closes as `streams.calendar.hours` takes them."""
    listed = [windows] if isinstance(windows, HoursWindow) else windows
    return [(window.open, window.close) for window in listed]


def _branch_of_hours(value: object) -> str | None:
    if isinstance(value, str):
        return "<preset>" if value in PRESETS else f"<{value}>"
    if isinstance(value, dict | HoursWindow):
        return "<one>"
    return "<list>" if isinstance(value, list | tuple) else None


def _hours_choice(words: str) -> Discriminator:
    return Discriminator(
        _branch_of_hours,
        custom_error_type="hours",
        custom_error_message=f'must be {words}, a window such as {{"open": "09:30", "close": "16:00"}} or a list of such',
    )


OneWindow = Annotated[HoursWindow, AfterValidator(_check_windows), Tag("<one>")]
WindowList = Annotated[tuple[HoursWindow, ...], AfterValidator(_check_windows), Tag("<list>")]
_REGULAR_OR_PRESET = f'"regular", a preset ({", ".join(PRESETS)})'
SessionHours = Annotated[
    Annotated[Literal["regular"], Tag("<regular>")] | Annotated[PresetName, Tag("<preset>")] | OneWindow | WindowList,
    _hours_choice(_REGULAR_OR_PRESET),
]
HoursOverride = Annotated[Annotated[Literal["closed"], Tag("<closed>")] | OneWindow | WindowList, _hours_choice('"closed"')]
CalendarDay = Annotated[
    Annotated[Literal["closed"], Tag("<closed>")] | Annotated[Literal["regular"], Tag("<regular>")] | OneWindow | WindowList,
    _hours_choice('"closed", "regular"'),
]


def _branch_of_apply_to(value: object) -> str | None:
    if isinstance(value, list | tuple):
        return "<list>"
    return "<all>" if value == "all" else None


SymbolChoice = Annotated[
    Annotated[Literal["all"], Tag("<all>")] | Annotated[Symbols, Tag("<list>")],
    Discriminator(_branch_of_apply_to, custom_error_type="apply_to", custom_error_message='must be "all" or a list of symbols'),
]


def _branch_of_flag(value: object) -> str | None:
    if isinstance(value, list | tuple):
        return "<list>"
    return "<flag>" if isinstance(value, bool) else None


SomeSymbols = Annotated[
    Annotated[bool, Tag("<flag>")] | Annotated[Symbols, Tag("<list>")],
    Discriminator(_branch_of_flag, custom_error_type="flag", custom_error_message="must be true, false or a list of symbols"),
]


class BacktestConfig(Section):
    """What a replay covers, and its speed."""

    start_date: date | None = None
    """First trading date of the replay."""
    end_date: date | None = None
    """Its last trading date, included."""
    speed_multiplier: Annotated[float, PlainSerializer(_as_written)] = Field(default=0.0, ge=0)
    """0 replays as fast as possible, N at N times real time."""

    @field_validator("end_date")
    @classmethod
    def _check_end(cls, end: date | None, info: ValidationInfo) -> date | None:
        start: date | None = info.data.get("start_date")
        if start is not None and end is not None and end < start:
            raise ValueError(f"must not be before start_date {start}, got {end}")
        return end


class SymbolStreaming(Section):
    """What holds for one symbol instead of the session's values; `null` takes the session's."""

    catchup_threshold_seconds: Seconds | None = Field(default=None, ge=1)
    """The symbol's own threshold."""
    catchup_check_interval: int | None = Field(default=None, ge=1, le=100)
    """The symbol's own cadence of checks."""
    gates: bool = True
    """`false`: its stale bars are held back, but it never closes the session's gate."""
    sparse: bool | None = None
    """Whether a missing bar of any of its intervals is no gap."""


class StreamingConfig(Section):
    """The gate: a symbol whose bars lag more than the threshold closes it. Lag is measured on base bars that advance a symbol."""

    catchup_threshold_seconds: Seconds = Field(default=60.0, ge=1)
    """A symbol whose bars lag more than this closes the gate, and such bars are never published."""
    catchup_check_interval: int = Field(default=10, ge=1, le=100)
    """How many base bars of a symbol lie between two checks of its lag. A stale bar checks at once all the same."""
    check: Literal["adaptive", "interval", "every_bar"] = "adaptive"
    """When the cadence holds: always (`interval`), never (`every_bar`), or while the session is active (`adaptive`)."""
    reference: Literal["close", "open"] = "close"
    """From which end of a base bar its lag is measured. A bar is known at its close."""
    silence_threshold_seconds: Seconds = Field(default=300.0, ge=1)
    """A symbol without a bar for so long, during trading hours, is silent. Bars that are further apart are waited for first."""
    silence_lags: bool = False
    """Whether a silent symbol closes the gate."""
    symbols: dict[Symbol, SymbolStreaming] = Field(default_factory=dict)
    """What holds for single symbols instead."""

    @property
    def smallest_threshold_seconds(self) -> float:
        """The threshold of the most impatient symbol."""
        own = [symbol.catchup_threshold_seconds for symbol in self.symbols.values() if symbol.catchup_threshold_seconds is not None]
        return min([self.catchup_threshold_seconds, *own])


_OF_ONE_DAY: Final = frozenset({"prior_close", "prior_high", "prior_low"})
_OF_DAYS: Final = frozenset({*_OF_ONE_DAY, "average_daily_volume"})

IndicatorKind = Literal["prior_close", "prior_high", "prior_low", "average_daily_volume", "sma", "ema", "atr", "vwap"]


class IndicatorConfig(Section):
    """One indicator over past days: its name for readers, what it is, over bars of which interval, and over how many of them.

    `prior_close`, `prior_high` and `prior_low` are of the trading day before and take no period; they and
    `average_daily_volume` are of days, whatever bars are kept. The others are of any interval.
    """

    name: str = Field(min_length=1, max_length=64)
    """a name by which it is read, such as `sma20`"""
    kind: IndicatorKind
    """one of prior_close, prior_high, prior_low, average_daily_volume, sma, ema, atr, vwap"""
    interval: Interval = "1d"
    """Over bars of which interval."""
    period: int = Field(default=1, ge=1, le=10_000)
    """Over how many of them."""

    @field_validator("interval")
    @classmethod
    def _check_days(cls, interval: str, info: ValidationInfo) -> str:
        kind = info.data.get("kind", "")
        if kind in _OF_DAYS and interval_us(interval) != DAY_US:
            raise ValueError(f"must be 1d or be left out, since {kind} is of days, got {interval}")
        return interval

    @field_validator("period")
    @classmethod
    def _check_period(cls, period: int, info: ValidationInfo) -> int:
        kind = info.data.get("kind", "")
        if kind in _OF_ONE_DAY and period != 1:
            raise ValueError(f"must be left out, since {kind} is of the trading day before, got {period}")
        return period

    @property
    def is_daily(self) -> bool:
        """Whether it is of bars that are a day each."""
        return interval_us(self.interval) == DAY_US


class HistoricalConfig(Section):
    """Past days: loaded with a symbol, from then on its own days as they pass."""

    trailing_days: int = Field(default=0, ge=0)
    """How many trading days before the session's are kept; at an addition they are loaded."""
    intervals: Intervals = ()
    """Of which intervals they are loaded; none: the base interval. Derived intervals are made of base bars, where those are loaded."""
    apply_to: SymbolChoice = "all"
    """For which symbols they are loaded, and their indicators computed."""
    adjustment: Literal["raw", "split", "total"] = "raw"
    """What the prices of a store have to be: as traded, adjusted for splits, or for splits and dividends."""
    indicators: tuple[IndicatorConfig, ...] = ()
    """What is computed from them, once they are loaded and whenever a day is over."""

    @field_validator("indicators")
    @classmethod
    def _check_indicators(cls, indicators: tuple[IndicatorConfig, ...], info: ValidationInfo) -> tuple[IndicatorConfig, ...]:
        _check_unique(tuple(indicator.name for indicator in indicators))
        for indicator in indicators:
            needed = indicator.period if indicator.is_daily else 1
            kept = info.data.get("trailing_days", needed)
            if kept < needed:
                days = f"{needed} trading day" + "s" * (needed > 1)
                raise ValueError(f"must be of days that are kept: {indicator.name} needs {days}, trailing_days is {kept}")
        return indicators


class GapFillerConfig(Section):
    """Asking a history source for missing bars, live only."""

    enabled: bool = False
    """Whether the history source is asked for missing bars."""
    max_retries: int = Field(default=5, ge=1, le=20)
    """How often it is asked for one gap."""
    retry_interval_seconds: Seconds = Field(default=60.0, ge=1)
    """How long it is left alone between two questions about one gap."""


class QualityConfig(Section):
    """How complete the bars are: what changes is told on the events topic."""

    publish_seconds: Seconds = Field(default=60.0, ge=1)
    """How far two such events of a symbol and interval lie apart at least."""


class ExportsConfig(Section):
    """Exports of what is new (`streams export --delta`)."""

    keep_days: int = Field(default=2, ge=0, le=30)
    """How many trading days that are over and no longer among the trailing days are kept while an export lacks bars of theirs."""


class SessionDataConfig(Section):
    """Symbols and what is made of their bars."""

    symbols: Symbols = Field(description='a list such as ["SPY"], which may be empty')
    streams: Streams = ("1m",)
    """What is streamed of each symbol: intervals of bars, `quotes`, `ticks`. The finest interval is the base, the others are derived."""
    derived_intervals: Intervals = ()
    """Intervals computed from the base interval, whole multiples of it."""
    streaming: StreamingConfig = StreamingConfig()
    historical: HistoricalConfig = HistoricalConfig()
    gap_filler: GapFillerConfig = GapFillerConfig()
    quality: QualityConfig = QualityConfig()
    exports: ExportsConfig = ExportsConfig()
    interval_complete: Intervals | None = None
    """Intervals of which it is told on analysis when all symbols have their bar; `null`: the base interval, `[]`: none."""
    bars_topic: bool = False
    """Whether all bars, held back or not, go to the topic `<session>.bars` too."""
    grace_seconds: Seconds | None = Field(default=None, ge=0)
    """How long a window waits for late bars after its end; `null`: 5, or half of the smallest threshold where that is less."""
    min_completeness: Annotated[float, PlainSerializer(_as_written)] = Field(default=0.0, ge=0, le=1)
    """The share of base bars that a derived bar needs to be published: 0 any, since where nothing was traded there is no bar; 1 all."""
    sparse_intervals: Intervals = ("1s",)
    """Intervals in which a missing bar is no gap: no trade, no bar."""
    future_tolerance_seconds: Seconds = Field(default=5.0, ge=0)
    """How far the feed's clock may be ahead: a bar that has not ended waits for its end, one that is further ahead is a dead letter."""
    allow_negative_prices: SomeSymbols = False
    """Whose prices may be zero and below, as those of spreads, power, and oil in April 2020: all symbols' (`true`) or those of a list."""
    max_symbols: int = Field(default=1000, ge=1, validate_default=True)
    """How many symbols the session takes."""
    max_pending: int = Field(default=100, ge=1)
    """How many of them may be loading at once."""

    @field_validator("streams")
    @classmethod
    def _check_streams(cls, streams: tuple[str, ...]) -> tuple[str, ...]:
        intervals = intervals_of(streams)
        if not intervals:
            raise ValueError(f'must name at least one interval such as "1m", got {list(streams)}')
        base = min(intervals, key=interval_us)
        for name in intervals:
            if interval_us(name) % interval_us(base):
                raise ValueError(f"must be whole multiples of the finest one, {base}, got {name}")
        return streams

    @field_validator("derived_intervals")
    @classmethod
    def _check_derived(cls, derived: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        streams = intervals_of(info.data.get("streams", ()))
        if streams:
            base = min(streams, key=interval_us)
            for name in derived:
                if interval_us(name) <= interval_us(base) or interval_us(name) % interval_us(base):
                    raise ValueError(f"must be longer than the base interval {base} and whole multiples of it, got {name}")
            _check_lengths((*streams, *(name for name in derived if name not in streams)))
        return derived

    @field_validator("historical")
    @classmethod
    def _check_historical(cls, historical: HistoricalConfig, info: ValidationInfo) -> HistoricalConfig:
        streams = intervals_of(info.data.get("streams", ()))
        if not streams:
            return historical
        base = min(streams, key=interval_us)
        loaded = set(historical.intervals or (base,))
        for indicator in historical.indicators:
            can_be_made = base in loaded and interval_us(indicator.interval) % interval_us(base) == 0
            if not indicator.is_daily and not can_be_made and indicator.interval not in loaded:
                raise ValueError(
                    f"must be loaded in the interval {indicator.interval} of the indicator {indicator.name}: add it to historical.intervals"
                )
        return historical

    @field_validator("grace_seconds")
    @classmethod
    def _check_grace(cls, grace: float | None, info: ValidationInfo) -> float | None:
        streaming: StreamingConfig | None = info.data.get("streaming")
        if grace is not None and streaming is not None and grace >= streaming.smallest_threshold_seconds:
            limit = _as_written(streaming.smallest_threshold_seconds)
            raise ValueError(f"must be less than the smallest catchup_threshold_seconds, {limit}, got {_as_written(grace)}")
        return grace

    @field_validator("max_symbols")
    @classmethod
    def _check_max_symbols(cls, maximum: int, info: ValidationInfo) -> int:
        count = len(info.data.get("symbols", ()))
        if count > maximum:
            raise ValueError(f"must be at least the number of symbols, {count}, got {maximum}")
        return maximum

    @property
    def intervals(self) -> tuple[str, ...]:
        """The streams that are intervals of bars."""
        return intervals_of(self.streams)

    @property
    def grace_or_default_seconds(self) -> float:
        """How long a window waits for late bars."""
        if self.grace_seconds is not None:
            return self.grace_seconds
        return min(5.0, self.streaming.smallest_threshold_seconds / 2)


def to_whole_us(seconds: float) -> int:
    """Microseconds of a duration in seconds, rounded."""
    return round(seconds * SECOND_US)
