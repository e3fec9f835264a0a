"""Values that are no good, at random and of every kind that is met: for topics of bars, quotes and ticks, and for the control topic.

The seed decides all. Of what comes out some is good by chance or on purpose: an account has to be kept of both.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from streams.records import Bar, Quote, Tick
from streams.times import iso
from streams.wire.codec import Codec
from tests.support.buggy_worker import CURSED

_CODEC = Codec()
# None of them can be a symbol.
_TEXTS = ("", " ", "a b", "é é", "|", "null and void", "x" * 300)
_KINDS = ("add_symbol", "remove_symbol", "dance", "")

Sound = TypeVar("Sound", Bar, Quote, Tick)
Make = Callable[[], bytes | None]


class Storm:
    """Random values around sound bars.

    Args:
        seed: decides what comes.
        cursed: whether bars come on which the engine of `tests.support.buggy_worker` raises.
    """

    def __init__(self, seed: int, *, cursed: bool = False) -> None:
        self._chance = random.Random(seed)
        self._cursed = cursed

    def bars(self, sound: list[Bar], count: int) -> list[bytes | None]:
        """`count` values among which the sound bars stand in their order, each followed by what was made of it."""
        return self._among(sound, count, _CODEC.bar_to_avro, self._bad_bar)

    def quotes(self, sound: list[Quote], count: int) -> list[bytes | None]:
        """The same around sound quotes."""
        return self._among(sound, count, _CODEC.quote_to_avro, self._bad_quote)

    def ticks(self, sound: list[Tick], count: int) -> list[bytes | None]:
        """The same around sound ticks."""
        return self._among(sound, count, _CODEC.tick_to_avro, self._bad_tick)

    def _among(
        self, sound: list[Sound], count: int, write: Callable[[Sound], bytes], spoil: Callable[[Sound], bytes | None]
    ) -> list[bytes | None]:
        values = list[bytes | None]()
        places = set(self._chance.sample(range(count), len(sound)))
        left = iter(sound)
        record = sound[0]
        for place in range(count):
            if place in places:
                record = next(left)
                values.append(write(record))
            else:
                values.append(spoil(record))
        return values

    def _bad_quote(self, quote: Quote) -> bytes | None:
        if self._cursed and self._chance.random() < 0.02:
            return _CODEC.quote_to_avro(msgspec.structs.replace(quote, bid_size=CURSED))
        return self._bad_extra(json.loads(_CODEC.quote_to_json(quote)), _CODEC.quote_to_avro(quote))

    def _bad_tick(self, tick: Tick) -> bytes | None:
        return self._bad_extra(json.loads(_CODEC.tick_to_json(tick)), _CODEC.tick_to_avro(tick))

    def _bad_extra(self, fields: dict[str, Any], avro: bytes) -> bytes | None:
        chance = self._chance
        match chance.randrange(9):
            case 0:
                return chance.randbytes(chance.randint(0, 200))
            case 1:
                return avro[: chance.randrange(len(avro))]
            case 2:
                return _flipped(avro, chance)
            case 3:
                return json.dumps(self.anything()).encode()
            case 4:
                fields[chance.choice(list(fields))] = self.anything()
                return json.dumps(fields).encode()
            case 5:
                return avro  # once more: it counts as another one
            case 6:
                return json.dumps(fields | {"symbol": "OTHER"}).encode()
            case 7:
                return json.dumps(fields | {"time": chance.choice(("2013-10-07T13:30:00Z", "2099-01-05T00:00:00Z"))}).encode()
            case _:
                return None

    def _bad_bar(self, bar: Bar) -> bytes | None:
        chance = self._chance
        kind = chance.randrange(9)
        fields: dict[str, Any] = json.loads(_CODEC.bar_to_json(bar))
        avro = _CODEC.bar_to_avro(bar)
        match kind:
            case 0:
                return chance.randbytes(chance.randint(0, 300))
            case 1:
                return b"\x00" + chance.randbytes(chance.randint(0, 100))
            case 2:
                return avro[: chance.randrange(len(avro))]
            case 3:
                return _flipped(avro, chance)
            case 4:
                return json.dumps(self.anything()).encode()
            case 5:
                fields[chance.choice(list(fields))] = self.anything()
                return json.dumps(fields).encode()
            case 6:
                return avro  # once more: a duplicate
            case 7:
                fields |= {"interval": "1m"} if chance.random() < 0.5 else {"symbol": "OTHER"}
                return json.dumps(fields).encode()
            case _:
                if self._cursed and chance.random() < 0.2:
                    fields["volume"] = CURSED
                    return json.dumps(fields).encode()
                return None

    def commands(self, count: int) -> list[bytes | None]:
        """Values for the control topic; some are commands, and all of those are refused."""
        chance = self._chance
        made: list[Make] = [
            lambda: chance.randbytes(chance.randint(0, 300)),
            lambda: b"\x00" + chance.randbytes(chance.randint(0, 100)),
            lambda: json.dumps(self.anything()).encode(),
            lambda: json.dumps({"command": chance.choice(_KINDS), "symbol": self.anything()}).encode(),
            lambda: json.dumps({"command": "remove_symbol", "symbol": f"NOT{chance.randrange(1000)}"}).encode(),
            lambda: json.dumps({"command": "add_symbol", "symbol": "A B", "streams": self.anything(), "start": iso(0)}).encode(),
            lambda: None,
        ]
        return [chance.choice(made)() for _ in range(count)]

    def anything(self, depth: int = 0) -> object:
        """A JSON value of any shape."""
        chance = self._chance
        kind = chance.randrange(8 if depth < 3 else 6)
        match kind:
            case 0:
                return None
            case 1:
                return chance.random() < 0.5
            case 2:
                return chance.choice((0, -1, 2**31, 2**63, 10**40, chance.randrange(10**9)))
            case 3:
                return chance.choice((0.5, -1e308, 1e308, 5e-324, chance.random()))
            case 4 | 5:
                return chance.choice(_TEXTS)
            case 6:
                return [self.anything(depth + 1) for _ in range(chance.randrange(4))]
            case _:
                return {chance.choice(("command", "symbol", "id", "open", "start", "x")): self.anything(depth + 1) for _ in range(3)}


def _flipped(value: bytes, chance: random.Random) -> bytes:
    changed = bytearray(value)
    for _ in range(chance.randint(1, 4)):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)
