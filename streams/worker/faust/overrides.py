"""All that is overridden in Faust, so that its tables live on a changelog that is written in transactions.

Each class is handed over by a setting or an attribute of Faust's, none is patched in. Each leans on internals of
faust-streaming 0.15.3 and aiokafka 0.14: `tests/integration/worker/test_faust_contracts.py` has a test for every one of them,
which fails with a sentence when a new version moves what it leans on.

What stock Faust does, and why it does not do here:

* its consumer reads uncommitted records, except under its own exactly-once, which recovers an empty table;
* its recovery waits for a record at the highwater - 1, which on a transactional changelog is a marker: it waits for ever;
* it loses changelog records at a rebalance: those that a fetch of before a seek brings after it, and those that lie in the
  queue when the flow is resumed; recovery then waits for ever, or a standby's table has a hole;
* its table manager sleeps for a second before it starts, and every restart with it;
* its tables write the changelog by a producer outside of the transaction, and only while an event is being processed;
* its memory store forgets what a standby has read, and at a rebalance drops a standby's rows.
"""

from __future__ import annotations

import asyncio
from asyncio import Event
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, Protocol

import faust
from faust.tables import TableManager
from faust.tables.recovery import Recovery
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams.worker.ledger import digest

FETCH_WAIT_MS = 100
WATCH_SECONDS = 1.0
LONGEST_FETCH_SECONDS = 0.1


class Owner(Protocol):
    """What recovery tells the worker, and asks of it. The app carries it as `app.owner`."""

    async def take_over(self, changelogs: Iterable[TP]) -> dict[TP, int]:
        """Fence former owners; gives the offset for each changelog at which recovery is complete."""
        ...

    async def recovered(self) -> None:
        """Recovery is complete and Faust's flow has been resumed."""
        ...

    @property
    def group(self) -> str:
        """The consumer group to join."""
        ...

    def dropped_out(self, error: BaseException) -> None:
        """This worker's part in the group is over. Called in the consumer's thread; does not come back."""
        ...


def group_error(consumer: Any) -> BaseException | None:
    """What ended a consumer's part in the group; aiokafka keeps it for whoever asks, and Faust never does."""
    coordinator = None if consumer is None else getattr(consumer, "_coordinator", None)
    if coordinator is None:
        return None
    task = coordinator._coordination_task
    if task.done() and not task.cancelled() and (error := task.exception()) is not None:
        return error  # type: ignore[no-any-return]
    return coordinator._pending_exception  # type: ignore[no-any-return]


class CommittedConsumerThread(driver.AIOKafkaConsumerThread):
    """Reads committed records only, does not wait 1.5 s for the first fetch of a resumed partition, and seeks between fetches."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._reading = asyncio.Lock()

    def on_crash(self, msg: str, *fmt: Any, **kwargs: Any) -> None:
        """Do nothing: Faust prints a traceback here, and then ends the worker, whose end says why."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # aiokafka makes its fetcher from these when it starts, which is after this returns.
        consumer._isolation_level = "read_committed"
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        # It joins the group that it is told of here when it starts; Faust would take the app's id.
        consumer._group_id = self.app.owner.group  # type: ignore[attr-defined]
        return consumer

    async def on_start(self) -> None:
        """Start, and watch this consumer's place in the group from then on: a worker that is kept out is never given anything to do."""
        await super().on_start()
        self.add_future(self._watch_group())

    async def _watch_group(self) -> None:
        while not self.should_stop:
            error = group_error(self._consumer)
            if error is not None:
                self.app.owner.dropped_out(error)  # type: ignore[attr-defined]
            await asyncio.sleep(WATCH_SECONDS)

    async def _fetch_records(
        self, consumer: Any, active_partitions: Any, timeout: float | None = None, max_records: int | None = None
    ) -> Any:
        """Fetch, never across a seek; so a fetch must not wait long."""
        async with self._reading:
            return await super()._fetch_records(consumer, active_partitions, LONGEST_FETCH_SECONDS, max_records)

    async def _seek_wait(self, consumer: Any, partitions: Any) -> None:
        """Seek when no fetch is under way: what it brought would be dropped while the flow is off, and never be read again."""
        async with self._reading:
            await super()._seek_wait(consumer, partitions)


class CommittedConsumer(driver.Consumer):
    """A consumer with the thread above."""

    def join_anew(self) -> None:
        """Have the group assign everything again, by what the brokers know of the topics now."""
        coordinator = self._thread._ensure_consumer()._coordinator

        async def join() -> None:
            await coordinator._client.force_metadata_update()
            coordinator.request_rejoin()

        asyncio.run_coroutine_threadsafe(join(), self._thread.thread_loop)

    def _new_consumer_thread(self) -> CommittedConsumerThread:
        return CommittedConsumerThread(self, loop=self.loop, beacon=self.beacon)


class CommittedTransport(driver.Transport):
    """A transport with the consumer above; set as `app.transport`."""

    Consumer = CommittedConsumer


class _Ending(Event):
    """The signal that recovery has ended; it stays until the next recovery begins."""

    def clear(self) -> None:
        """Do nothing: Faust clears it before each changelog record, also when nobody has begun to wait for it yet."""

    def begin(self) -> None:
        """Recovery has begun."""
        super().clear()


class BarrierRecovery(Recovery):
    """Recovery that is complete when the ledger's barrier has been read."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._ending = _Ending()

    @property
    def signal_recovery_end(self) -> Event:
        """Set once recovery has ended."""
        return self._ending

    def _set_recovery_started(self) -> None:
        super()._set_recovery_started()
        self._ending.begin()

    async def _build_highwaters(self, consumer: Any, tps: set[TP], destination: Any, title: str) -> None:
        if title == "active" and tps:
            destination.clear()
            destination.update(await self.app.owner.take_over(tps))  # type: ignore[attr-defined]
        else:
            await super()._build_highwaters(consumer, tps, destination, title)

    async def on_recovery_completed(self, generation_id: int = 0) -> None:
        """Tell the worker, once Faust's flow is on."""
        # Callbacks of tables and app come before Faust resumes its flow, which clears every channel: too early to feed one.
        await super().on_recovery_completed(generation_id)
        if not self.app.rebalancing:
            await self.app.owner.recovered()  # type: ignore[attr-defined]


class BarrierTableManager(TableManager):
    """A table manager with the recovery above, which starts at once; the App setting `TableManager`."""

    async def on_start(self) -> None:
        """Start, without the second that Faust leaves to modules that have yet to make their tables: ours is made before."""
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()

    @property
    def changelog_queue(self) -> Any:
        """The queue of changelog records, which keeps what it holds when the flow is resumed."""
        # What is in it was read and is not read again. What a rebalance makes it hold twice is dropped by its offset.
        if self._changelog_queue is None:
            self._changelog_queue = self.app.FlowControlQueue(maxsize=self.app.conf.stream_buffer_maxsize, clear_on_resume=False)
        return self._changelog_queue

    @property
    def recovery(self) -> Recovery:
        """The recovery service."""
        if self._recovery is None:
            self._recovery = BarrierRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery


class TransactionalTable(faust.Table[bytes, bytes]):
    """A one-partition table of bytes whose changes go into the transaction that is being put together.

    `on_change` is called with key and value of each change; without one, writing is an error. `committed_digest` is what the rows
    come to, by the newest changelog record that was applied here and says so.
    """

    on_change: Callable[[bytes, bytes | None], None] | None = None
    committed_digest: bytes | None = None
    _applied: int | None = None

    def partition_for_key(self, key: bytes) -> int:
        """The only one there is, whatever event is being processed."""
        return 0

    def send_changelog(
        self, partition: int | None, key: bytes, value: bytes | None, key_serializer: Any = None, value_serializer: Any = None
    ) -> Any:
        """Put a change into the transaction."""
        if self.on_change is None:
            raise RuntimeError(f"table {self.name} was written outside of a transaction")
        self.on_change(key, value)
        # All that Table.on_key_set and on_key_del read of the answer.
        return SimpleNamespace(message=SimpleNamespace(partition=0))

    def apply_changelog_batch(self, batch: Iterable[Any]) -> None:
        """Apply changelog records, and remember how far they reach and what the rows then come to."""
        events = list(batch)
        super().apply_changelog_batch(events)
        if events:
            self._applied = events[-1].message.offset
        for event in reversed(events):
            if event.message.key == digest.CARRIER:
                self.committed_digest = dict(event.message.headers or ()).get(digest.HEADER)
                break

    def hold_up_to(self, offset: int | None) -> None:
        """The table holds all that stands in its changelog up to this offset: it was written from here, and committed."""
        if offset is not None:
            self._applied = offset

    @property
    def reach(self) -> int | None:
        """The offset in the changelog that the table holds all before, itself included."""
        return self._applied

    def persisted_offset(self, tp: TP) -> int | None:
        """Where reading of the changelog can go on: a memory standby would read all of it again."""
        return self._applied

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Keep the rows of standby partitions too."""
        # The memory store drops the rows of partitions that are not active, which a standby needs.
        await super().on_recovery_completed(active_tps | standby_tps, standby_tps)
