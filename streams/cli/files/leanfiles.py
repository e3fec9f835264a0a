"""Which LEAN files a command means: found below its paths, then chosen by symbol and interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from datetime import tzinfo
from pathlib import Path

from streams.cli.options import parse_zone, say
from streams.cli.words import plural
from streams.errors import BarFileError
from streams.history.lean.files import Assumed, LeanFile, What, find, none_of
from streams.history.lean.markets import ALWAYS_OPEN


def parse_assumed(security_type: str | None, market: str | None, zone: str | None) -> Assumed:
    """What the options say of files whose paths don't."""
    return Assumed(security_type, market, parse_zone(zone))


def lean_found(paths: Iterable[Path], assumed: Assumed, what: What | None = None) -> list[LeanFile]:
    """The files below the paths, of trades or quotes alone where `what` says so; what is left out is said.

    Raises:
        BarFileError: a path has none, or one that can't be understood.
    """
    files: list[LeanFile] = []
    left_out: Counter[str] = Counter()
    for path in paths:
        found = find(path, assumed)
        chosen = [file for file in found.files if what in (None, file.what)]
        if not chosen:
            raise BarFileError(none_of(path, what or "trade", found))
        files += chosen
        left_out += found.left_out
    for reason, count in left_out.items():
        say(f"note: left out {plural(count, 'file')}: {reason}")
    return files


def chosen(files: list[LeanFile], symbols: str | None, interval: str | None) -> list[LeanFile]:
    """Those of these symbols and this interval; the name of a future alone means all of its contracts.

    Raises:
        BarFileError: there is no such file.
    """
    of_interval = [file for file in files if interval in (None, file.interval)]
    if not of_interval:
        raise BarFileError(
            f"there is no file of {interval} bars: there are those of {', '.join(sorted({file.interval for file in files}))}"
        )
    if symbols is None:
        return of_interval
    wanted = {symbol.strip().upper() for symbol in symbols.split(",")}
    lacking = wanted - {name for file in of_interval for name in (file.symbol, file.root)}
    if lacking:
        there = ", ".join(sorted({file.symbol for file in of_interval}))
        raise BarFileError(f"there are no files of {', '.join(sorted(lacking))}: there are those of {there}")
    return [file for file in of_interval if wanted & {file.symbol, file.root}]


def zone_of(files: Iterable[LeanFile]) -> tzinfo | None:
    """The zone of the files' times, None where they differ."""
    zones = {str(file.zone): file.zone for file in files}
    return next(iter(zones.values())) if len(zones) == 1 else None


def say_hours(files: Iterable[LeanFile], symbols: Collection[str], exchange: str) -> None:
    """Say that an exchange with a close is not that of crypto, whose other bars it drops."""
    always = sorted({file.symbol for file in files if file.symbol in symbols and file.market.security_type in ALWAYS_OPEN})
    if always and exchange != "24/7":
        names = ", ".join(always[:3]) + (" and others" if len(always) > 3 else "")
        say(f'note: crypto trades around the clock, and {exchange} drops what lies outside its hours: for {names} set "exchange": "24/7"')
