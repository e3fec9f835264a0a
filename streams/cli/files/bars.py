"""What the commands about a store share: where it is, and a progress bar for whoever looks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from streams.cli.options import is_watched

Store = Annotated[Path, typer.Option("--store", metavar="DIR", help="The store's folder.", show_default=False)]


class Counter:
    """How far something is, on a terminal's standard error; elsewhere it shows nothing."""

    def __init__(self, progress: Progress, task: TaskID, is_shown: bool) -> None:
        self._progress = progress
        self._task = task
        self.is_shown = is_shown

    def add(self, count: int) -> None:
        """So many more are done."""
        self._progress.advance(self._task, count)

    def to(self, done: int) -> None:
        """So many are done."""
        self._progress.update(self._task, completed=done)

    def at(self, what: str) -> None:
        """This is being worked on."""
        self._progress.update(self._task, at=what)


@contextmanager
def counting(what: str, total: int) -> Iterator[Counter]:
    """A progress bar over `total` of something, gone when it is over."""
    console = Console(stderr=True)
    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[at]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    is_shown = is_watched(console)
    with Progress(*columns, console=console, transient=True, disable=not is_shown) as progress:
        yield Counter(progress, progress.add_task(what, total=total, at=""), is_shown)
