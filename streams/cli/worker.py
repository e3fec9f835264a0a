"""`streams worker CONFIG`: run a session."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from loguru import logger

from streams.cli.options import Bootstrap, SessionName, load_settings, named
from streams.config.session import SessionConfig
from streams.errors import ClockError, SessionConfigError, SettingsError
from streams.times import SystemClock
from streams.worker.app import SessionWorker
from streams.worker.clock.judge import check_possible
from streams.worker.instance import Instance
from streams.worker.log import set_up
from streams.worker.ports import port_to_serve
from streams.worker.process import run
from streams.worker.process import supervise as supervise_command
from streams.worker.shutdown import die
from streams.worker.sources.calendars import wanted_through

app = typer.Typer()


@app.command(name="worker", epilog="Example: streams worker examples/session.json --supervise")
def worker(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The session's config file, JSON.")],
    bootstrap: Bootstrap = None,
    session: SessionName = None,
    instance_id: Annotated[
        str | None,
        typer.Option(
            "--instance-id",
            envvar="STREAMS_INSTANCE_ID",
            metavar="NAME",
            help="This worker's name, stable over restarts and unlike any other's; by default a free slot of this machine.",
            show_default=False,
        ),
    ] = None,
    http_port: Annotated[
        int | None,
        typer.Option(
            "--http-port",
            envvar="STREAMS_HTTP_PORT",
            min=0,
            max=65535,
            help="Where HTTP is served, on 127.0.0.1; 0 turns it off. By default 6066, or the next free port.",
            show_default=False,
        ),
    ] = None,
    adopt_config: Annotated[
        bool, typer.Option("--adopt-config", help="As a standby, take over with this config even if the session runs under another.")
    ] = False,
    supervise: Annotated[bool, typer.Option("--supervise", help="Start the worker again whenever it ends with an error.")] = False,
) -> None:
    """Run a session: read bars and commands, keep its state, publish what is fresh.

    A second worker of the same session is a hot standby. SIGTERM or Ctrl-C ends it within five seconds.
    """
    remarks: list[str] = []
    settings = load_settings(bootstrap, tell=remarks.append).model_copy(update=_given(instance_id=instance_id))
    set_up(settings)
    if supervise:
        arguments = [argument for argument in sys.argv[1:] if argument != "--supervise"]
        raise typer.Exit(supervise_command([sys.executable, "-m", "streams.cli.main", *arguments]))
    for remark in remarks:
        logger.warning("{}", remark)
    wanted = named(SessionConfig.load(config), session)
    if wanted.mode != "live":
        raise typer.BadParameter("mode is backtest in this config: `streams replay` runs it; for the worker it must be live")
    now_us = SystemClock().now_us()
    try:
        check_possible(now_us)  # before anything goes by it
    except ClockError as error:
        die(error, settings)
    try:
        # An exchange that is none is a mistake in the file, to be said before anything is made. The session opens with the same days.
        wanted.calendar(wanted_through(now_us))
    except SessionConfigError as error:
        raise SessionConfigError(f"{config}: {error}") from None
    if wanted.hours_remark is not None:
        logger.warning("{}: {}", config, wanted.hours_remark)
    settings = settings.model_copy(update={"http_port": port_to_serve(settings.http_host, http_port, settings.http_port)})
    try:
        one = SessionWorker(wanted, settings, Instance.claim(settings, wanted.session_name), adopt_config=adopt_config)
        pages = f"HTTP on http://{settings.http_host}:{settings.http_port}" if settings.http_port else "no HTTP"
        logger.info("worker {} of session {}, {}", one.instance.name, wanted.session_name, pages)
        one.prepare(settings)
    except SettingsError:
        raise  # said in one sentence, with the exit code of a wrong call, which a supervisor does not try again
    except Exception as error:
        die(error, settings)
    run(one)


def _given(**options: object) -> dict[str, object]:
    return {name: value for name, value in options.items() if value is not None}
