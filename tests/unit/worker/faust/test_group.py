"""Who is in the workers' group, by what the broker says of it, and what a worker does then."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupType, KafkaError, KafkaException
from confluent_kafka.admin import AclOperation

from streams.config.settings import Settings
from streams.errors import BrokerLostError, DemotedError, ForbiddenError
from streams.times import ManualClock
from streams.worker.faust import group
from streams.worker.faust.group import choose_group, holders, look_of

WORKER = SimpleNamespace(member_id="w0-1", client_id="streams-worker-w0", host="/10.0.0.7")
BOT = SimpleNamespace(member_id="bot-1", client_id="my-bot", host="/10.0.0.8")


def described(
    *members: Any,
    assignor: str = "faust",
    kind: Any = ConsumerGroupType.CLASSIC,
    may: tuple[AclOperation, ...] = (AclOperation.READ, AclOperation.DESCRIBE),
) -> Any:
    return SimpleNamespace(members=list(members), partition_assignor=assignor, type=kind, authorized_operations=list(may))


EMPTY = described(assignor="", kind=ConsumerGroupType.UNKNOWN)
REFUSED = KafkaException(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED))
NOT_NOW = KafkaException(KafkaError(KafkaError.COORDINATOR_LOAD_IN_PROGRESS))


class Broker:
    """Answers about groups: by name, one answer after the other, the last one again and again; each takes as long as it may."""

    def __init__(self, clock: ManualClock | None = None, **answers: list[Any]) -> None:
        self.answers = answers
        self._clock = clock or ManualClock()

    def describe_consumer_groups(self, names: list[str], *, request_timeout: float, **options: Any) -> dict[str, Future[Any]]:
        (name,) = names
        self._clock.advance_seconds(request_timeout)
        answers = self.answers.get(name.replace(".", "_"), [EMPTY])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        future: Future[Any] = Future()
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
        return {name: future}


asked_seconds: list[float] = []
"""How long was asked each time, by the clock."""


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(group, "_PAUSE_SECONDS", 0.0)
    waited: list[None] = []
    asked_seconds.clear()

    def asked(**answers: list[Any]) -> tuple[str, int]:
        waited.clear()
        clock = ManualClock()
        monkeypatch.setattr(group, "make_admin", lambda settings, note: Broker(clock, **answers))
        try:
            return choose_group(Settings.load(), "main", lambda: waited.append(None), clock), len(waited)
        finally:
            asked_seconds.append(clock.monotonic())

    return asked


@pytest.mark.parametrize(
    ("found", "is_ours", "why"),
    [
        (described(WORKER), True, "workers agree on Faust's assignor"),
        (described(WORKER, assignor=""), True, "the group is being made up"),
        (described(BOT, assignor="range"), False, "another protocol keeps workers out"),
        (described(BOT, assignor="uniform", kind=ConsumerGroupType.CONSUMER), False, "a group of KIP-848"),
        (described(BOT, assignor="", kind=ConsumerGroupType.CONSUMER), False, "a group of KIP-848 that is being made up"),
    ],
)
def test_a_group_is_of_workers_by_its_type_and_assignor(found: Any, is_ours: bool, why: str) -> None:
    assert look_of(found, "main.workers").is_ours is is_ours, why


def test_a_worker_joins_a_group_that_is_not_named_after_the_session_alone(ask: Any) -> None:
    assert ask() == ("main.workers", 0)
    assert ask(main_workers=[described(WORKER)]) == ("main.workers", 0)


def test_other_consumers_of_the_former_name_are_nothing_to_it(ask: Any) -> None:
    assert ask(main=[described(BOT, assignor="range")]) == ("main.workers", 0)


def test_other_consumers_in_the_group_are_named(ask: Any) -> None:
    said = (
        r"other consumers are in the consumer group main\.workers, which is this session's: "
        r"member bot-1 \(client id my-bot, host 10\.0\.0\.8\)\. End them, or give them another group\.id"
    )
    with pytest.raises(DemotedError, match=said):
        ask(main_workers=[described(BOT, assignor="range")])
    assert DemotedError.exit_code == 12


def test_it_waits_until_no_worker_of_a_former_version_is_left(ask: Any) -> None:
    assert ask(main=[described(WORKER), described(WORKER), NOT_NOW, described(WORKER), EMPTY]) == ("main.workers", 1)


def test_a_coordinator_that_is_about_to_answer_is_asked_again(ask: Any) -> None:
    assert ask(main=[NOT_NOW, NOT_NOW, described(WORKER), EMPTY]) == ("main.workers", 1)


def test_that_nobody_tells_who_is_in_a_group_does_not_mean_that_it_is_empty(ask: Any) -> None:
    with pytest.raises(BrokerLostError, match="asking who is in the consumer group main"):
        ask(main=[NOT_NOW])
    # The first group was told of in one request of 5 s. Kafka takes about 10 s to find another coordinator.
    assert asked_seconds == [5 + 30]


def test_a_user_who_may_use_the_former_group_alone_stays_there(ask: Any) -> None:
    assert ask(main_workers=[REFUSED], main=[described(WORKER)]) == ("main", 0)


@pytest.mark.parametrize("of_workers", [REFUSED, described(may=(AclOperation.DESCRIBE,))])
@pytest.mark.parametrize("former", [REFUSED, described(may=(AclOperation.DESCRIBE,))])
def test_a_user_who_may_join_neither_group_is_told_which_right_is_missing(ask: Any, of_workers: Any, former: Any) -> None:
    with pytest.raises(ForbiddenError, match=r"User:ANONYMOUS lacks Read on group main\.workers: allow it"):
        ask(main_workers=[of_workers], main=[former])


def test_who_holds_the_group_is_found_out_when_a_worker_drops_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "make_admin", lambda settings, note: Broker(main_workers=[described(BOT, assignor="range")]))
    assert "client id my-bot" in str(holders(Settings.load(), "main.workers"))
    monkeypatch.setattr(group, "make_admin", lambda settings, note: Broker(main_workers=[described(WORKER)]))
    assert holders(Settings.load(), "main.workers") is None
