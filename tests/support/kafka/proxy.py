"""A network between worker and broker that a test can cut: a TCP proxy in a thread of the test's own process.

    with CutBroker(folder) as broker:
        workers = Workers(broker.through_proxy, folder)
        broker.network.drop()       # packets vanish: connections stay, and nothing comes through
        broker.network.refuse()     # connections are reset, and new ones are refused
        broker.network.resume()

The broker has a listener of its own for those behind the proxy, advertised at the proxy's port: a client that was told of the
broker there never learns another address. Everybody else uses `bootstrap_servers`, and notices nothing.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from streams.broker import LocalBroker
from streams.broker.folder import HOST, DataFolder
from streams.broker.ports import free_port

_CHUNK_BYTES = 1 << 16
_ANSWER_SECONDS = 60.0


class Network:
    """Forwards connections on `port` to `target_port` of this machine; a context manager."""

    def __init__(self, target_port: int) -> None:
        self.port = free_port()
        self._target_port = target_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()

    def __enter__(self) -> Network:
        self._thread.start()
        self.resume()
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._open) // 2

    def drop(self) -> None:
        """Forward nothing, as a cable that is pulled: connections stay, new ones are taken, and no byte comes through."""
        self._do(self._stop_flow)

    def refuse(self) -> None:
        """Reset every connection, and refuse new ones."""
        self._do(self._close)

    def resume(self) -> None:
        """Forward again. What was dropped is lost with its connection, as no packet of a long cut would be waited for."""
        self._do(self._listen)

    def _do(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        asyncio.run_coroutine_threadsafe(work(), self._loop).result(_ANSWER_SECONDS)

    async def _stop_flow(self) -> None:
        self._flows.clear()

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._connected, HOST, self.port)
        elif not self._flows.is_set():
            await self._reset()
        self._flows.set()

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._reset()

    async def _reset(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._open.add(writer)
        far: asyncio.StreamWriter | None = None
        try:
            await self._flows.wait()
            far_reader, far = await asyncio.open_connection(HOST, self._target_port)
            self._open.add(far)
            await self._exchange((reader, writer), (far_reader, far))
        except (OSError, asyncio.CancelledError):
            pass  # the connection ends, which is all that there is to do about it
        finally:
            for end in (writer, far):
                if end is not None:
                    end.transport.abort()
                    self._open.discard(end)
            self._tasks.discard(task)

    async def _exchange(
        self, client: tuple[asyncio.StreamReader, asyncio.StreamWriter], broker: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    ) -> None:
        """Forward both ways, until one side is at its end."""
        await self._until_one_ends(
            asyncio.create_task(self._pump(client[0], broker[1])), asyncio.create_task(self._pump(broker[0], client[1]))
        )

    async def _until_one_ends(self, there: asyncio.Task[None], back: asyncio.Task[None]) -> None:
        try:
            await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
        finally:
            there.cancel()
            back.cancel()
            await asyncio.gather(there, back, return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK_BYTES):
            await self._flows.wait()
            writer.write(data)
            await writer.drain()


class _FolderWithASecondListener(DataFolder):
    """A broker's folder whose settings also have a listener that is advertised at the proxy's port."""

    def __init__(self, path: Path, *, inner_port: int, advertised_port: int) -> None:
        super().__init__(path)
        self._inner_port = inner_port
        self._advertised_port = advertised_port

    def write_properties(self, *, port: int, controller_port: int) -> None:
        super().write_properties(port=port, controller_port=controller_port)
        # Of a key that stands twice the later one counts.
        with self.properties.open("a") as properties:
            properties.write(
                f"listeners=CLIENT://{HOST}:{port},CUT://{HOST}:{self._inner_port},CONTROLLER://{HOST}:{controller_port}\n"
                f"advertised.listeners=CLIENT://{HOST}:{port},CUT://{HOST}:{self._advertised_port}\n"
                "listener.security.protocol.map=CLIENT:PLAINTEXT,CUT:PLAINTEXT,CONTROLLER:PLAINTEXT\n"
            )


class CutBroker:
    """An embedded broker of the test's own with a network in front of it; a context manager."""

    def __init__(self, folder: Path, network: Callable[[int], Network] = Network) -> None:
        inner_port = free_port()
        self.network = network(inner_port)
        self._broker = LocalBroker(folder)
        self._broker._folder = _FolderWithASecondListener(folder, inner_port=inner_port, advertised_port=self.network.port)

    def __enter__(self) -> CutBroker:
        self.network.__enter__()
        try:
            self._broker.up()
        except BaseException:
            self.network.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._broker.kill()
        self.network.__exit__()

    @property
    def bootstrap_servers(self) -> str:
        """Where the broker is for those who are on its side of the cut."""
        return self._broker.bootstrap_servers

    @property
    def through_proxy(self) -> str:
        """Where it is for those on the other side."""
        return f"{HOST}:{self.network.port}"
