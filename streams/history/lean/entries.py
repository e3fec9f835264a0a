"""The CSVs inside a LEAN zip, and what their names say.

    20131007_spy_minute_trade.csv              <date>_<symbol>_<resolution>_<kind>.csv
    20131006_es_minute_trade_201312.csv        with a contract: year and month, or `perp`
    spy.csv, es_trade_201312.csv               of files that hold all days

LEAN itself goes by the zip's name and takes the first CSV that it finds. Some of its zips hold a second one, of another day by its name and
with the same rows: such a zip is refused.
"""

from __future__ import annotations

import re
import zipfile
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Final

from streams.errors import BarFileError

_ENTRY: Final = re.compile(r"([0-9]{8})_(.+)_(second|minute|tick)_([a-z]+)(?:_([0-9a-z]+))?\.csv", re.IGNORECASE)
_CONTRACT: Final = re.compile(r".*_(?:trade|quote)_([0-9]{6}|perp)\.csv", re.IGNORECASE)
_PERPETUAL: Final = "perp"


def entries_of(path: Path) -> list[str]:
    """The names of the CSVs in a zip.

    Raises:
        BarFileError: it can't be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            # Folders have entries of their own, and macOS adds a shadow of each file.
            return [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX/")]
    except (zipfile.BadZipFile, EOFError) as error:
        raise BarFileError(f"{path}: is damaged ({error}): get it again") from error
    except OSError as error:
        raise BarFileError(f"{path}: {error.strerror}: it must be a file that can be read") from None


def the_only_entry(path: Path) -> str:
    """The name of the one CSV in a zip.

    Raises:
        BarFileError: there are none or several, or it can't be read.
    """
    names = entries_of(path)
    if len(names) == 1:
        return names[0]
    shown = f" ({', '.join(names[:3])})" if names else ""
    raise BarFileError(f"{path}: holds {len(names)} files{shown}: leave the one CSV in it that belongs to its name")


def check_entry(path: Path, day: date | None, entry: str) -> None:
    """Hold the name of a CSV against the zip's: a CSV of another day is not the day's.

    Raises:
        BarFileError: it is another day's.
    """
    match = _ENTRY.fullmatch(PurePosixPath(entry).name)
    if match is not None and day is not None and match[1] != f"{day:%Y%m%d}":
        raise BarFileError(f"{path}: holds {entry}, which by its name is of another day: it must hold that of {day}")


def said_inside(path: Path) -> tuple[str, str]:
    """Resolution and symbol from the name of the CSV in a zip that lies outside of LEAN's folders."""
    said = {(match[3].lower(), match[2].lower()) for name in entries_of(path) if (match := _ENTRY.fullmatch(PurePosixPath(name).name))}
    if len(said) != 1:
        raise BarFileError(
            f"{path}: neither its path nor the CSV in it says symbol and resolution: put it where LEAN has it, such as "
            f"equity/usa/minute/spy/{path.name}"
        )
    return said.pop()


def contract_symbol(path: Path, root: str, entry: str) -> str:
    """The symbol of a contract, from the end of its CSV's name."""
    match = _CONTRACT.fullmatch(PurePosixPath(entry).name)
    if match is None:
        raise BarFileError(f"{path}: {entry} does not say its contract: its name must end like _trade_201312.csv, or _trade_perp.csv")
    return root if match[1].lower() == _PERPETUAL else f"{root}.{match[1]}"
