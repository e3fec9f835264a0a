"""A network that delivers requests late which end a transaction (EndTxn): two transactions later, in the middle of one.

    with CutBroker(folder, LateEnds) as broker:
        held = broker.network.hold("my-session", commit=True)   # the next EndTxn of that transactional id
        held.await_delivered()                                  # what the broker has answered to it in the end

The one that is held never arrives in its time: its connection is reset, or with `stall` it stands still until the client gives up.
The client sends it again, and that one passes. The one that was held arrives from a connection of its own, in the middle of a later
transaction of the same id: after some of its records are in their topics, and before the others. What is not a commit is an abort,
which the proxy makes of it: the two differ by their last byte.

Kafka's frames: https://kafka.apache.org/protocol - size, API key, API version, correlation ID, client ID, then the request.
"""

from __future__ import annotations

import asyncio
import struct
import threading

from streams.broker.folder import HOST
from tests.support.kafka.proxy import Network
from tests.support.waiting import wait_until

PRODUCE = 0
END_TXN = 26
FENCED = frozenset({47, 90})
"""INVALID_PRODUCER_EPOCH and PRODUCER_FENCED."""
_NEWEST_PLAIN_END = 2
_FLEXIBLE_PRODUCE = 9
_DELIVERED_SECONDS = 60.0


class Held:
    """A request that is under way for long."""

    def __init__(self, transactional_id: str, *, commit: bool, stall: bool, after_produces: int) -> None:
        self.transactional_id = transactional_id
        self.commit = commit
        self.stall = stall
        self.after_produces = after_produces
        self.frame: bytes | None = None
        self.is_sent_again = False
        self.produces = 0
        self.error: int | None = None
        self.is_delivered = threading.Event()

    def await_delivered(self) -> int:
        """The broker's error code, once the request is delivered; 0 where the broker has done what it says."""
        wait_until(self.is_delivered.is_set, f"a late EndTxn of {self.transactional_id} to be delivered", _DELIVERED_SECONDS)
        assert self.error is not None
        return self.error


class _Exchange:
    """How many requests of a connection the broker has not answered."""

    def __init__(self) -> None:
        self._open = 0
        self._changed = asyncio.Event()

    def sent(self) -> None:
        self._open += 1

    def answered(self) -> None:
        self._open -= 1
        self._changed.set()

    async def all_answered(self) -> None:
        while self._open > 0:
            self._changed.clear()
            await self._changed.wait()


class LateEnds(Network):
    """Forwards all that comes, but for an EndTxn now and then."""

    def __init__(self, target_port: int) -> None:
        super().__init__(target_port)
        self._held: Held | None = None
        self.fault: Exception | None = None

    def hold(self, transactional_id: str, *, commit: bool, stall: bool = False, after_produces: int = 1) -> Held:
        """Hold back the id's next EndTxn, and deliver it behind so many Produce requests of a later transaction of the id."""
        self._held = Held(transactional_id, commit=commit, stall=stall, after_produces=after_produces)
        return self._held

    async def _exchange(
        self, client: tuple[asyncio.StreamReader, asyncio.StreamWriter], broker: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    ) -> None:
        exchange = _Exchange()
        there = asyncio.create_task(self._requests(client[0], broker[1], exchange))
        back = asyncio.create_task(self._answers(broker[0], client[1], exchange))
        await self._until_one_ends(there, back)

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, exchange: _Exchange) -> None:
        try:
            await self._take(reader, writer, exchange)
        except OSError:
            raise
        except Exception as error:  # of the proxy itself: the test is to fail by it
            self.fault = error
            raise

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, exchange: _Exchange) -> None:
        while frame := await _frame(reader):
            held, request = self._held, _Request(frame)
            if held is not None and request.transactional_id == held.transactional_id:
                if request.key == END_TXN and held.frame is None:
                    held.frame = request.ending(commit=held.commit)
                    while held.stall and await reader.read(1 << 16):
                        pass  # until the client gives up
                    return
                if request.key == END_TXN:
                    held.is_sent_again = True
                    held.produces = 0
                elif held.is_sent_again:
                    held.produces += 1
                    if held.produces > held.after_produces and not held.is_delivered.is_set():
                        await exchange.all_answered()
                        await self._deliver(held)
            exchange.sent()
            writer.write(frame)
            await writer.drain()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, exchange: _Exchange) -> None:
        while frame := await _frame(reader):
            writer.write(frame)
            await writer.drain()
            exchange.answered()

    async def _deliver(self, held: Held) -> None:
        assert held.frame is not None
        reader, writer = await asyncio.open_connection(HOST, self._target_port)
        writer.write(held.frame)
        answer = await _frame(reader)
        writer.close()
        # Size, correlation ID, throttle time, error code.
        (held.error,) = struct.unpack_from(">h", answer, 12)
        held.is_delivered.set()


class _Request:
    """What the proxy reads of a request."""

    def __init__(self, frame: bytes) -> None:
        self.frame = frame
        self.key, self.version = struct.unpack_from(">hh", frame, 4)
        self.transactional_id: str | None = None
        if self.key == END_TXN:
            # Later versions end otherwise, and their clients need nothing of this: each transaction has an epoch of its own.
            assert self.version <= _NEWEST_PLAIN_END, f"EndTxn is of version {self.version}"
            self.transactional_id = self._string(flexible=False)
        elif self.key == PRODUCE:
            self.transactional_id = self._string(flexible=self.version >= _FLEXIBLE_PRODUCE)

    def ending(self, *, commit: bool) -> bytes:
        """The same request to commit, or to abort."""
        return self.frame[:-1] + bytes([commit])

    def _string(self, *, flexible: bool) -> str | None:
        """The request's first field, behind the client ID."""
        (length,) = struct.unpack_from(">h", self.frame, 12)
        place = 14 + max(0, length)
        if flexible:
            assert self.frame[place] == 0, "a header without tagged fields"
            length = self.frame[place + 1] - 1
            assert length < 127, "a length of one byte"
            place += 2
        else:
            (length,) = struct.unpack_from(">h", self.frame, place)
            place += 2
        return None if length < 0 else self.frame[place : place + length].decode()


async def _frame(reader: asyncio.StreamReader) -> bytes:
    """The next frame with its size; nothing once the other side has closed the connection."""
    try:
        size = await reader.readexactly(4)
        return size + await reader.readexactly(int.from_bytes(size, "big"))
    except asyncio.IncompleteReadError:
        return b""
