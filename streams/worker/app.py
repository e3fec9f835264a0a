"""Wires the worker together: a Faust app around the engine. The one place where its parts are made.

    faust -A streams.worker.app worker        with STREAMS_CONFIG naming the session's config file
    streams worker session.json               the same, with the command line's comforts

Faust carries the life cycle, the election (the group gives the control topic's one partition, and with it the active role,
to one worker), the table with its changelog and standbys, and the agents.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn

import faust
from confluent_kafka import KafkaException
from faust.types import TP
from loguru import logger

from streams.api.app import create_app
from streams.api.commander import ControlCommander
from streams.api.hosts import Hosts
from streams.api.server import HttpServer
from streams.client.producer import BarProducer
from streams.config.session import SessionConfig
from streams.config.settings import Settings
from streams.errors import ControlLostError, DemotedError, DuplicateWorkerError, FatalError, FencedError, SessionConfigError, StreamsError
from streams.history.sources.opening import LateSource, late_source
from streams.history.sources.source import VARIABLE
from streams.history.sources.topics import TopicHistory
from streams.kafka.clients import accepted_properties, named_topics
from streams.model.records import Bar
from streams.model.rows import CONFIG_KEY, SESSION_KEY, ConfigRow, SessionRow
from streams.times import Clock, SteadyClock
from streams.wire.codec import Codec
from streams.wire.ids import IdFile
from streams.worker.clock.broker_clock import BrokerClocks
from streams.worker.clock.judge import check_possible
from streams.worker.clock.watch import ClockWatch
from streams.worker.faust.group import SUFFIX, choose_group, holders
from streams.worker.faust.memory import settle
from streams.worker.faust.overrides import BarrierTableManager, CommittedTransport, TransactionalTable
from streams.worker.faust.security import broker_credentials
from streams.worker.feed.batches import Item, Tick
from streams.worker.feed.feed import Feed, FeedBatch, Trouble
from streams.worker.health import Health, WorkerStatus
from streams.worker.http_reader import WorkerReader
from streams.worker.instance import Instance
from streams.worker.ledger.journal_tail import has_namesake, journal_end, successor
from streams.worker.ledger.ledger import Ledger
from streams.worker.ledger.torn import TornTransactions
from streams.worker.link import missing_right
from streams.worker.log import SAY_AGAIN_SECONDS, log_leap, set_up
from streams.worker.owner_watch import OwnerWatch
from streams.worker.runner import HEARTBEAT_SECONDS, SessionRunner
from streams.worker.setup import prepare_topics
from streams.worker.shutdown import die
from streams.worker.sources.gap_filling import GapFiller
from streams.worker.sources.history import HistoryLoader
from streams.worker.sources.topics import Sources

CONFIG_VARIABLE: Final = "STREAMS_CONFIG"
TABLE: Final = "state"
TAKEN_IN_SECONDS: Final = 30.0
TAKEN_IN_MOST: Final = 12
WHY_SECONDS: Final = 10.0
"""How long a worker that ends looks for the reason."""
# A standby hears of a dead worker with its next heartbeat, after the session's timeout.
GROUP_HEARTBEAT_SECONDS: Final = 0.25
FILL_SECONDS: Final = 10.0
"""How long bars that fill a gap may wait for a broker that is away: then they are asked for again."""
HISTORY_CLOSES_SECONDS: Final = 1.0


class SessionWorker:
    """One worker of a session: its Faust app and what stands around it.

    Args:
        config: the session.
        settings: the surroundings.
        instance: this worker's place among the session's workers.
        clock: where `now` comes from.
        adopt_config: whether a standby may take over a session that runs under another config.

    Raises:
        ClockError: the clock says a time that can't be right.
        SettingsError: the settings name a property that librdkafka does not know, a value that it does not take, or a history
            source in a way that means nothing.
    """

    def __init__(
        self, config: SessionConfig, settings: Settings, instance: Instance, *, clock: Clock | None = None, adopt_config: bool = False
    ) -> None:
        clock = SteadyClock(tell=log_leap) if clock is None else clock
        if settings.clock_tolerance_seconds:  # 0: the clock is not judged, so that a session of another day can be run
            check_possible(clock.now_us())
        settings = settings.model_copy(update={"session": config.session_name})
        codec = Codec() if settings.schema_ids_file is None else Codec(IdFile(settings.schema_ids_file.parent))
        names = named_topics(settings, config.session_name)
        self.app_id = f"{settings.topic_prefix}{config.session_name}"
        self.group = f"{self.app_id}{SUFFIX}"  # it is chosen as the worker is prepared
        self.names = names
        self._settings = settings
        self._codec = codec
        self.instance = instance  # the claim lasts as long as the object
        self.app: Any = _make_app(self.app_id, settings, instance)
        self.app.owner = self
        self._loop: asyncio.AbstractEventLoop | None = None
        self._channel = self.app.channel(maxsize=0)
        table = self.app.Table(TABLE, key_type=bytes, value_type=bytes, partitions=1, recovery_buffer_size=1000, standby_buffer_size=1)
        self.ledger = Ledger(
            settings, transactional_id=self.app_id, changelog=table.changelog_topic_name, analysis=names.analysis, clock=clock
        )
        with accepted_properties():
            self._feed = Feed(settings, deliver=self._deliver, die=self.die)
            self._sources = Sources(settings, self._codec)
        self._history = late_source(settings, adjustment=config.session_data_config.historical.adjustment, of_topics=TopicHistory.at)
        self._watch = ClockWatch(
            clock, tolerance_seconds=settings.clock_tolerance_seconds, names=names,
            make_clocks=lambda elapsed: BrokerClocks(settings, names.clock, elapsed),
        )  # fmt: skip
        self.runner = SessionRunner(
            config=config, settings=settings, clock=clock, table=table, ledger=self.ledger, feed=self._feed, sources=self._sources,
            codec=codec, names=names, send=self._put, owner=instance.name, owner_url=settings.own_url(),
            adopt_config=adopt_config, die=self.die, history=HistoryLoader(self._history, clock),
            filler=self._make_filler(config, clock), torn=TornTransactions(settings, names, codec, table.changelog_topic_name, clock),
            watch=self._watch,
        )  # fmt: skip
        self.health = Health(
            self.runner, self.ledger, clock, owner=instance.name, session=config.session_name, overdue_seconds=settings.overdue_seconds
        )
        self._reader = WorkerReader(self.runner, self.health, owner_url=self._owner_url, own_url=settings.own_url())
        commander = ControlCommander(settings, codec)
        self._http = _http_server(settings, self._reader, commander)
        self._clock = clock
        self._config = config
        self._adopt_config = adopt_config
        self._compared: bytes | None = None
        self._said_at: float | None = None
        self._table = table
        self._stood_by: list[float] = []
        self._owner_watch = OwnerWatch(settings)
        self._was_active = False
        self._began: tuple[int, int] | None = None
        self._sent = 0
        self._connect()

    def prepare(self, settings: Settings) -> None:
        """Answer over HTTP from now on; create and check the session's topics.

        Raises:
            SettingsError: nothing can listen where the settings say.
            TopicSetupError: a topic is missing or has settings that would lose data.
            BrokerLostError: the broker does not answer.
            ForbiddenError: a right is missing.
            LoginError: the broker does not accept the user or the password.
            ClockError: the clock is off by more than an hour.
        DemotedError: other consumers are in the session's consumer group.
        """
        if self._http is not None:
            self._http.start()
        if self._history is not None:
            threading.Thread(target=_try_history, args=(self._history,), name="history", daemon=True).start()
        bars_topic = self._config.session_data_config.bars_topic
        prepare_topics(settings, self.names, f"{self.app_id}-{TABLE}-changelog", bars_topic=bars_topic)
        self._watch.prepare(lambda: self.health.enter(WorkerStatus.WAITING))
        self.group = choose_group(self._settings, self.app_id, waiting=lambda: self.health.enter(WorkerStatus.STANDBY))
        self.health.enter(WorkerStatus.STARTING)
        self._began = journal_end(self._settings, self.names.journal), self._clock.now_us()

    def die(self, error: BaseException) -> NoReturn:
        """End the process, with the error's exit code."""
        die(self._with_successor(error) if isinstance(error, FencedError) else error, self._settings)

    def _with_successor(self, error: FencedError) -> FatalError:
        """Say who has taken over. One of this worker's name is another process: the two would fence each other without end."""
        since = self.runner.active_since
        if since is None:
            return self._put_out_by_namesake() or error
        try:
            owner = successor(self._settings, self.names.journal, self._codec, self._clock, owner=self.instance.name, after=since)
        except KafkaException:
            return error  # it is only about the words
        if owner == self.instance.name:
            return _duplicate(owner)
        return error if owner is None else FencedError(f"{owner} has taken this session over: this worker ends, to come back as a standby")

    def _put_out_by_namesake(self) -> FatalError | None:
        """The error that another process of this worker's name is, for one that was put out of the group before it wrote anything."""
        if self._began is None or self.runner.active_since is not None:
            return None
        offset, instant_us = self._began
        try:
            is_there = has_namesake(
                self._settings, self.names.journal, self._codec, owner=self.instance.name, since_offset=offset, since_us=instant_us
            )
        except KafkaException:
            return None  # then it starts again, and finds out another time
        return _duplicate(self.instance.name) if is_there else None

    # ------------------------------------------------------------------------------- what recovery tells and asks

    async def take_over(self, changelogs: Iterable[TP]) -> dict[TP, int]:
        """Fence former owners; recovery is complete at the offsets that are given."""
        self.health.enter(WorkerStatus.RECOVERING)
        try:
            partitions = list(changelogs)
            offsets = await self.ledger.take_over([partition.topic for partition in partitions])
            return {partition: offsets[partition.topic] for partition in partitions}
        except asyncio.CancelledError:
            rebalanced = DemotedError("the group was rebalanced while this worker was taking over: it ends, to start again")
            self.die(self._put_out_by_namesake() or rebalanced)
        except BaseException as error:  # without the fence nothing may be read, and Faust would try again half-way
            self.die(error)

    async def recovered(self) -> None:
        """Recovery is complete: be active or standby, as the group has it."""
        is_active = any(partition.topic == self.names.control for partition in self.app.assignor.assigned_actives())
        if is_active:
            try:
                await self.runner.activate()
            except asyncio.CancelledError:
                self.die(DemotedError("the group was rebalanced while this worker was becoming active: it ends, to start again"))
            except BaseException as error:  # what can't be gone on from now can't be later
                self.die(error)
            self._was_active = True
            self._put(Tick(self._sent))  # what the runner takes from now on is counted
            self.health.enter(WorkerStatus.ACTIVE)
            settle()
        elif self._was_active:
            self.die(await self._why_demoted())
        else:
            self._stood_by.append(self._clock.monotonic())
            self.runner.has_been_standby = True
            self.health.enter(WorkerStatus.STANDBY)
            logger.info("standby: following the changelog")
            settle()

    async def _why_demoted(self) -> FatalError:
        """Why the active role has gone: to another worker, or with the control topic, whose one partition it is."""
        try:
            await asyncio.wait_for(self.runner.check_control(), WHY_SECONDS)
        except ControlLostError as error:
            return error
        except (StreamsError, TimeoutError) as error:
            logger.warning("whether the control topic is still there could not be found out: {!r}", error)
        return DemotedError("the group gave the active role to another worker: this one ends, to come back as a standby")

    # --------------------------------------------------------------------------------------------------- parts

    def _deliver(self, item: FeedBatch | Trouble) -> None:
        """Called in the feed's thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._put, item)

    def _call_soon(self, call: Callable[[], None]) -> None:
        """Called in a thread of the gap filler's, which may outlive the loop."""
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(call)

    def _make_filler(self, config: SessionConfig, clock: Clock) -> GapFiller | None:
        if not config.session_data_config.gap_filler.enabled:
            return None
        if self._history is None:
            logger.warning("gap_filler is enabled, and {} names no source to ask: gaps stay as they are", VARIABLE)
            return None
        return GapFiller(source=self._history, produce=self._produce, clock=clock, send=self._put, call_soon=self._call_soon)

    def _produce(self, bars: Sequence[Bar]) -> None:
        """Put bars into their topic, and wait until they are there; called in a thread of the gap filler's."""
        with BarProducer(
            self._settings, self.names, codec=self._codec, create_topics=False, delivery_timeout_seconds=FILL_SECONDS
        ) as producer:
            for bar in bars:
                producer.send(bar)

    def _put(self, item: Item) -> None:
        self._sent += 1
        task = asyncio.ensure_future(self._channel.send(value=item))
        task.add_done_callback(lambda done: done.cancelled() or done.result())  # it is cancelled as the worker ends

    def _connect(self) -> None:
        app, runner = self.app, self.runner

        async def owner(stream: Any) -> None:
            # Subscribed for the election only: the feed reads the commands, since Faust loses records as a recovery ends.
            async for _ in stream:
                pass

        async def merge(stream: Any) -> None:
            async for item in stream:
                await runner.process(item)

        app.agent(app.topic(self.names.control, key_type=bytes, value_type=bytes), name="owner")(owner)
        app.agent(self._channel, name="merge")(merge)

        app.on_partitions_revoked.connect(self._revoked)
        app.on_before_shutdown.connect(self._shutdown)
        app.task(self._begin)
        app.task(self._tick)

    async def _revoked(self, app: Any, revoked: Any, **kwargs: Any) -> None:
        self._check_namesake()
        if self.runner.active and not self.app.should_stop:
            logger.info("a worker has joined the group or left it: reading pauses until the group has decided who is active")
        await self.runner.deactivate()

    async def _begin(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader.begin()
        self._feed.start()
        self._watch.start()

    async def _tick(self) -> None:
        while not self.app.should_stop:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            self._compare_config()
            self._clock.now_us()  # a clock that a standby has not looked at for days may be seconds off: no leap
            self._watch_owner()
            if self.runner.active:
                self._put(Tick(self._sent))
                self._watch_commits()

    def _check_namesake(self) -> None:
        """End when the group has taken this standby in again and again: another process has its name, and each puts the other out.

        No worker can start as often as this. It is looked at when this worker is put out: the other one is in then, and stays.
        """
        now = self._clock.monotonic()
        self._stood_by = [at for at in self._stood_by if now - at < TAKEN_IN_SECONDS]
        if len(self._stood_by) > TAKEN_IN_MOST:
            self.die(
                DuplicateWorkerError(
                    f"the group has taken this worker in {len(self._stood_by)} times in {TAKEN_IN_SECONDS:g} s: another process runs as "
                    f"{self.instance.name}: give each worker a STREAMS_INSTANCE_ID of its own"
                )
            )

    def dropped_out(self, error: BaseException) -> NoReturn:
        """End when this worker has dropped out of the group: it would never be given anything to do, and not know it."""
        what = error.__cause__ or error
        if missing_right(what) is not None:
            self.die(what)
        lost = DemotedError(
            f"this worker has lost its place in the consumer group {self.group} ({type(what).__name__}: {what}): it ends, to join it again"
        )
        self.die(holders(self._settings, self.group) or lost)

    def _watch_owner(self) -> None:
        """Ask the group to decide again when nobody writes the state that this standby follows."""
        is_standby = self.health.status is WorkerStatus.STANDBY
        now = self._clock.monotonic()
        silent = self._owner_watch.has_fallen_silent(self._table.reach, now, is_standby=is_standby, has_owner=self._has_owner())
        if silent is not None:
            logger.warning("nobody has written the session's state for {:.0f} s: asking the group for an owner", silent)
            self.app.consumer.join_anew()

    def _has_owner(self) -> bool:
        """Whether the group has given the active role to a worker, when it last decided."""
        return any(self.names.control in topics for topics in self.app.assignor.external_topics_metadata().values())

    def _compare_config(self) -> None:
        """Say at once that this standby would not take over: when it has to is too late."""
        if self.health.status is not WorkerStatus.STANDBY or self._adopt_config:
            return
        kept = self._table.data.get(CONFIG_KEY.encode())
        if kept is None or kept == self._compared:
            return
        self._compared = kept
        try:
            row = self._codec.row_from(kept)
            is_other = isinstance(row, ConfigRow) and SessionConfig.from_json(row.config_json) != self._config
        except StreamsError:
            is_other = True  # that of a later version, say
        if is_other:
            logger.warning(
                "this standby's config differs from the one that the session runs under, so it would not take over: give it the same "
                "config, or start it with --adopt-config"
            )

    def _watch_commits(self) -> None:
        """Say it when nothing gets through to the broker; the ledger gives up by itself."""
        now = self._clock.monotonic()
        if self.health.status is not WorkerStatus.FAILING:
            self._said_at = None
        elif self._said_at is None or now - self._said_at >= SAY_AGAIN_SECONDS:
            self._said_at = now
            waited = now - self.runner.committed_at
            logger.warning(
                "no transaction has been committed for {:.0f} s: waiting for the broker at {}", waited, self._settings.bootstrap_servers
            )

    def _owner_url(self) -> str | None:
        """Where the worker that wrote the session's row answers, as far as this standby has read."""
        kept = self._table.data.get(SESSION_KEY.encode())
        try:
            row = None if kept is None else self._codec.row_from(kept)
        except StreamsError:
            return None  # that of a later version, say
        return row.owner_url or None if isinstance(row, SessionRow) else None

    async def _shutdown(self, app: Any, **kwargs: Any) -> None:
        await self.runner.close()
        self._watch.stop()
        self._feed.stop()
        self._sources.close()
        await self.ledger.close()
        if self._http is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._http.stop)
        if self._history is not None:
            # It is somebody else's program, which may hang here too.
            closing = threading.Thread(target=self._history.close, name="history", daemon=True)
            closing.start()
            await asyncio.get_running_loop().run_in_executor(None, closing.join, HISTORY_CLOSES_SECONDS)


def _try_history(source: LateSource) -> None:
    """Say at once that a source can't be had: it would show with the first gap, hours later perhaps."""
    try:
        source.open()
    except BaseException as error:  # it is somebody else's program
        logger.warning("the history source can't be had now, and is tried again when it is needed: {}", error)


def _duplicate(name: str) -> DuplicateWorkerError:
    return DuplicateWorkerError(
        f"another process runs as {name} and has taken this session over: give each worker a STREAMS_INSTANCE_ID of its own"
    )


def _make_app(app_id: str, settings: Settings, instance: Instance) -> Any:
    session_timeout = settings.session_timeout_seconds
    app = faust.App(
        app_id,
        broker=[f"kafka://{server.strip().rpartition('://')[2]}" for server in settings.bootstrap_servers.split(",")],
        broker_credentials=broker_credentials(settings.kafka_config),
        store="memory://",
        datadir=str(instance.folder),
        TableManager=BarrierTableManager,
        Table=TransactionalTable,
        topic_partitions=1,
        topic_allow_declare=False,
        topic_disable_leader=True,
        reply_create_topic=False,
        table_standby_replicas=1,
        key_serializer="raw",
        value_serializer="raw",
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=instance.name,
        # The group gives a member that comes back what it had, address included, and Faust refuses another address than its own: so
        # it goes by the name that both go by, not by host and port, which may be others after a start.
        canonical_url=f"http://session-streams/{instance.name}",
        broker_client_id=f"streams-worker-{instance.name}",
        broker_session_timeout=session_timeout,
        broker_heartbeat_interval=min(GROUP_HEARTBEAT_SECONDS, session_timeout / 4),
        broker_request_timeout=max(30.0, session_timeout),
        stream_wait_empty=False,
        worker_redirect_stdouts=False,
        web_enabled=False,
    )
    app.transport = CommittedTransport(app.conf.broker_consumer, app)
    return app


def _http_server(settings: Settings, reader: WorkerReader, commander: ControlCommander) -> HttpServer | None:
    if not settings.http_port:
        return None
    hosts = Hosts(settings.own_url(), (*settings.allowed_hosts, settings.http_host))
    app = create_app(reader, commander, read_token=settings.read_token, command_token=settings.command_token, hosts=hosts)
    return HttpServer(app, host=settings.http_host, port=settings.http_port)


def worker_from_environment() -> SessionWorker:
    """A worker as the environment has it, for `faust -A streams.worker.app worker`.

    Raises:
        SessionConfigError: STREAMS_CONFIG names no file, or one that is no config.
    """
    path = os.environ.get(CONFIG_VARIABLE)
    if not path:
        raise SessionConfigError(f"{CONFIG_VARIABLE} must name the session's config file, such as examples/session.json")
    settings = Settings.load()
    set_up(settings)
    config = SessionConfig.load(Path(path))
    worker = SessionWorker(config, settings, Instance.claim(settings, config.session_name))
    worker.prepare(settings)
    return worker


def __getattr__(name: str) -> Any:
    # Faust's command line asks the module for `app`; nothing is made before somebody does.
    if name == "app":
        worker = worker_from_environment()
        globals()["app"] = worker.app
        return worker.app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
