"""The worker's clock: a leap of the wall clock is believed once it has stayed, and never for a moment's mistake."""

from __future__ import annotations

import pytest

from streams.times import DAY_US, HOUR_US, SECOND_US, Leap, SteadyClock

NOON_US = 1_381_147_200 * SECOND_US
"""2013-10-07T12:00:00Z."""


class Machine:
    """A machine whose wall clock can be set, and which can sleep."""

    def __init__(self) -> None:
        self.wall = NOON_US
        self.elapsed = 1000.0
        self.leaps: list[Leap] = []
        self.clock = SteadyClock(lambda: self.wall, lambda: self.elapsed, self.leaps.append)

    def passes(self, seconds: float) -> None:
        """Time passes, and both clocks know; sleep that the system counts is no different."""
        self.wall += round(seconds * SECOND_US)
        self.elapsed += seconds

    def is_set(self, seconds: float) -> None:
        """The wall clock is set: by hand, by NTP, or because a virtual machine stood still and nobody counted."""
        self.wall += round(seconds * SECOND_US)

    def read(self) -> float:
        """Seconds after noon."""
        return (self.clock.now_us() - NOON_US) / SECOND_US


def test_a_leap_of_a_moment_is_never_seen() -> None:
    machine = Machine()
    machine.is_set(86_400)
    assert machine.read() == 0
    machine.passes(3)
    assert (machine.read(), machine.clock.is_certain()) == (3, False)
    machine.is_set(-86_400)
    assert (machine.read(), machine.clock.is_certain()) == (3, True)
    assert machine.leaps == [Leap(86_400, None), Leap(86_400, False)]


def test_a_leap_that_stays_is_believed_after_ten_seconds_and_time_goes_on_meanwhile() -> None:
    machine = Machine()
    machine.is_set(3600)
    seen = []
    for _ in range(12):
        seen.append(machine.read())
        machine.passes(1)
    assert seen == [*range(10), 3610, 3611]
    assert machine.clock.is_certain()
    assert machine.leaps == [Leap(3600, None), Leap(3600, True)]


def test_a_clock_that_is_set_back_is_doubted_as_well() -> None:
    machine = Machine()
    machine.is_set(-60)
    assert (machine.read(), machine.clock.is_certain()) == (0, False)
    machine.passes(10)
    assert (machine.read(), machine.clock.is_certain()) == (-50, True)


def test_a_leap_to_another_place_begins_the_doubt_anew() -> None:
    machine = Machine()
    machine.is_set(3600)
    machine.read()
    machine.passes(9)
    machine.is_set(3600)
    machine.read()
    machine.passes(9)
    assert (machine.read(), machine.clock.is_certain()) == (18, False)
    machine.passes(1)
    assert machine.read() == 7219


@pytest.mark.parametrize(
    ("seconds", "why"),
    [
        (0.5, "a small step of NTP"),
        (-1.9, "a small step back"),
    ],
)
def test_small_steps_are_followed_as_they_come(seconds: float, why: str) -> None:
    machine = Machine()
    machine.is_set(seconds)
    assert (machine.read(), machine.clock.is_certain()) == (seconds, True), why
    assert not machine.leaps


@pytest.mark.parametrize("slept_us", [30 * SECOND_US, 8 * HOUR_US, 3 * DAY_US])
def test_time_that_both_clocks_have_counted_is_no_leap_however_long(slept_us: int) -> None:
    machine = Machine()
    machine.passes(slept_us / SECOND_US)
    assert (machine.read(), machine.clock.is_certain()) == (slept_us / SECOND_US, True)
    assert not machine.leaps


def test_a_clock_that_is_slewed_for_days_never_leaps() -> None:
    machine = Machine()
    for _ in range(10_000):
        machine.passes(30)
        machine.is_set(0.015)  # 500 ppm, the most that a kernel slews by
        machine.read()
    assert machine.read() == pytest.approx(10_000 * 30.015)
    assert not machine.leaps


def test_the_machines_own_clocks_agree() -> None:
    clock = SteadyClock()
    first = clock.now_us()
    assert clock.is_certain()
    assert clock.now_us() >= first


def test_a_leap_that_other_clocks_contradict_is_not_believed_and_reading_goes_on_by_the_time_that_passes() -> None:
    machine = Machine()
    asked: list[tuple[int, float]] = []

    def contradicts(old_us: int, new_us: int, since: float) -> bool:
        asked.append((new_us - old_us, since))
        return True

    machine.clock.contradicts = contradicts
    since = machine.elapsed
    machine.is_set(3000)
    seen = []
    for _ in range(12):
        seen.append(machine.read())
        machine.passes(1)
    assert seen == list(range(12))
    assert asked[0] == (3000 * SECOND_US, since)
    assert (machine.clock.is_certain(), machine.clock.wall_ahead_us()) == (True, 3000 * SECOND_US)
    assert machine.leaps == [Leap(3000, None), Leap(3000, False, is_contradicted=True)], "it is said once"
    machine.is_set(-3000)
    assert (machine.read(), machine.clock.wall_ahead_us()) == (12, 0)
    assert machine.leaps[2:] == [Leap(3000, False)]


def test_a_leap_is_believed_as_soon_as_nobody_contradicts_it_any_more() -> None:
    machine = Machine()
    machine.clock.contradicts = lambda old_us, new_us, since: machine.elapsed - since < 30
    machine.is_set(-120)
    machine.read()
    machine.passes(29)
    assert machine.read() == 29
    machine.passes(1)
    assert (machine.read(), machine.leaps[-1]) == (-90, Leap(-120, True))
