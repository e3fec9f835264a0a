"""Makes the history source that the settings name."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from streams.errors import HistoryError, SettingsError
from streams.history.source import VARIABLE, HistorySource, ObjectPlace, StorePlace, TopicPlace, close_source, parse_place
from streams.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from streams.history.kinds import Adjustment


def open_source(
    settings: Settings, *, adjustment: Adjustment, of_topics: Callable[[TopicPlace, Settings], HistorySource]
) -> HistorySource | None:
    """The source that the settings name; None where they name none.

    Args:
        settings: the surroundings.
        adjustment: what its prices have to be, see `historical.adjustment`.
        of_topics: makes the source of topics on another cluster: `TopicHistory.at` of `streams.client.past`.

    Raises:
        SettingsError: the setting means nothing, or what it names is not there, is no source, or has prices that are adjusted
            otherwise.
    """
    if settings.history is None:
        return None
    match parse_place(settings.history):
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
            f"{VARIABLE}={settings.history} gives {found} prices, and historical.adjustment of the config says {adjustment}: both must say "
            "what the bars of the feed are"
        )
    return source


def _stored(folder: Path, adjustment: Adjustment) -> HistorySource:
    try:
        from streams.history.stored import StoreHistory
    except ImportError as error:
        raise SettingsError(
            f"{VARIABLE}={folder} names a Parquet store, which needs {error.name}: pip install 'session-streams[replay]'"
        ) from error
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
