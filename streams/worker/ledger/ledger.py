"""The ledger: through it everything that a session says is written in transactions, one after the other, or nothing is.

A transaction is a list of records: outputs, the changelog records of the rows that changed, the journal record. It is
written and committed in a thread of the ledger's own, so that the next one can be worked out meanwhile; what is worked out
and not committed is visible to nobody. Transactions are committed in the order in which they were handed over.

Two producers with a transactional id each take turns. The broker answers a commit before it has written the transaction's
markers, and refuses to begin again under the same id until it has; librdkafka then waits 20 ms. By its next turn but one they
are written. The order holds all the same: a transaction begins after the one before it, under the other id, is committed.
Once one has failed, none is begun any more: the broker may have aborted it, and would take the next one, under the other id.

Taking over fences every former owner first (`init_transactions`), then writes a barrier to the changelog: once that has
been read, all that any former owner committed has been read too. The barrier is a tombstone, so it leaves no row behind.
The ids are taken in the same order by all, and the barrier is written under the first of them after the second was taken. So of
two that take over at once at most one gets past its barrier: it has held the first id all the while, and nobody who holds
the second one from before or after can have got past a barrier of his own in between.

A request that ends a transaction and was not answered may still be under way, and would end a later transaction of the same
producer epoch half-way (`end_answers`). After a commit with such a request the ledger takes its ids over once more, before the next
transaction: the broker refuses a late copy with the epoch of before. Another owner who came in between has a barrier of his own in
the changelog, behind this ledger's last row: then this ledger is the former owner, and writes nothing any more. It looks before it
takes the ids, because taking them would end the new owner as well, and once more after its own barrier, for one who came meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AclOperation
from loguru import logger

from streams.config.settings import Settings
from streams.errors import FatalError, FencedError, ForbiddenError, LedgerError, StreamsError
from streams.kafka.clients import UNANSWERED, ErrorNote, make_admin
from streams.kafka.delivery import fatal_of
from streams.kafka.rights import FORBIDDEN, lacking, refusal, right
from streams.times import Clock
from streams.wire.outputs import Record
from streams.worker.ledger.barrier import BARRIER_KEY, has_barrier
from streams.worker.ledger.end_answers import EndAnswers
from streams.worker.link import broker_lost, unread

TAKE_OVER_SECONDS: Final = 30.0
ANSWER_MS: Final = 10_000
"""How long a request waits for a broker: as long as Kafka takes to give its partitions to others."""
_REPORT_POLLS: Final = 20
_REPORT_POLL_SECONDS: Final = 0.05
_RENEWING: Final = "taking new producer epochs"

_FENCED: Final = frozenset(
    {
        KafkaError._FENCED,
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.INVALID_PRODUCER_ID_MAPPING,
        KafkaError.TRANSACTION_COORDINATOR_FENCED,
    }
)


def second_id(transactional_id: str) -> str:
    """The other transactional id of a session whose first one this is: no session's name has a slash in it."""
    return f"{transactional_id}/2"


class Ledger:
    """Owns the transactional ids of a session.

    Args:
        settings: where Kafka is.
        transactional_id: one for each session, and the first of its two; `second_id` says what the other one is.
        changelog: the topic of the rows; `changelog_offset` is that of the last row that was committed.
        analysis: the topic of the published bars; `analysis_offset` is the first one after its last record that was committed,
            None before there was one.
        clock: for the durations that the metrics show.
    """

    def __init__(self, settings: Settings, *, transactional_id: str, changelog: str, analysis: str, clock: Clock) -> None:
        timeout_ms = settings.transaction_timeout_ms
        self._note = ErrorNote()
        self._undelivered: KafkaError | None = None
        self._commit_seconds = timeout_ms / 1000 * 3
        self._config: dict[str, object] = {
            # A broker that stands still, or whose machine lost its power, breaks no connection: librdkafka would wait as long as the
            # transaction may take, and have no time left for the broker that leads by then.
            "socket.timeout.ms": min(ANSWER_MS, max(timeout_ms - 100, 900)),
            **settings.kafka(),
            "transactional.id": transactional_id,
            "transaction.timeout.ms": timeout_ms,
            "delivery.timeout.ms": timeout_ms,
            # Committing flushes, and flushing does not linger: this only keeps librdkafka from sending a large transaction in crumbs
            # while it is still being put together.
            "linger.ms": 50,
            "queue.buffering.max.messages": 1_000_000,
            "compression.type": "none",
            # A broker that comes back is to be found again at once, not after ten seconds.
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 1000,
            "error_cb": self._note,
        }
        self._settings = settings
        self._servers = settings.bootstrap_servers
        self._timeout_seconds = timeout_ms / 1000
        self._changelog = changelog
        self._analysis = analysis
        self._clock = clock
        self._ids = (transactional_id, second_id(transactional_id))
        self._producers: list[Producer] = []
        self._answers: list[EndAnswers] = []
        self._turn = 0
        self._changelogs: list[str] = []
        self._is_end_unanswered = False
        self._failure: FatalError | None = None
        self._thread = ThreadPoolExecutor(1, "ledger")
        self._row_offset: int | None = None
        self._analysis_end: int | None = None
        self.changelog_offset: int | None = None
        self.analysis_offset: int | None = None
        self.commits = 0
        self.renewals = 0
        self.commit_seconds = 0.0
        self.last_commit_seconds = 0.0

    async def take_over(self, changelogs: Sequence[str]) -> dict[str, int]:
        """Fence every former owner and write the barrier; gives the barrier's offset for each changelog.

        Raises:
            FatalError: Kafka refused.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._take_over, list(changelogs))

    def write(self, records: Sequence[Record]) -> asyncio.Future[None]:
        """Write and commit one transaction, after those handed over before; done once it is committed.

        The future fails with a `FatalError`: then nothing of it, and nothing after it, is visible to anybody.
        """
        return asyncio.get_running_loop().run_in_executor(self._thread, self._write, records)

    async def close(self) -> None:
        """Wait for what was handed over, then let the thread go."""
        await asyncio.get_running_loop().run_in_executor(self._thread, lambda: None)
        self._thread.shutdown(wait=False)

    def _take_over(self, changelogs: list[str]) -> dict[str, int]:
        offsets = self._take_ids(self._connected(changelogs, "taking over"), changelogs, "taking over")
        self._analysis_end = self.analysis_offset = None  # others may have written since this worker did
        return offsets

    def _connected(self, changelogs: list[str], doing: str) -> list[tuple[Producer, EndAnswers]]:
        """Producers of both ids that have asked for nothing yet."""
        answers = [EndAnswers() for _ in self._ids]
        try:
            producers = [
                Producer(ends.properties({**self._config, "transactional.id": transactional_id}))
                for transactional_id, ends in zip(self._ids, answers, strict=True)
            ]
            for producer in producers:
                # Asked for its coordinator before it is connected to any broker, librdkafka asks again half a second later, or a second.
                producer.list_topics(changelogs[0], TAKE_OVER_SECONDS)
        except KafkaException as error:
            raise self._fatal(error.args[0], doing, changelogs) from error
        return list(zip(producers, answers, strict=True))

    def _take_ids(self, connected: Sequence[tuple[Producer, EndAnswers]], changelogs: list[str], doing: str) -> dict[str, int]:
        offsets: dict[str, int] = {}

        def delivered(error: KafkaError | None, message: Message) -> None:
            # librdkafka acknowledges a record that was sent twice, while a broker failed, without its offset: -1001.
            if error is None and (offset := message.offset()) is not None and offset >= 0:
                offsets[message.topic() or ""] = offset

        producers, answers = [producer for producer, _ in connected], [ends for _, ends in connected]
        try:
            for producer in producers:
                producer.init_transactions(TAKE_OVER_SECONDS)
            first = producers[0]
            first.begin_transaction()
            for changelog in changelogs:
                first.produce(changelog, key=BARRIER_KEY, value=None, partition=0, on_delivery=delivered)
            first.commit_transaction(TAKE_OVER_SECONDS)
            first.poll(0)
        except KafkaException as error:
            raise self._fatal(error.args[0], doing, changelogs) from error
        missing = [changelog for changelog in changelogs if changelog not in offsets]
        if missing:
            raise broker_lost(self._servers, f"it is not known where the barrier stands in {', '.join(missing)}", doing)
        self._producers, self._answers, self._turn, self._changelogs = producers, answers, 0, changelogs
        self._row_offset = offsets.get(self._changelog)
        # A late copy of the barrier's own end would be of the first id: the next transaction is of the second one.
        self._is_end_unanswered = not answers[0].are_final
        return offsets

    def _renew(self) -> None:
        """Take the ids over once more, so that the broker refuses what is still under way from before.

        Raises:
            FencedError: another worker has taken the session over since the last transaction.
            StreamsError: Kafka refused.
        """
        logger.warning(
            "the broker has not answered the request that ended the last transaction, or not at once ({}): new producer epochs are taken, "
            "so that a late copy of the request is refused",
            self._answers[self._turn],
        )
        before = self._row_offset
        connected = self._connected(self._changelogs, _RENEWING)
        if before is not None:
            # Last, so that hardly any time is left for another owner to come unseen: then both would end, and nothing would be lost.
            self._see_no_other_owner(before + 1)
        barrier = self._take_ids(connected, self._changelogs, _RENEWING).get(self._changelog)
        self.renewals += 1
        # After this ledger's last row comes the marker of the row's transaction, then the barrier. A longer way was used by somebody.
        if before is not None and barrier is not None and barrier > before + 2:
            self._see_no_other_owner(before + 1, barrier)

    def _see_no_other_owner(self, first: int, end: int | None = None) -> None:
        if has_barrier(self._settings, self._changelog, self._clock, first=first, end=end):
            raise FencedError(f"{_RENEWING}: another worker has taken this session over")

    def _write(self, records: Sequence[Record]) -> None:
        if not self._producers:
            raise LedgerError("a transaction was handed over before the ledger took over")
        if self._failure is not None:
            raise self._failure
        began = self._clock.monotonic()
        try:
            if self._is_end_unanswered:
                self._renew()
            self._commit(records)
        except KafkaException as error:
            self._failure = self._fatal(
                error.args[0], f"committing a transaction of {len(records)} records", {one.topic for one in records}
            )
            raise self._failure from error
        except BufferError as error:
            self._failure = LedgerError(f"a transaction of {len(records)} records does not fit into the producer's queue")
            raise self._failure from error
        except FatalError as error:
            self._failure = error
            raise
        except StreamsError as error:
            self._failure = unread(error) or LedgerError(f"{_RENEWING}: {error}")
            raise self._failure from error
        except BaseException as error:
            self._failure = LedgerError(f"a transaction of {len(records)} records could not be written: {error!r}")
            raise
        self.changelog_offset = self._row_offset
        if self._analysis_end is not None:
            self.analysis_offset = self._analysis_end
        self.commits += 1
        self.last_commit_seconds = self._clock.monotonic() - began
        self.commit_seconds += self.last_commit_seconds

    def _commit(self, records: Sequence[Record]) -> None:
        self._turn = 1 - self._turn
        producer, answers = self._producers[self._turn], self._answers[self._turn]
        answers.begin()
        producer.begin_transaction()
        produce = producer.produce
        # Of each topic the last one is told of, which comes when all before it have: to be told of each would cost more.
        told = dict.fromkeys({record.topic: place for place, record in enumerate(records)}.values(), self._delivered)
        for place, record in enumerate(records):
            # on_delivery goes by two names, and the first of them counts, even as None.
            produce(record.topic, record.value, record.key, 0, told.get(place), None, record.timestamp_ms, record.headers)  # type: ignore[arg-type]
        producer.commit_transaction(self._commit_seconds)
        producer.poll(0)  # the lines about its end come with it
        self._is_end_unanswered |= not answers.are_final

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._undelivered = error
            return
        offset = message.offset()
        if offset is None or offset < 0:
            return  # it arrived, and was acknowledged without its offset; what is known of the one before it is true as well
        if message.topic() == self._changelog:
            self._row_offset = offset
        elif message.topic() == self._analysis:
            self._analysis_end = offset + 1

    def _why_undelivered(self) -> KafkaError | None:
        """Why a record did not arrive: told while the producer is polled, which the commit that failed may not have done."""
        for _ in range(_REPORT_POLLS):
            if self._undelivered is None and self._producers:
                try:
                    self._producers[self._turn].poll(_REPORT_POLL_SECONDS)
                except (KafkaException, SystemError) as error:  # the producer's fatal error
                    return fatal_of(error) or self._undelivered
        return self._undelivered

    def _fatal(self, error: KafkaError, doing: str, topics: Iterable[str]) -> FatalError:
        # That records of a transaction did not arrive says nothing yet: why they did not is told to each of them.
        if error.code() == KafkaError._INCONSISTENT:
            error = self._why_undelivered() or error
        if error.code() in _FENCED:
            return FencedError(
                f"{doing}: another worker has taken this session over, or the transaction was open for more than "
                f"{self._timeout_seconds:g} s ({error.str()})"
            )
        if error.code() in UNANSWERED:
            return broker_lost(self._servers, self._note.last or error.str(), doing)
        if error.code() in FORBIDDEN:
            return ForbiddenError(f"{doing}: {refusal(self._settings, self._missing(error, topics))}, {error.name()}")
        return LedgerError(f"{doing}: {error.name()}: {error.str()}")

    def _missing(self, error: KafkaError, topics: Iterable[str]) -> list[str]:
        """The rights that are missing, asked for: the error names neither the topics nor, for an id, which of the two."""
        if error.code() != KafkaError.TOPIC_AUTHORIZATION_FAILED:
            return [right(AclOperation.WRITE, f"transactional IDs {' and '.join(self._ids)}")]
        try:
            admin = make_admin(self._settings, ErrorNote())
            found = lacking(self._settings, admin, dict.fromkeys(sorted(topics), (AclOperation.WRITE,)))
        except KafkaException:
            found = []
        return found or [right(AclOperation.WRITE, f"one of the topics {', '.join(sorted(topics))}")]
