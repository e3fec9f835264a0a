"""Values that are no good, at random and of every kind that is met: for topics of bars, quotes and ticks, and for the control topic.

The seed decides all. Of what comes out some is good by chance or on purpose: an account has to be kept of both.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

from streams.model.records import Bar, CommandKind, ControlCommand, Quote, Tick
from streams.times import iso
from streams.wire.codec import Codec
from streams.wire.forms import COMMAND
from tests.support.workers.buggy import CURSED

_CODEC = Codec()
# None of them can be a symbol.
_TEXTS = ("", " ", "a b", "é é", "|", "null and void", "x" * 300)
_KINDS = (*CommandKind, "dance", "")

Make = Callable[[], bytes | None]


class Storm:
    """Random values around sound bars.

    Args:
        seed: decides what comes.
        cursed: whether bars come on which the engine of `tests.support.workers.buggy` raises.
    """

    def __init__(self, seed: int, *, cursed: bool = False) -> None:
        self._chance = random.Random(seed)
        self._cursed = cursed

    def values(self, sound: Sequence[Bar] | Sequence[Quote] | Sequence[Tick], count: int) -> list[bytes | None]:
        """`count` values among which the sound records stand in their order, each followed by what was made of it."""
        chance, values = self._chance, list[bytes | None]()
        places = set(chance.sample(range(count), len(sound)))
        left = iter(sound)
        record = sound[0]
        for place in range(count):
            if place in places:
                record = next(left)
                values.append(_in_avro(record))
            else:
                values.append(self._bad(record))
        return values

    def _bad(self, record: Bar | Quote | Tick) -> bytes | None:
        chance = self._chance
        kind = chance.randrange(9)
        avro = _in_avro(record)
        fields: dict[str, Any] = json.loads(_in_json(record))
        match kind:
            case 0:
                return chance.randbytes(chance.randint(0, 300))
            case 1:
                return b"\x00" + chance.randbytes(chance.randint(0, 100))
            case 2:
                return avro[: chance.randrange(len(avro))]
            case 3:
                return flipped(avro, chance)
            case 4:
                return json.dumps(self.anything()).encode()
            case 5:
                fields[chance.choice(list(fields))] = self.anything()
                return json.dumps(fields).encode()
            case 6:
                return avro  # once more: of a bar a duplicate
            case 7:
                wrong = {"symbol": "OTHER"} if chance.random() < 0.5 else {"interval": "1m"}
                return json.dumps(fields | wrong).encode()
            case _:
                if self._cursed and chance.random() < 0.2:
                    return json.dumps(fields | cursed(record)).encode()
                return None

    def commands(self, count: int, symbols: Sequence[str]) -> list[bytes | None]:
        """Values for the control topic; some are commands: those that begin exports of these symbols succeed, all others are refused."""
        chance = self._chance
        made: list[Make] = [
            lambda: chance.randbytes(chance.randint(0, 300)),
            lambda: b"\x00" + chance.randbytes(chance.randint(0, 100)),
            lambda: json.dumps(self.anything()).encode(),
            lambda: json.dumps({"command": chance.choice(_KINDS), "symbol": self.anything()}).encode(),
            lambda: json.dumps({"command": "remove_symbol", "symbol": f"NOT{chance.randrange(1000)}"}).encode(),
            lambda: json.dumps({"command": "add_symbol", "symbol": "A B", "streams": self.anything(), "start": iso(0)}).encode(),
            lambda: json.dumps({"command": chance.choice(("begin_export", "end_export")), "symbol": chance.choice(symbols)}).encode(),
            lambda: json.dumps(self._end_of_export(chance.choice(symbols))).encode(),
            lambda: flipped(self._in_avro(), chance),
            lambda: (avro := self._in_avro())[: chance.randrange(len(avro))],
            lambda: None,
        ]
        return [chance.choice(made)() for _ in range(count)]

    def _in_avro(self) -> bytes:
        """A removal of what is not there."""
        number = self._chance.randrange(10**6)
        return _CODEC.encode(COMMAND, ControlCommand(f"a{number}", CommandKind.REMOVE_SYMBOL, f"NOT{number}", 1_400_000_000_000_000))

    def _end_of_export(self, symbol: str) -> dict[str, object]:
        chance = self._chance
        number = chance.choice((0, 1, 2, chance.randrange(10**6)))
        fields: dict[str, object] = {"export_number": number, "incarnation": chance.choice((None, 1, 2)), "epoch": 1}
        if chance.random() < 0.3:
            fields[chance.choice(list(fields))] = self.anything()
        return {"command": "end_export", "symbol": symbol, **fields}

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


def _in_avro(record: Bar | Quote | Tick) -> bytes:
    match record:
        case Bar():
            return _CODEC.bar_to_avro(record)
        case Quote():
            return _CODEC.quote_to_avro(record)
        case Tick():
            return _CODEC.tick_to_avro(record)


def _in_json(record: Bar | Quote | Tick) -> bytes:
    match record:
        case Bar():
            return _CODEC.bar_to_json(record)
        case Quote():
            return _CODEC.quote_to_json(record)
        case Tick():
            return _CODEC.tick_to_json(record)


def cursed(record: Bar | Quote | Tick) -> dict[str, float]:
    """Fields with which the engine of `tests.support.workers.buggy` raises on the record."""
    return {{Bar: "volume", Quote: "bid", Tick: "size"}[type(record)]: CURSED}


def flipped(value: bytes, chance: random.Random) -> bytes:
    """A value with a few bits changed."""
    changed = bytearray(value)
    for _ in range(chance.randint(1, 4)):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)
