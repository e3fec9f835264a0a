"""A symbol's quotes or ticks as state: the latest one, how many there were, and where their topic is read.

Plain state: the rules that change it live in `extras`. Its row is `quotes|<SYMBOL>` or `ticks|<SYMBOL>`.
"""

from __future__ import annotations

from streams.calendar.trading import TradingDay
from streams.model.records import QUOTES, Quote, Tick
from streams.model.rows import LatestQuote, LatestTick, StreamRow

NEVER_US = -1


class ExtraStream:
    """One stream besides the bars. It is read where it has a topic and no `reason` not to be.

    `count` are the records of the day `days`, `latest` the one of them with the latest time. `first_us` and `last_us` bound
    the stretch of trading that the newest record lay in: what lies there too needs no calendar. They are not stored.
    """

    __slots__ = (
        "changed", "consecutive_errors", "count", "days", "engine_errors", "first_us", "last_update_us", "last_us", "latest",
        "offset", "out_of_hours", "reason", "rejected", "stream", "topic_id", "total",
        "unknown_fields", "unknown_names", "updated",
    )  # fmt: skip

    def __init__(self, stream: str, days: int) -> None:
        self.stream = stream
        self.days = days
        self.topic_id = ""
        self.offset = 0
        self.reason: str | None = None
        self.latest: Quote | Tick | None = None
        self.count = self.total = self.out_of_hours = self.rejected = 0
        self.engine_errors = self.consecutive_errors = self.unknown_fields = 0
        self.unknown_names: tuple[str, ...] = ()
        self.last_update_us = NEVER_US
        self.first_us = self.last_us = 0
        self.updated = False
        self.changed = True

    @property
    def is_read(self) -> bool:
        """Whether its topic is being read."""
        return self.topic_id != "" and self.reason is None

    def enter(self, day: TradingDay) -> None:
        """The symbol stands at `day`; records of a later one may have come before its bars."""
        if self.days < day.days or not self.count:
            self.begin(day.days)

    def begin(self, days: int) -> None:
        """Stand at the beginning of a day."""
        self.days = days
        self.count = 0
        self.latest = None
        self.updated = False
        self.first_us = self.last_us = 0
        self.changed = True

    def row(self, symbol: str, incarnation: int) -> StreamRow:
        """What is stored of it; it is then taken as written."""
        self.changed = False
        quote = tick = None
        latest = self.latest
        if isinstance(latest, Quote):
            quote = LatestQuote(latest.time_us, latest.bid, latest.ask, latest.bid_size, latest.ask_size, latest.provenance)
        elif latest is not None:
            tick = LatestTick(latest.time_us, latest.price, latest.size, latest.provenance)
        return StreamRow(
            symbol=symbol, incarnation=incarnation, stream=self.stream, topic_id=self.topic_id, offset=self.offset,
            trading_days=self.days, count=self.count, total=self.total, out_of_hours=self.out_of_hours, rejected=self.rejected,
            updated=self.updated, last_update_us=self.last_update_us, quote=quote, tick=tick, engine_errors=self.engine_errors,
            consecutive_errors=self.consecutive_errors, reason=self.reason, unknown_fields=self.unknown_fields,
            unknown_names=self.unknown_names,
        )  # fmt: skip

    @classmethod
    def restored(cls, row: StreamRow) -> ExtraStream:
        """The stream that a row was taken of."""
        extra = cls(row.stream, row.trading_days)
        extra.topic_id, extra.offset, extra.reason = row.topic_id, row.offset, row.reason
        extra.count, extra.total, extra.out_of_hours, extra.rejected = row.count, row.total, row.out_of_hours, row.rejected
        extra.engine_errors, extra.consecutive_errors = row.engine_errors, row.consecutive_errors
        extra.unknown_fields, extra.unknown_names = row.unknown_fields, row.unknown_names
        extra.updated, extra.last_update_us = row.updated, row.last_update_us
        if row.stream == QUOTES and row.quote is not None:
            one = row.quote
            extra.latest = Quote(row.symbol, one.time_us, one.bid, one.ask, one.bid_size, one.ask_size, one.provenance)
        elif row.tick is not None:
            extra.latest = Tick(row.symbol, row.tick.time_us, row.tick.price, row.tick.size, row.tick.provenance)
        extra.changed = False
        return extra
