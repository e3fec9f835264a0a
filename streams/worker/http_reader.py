"""The worker as the HTTP API sees it: reads are taken between two transactions, in the session's own loop.

The API lives in another thread. A read is handed over to the session's loop, which takes the runner's lock, waits until the
transaction in flight is committed, copies what is asked for and lets go; all that asked meanwhile share that wait. After it
there is a short pause, in which transactions follow each other as ever: however many ask, the session is held up so often
and no more. The figures of a thousand symbols take tens of milliseconds to collect, so they are shared in the same way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, TypeVar

from streams.api.reader import AsOf, Condition
from streams.engine.state.session import SessionState
from streams.errors import NotActiveError
from streams.worker.health import HEALTHY, Health, WorkerStatus, in_text
from streams.worker.runner import SessionRunner

READ_SECONDS: Final = 10.0
PAGE_SECONDS: Final = 5.0
PAUSE_SECONDS: Final = 0.01
REST: Final = 9.0
LONGEST_REST_SECONDS: Final = 1.0
AT_ONCE: Final = 64
"""How many reads share one hold of the lock: a copy takes some tens of microseconds a symbol."""

T = TypeVar("T")

_Waiting = tuple[Callable[[SessionState], object], asyncio.Future[tuple[AsOf, Any]]]


class Shared(Generic[T]):
    """An answer that costs the session time: made once for all who ask before it is begun, and not again at once.

    Args:
        make: makes the answer.
        rest: how many times as long as that took passes until the next one is begun.
        longest_rest_seconds: the most that passes.
    """

    def __init__(self, make: Callable[[], Coroutine[Any, Any, T]], *, rest: float, longest_rest_seconds: float) -> None:
        self._make = make
        self._rest = rest
        self._longest_rest_seconds = longest_rest_seconds
        self._rests_until = 0.0
        self._next: asyncio.Task[T] | None = None
        self._under_way: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """The next answer that is begun. What making it raises, all who share it are told."""
        if self._next is None or self._next.done():
            self._next = asyncio.create_task(self._run(self._under_way))
            self._next.add_done_callback(lambda one: one.cancelled() or one.exception())  # those who asked may have gone
        return await asyncio.shield(self._next)

    async def _run(self, before: asyncio.Task[T] | None) -> T:
        if before is not None:
            await asyncio.wait([before])
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._rests_until - loop.time())
        self._under_way, self._next = self._next, None
        began = loop.time()
        try:
            return await self._make()
        finally:
            ended = loop.time()
            self._rests_until = ended + min(self._rest * (ended - began), self._longest_rest_seconds)


class WorkerReader:
    """A `SessionReader` over a worker.

    Args:
        runner: has the state while this worker is the active one.
        health: what the worker says about itself.
        owner_url: where the active worker answers over HTTP, as far as this one knows; called in the session's loop.
        own_url: where this one does.
    """

    def __init__(self, runner: SessionRunner, health: Health, *, owner_url: Callable[[], str | None], own_url: str) -> None:
        self._runner = runner
        self._health = health
        self._owner_url = owner_url
        self._own_url = own_url
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: list[_Waiting] = []
        self._rounds: asyncio.Task[None] | None = None
        self._figures = Shared(lambda: self._page(self._health.figures), rest=REST, longest_rest_seconds=LONGEST_REST_SECONDS)

    def begin(self) -> None:
        """The session's loop runs, and is the one that this is called in."""
        self._loop = asyncio.get_running_loop()

    async def check(self) -> None:
        """See `SessionReader`."""
        if self._health.status is not WorkerStatus.ACTIVE:
            await self._page(self._require_active)

    async def take(self, take: Callable[[SessionState], T]) -> tuple[AsOf, T]:
        """See `SessionReader`."""
        if self._loop is None:
            raise NotActiveError("the worker is starting")
        try:
            return await self._in_session(self._loop, lambda: self._take(take), READ_SECONDS)
        except TimeoutError:
            raise NotActiveError(f"the session's state could not be read within {READ_SECONDS:g} s: is its broker away?") from None

    async def condition(self) -> Condition:
        """See `SessionReader`."""
        try:
            return await self._page(self._condition)
        except TimeoutError:  # a loop that hangs can't say so itself
            failing = WorkerStatus.FAILING
            return Condition({**self._health.identity(), "status": failing}, is_well=False)

    async def metrics(self) -> bytes:
        """See `SessionReader`."""
        return in_text(await self._figures.get())

    async def _page(self, ask: Callable[[], T]) -> T:
        async def asked() -> T:
            return ask()

        return ask() if self._loop is None else await self._in_session(self._loop, asked, PAGE_SECONDS)

    @staticmethod
    async def _in_session(loop: asyncio.AbstractEventLoop, work: Callable[[], Coroutine[Any, Any, T]], seconds: float) -> T:
        one = work()
        try:
            future = asyncio.run_coroutine_threadsafe(one, loop)
        except RuntimeError:
            one.close()
            raise NotActiveError("the worker is stopping") from None
        return await asyncio.wait_for(asyncio.wrap_future(future), seconds)

    # ---------------------------------------------------------------------------------- in the session's loop

    def _condition(self) -> Condition:
        return Condition(self._health.report(), self._health.status in HEALTHY)

    async def _take(self, take: Callable[[SessionState], T]) -> tuple[AsOf, T]:
        self._require_active()
        done: asyncio.Future[tuple[AsOf, Any]] = asyncio.get_running_loop().create_future()
        self._waiting.append((take, done))
        if self._rounds is None:
            self._rounds = asyncio.create_task(self._run_rounds())
        return await done

    async def _run_rounds(self) -> None:
        try:
            while self._waiting:
                try:
                    async with self._runner.committed() as (state, analysis_offset):
                        self._require_active()  # a worker that was paused does not know yet that it was replaced
                        self._round(state, analysis_offset)
                except NotActiveError as error:
                    self._fail(error)
                await asyncio.sleep(PAUSE_SECONDS)
        finally:
            self._rounds = None
            self._fail(NotActiveError("the worker is stopping"))

    def _round(self, state: SessionState, analysis_offset: int) -> None:
        at_once, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
        as_of = AsOf(
            state.config.session_name, state.epoch, state.sequence, analysis_offset, state.now_us, state.active,
            self._health.committed_seconds,
        )  # fmt: skip
        for take, done in at_once:
            if done.done():  # nobody waits for it any more
                continue
            try:
                done.set_result((as_of, take(state)))
            except Exception as error:
                done.set_exception(error)

    def _fail(self, error: NotActiveError) -> None:
        waiting, self._waiting = self._waiting, []
        for _, done in waiting:
            if not done.done():
                done.set_exception(NotActiveError(str(error), error.owner_url))

    def _require_active(self) -> None:
        match self._health.status:
            case WorkerStatus.ACTIVE if not self._health.is_overdue:
                return
            case WorkerStatus.STANDBY:
                url = self._owner_url()
                # One that was active before this one began anew may still be written down as the owner.
                known = None if url == self._own_url else url
                raise NotActiveError("this worker is a standby, and it is not known where the active one answers", known)
            case WorkerStatus.FAILING | WorkerStatus.ACTIVE:
                raise NotActiveError("the worker's transactions do not get through to the broker: what it knows may no longer be so")
            case status:
                raise NotActiveError(f"the worker is {status}")
