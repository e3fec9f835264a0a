"""`streams broker up | down | status`: the real Apache Kafka as a local process, without Docker or an installed Java.

The broker stays up when the command ends. Its data, settings and log lie in one folder, and its topics are kept until
the folder is deleted.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from streams.cli.folders import check_folder
from streams.errors import BrokerError
from streams.installing import install_line

if TYPE_CHECKING:
    from streams.broker import BrokerStatus, LocalBroker
    from streams.broker.jars import Progress as JarProgress

app = typer.Typer(
    no_args_is_help=True,
    help="A real Kafka broker on this machine: no Docker, no installed Java.",
    epilog="Example: streams broker up",
)

_errors = Console(stderr=True)

DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        envvar="STREAMS_BROKER_DATA",
        metavar="DIR",
        help="The broker's folder: topics, settings, log. By default one among your application data, the same from everywhere.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one line of JSON.")]


@app.command(epilog="Example: streams broker up --data ./kafka --port 9092")
def up(
    data: DataOption = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            help="Where clients connect. By default the port of the last run in this folder, at first 9092.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Start the broker and wait until it is ready; harmless when it is running already.

    The first time, Kafka's jars (39 MB) are downloaded from Maven Central, checked, and cached (STREAMS_CACHE names the folder).
    """
    if data is not None:
        check_folder(data.expanduser().absolute().parent, "--data")
    with _refusals():
        broker = _broker(data, port)
        with _jar_progress() as progress:
            status = broker.up(progress)
    _show(
        status, as_json, f"{'started' if status.started else 'already running'}: Kafka {status.kafka_version} on {status.bootstrap_servers}"
    )


@app.command(epilog="Example: streams broker down --data ./kafka")
def down(data: DataOption = None, as_json: JsonOption = False) -> None:
    """End the broker cleanly and keep its data; harmless when it is not running."""
    with _refusals():
        broker = _broker(data, None)
        was_running = broker.pid is not None
        status = broker.down()
    _show(status, as_json, "stopped" if was_running else "not running")


@app.command(epilog="Example: streams broker status --json")
def status(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Say whether the broker runs, and where; exit code 1 when no broker answers."""
    with _refusals():
        found = _broker(data, None).status()
    if found.ready:
        headline = f"running: Kafka {found.kafka_version} on {found.bootstrap_servers}"
    elif found.running:
        headline = f"process {found.pid} is there, and does not answer on {found.bootstrap_servers}: see its log"
    else:
        headline = "not running: start it with streams broker up"
    _show(found, as_json, headline)
    if not found.ready:
        raise typer.Exit(1)


def _broker(data: Path | None, port: int | None) -> LocalBroker:
    try:
        from streams.broker import DEFAULT_PORT, LocalBroker, default_data_dir
    except ImportError as error:
        raise BrokerError(f"the embedded broker is not installed ({error}): {install_line('broker')}") from error
    folder = data or default_data_dir()
    return LocalBroker(folder, port or LocalBroker(folder).last_port or DEFAULT_PORT)


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except BrokerError as error:
        _refuse(str(error))


def _refuse(reason: str) -> NoReturn:
    print(f"refused: {reason}", file=sys.stderr)
    raise typer.Exit(1)


@contextmanager
def _jar_progress() -> Iterator[JarProgress]:
    """Draws a bar on a terminal, and says one line elsewhere; nothing when all is there."""
    columns = (TextColumn("downloading Apache Kafka"), BarColumn(), MofNCompleteColumn(), TextColumn("jars"), TimeElapsedColumn())
    with Progress(*columns, console=_errors, transient=True, disable=not _errors.is_terminal) as bar:
        task = bar.add_task("jars", total=None, visible=False)
        announced = False

        def tell(done: int, total: int) -> None:
            nonlocal announced
            if done < total and not announced:
                announced = True
                if not _errors.is_terminal:
                    print(f"downloading Apache Kafka: {total - done} jars", file=sys.stderr)
            bar.update(task, completed=done, total=total, visible=done < total)

        yield tell


def _show(found: BrokerStatus, as_json: bool, headline: str) -> None:
    if as_json:
        print(msgspec.json.encode(found).decode())
        return
    print(headline)
    print(f"  data  {found.data_dir}\n  log   {found.log}")
