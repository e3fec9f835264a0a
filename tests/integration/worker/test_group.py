"""Who else may be in the group that elects the active worker: consumers that took its name, and workers of a former version."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import Consumer, KafkaException
from confluent_kafka.admin import AdminClient

from streams.errors import DemotedError, FencedError
from tests.support import unique_symbol, wait_until
from tests.support.feeders import SteadyFeed, live_timeline
from tests.support.kafka.topics import create_topics
from tests.support.sessions.desk import LiveDesk
from tests.support.sessions.sessions import second_bars
from tests.support.workers.processes import Worker, Workers

PROTOCOLS = ("classic", "consumer")
"""Kafka's group protocols: the former one, and that of KIP-848."""
EACH = 300
BARS_A_SECOND = 100.0


class Bot:
    """A consumer of its own topic, in a group of somebody else's choice."""

    def __init__(self, servers: str, group: str, protocol: str, topic: str) -> None:
        timeout = {"session.timeout.ms": 6000} if protocol == "classic" else {}
        self._consumer = Consumer(
            {
                "bootstrap.servers": servers, "group.id": group, "group.protocol": protocol, "client.id": "my-bot", "log_level": 0,
                "auto.offset.reset": "earliest", **timeout,
            }
        )  # fmt: skip
        self._admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
        self._group = group
        self.errors: set[str] = set()
        self._consumer.subscribe([topic])

    def poll(self) -> None:
        """Take part in the group for a moment."""
        try:
            message = self._consumer.poll(0.1)
        except KafkaException as error:
            self.errors.add(error.args[0].name())
            return
        if message is not None and (failed := message.error()) is not None:
            self.errors.add(failed.name())

    def is_in(self) -> bool:
        """Whether the group has this consumer."""
        self.poll()
        try:
            found = self._admin.describe_consumer_groups([self._group])[self._group].result()
        except KafkaException:
            return False  # the broker has just begun to keep groups
        return any(member.client_id == "my-bot" for member in found.members)

    def close(self) -> None:
        self._consumer.close()


@contextmanager
def bot_in(desk: LiveDesk, group: str, protocol: str) -> Iterator[Bot]:
    topic = unique_symbol()
    create_topics(desk.servers, topic)
    bot = Bot(desk.servers, group, protocol, topic)
    try:
        yield bot
    finally:
        bot.close()


@pytest.fixture
def desk(bootstrap_servers: str, session_name: str) -> LiveDesk:
    return LiveDesk(bootstrap_servers, second_bars(session_name, []))


def polled(bot: Bot, worker: Worker, seconds: float) -> None:
    """Let the bot take part until the worker has ended."""

    def ended() -> bool:
        bot.poll()
        return not worker.is_running

    wait_until(ended, "the worker to end", seconds)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_worker_whose_group_other_consumers_hold_says_who_and_ends(desk: LiveDesk, workers: Workers, protocol: str) -> None:
    group = f"{desk.config.session_name}.workers"
    with bot_in(desk, group, protocol) as bot:
        wait_until(bot.is_in, "the bot to be in the group", 60)
        worker = workers.start(desk.config)
        polled(bot, worker, 60)
        assert worker.wait_ended() == DemotedError.exit_code
        said = worker.said()
        assert f"other consumers are in the consumer group {group}, which is this session's: member " in said
        assert "(client id my-bot, host " in said
        assert "give them another group.id" in said
    worker.start()
    worker.wait_until("active")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_consumer_named_after_the_session_is_nothing_to_its_workers(desk: LiveDesk, workers: Workers, protocol: str) -> None:
    with bot_in(desk, desk.config.session_name, protocol) as bot:
        wait_until(bot.is_in, "the bot to be in the group", 60)
        worker = workers.start(desk.config)
        worker.wait_until("active")
        standby = workers.start(desk.config)
        standby.wait_until("standby")
        assert bot.is_in()
        assert not bot.errors


@pytest.mark.parametrize(("protocol", "refusal"), [("classic", "INCONSISTENT_GROUP_PROTOCOL"), ("consumer", "_FATAL")])
def test_a_consumer_that_comes_into_the_workers_group_is_refused_and_they_go_on(
    desk: LiveDesk, workers: Workers, protocol: str, refusal: str
) -> None:
    worker = workers.start(desk.config)
    worker.wait_until("active")
    with bot_in(desk, f"{desk.config.session_name}.workers", protocol) as bot:

        def refused() -> bool:
            bot.poll()
            return refusal in bot.errors

        wait_until(refused, "the bot to be refused", 60)
        assert worker.status() == "active"


def test_a_worker_of_a_former_version_is_not_put_out_and_the_next_one_takes_over_when_it_ends(
    bootstrap_servers: str, session_name: str, workers: Workers
) -> None:
    symbols = [unique_symbol() for _ in range(2)]
    desk = LiveDesk(bootstrap_servers, second_bars(session_name, symbols, threshold_seconds=3600))
    former = workers.start(desk.config, module="tests.support.workers.former")
    former.wait_until("active")
    with SteadyFeed(desk.settings, live_timeline(symbols, EACH, BARS_A_SECOND), BARS_A_SECOND) as feed:
        newer = workers.start(desk.config)
        newer.wait_until("standby")
        wait_until(
            lambda: f"a worker of a former version runs in the consumer group {session_name}" in newer.said(), "the newer one to wait"
        )
        sequence = desk.topics.analysis()[-1].sequence
        wait_until(lambda: desk.topics.analysis()[-1].sequence > sequence + 50, "bars to be published")
        assert former.status() == "active", "the newer worker has left it alone"
        former.kill()
        newer.wait_until("active", 60)
        wait_until(lambda: feed.is_done, "the feed to end", 60.0)
    desk.await_read(dict.fromkeys(symbols, EACH))

    # Back to the former version: it takes over, and the newer one comes back as a standby that waits.
    former.start()
    assert newer.wait_ended(60) in (FencedError.exit_code, DemotedError.exit_code)
    former.wait_until("active")
    newer.start()
    newer.wait_until("standby")
    assert former.status() == "active"
    former.kill()
    newer.wait_until("active", 60)
    assert newer.stop() == 0
    desk.check_left_behind(symbols)
