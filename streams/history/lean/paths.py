"""From a path to what a LEAN file holds: its security type, market, resolution, symbol and day.

A LEAN zip says little about itself, its place in LEAN's data folder says the rest:

    equity/usa/minute/spy/20131007_trade.zip       <type>/<market>/<resolution>/<symbol>/<date>_<kind>.zip
    crypto/coinbase/daily/btcusd_trade.zip         <type>/<market>/<resolution>/<symbol>_<kind>.zip
    equity/usa/hour/spy.zip                        the same, of types that have one kind there

What a path does not say is not guessed. A file that was moved out of its folder takes symbol and resolution from the name of the CSV
inside it (`20131007_spy_minute_trade.csv`), and type and market from the caller. Zips of futures hold one CSV per contract:
each is a file of its own, `ES.201312` for the contract of December 2013.
"""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, tzinfo
from pathlib import Path
from typing import Final, Literal, NamedTuple

from streams.errors import BarFileError
from streams.history.lean.entries import contract_symbol, entries_of, said_inside
from streams.history.lean.markets import (
    CONTRACT_TYPES,
    OTHER_TYPES,
    QUOTED_TYPES,
    TYPES,
    Market,
    data_zone,
    known_markets,
    price_scale,
)

What = Literal["trade", "quote"]

_INTERVALS: Final = {"second": "1s", "minute": "1m", "hour": "1h", "daily": "1d"}
_RESOLUTIONS: Final = (*_INTERVALS, "tick")
_OF_A_DAY: Final = ("second", "minute", "tick")
_OF_ALL_DAYS: Final = ("hour", "daily")
_ENDINGS: Final = ("trade", "quote", "openinterest")
_DATED: Final = re.compile(r"([0-9]{8})_([a-z]+)(?:_[a-z]+)?\.zip", re.IGNORECASE)
_EXAMPLE: Final = "equity/usa/minute/spy/20131007_trade.zip or crypto/coinbase/daily/btcusd_trade.zip"


@dataclass(frozen=True, slots=True)
class Assumed:
    """What holds for files whose paths don't say it: type and market; and the zone of their times, in place of LEAN's."""

    security_type: str | None = None
    market: str | None = None
    zone: tzinfo | None = None


NOTHING: Final = Assumed()
"""Paths say it all."""


@dataclass(frozen=True, slots=True, order=True)
class LeanFile:
    """One CSV in a zip, and what is known of it. Sorts by symbol, interval and day.

    Attributes:
        symbol: as in topics and stores: `SPY`, or `ES.201312` of a future.
        interval: of its bars.
        day: whose it is; None when it holds all days, as files of hours and days do.
        path: of the zip.
        entry: the CSV's name in the zip; None for the only one.
        what: trade bars or quote bars.
        market: the security type and the market.
        root: the symbol without an expiry.
        zone: that of its times.
    """

    symbol: str
    interval: str
    day: date | None
    path: Path
    entry: str | None
    what: What
    market: Market
    root: str
    zone: tzinfo = field(compare=False)

    @property
    def scale(self) -> int:
        """How many units of its prices make one of the currency."""
        return price_scale(self.market.security_type)


class NotRead(BarFileError):
    """A file of LEAN's whose kind is not read; `advice` says which are."""

    def __init__(self, path: Path, advice: str) -> None:
        super().__init__(f"{path}: {advice}")
        self.advice = advice


@dataclass(frozen=True, slots=True)
class Found:
    """Files in their order, and how many were left out, by the reason."""

    files: list[LeanFile]
    left_out: Counter[str]


def find(path: Path, assumed: Assumed = NOTHING) -> Found:
    """The trade and quote files that a path names: itself, or all below it when it is a folder.

    Raises:
        BarFileError: there is no such path; or a file's path does not say what it holds, or contradicts what is assumed; or
            the path is a file of a kind that is not read.
    """
    if not path.exists():
        raise BarFileError(f"{path}: there is no such file or folder")
    if path.is_file():
        return Found(sorted(_describe(path, assumed)), Counter())
    files: list[LeanFile] = []
    left_out: Counter[str] = Counter()
    for file in sorted(path.rglob("*.zip")):
        if not _is_data(file):
            continue
        try:
            files += _describe(file, assumed)
        except NotRead as error:
            left_out[error.advice] += 1
    return Found(sorted(files), left_out)


def lean_files(path: Path, what: What = "trade", assumed: Assumed = NOTHING) -> list[LeanFile]:
    """The trade files, or the quote files, that `path` names: itself, or all below it when it is a folder; sorted.

    Raises:
        BarFileError: there is none, or as `find`.
    """
    found = find(path, assumed)
    files = [file for file in found.files if file.what == what]
    if not files:
        raise BarFileError(none_of(path, what, found))
    return files


class _Place(NamedTuple):
    """What folders say: the market where they do, the resolution and, of files of a day, the symbol."""

    market: Market | None
    resolution: str
    symbol: str | None


def _describe(path: Path, assumed: Assumed) -> Iterator[LeanFile]:
    """What the place of a file says about it; several for a zip of several contracts."""
    place = _place_of(path)
    dated = _DATED.fullmatch(path.name)
    if dated is not None:
        yield from _of_one_day(path, place, dated, assumed)
    elif place is not None and place.resolution in _OF_ALL_DAYS:
        yield from _of_all_days(path, place, assumed)
    else:
        raise BarFileError(f"{path}: is not a LEAN trade or quote file: its path must end like {_EXAMPLE}")


def _place_of(path: Path) -> _Place | None:
    """What the folders of a file say; None when they are none of LEAN's."""
    folders = [part.lower() for part in path.absolute().parts[:-1]]
    for i in range(len(folders) - 3, -1, -1):
        if folders[i] in (*TYPES, *OTHER_TYPES) and folders[i + 2] in _RESOLUTIONS:
            return _Place(_read_type(path, Market(*folders[i : i + 2])), folders[i + 2], folders[i + 3] if i + 3 < len(folders) else None)
    if len(folders) > 1 and folders[-2] in _OF_A_DAY:
        return _Place(None, folders[-2], folders[-1])
    return _Place(None, folders[-1], None) if folders and folders[-1] in _OF_ALL_DAYS else None


def _of_one_day(path: Path, place: _Place | None, dated: re.Match[str], assumed: Assumed) -> Iterator[LeanFile]:
    try:
        day = datetime.strptime(dated[1], "%Y%m%d").date()
    except ValueError:
        raise BarFileError(f"{path}: {dated[1]} is not a date: the name must begin with year, month and day, such as 20131007") from None
    market = _market(path, place, assumed)
    if place is not None and place.resolution in _OF_A_DAY and place.symbol is not None:
        resolution, symbol = place.resolution, place.symbol
    else:
        resolution, symbol = said_inside(path)
    yield from _files(path, market, resolution, symbol, day, _what(path, resolution, dated[2].lower()), assumed)


def _of_all_days(path: Path, place: _Place, assumed: Assumed) -> Iterator[LeanFile]:
    market = _market(path, place, assumed)
    symbol, separator, ending = path.stem.lower().rpartition("_")
    if not separator or ending not in _ENDINGS:
        symbol, ending = path.stem.lower(), "quote" if market.security_type in QUOTED_TYPES else "trade"
        if market.security_type not in (*QUOTED_TYPES, "equity", "index"):
            raise BarFileError(f"{path}: does not say whether it holds trades or quotes: its name must end in _trade.zip or _quote.zip")
    yield from _files(path, market, place.resolution, symbol, None, _what(path, place.resolution, ending), assumed)


def _files(path: Path, market: Market, resolution: str, symbol: str, day: date | None, what: What, assumed: Assumed) -> Iterator[LeanFile]:
    root = symbol.upper()
    zone = assumed.zone or data_zone(market, root)
    if zone is None:
        raise BarFileError(
            f"{path}: the zone of its times is not known: LEAN has no {market.security_type} market {market.market!r}, it has "
            f"{', '.join(known_markets(market.security_type))}: name the zone with --zone"
        )
    contracts: list[tuple[str, str | None]] = [(root, None)]
    if market.security_type in CONTRACT_TYPES and zipfile.is_zipfile(path):
        # A damaged one is a file of the symbol: whoever reads it says so.
        contracts = [(contract_symbol(path, root, entry), entry) for entry in entries_of(path)]
    for name, entry in contracts:
        yield LeanFile(name, _INTERVALS[resolution], day, path, entry, what, market, root, zone)


def _market(path: Path, place: _Place | None, assumed: Assumed) -> Market:
    """The type and market that the path says, or that are assumed."""
    said = place.market if place is not None else None
    security_type = (assumed.security_type or (said.security_type if said else "")).lower()
    name = (assumed.market or (said.market if said else "")).lower()
    if not security_type or not name:
        raise BarFileError(
            f"{path}: its path does not say its security type and market, as {_EXAMPLE} do: name them with --security-type and --market"
        )
    if said is not None and (security_type, name) != said:
        raise BarFileError(f"{path}: lies in {said}, not in {security_type}/{name}: leave --security-type and --market out")
    return _read_type(path, Market(security_type, name))


def _read_type(path: Path, market: Market) -> Market:
    """The market, if files of its type are read.

    Raises:
        NotRead: they are not.
    """
    if market.security_type in TYPES:
        return market
    raise NotRead(path, f"{market.security_type} files are not read: those of {', '.join(TYPES[:-1])} and {TYPES[-1]} are")


def _what(path: Path, resolution: str, ending: str) -> What:
    """Which kind of bars a file holds.

    Raises:
        NotRead: none that is read.
    """
    if resolution == "tick":
        raise NotRead(path, "tick files are not read: those of second, minute, hour and daily are")
    if ending == "trade":
        return "trade"
    if ending == "quote":
        return "quote"
    raise NotRead(path, f"{ending} files are not read: those of trade and quote are")


def _is_data(path: Path) -> bool:
    """Whether a zip below a folder is one of bars or ticks at all: LEAN keeps map files and others beside them."""
    return _DATED.fullmatch(path.name) is not None or path.absolute().parent.name.lower() in _OF_ALL_DAYS


def none_of(path: Path, what: What, found: Found) -> str:
    """Why nothing of what was found is a trade file, or a quote file."""
    if found.files and what == "trade":
        there = "quote bars alone, and a session streams bars of trades: `streams import lean` takes them into a store"
    elif found.files:
        there = "trade bars alone"
    elif found.left_out:
        there = next(iter(found.left_out))
    else:
        return f"{path}: there is no LEAN {what} file in or below this folder, such as {_EXAMPLE.replace('trade', what)}"
    return f"{path}: there is no LEAN {what} file: {there}"
