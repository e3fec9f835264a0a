"""How a row comes about: the subjects run in turn, several rounds, so that a slow moment of the machine meets them all.

A row is a median with its ends. It says which way is better, how many times better the first subject of its group is, and
whether its targets are met; a row with nothing to reach or to compare leaves those out.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TypeVar

T = TypeVar("T")


class Better(StrEnum):
    """Which way a figure is better."""

    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    Attributes:
        rounds: how often each subject counts.
        small: sizes at which the figures mean nothing, to see that everything still runs.
        servers: a broker to use; None for one of the measurement's own.
    """

    rounds: int = 3
    small: bool = False
    servers: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """What a row is to reach: its value, or (`of_factor`) how many times better the first subject of its group is."""

    bound: float
    better: Better
    of_factor: bool = False


def at_least(bound: float) -> Target:
    """The value is to be `bound` or more."""
    return Target(bound, Better.HIGHER)


def at_most(bound: float) -> Target:
    """The value is to be `bound` or less."""
    return Target(bound, Better.LOWER)


def first_better_by(factor: float) -> Target:
    """The group's first subject is to be at least `factor` times better than this one."""
    return Target(factor, Better.HIGHER, of_factor=True)


def first_better_by_no_more_than(factor: float) -> Target:
    """The group's first subject is to be at most `factor` times better than this one."""
    return Target(factor, Better.LOWER, of_factor=True)


@dataclass(frozen=True, slots=True)
class Row:
    """A figure: `value` is the median of `count` rounds, `low` and `high` their ends.

    `factor` says how many times better the first subject of the group is: above 1 it is ahead of this one, below 1 behind.
    """

    group: str
    subject: str
    unit: str
    value: float
    low: float
    high: float
    count: int
    better: Better
    factor: float | None = None
    targets: Sequence[Target] = field(default=())
    note: str = ""

    def meets(self, target: Target) -> bool:
        """Whether a target is met; one about a factor that nobody worked out is not."""
        figure = self.factor if target.of_factor else self.value
        if figure is None:
            return False
        return figure >= target.bound if target.better is Better.HIGHER else figure <= target.bound


def row_of(
    group: str, subject: str, unit: str, values: Sequence[float], *, better: Better, targets: Iterable[Target] = (), note: str = ""
) -> Row:
    """The row of one subject's figures, one a round; `compared` adds the factor."""
    return Row(
        group, subject, unit, statistics.median(values), min(values), max(values), len(values), better, targets=tuple(targets), note=note
    )


def compared(rows: Sequence[Row]) -> list[Row]:
    """The rows of one group, with the factor by which the first is better than each of the others."""
    first = rows[0]
    return [first, *(replace(row, factor=_factor(first, row)) for row in rows[1:])]


def _factor(first: Row, other: Row) -> float | None:
    upper, lower = (first.value, other.value) if first.better is Better.HIGHER else (other.value, first.value)
    return upper / lower if lower else None


def rounds_of(subjects: Mapping[str, Callable[[], T]], rounds: int, *, warm_up: bool = True) -> dict[str, list[T]]:
    """What each subject gave, one result a round, in alternation; with `warm_up` after a round that does not count."""
    results: dict[str, list[T]] = {name: [] for name in subjects}
    for number in range(rounds + warm_up):
        for name, run in subjects.items():
            result = run()
            if number >= warm_up:
                results[name].append(result)
    return results


def in_turn(
    group: str,
    unit: str,
    subjects: Mapping[str, Callable[[], float]],
    rounds: int,
    *,
    better: Better,
    targets: Mapping[str, Sequence[Target]] | None = None,
    notes: Mapping[str, str] | None = None,
    warm_up: bool = True,
) -> list[Row]:
    """The rows of a group whose subjects give one figure a run: each runs once a round, and the first is what others are compared to."""
    figures = rounds_of(subjects, rounds, warm_up=warm_up)
    return compared(
        [
            row_of(group, name, unit, values, better=better, targets=(targets or {}).get(name, ()), note=(notes or {}).get(name, ""))
            for name, values in figures.items()
        ]
    )


def seconds_of(run: Callable[[], object]) -> float:
    """How long a call takes."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def machine() -> str:
    """What the figures were taken on, and how busy it was with other things."""
    load = f", load {os.getloadavg()[0]:.1f} before" if hasattr(os, "getloadavg") else ""
    return (
        f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()} {platform.release()}, Python {platform.python_version()}{load}"
    )
