"""The state as rows: what the tables hold, and what `Session.restore` begins from.

Each row is small and has a key of its own, so that a batch writes only what it touched:

    session                                 one, with every transaction
    config                                  one, when the config changes
    command|<id>                            one per command of the last seven days
    symbol|<SYMBOL>                         identity and status: rarely
    progress|<SYMBOL>                       position, frontier, metrics, held-back runs and the newest base bars
    bars|<interval>|<days>|<index>|<SYMBOL> a block of bars, written when it is full or touched
    quotes|<SYMBOL>, ticks|<SYMBOL>         the latest one, how many, and the position in their topic
    quality|<SYMBOL>                        what was told of gaps and done about them: rarely
    indicators|<SYMBOL>                     what was computed from past days: rarely
    export|<SYMBOL>                         up to where bars were exported: rarely

`incarnation` stands in every row of a symbol: a row of a former one is dropped on restore, as is a block of a day that is no
longer kept. Such rows are there for a while, since no transaction deletes more than so many.
"""

from __future__ import annotations

from array import array

from msgspec import Struct

SESSION_KEY = "session"
CONFIG_KEY = "config"


def command_key(command_id: str) -> str:
    """Key of a command's row."""
    return f"command|{command_id}"


def symbol_key(symbol: str) -> str:
    """Key of a symbol's identity row."""
    return f"symbol|{symbol}"


def is_symbol_key(key: str) -> bool:
    """Whether a key is that of an identity row, which is written when a symbol comes, goes or is read from elsewhere."""
    return key.startswith("symbol|")


def progress_key(symbol: str) -> str:
    """Key of a symbol's progress row."""
    return f"progress|{symbol}"


def block_key(symbol: str, interval: str, trading_days: int, index: int) -> str:
    """Key of a block of bars."""
    return f"bars|{interval}|{trading_days}|{index:05d}|{symbol}"


def stream_key(stream: str, symbol: str) -> str:
    """Key of the row of a symbol's quotes or ticks."""
    return f"{stream}|{symbol}"


def quality_key(symbol: str) -> str:
    """Key of a symbol's row about its gaps."""
    return f"quality|{symbol}"


def indicators_key(symbol: str) -> str:
    """Key of a symbol's indicators."""
    return f"indicators|{symbol}"


def export_key(symbol: str) -> str:
    """Key of a symbol's export positions."""
    return f"export|{symbol}"


def is_block_key(key: str) -> bool:
    """Whether a key is that of a block of bars."""
    return key.startswith("bars|")


class Columns(Struct, frozen=True):
    """Bars of one interval, column by column, in order of start.

    `slots` counts intervals from `first_start_us`: both are lines of the `Grid`, which differ from starts where a window begins with
    its day, and after a change of the exchange's clock within the day. Optional columns are empty when every bar has the default: no
    vwap (else NaN for none), no trades (else -1 for none), a base count of one, revision 0, the interval's usual
    provenance. A single provenance is that of every bar.
    """

    first_start_us: int
    slots: array[int]
    open: array[float]
    high: array[float]
    low: array[float]
    close: array[float]
    volume: array[float]
    vwap: array[float]
    trades: array[int]
    base_counts: array[int]
    revisions: array[int]
    provenances: tuple[str, ...]


class CompletedRow(Struct, frozen=True):
    """Up to where an interval was told to be complete."""

    interval: str
    end_us: int


class SessionRow(Struct, frozen=True):
    """The session as a whole: one row, written with every transaction.

    `sequence` is the last one given to an analysis record, `transaction` the number of the transaction that wrote
    this row, `now_us` the engine's last `now`, `trading_days` the day that every symbol has reached, `owner_url` where
    the worker that wrote it answers over HTTP, `measured_us` when quality was told last, `rules` and `opened_rules` the rules version
    (`engine.rules`) of the transaction that wrote it and of the one that opened the epoch, `clock_reason` what is wrong with the
    clock that `now_us` is of (None: nothing), and `clock_behind_us` how far it is behind. Checks of the topics fail since `unchecked_us`
    (-1: they are answered), for `unchecked_reason`.
    """

    session: str
    epoch: int
    transaction: int
    sequence: int
    now_us: int
    active: bool
    ever_active: bool
    gate_reason: str
    trading_days: int
    next_incarnation: int
    control_offset: int
    control_topic_id: str
    owner: str
    owner_url: str = ""
    measured_us: int = -1
    completed: tuple[CompletedRow, ...] = ()
    rules: int = 1
    opened_rules: int = 1
    clock_reason: str | None = None
    clock_behind_us: int = 0
    unchecked_us: int = -1
    unchecked_reason: str = ""


class ConfigRow(Struct, frozen=True):
    """The config that the state was made under, as JSON, and the trading days that it goes by, as `TradingCalendar.to_text` gives them.

    Without such days the session goes by those that the library has at each start, as all did before they were stored.
    """

    config_json: str
    calendar: str = ""


class CommandRow(Struct, frozen=True):
    """A command's last answer, kept seven days so that a repeated id is answered again and not run again."""

    id: str
    kind: str
    symbol: str
    status: str
    reason: str | None
    time_us: int


class SymbolRow(Struct, frozen=True):
    """Who a symbol is and how far its life has come. `command_id` awaits the completion of that command."""

    symbol: str
    incarnation: int
    status: str
    initial: bool
    dynamic: bool
    base_interval: str
    derived_intervals: tuple[str, ...]
    topic_id: str
    reason: str | None
    command_id: str | None
    start_us: int | None
    must_exist: bool
    added_us: int
    removal_end_offset: int | None
    removal_deadline_us: int | None
    streams: tuple[str, ...] = ()


class RunRow(Struct, frozen=True):
    """An open run of held-back bars."""

    interval: str
    cause: str
    first_start_us: int
    last_end_us: int
    count: int


class WindowRow(Struct, frozen=True):
    """Where the earliest open window of a derived interval starts, -1 for none; in `outdated`, where a window to be made again starts."""

    interval: str
    open_since_us: int


class WaitingRow(Struct, frozen=True):
    """A base bar that came before its end, and is taken in then."""

    start_us: int
    end_us: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    vwap: float | None
    trades: int | None
    provenance: str


class ProgressRow(Struct, frozen=True):
    """What changes with every batch of a symbol's bars.

    `offset` is the next one to read. `accepted` counts base and derived bars and revisions by fate. `tail` holds the
    base bars that are in no full block yet, `tail_index` the number of the block they will be. `waiting` are the bars that
    have not ended yet, in order; `forming` counts the versions of bars that were replaced before the bar's end,
    `unknown_fields` the records that had fields which a bar does not have; `unknown_names` are those fields that were reported.
    """

    symbol: str
    incarnation: int
    offset: int
    trading_days: int
    frontier_us: int
    checks: int
    lagging: bool
    behind: bool
    lag_us: int
    backlog: bool
    silent: bool
    last_stale_us: int
    last_update_us: int
    bars_updated: bool
    bar_count: int
    session_volume: float
    session_high: float | None
    session_low: float | None
    accepted: int
    published: int
    held_back: int
    late: int
    corrected: int
    duplicates: int
    out_of_hours: int
    other_interval: int
    other_day: int
    rejected: int
    engine_errors: int
    consecutive_errors: int
    runs: tuple[RunRow, ...]
    windows: tuple[WindowRow, ...]
    tail_index: int
    tail: Columns
    waiting: tuple[WaitingRow, ...] = ()
    forming: int = 0
    outdated: tuple[WindowRow, ...] = ()
    unfilled: bool = False
    unknown_fields: int = 0
    unknown_names: tuple[str, ...] = ()


class BlockRow(Struct, frozen=True):
    """A block of bars of one symbol, interval and trading day."""

    symbol: str
    incarnation: int
    interval: str
    trading_days: int
    index: int
    bars: Columns


class LatestQuote(Struct, frozen=True):
    """The latest quote, as its row has it."""

    time_us: int
    bid: float | None
    ask: float | None
    bid_size: float | None
    ask_size: float | None
    provenance: str


class LatestTick(Struct, frozen=True):
    """The latest tick, as its row has it."""

    time_us: int
    price: float
    size: float
    provenance: str


class StreamRow(Struct, frozen=True):
    """A symbol's quotes or ticks: `count` are those of the trading day, `total` those since it was added; `reason` why none are read."""

    symbol: str
    incarnation: int
    stream: str
    topic_id: str
    offset: int
    trading_days: int
    count: int
    total: int
    out_of_hours: int
    rejected: int
    updated: bool
    last_update_us: int
    quote: LatestQuote | None = None
    tick: LatestTick | None = None
    engine_errors: int = 0
    consecutive_errors: int = 0
    reason: str | None = None
    unknown_fields: int = 0
    unknown_names: tuple[str, ...] = ()


class ToldRow(Struct, frozen=True):
    """What was told of the completeness of an interval last."""

    interval: str
    missing: int
    gaps: int


class AttemptRow(Struct, frozen=True):
    """A stretch of missing base bars that a source was asked for `count` times, at `asked_us` for the last time."""

    start_us: int
    end_us: int
    count: int
    asked_us: int


class StretchRow(Struct, frozen=True):
    """A stretch of time."""

    start_us: int
    end_us: int


class QualityRow(Struct, frozen=True):
    """What was told of the gaps of a symbol's day and when, what was asked to fill them, and where a source has no bars either."""

    symbol: str
    incarnation: int
    trading_days: int
    told: tuple[ToldRow, ...]
    attempts: tuple[AttemptRow, ...]
    empty: tuple[StretchRow, ...]
    told_us: int = -1


class IndicatorRow(Struct, frozen=True):
    """One indicator by its name in the config; None when there are too few bars."""

    name: str
    value: float | None


class IndicatorsRow(Struct, frozen=True):
    """What was computed from a symbol's past days, as it holds for a trading day."""

    symbol: str
    incarnation: int
    trading_days: int
    values: tuple[IndicatorRow, ...]


class MarkRow(Struct, frozen=True):
    """Up to which start one series was exported, and the stretches before that whose bars came or changed since."""

    interval: str
    trading_days: int
    exported_to_us: int
    changed: tuple[StretchRow, ...] = ()


class ExportRow(Struct, frozen=True):
    """Up to where a symbol's bars were exported: what is done, and what export `number` holds while that `is_pending`."""

    symbol: str
    incarnation: int
    number: int
    is_pending: bool
    done: tuple[MarkRow, ...]
    pending: tuple[MarkRow, ...]


Row = SessionRow | ConfigRow | CommandRow | SymbolRow | ProgressRow | BlockRow | StreamRow | QualityRow | IndicatorsRow | ExportRow
