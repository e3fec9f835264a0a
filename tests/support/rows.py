"""Rows of the state with only what a test is about: every other field is zero, empty or none."""

from __future__ import annotations

from array import array
from typing import TypeVar, get_type_hints

from msgspec import Struct

from streams.model.rows import Columns

R = TypeVar("R", bound=Struct)

NO_BARS = Columns(0, array("q"), *(array("d") for _ in range(6)), *(array("q") for _ in range(3)), ())

_BLANKS: dict[object, object] = {int: 0, float: 0.0, bool: False, str: "", Columns: NO_BARS}


def blank(row_type: type[R], **values: object) -> R:
    """A row with these values."""
    hints = get_type_hints(row_type)
    return row_type(**{name: values.get(name, _blank(hint)) for name, hint in hints.items()})


def _blank(hint: object) -> object:
    if hint in _BLANKS:
        return _BLANKS[hint]
    return () if str(hint).startswith("tuple") else None
