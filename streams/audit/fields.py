"""Where two records first differ: the path of the field, and both values in words."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from streams.times import iso

_LONGEST: Final = 120


class FieldDifference(NamedTuple):
    """A field such as `bar.close` or `inputs[2].next_offset`, what it should be and what it is."""

    field: str
    expected: str
    found: str


def first_difference(expected: object, found: object, path: str = "") -> FieldDifference | None:
    """The first field in which two values differ, or None; not-a-numbers are equal to each other."""
    if isinstance(expected, Struct) and type(expected) is type(found):
        for one in expected.__struct_fields__:
            name = f"{path}.{one}" if path else one
            difference = first_difference(getattr(expected, one), getattr(found, one), name)
            if difference is not None:
                return difference
        return None
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in sorted({*expected, *found}):
            difference = first_difference(expected.get(key), found.get(key), f"{path}.{key}" if path else str(key))
            if difference is not None:
                return difference
        return None
    if isinstance(expected, list | tuple | array) and isinstance(found, list | tuple | array):
        return _first_in_sequences(expected, found, path)
    if expected == found or (isinstance(expected, float) and isinstance(found, float) and math.isnan(expected) and math.isnan(found)):
        return None
    return FieldDifference(path or "value", in_words(expected, path), in_words(found, path))


def _first_in_sequences(expected: Sequence[object], found: Sequence[object], path: str) -> FieldDifference | None:
    for place, (one, other) in enumerate(zip(expected, found, strict=False)):
        difference = first_difference(one, other, f"{path}[{place}]")
        if difference is not None:
            return difference
    if len(expected) == len(found):
        return None
    place = min(len(expected), len(found))
    return FieldDifference(
        f"{path}[{place}]",
        in_words(expected[place], path) if place < len(expected) else "none",
        in_words(found[place], path) if place < len(found) else "none",
    )


def in_words(value: object, path: str = "") -> str:
    """A value for a message: instants as ISO 8601, long ones cut."""
    if value is None:
        return "none"
    if path.endswith("_us") and isinstance(value, int) and value > 0:
        try:
            return iso(value)
        except OverflowError:
            return str(value)
    text = str(value) if isinstance(value, int | float | str) else repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
