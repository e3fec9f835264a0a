"""How far a symbol has come."""

from __future__ import annotations

from enum import StrEnum


class SymbolStatus(StrEnum):
    """How far a symbol's life in the session has come."""

    PENDING = "pending"
    LOADED = "loaded"
    REMOVING = "removing"
    FAILED = "failed"


READING = frozenset({SymbolStatus.LOADED, SymbolStatus.REMOVING})
