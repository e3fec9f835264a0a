"""How a row comes about: the subjects run in turn, several rounds, so that a slow moment of the machine meets them all."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """A figure: `value` is the median of all rounds, `low` and `high` their ends; `ratio` is to the first subject of its group."""

    group: str
    subject: str
    unit: str
    value: float
    low: float
    high: float
    ratio: float | None = None


def in_turn(group: str, unit: str, subjects: Mapping[str, Callable[[], float]], rounds: int = 5) -> list[Row]:
    """Run each subject once a round, after one round that does not count; a subject gives its own figure."""
    figures: dict[str, list[float]] = {name: [] for name in subjects}
    for number in range(rounds + 1):
        for name, run in subjects.items():
            figure = run()
            if number:
                figures[name].append(figure)
    first = statistics.median(next(iter(figures.values())))
    return [
        Row(group, name, unit, statistics.median(values), min(values), max(values), statistics.median(values) / first if first else None)
        for name, values in figures.items()
    ]


def seconds_of(run: Callable[[], object]) -> float:
    """How long a call takes."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def machine() -> str:
    """What the figures were taken on."""
    return f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()} {platform.release()}, Python {platform.python_version()}"
