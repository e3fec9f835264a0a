"""The table of `streams status`: as many columns as the terminal has room for, and every reason in full.

Numbers go before words: columns are left out from the least telling on, and named below the table, until the rest fits. A symbol's note
stands in a column of its own where all notes fit on one line, and in lines below the table otherwise, wrapped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from streams.cli.words import SymbolFacts, seconds_text, short_instant
from streams.model.records import EXTRA_STREAMS, QUOTES, TICKS

_TEXTS: Final = frozenset({"symbol", "status", "last bar"})
_FIRST_TO_GO: Final = ("late", "dropped", "dead", QUOTES, TICKS, "held back", "published", "bars", "last bar", "lag")
"""What is left out first: of dropped bars and dead letters there are remarks besides."""
_GAP: Final = 2


class _Column(Struct, frozen=True):
    heading: str
    cells: list[Text]

    @property
    def width(self) -> int:
        return max(len(self.heading), *(cell.cell_len for cell in self.cells))


class SymbolTable:
    """The symbols of a session for a terminal of any width; rich asks for it when it prints.

    Args:
        symbols: one at least.
        as_of: the instant beside which the table stands; a bar's date is shown where it is another.
    """

    def __init__(self, symbols: Sequence[SymbolFacts], as_of: str) -> None:
        self._symbols = symbols
        self._as_of = as_of

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table, and what did not fit into it."""
        columns = self._columns()
        notes = _Column("note", [Text(symbol["note"]) for symbol in self._symbols])
        with_notes = any(symbol["note"] for symbol in self._symbols)
        in_lines = with_notes and _width([*columns, notes]) > options.max_width
        shown, left_out = _fitting(columns, options.max_width)
        yield _table([*shown, notes] if with_notes and not in_lines else shown)
        if in_lines:
            yield from (Text(f"{symbol['symbol']}: {symbol['note']}") for symbol in self._symbols if symbol["note"])
        if left_out:
            yield Text(f"not shown in {options.max_width} columns: {', '.join(left_out)}", style="dim")

    def _columns(self) -> list[_Column]:
        symbols = self._symbols
        streams = [stream for stream in EXTRA_STREAMS if any(stream in symbol["streams"] for symbol in symbols)]
        return [
            _Column("symbol", [Text(symbol["symbol"]) for symbol in symbols]),
            _Column("status", [Text(symbol["status"]) for symbol in symbols]),
            _Column("last bar", [Text(short_instant(symbol["frontier"], self._as_of)) for symbol in symbols]),
            _Column("lag", [_lag(symbol) for symbol in symbols]),
            _Column("bars", [_number(symbol["bars"]) for symbol in symbols]),
            _Column("published", [_number(symbol["published"]) for symbol in symbols]),
            _Column("held back", [_number(symbol["held_back"]) for symbol in symbols]),
            _Column("late", [_number(symbol["late"]) for symbol in symbols]),
            _Column("dropped", [_number(_dropped(symbol)) for symbol in symbols]),
            _Column("dead", [_number(symbol["dead_letters"]) for symbol in symbols]),
            *(_Column(stream, [_count(symbol, stream) for symbol in symbols]) for stream in streams),
        ]


def _width(columns: Sequence[_Column]) -> int:
    return sum(column.width for column in columns) + _GAP * (len(columns) - 1)


def _fitting(columns: list[_Column], width: int) -> tuple[list[_Column], list[str]]:
    """The columns that fit, and the headings of the others, in the table's order."""
    going = set()
    for heading in _FIRST_TO_GO:
        if _width([column for column in columns if column.heading not in going]) <= width:
            break
        going.add(heading)
    shown = [column for column in columns if column.heading not in going]
    return shown, [column.heading for column in columns if column.heading in going]


def _table(columns: Sequence[_Column]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, _GAP, 0, 0))
    for column in columns:
        is_text = column.heading in _TEXTS or column.heading == "note"
        table.add_column(column.heading, justify="left" if is_text else "right", overflow="fold")
    for row in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*row)
    return table


def _lag(symbol: SymbolFacts) -> Text:
    lag = "-" if symbol["lag_seconds"] is None else seconds_text(symbol["lag_seconds"])
    return Text(lag, style="red" if symbol["lagging"] else "")


def _dropped(symbol: SymbolFacts) -> int:
    return symbol["duplicates"] + symbol["out_of_hours"] + symbol["other_interval"] + symbol["other_day"]


def _number(count: int) -> Text:
    return Text(f"{count:,}")


def _count(symbol: SymbolFacts, stream: str) -> Text:
    facts = symbol["quotes"] if stream == QUOTES else symbol["ticks"]
    return Text("-") if facts is None else _number(facts["count"])
