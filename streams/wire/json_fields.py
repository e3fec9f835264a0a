"""The fields of one JSON object, taken out by name and type.

What is typed by hand is typed wrongly, so every refusal names the field, what stood there, and what would be right. These texts
become dead letters, and an audit makes them again from the same bytes. So what the first rules said stays for journals that were
written under them, and unknown fields of a bar, which those rules refused, are refused there.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable
from decimal import Decimal
from typing import Final, TypeVar

import msgspec

from streams.errors import BodyError, InvalidSymbolError
from streams.instants import unit_of_count
from streams.model.records import check_symbol
from streams.model.rules_version import RULES
from streams.times import iso, parse_instant

# 1973: a whole number below is a count of seconds or milliseconds, not a bar of 1972.
_FIRST_PLAUSIBLE_US: Final = 10**14
_YEAR_10000_US: Final = 253_402_300_800_000_000
_LONG: Final = 2**63
_OTHERS_SHOWN: Final = 12
_INSTANT: Final = "an instant such as 2013-10-07T13:30:00Z, or whole microseconds since 1970 (from 1973 on)"

V = TypeVar("V")


def object_of(value: bytes, what: str, rules: int = RULES) -> dict[str, object]:
    """The fields of a JSON object.

    Args:
        value: the text.
        what: what it should be, for the message.
        rules: the rules version of the session.

    Raises:
        BodyError: the value is not JSON, or not an object.
    """
    try:
        decoded = msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        constant = _constant_in(value) if rules >= 2 else None
        if constant is not None:
            raise BodyError(f"{what}: {constant}, which JSON has no word for: send a number, or leave an optional field out") from None
        raise BodyError(f"{what}: not JSON: {error}") from None
    if not isinstance(decoded, dict):
        raise BodyError(f"{what}: a JSON object is needed, got {shown(decoded)}")
    return decoded


def _constant_in(value: bytes) -> str | None:
    """Which field holds what Python and JavaScript write for a number that JSON does not have; None if that is not the fault."""
    constants: list[str] = []

    def keep(constant: str) -> float:
        constants.append(constant)
        return math.nan

    try:
        decoded = json.loads(value, parse_constant=keep)
    except (ValueError, RecursionError):
        return None
    if not isinstance(decoded, dict):
        return None
    for name, one in decoded.items():
        if isinstance(one, float) and not math.isfinite(one):
            # A number beyond a double, such as 1e400, is infinite without being written so.
            return f"{name} is {constants[0] if math.isnan(one) and constants else 'beyond what a double can hold'}"
    return f"it holds {constants[0]}" if constants else None


class JsonFields:
    """The fields of one JSON object.

    Args:
        what: what the object should be, for messages.
        value: the text.
        known: the names of its fields.
        rules: the rules version of the session.
        unknown: takes the names of fields that are not known; without it they are refused.

    Raises:
        BodyError: the value is not a JSON object, or has a field that is not known.
    """

    def __init__(self, what: str, value: bytes, known: tuple[str, ...], rules: int = RULES, unknown: list[str] | None = None) -> None:
        self._what = what
        self._known = known
        self._rules = rules
        self._fields = object_of(value, what, rules)
        for name in self._fields:
            if name not in known:
                if unknown is None or rules < 2:
                    raise BodyError(f"{what}: unknown field {name!r}{nearest(name, known)}; the fields are {', '.join(known)}")
                unknown.append(name)

    def symbol(self) -> str:
        """The field `symbol`."""
        try:
            return check_symbol(self.required_text("symbol"))
        except InvalidSymbolError as error:
            raise BodyError(f"{self._what}: symbol: {error}") from None

    def text(self, name: str) -> str | None:
        """A text, None where it is left out or null."""
        value = self._fields.get(name)
        if value is None or isinstance(value, str):
            return value
        raise self._wrong(name, "a text", value)

    def required_text(self, name: str) -> str:
        """A text that must be there."""
        return self._there(name, self.text(name))

    def number(self, name: str) -> float | None:
        """A number, None where it is left out or null."""
        value = self._fields.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(name, "a number without quotes", value)
        try:
            return float(value)
        except OverflowError:
            raise self._wrong(name, "a number that a double can hold", value) from None

    def required_number(self, name: str) -> float:
        """A number that must be there."""
        return self._there(name, self.number(name))

    def whole(self, name: str) -> int | None:
        """A whole number, None where it is left out or null."""
        value = self._fields.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not -_LONG <= value < _LONG:
            raise self._wrong(name, "a whole number without quotes", value)
        return value

    def instant(self, name: str) -> int | None:
        """Microseconds since 1970, None where the field is left out or null."""
        value = self._fields.get(name)
        if value is None:
            return None
        if isinstance(value, str):
            try:
                return parse_instant(value)
            except ValueError as error:
                raise BodyError(f"{self._what}: {name}: {error}{self._unit_of(value)}") from None
        if isinstance(value, bool) or not isinstance(value, int) or not _FIRST_PLAUSIBLE_US <= value < _YEAR_10000_US:
            raise self._wrong(name, _INSTANT, value, self._unit_of(value))
        return value

    def required_instant(self, name: str) -> int:
        """An instant that must be there."""
        return self._there(name, self.instant(name))

    def flag(self, name: str) -> bool:
        """True or false, false where it is left out or null."""
        value = self._fields.get(name)
        if value is None:
            return False
        if isinstance(value, bool):
            return value
        raise self._wrong(name, "true or false", value)

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts, empty where it is left out or null."""
        value = self._fields.get(name)
        if value is None:
            return ()
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise self._wrong(name, 'a list of texts such as ["1m"]', value)

    def _there(self, name: str, value: V | None) -> V:
        if value is not None:
            return value
        if self._rules < 2:
            raise BodyError(f"{self._what}: {name} is missing")
        if name in self._fields:
            raise BodyError(f"{self._what}: {name} is null: a {self._what} must have a value there")
        others = [other for other in self._fields if other not in self._known]
        for other in others:
            if difflib.get_close_matches(other.lower(), [name], n=1, cutoff=0.6):
                raise BodyError(f"{self._what}: {name} is missing; is the field {other!r} meant for it?")
        there = f"; fields that are not known: {', '.join(others[:_OTHERS_SHOWN])}" if others else ""
        raise BodyError(f"{self._what}: {name} is missing{there}")

    def _unit_of(self, value: object) -> str:
        """What a count that is not in whole microseconds is in, and what to write instead."""
        if self._rules < 2 or isinstance(value, bool) or not isinstance(value, int | float | str):
            return ""
        try:
            counted = unit_of_count(Decimal(str(value)))
        except ArithmeticError:
            return ""
        if counted is None:
            return ""
        unit, us = counted
        return f": as {unit} since 1970 it is {iso(us)}, so write {us} or that text"

    def _wrong(self, name: str, right: str, value: object, hint: str = "") -> BodyError:
        return BodyError(f"{self._what}: {name} must be {right}, got {shown(value)}{hint}")


def nearest(name: str, known: Iterable[str]) -> str:
    """A question for the known name that is meant, or nothing."""
    near = difflib.get_close_matches(name.lower(), [str(word) for word in known], n=1, cutoff=0.6)
    return f", did you mean {near[0]!r}?" if near else ""


def shown(value: object) -> str:
    """A value as JSON, cut where it is long."""
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else f"{text[:57]}..."
