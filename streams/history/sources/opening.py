"""Makes the history source that the settings name."""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from streams.config.settings import Settings
from streams.errors import HistoryError, SettingsError
from streams.history.sources.source import (
    VARIABLE,
    HistorySource,
    ObjectPlace,
    StorePlace,
    TopicPlace,
    close_source,
    parse_place,
)
from streams.installing import install_line
from streams.model.records import Bar

if TYPE_CHECKING:
    from pathlib import Path

    from streams.history.kinds import Adjustment


TopicsMaker = Callable[[TopicPlace, Settings], HistorySource]


class LateSource:
    """A source that is opened when it is first needed, and tried again with the next question where that fails.

    A disk or a cluster that is away when a worker starts is no reason for the worker not to start.

    Args:
        make: opens the source; called in the thread of whoever asks.
    """

    def __init__(self, make: Callable[[], HistorySource]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._source: HistorySource | None = None

    def open(self) -> HistorySource:
        """The source itself; raises what opening it raises."""
        with self._lock:
            if self._source is None:
                self._source = self._make()
            return self._source

    def get_bars(self, symbol: str, interval: str, start: datetime, end: datetime) -> Sequence[Bar]:
        """As `HistorySource.get_bars`; also raises what opening the source raises."""
        return self.open().get_bars(symbol, interval, start, end)

    def close(self) -> None:
        """Let the source go, if there is one."""
        if self._source is not None:
            close_source(self._source)


def open_source(settings: Settings, *, adjustment: Adjustment, of_topics: TopicsMaker) -> HistorySource | None:
    """The source that the settings name; None where they name none.

    Args:
        settings: the surroundings.
        adjustment: what its prices have to be, see `historical.adjustment`.
        of_topics: makes the source of topics on another cluster: `TopicHistory.at` of `streams.history.sources.topics`.

    Raises:
        SettingsError: the setting means nothing, or what it names is not there, is no source, or has prices that are adjusted
            otherwise.
    """
    return None if settings.history is None else _open(settings.history, settings, adjustment, of_topics)


def late_source(settings: Settings, *, adjustment: Adjustment, of_topics: TopicsMaker) -> LateSource | None:
    """The same, opened when it is first asked; parameters as for `open_source`.

    Raises:
        SettingsError: the setting means nothing.
    """
    text = settings.history
    if text is None:
        return None
    parse_place(text)
    return LateSource(lambda: _open(text, settings, adjustment, of_topics))


def _open(text: str, settings: Settings, adjustment: Adjustment, of_topics: TopicsMaker) -> HistorySource:
    match parse_place(text):
        case StorePlace(folder):
            source = _stored(folder, adjustment)
        case TopicPlace() as place:
            source = of_topics(place, settings)
        case ObjectPlace(module, attribute):
            source = _load(module, attribute)
    found = getattr(source, "adjustment", None)
    if found is not None and found != adjustment:
        close_source(source)
        raise SettingsError(
            f"{VARIABLE}={text} gives {found} prices, and historical.adjustment of the config says {adjustment}: both must say what the "
            "bars of the feed are"
        )
    return source


def _stored(folder: Path, adjustment: Adjustment) -> HistorySource:
    try:
        from streams.history.sources.stored import StoreHistory
    except ImportError as error:
        raise SettingsError(f"{VARIABLE}={folder} names a Parquet store, which needs {error.name}: {install_line('replay')}") from error
    try:
        return StoreHistory.at(folder, adjustment)
    except HistoryError as error:
        raise SettingsError(f"{VARIABLE}={folder}: {error}") from None


def _load(module: str, attribute: str) -> HistorySource:
    """The user's own source: an attribute that is one, or gives one when it is called without arguments."""
    what = f"{VARIABLE}={module}:{attribute}"
    here = os.getcwd()
    if here not in sys.path:
        sys.path.append(here)  # behind all else, so that nothing that is installed is hidden by a file of its name
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except ModuleNotFoundError as error:
        raise SettingsError(f"{what}: there is no module {error.name}, neither installed nor in {here}") from error
    except Exception as error:  # it is the user's code, which may raise anything
        raise SettingsError(f"{what}: importing {module} raised {type(error).__name__}: {error}") from error
    if found is None:
        raise SettingsError(f"{what}: {module} has no {attribute}")
    if isinstance(found, type) or (callable(found) and not isinstance(found, HistorySource)):
        try:
            found = found()
        except Exception as error:  # as above
            raise SettingsError(f"{what}: {attribute}() raised {type(error).__name__}: {error}") from error
    if not isinstance(found, HistorySource) or not callable(found.get_bars):
        raise SettingsError(f"{what} is a {type(found).__name__} without get_bars(symbol, interval, start, end)")
    return found
