"""A standby that sees nobody write: when it asks the group to decide again, and when it waits for whoever has the role."""

from __future__ import annotations

import pytest

from streams.config.settings import Settings
from streams.worker.owner_watch import OwnerWatch

DEFAULT = Settings.load()


def asks_at(watch: OwnerWatch, *, has_owner: bool, until: int, wrote_at: tuple[int, ...] = (), standby_from: int = 0) -> list[int]:
    """The seconds at which the group is asked, looked at each second; at some of them the owner has written before."""
    asked, reach = [], 7
    for now in range(until + 1):
        reach += now in wrote_at
        if watch.has_fallen_silent(reach, float(now), is_standby=now >= standby_from, has_owner=has_owner) is not None:
            asked.append(now)
    return asked


def test_a_group_that_gave_the_role_to_nobody_is_asked_after_15_s_and_again() -> None:
    assert asks_at(OwnerWatch(DEFAULT), has_owner=False, until=40) == [15, 30]


def test_a_worker_that_has_the_role_is_waited_for_through_a_transaction_a_session_and_a_take_over() -> None:
    assert asks_at(OwnerWatch(DEFAULT), has_owner=True, until=140) == [66, 132], "30 s, 6 s, and 30 s"


@pytest.mark.parametrize(("timeout_ms", "asked"), [(10_000, 46), (120_000, 156)])
def test_a_standbys_patience_goes_by_the_owners_timeouts(timeout_ms: int, asked: int) -> None:
    watch = OwnerWatch(Settings.load(transaction_timeout_ms=timeout_ms))
    assert asks_at(watch, has_owner=True, until=asked + 1) == [asked]


def test_kafkas_own_failover_of_ten_seconds_and_a_second_one_are_no_reason_to_ask() -> None:
    assert asks_at(OwnerWatch(DEFAULT), has_owner=True, until=100, wrote_at=(3, 27, 51, 90)) == []


def test_time_counts_from_when_a_worker_became_a_standby() -> None:
    assert asks_at(OwnerWatch(DEFAULT), has_owner=False, until=40, standby_from=20) == [34]
