"""`streams`: the one command, whose sub-commands live in one file a group.

Only the file of the sub-command that is called is imported; the others stand in the list by name. So `streams --help` is
quick, and a plain install, which lacks what the worker or the broker needs, says what to install instead of failing.
What is expected to go wrong ends in one sentence on standard error and an exit code:

    0    done
    1    refused, or a file or a broker's answer is at fault: the reason is said
    2    the command was not called rightly
    3    nobody there: no broker, or no worker of the session
    4    the gate is shut, so an external read tells nothing
    10+  a worker's fatal errors, see `streams.errors`; 21, a right on the broker is missing, is also every other command's
    130  interrupted
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from inspect import getdoc
from typing import TYPE_CHECKING, Annotated, Final

import typer
from typer.models import CommandInfo

from streams import __version__

if TYPE_CHECKING:
    from streams.errors import StreamsError


@dataclass(frozen=True, slots=True)
class Command:
    """A sub-command that is imported when it is called: where it lives, what the list says, which extra it needs."""

    name: str
    module: str
    summary: str
    panel: str
    extra: str | None = None


_SESSION: Final = "A running session"
_BARS: Final = "Bars"
_RUN: Final = "Running"

COMMANDS: Final = (
    Command("demo", "demo.scenes", "Show it all once, with real bars and a crash.", _RUN, "worker,broker"),
    Command("broker", "broker", "A real Kafka broker on this machine.", _RUN, "broker"),
    Command("worker", "worker", "Run a session: the live worker.", _RUN, "worker"),
    Command("replay", "replay", "Replay a session's bars for a backtest.", _RUN, "replay"),
    Command("produce", "files.produce", "Send bars from files or a pipe to their topics.", _BARS),
    Command("import", "files.imports", "Fill a store of past bars from files.", _BARS, "replay"),
    Command("history", "files.history", "A store of past bars: list, verify, export.", _BARS, "replay"),
    Command("watch", "watch", "Watch what a session publishes: its analysis topic.", _SESSION),
    Command("sessions", "sessions", "List the sessions of a cluster, and who works on each.", _SESSION),
    Command("status", "status", "Show a session: gate, symbols, lag, counts.", _SESSION),
    Command("show", "reads", "Show a symbol: how far it is, its day, its newest bars.", _SESSION),
    Command("quality", "reads", "Show how complete the bars are.", _SESSION),
    Command("gaps", "reads", "List the gaps of a symbol's day.", _SESSION),
    Command("export", "files.export", "Export what a session holds, or what is new: JSON, CSV, Parquet.", _SESSION, "replay"),
    Command("dead-letters", "deadletters", "Records that a session could not take in: list, show, send again.", _SESSION),
    Command("verify", "verify", "Check a session against its journal: every record, every row.", _SESSION, "replay"),
    Command("add-symbol", "symbols", "Add a symbol to a running session.", _SESSION),
    Command("remove-symbol", "symbols", "Remove a symbol from a running session.", _SESSION),
    Command("symbol-list", "symbols", "List a session's symbols.", _SESSION),
    Command("list-dynamic", "symbols", "List the symbols that were added while the session ran.", _SESSION),
)


def build(called: str | None = None) -> typer.Typer:
    """The command line with one sub-command imported, or with all of them when `called` is `*`."""
    app = typer.Typer(
        name="streams",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        help="Gated, exactly-once sessions of market bars on Kafka.",
        epilog="Example: streams broker up, then streams worker examples/live.json, then streams watch --session main",
    )
    app.callback()(_root)
    for command in COMMANDS:
        if called in (command.name, "*"):
            _add(app, command)
        else:
            app.command(command.name, rich_help_panel=command.panel, help=command.summary)(_nothing)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(run(given))


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns its exit code. Errors that are expected are said in one sentence."""
    from streams.errors import StreamsError

    completing = "_STREAMS_COMPLETE" in os.environ
    called = "*" if completing else next((word for word in arguments if not word.startswith("-")), None)
    try:
        build(called)(list(arguments), prog_name="streams")
    except StreamsError as error:
        print(f"error: {error}", file=sys.stderr)
        return exit_code_of(error)
    except KeyboardInterrupt:
        return 130
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    return 0


def exit_code_of(error: StreamsError) -> int:
    """The exit code that stands for an error, as the module's docstring lists them."""
    from streams.errors import FatalError, ForbiddenError, MissingRightError, NobodyThereError, SettingsError

    match error:
        case FatalError():
            return error.exit_code
        case MissingRightError():
            return ForbiddenError.exit_code
        case NobodyThereError():
            return 3
        case SettingsError():
            return 2
        case _:
            return 1


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"session-streams {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.", is_eager=True, callback=_print_version)] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log details to standard error.")] = False,
) -> None:
    from loguru import logger

    logger.remove()
    logger.add(sys.stderr, level="DEBUG" if verbose else "INFO")


def _nothing() -> None:
    """Stands in the list for a command whose file is not imported."""


def _add(app: typer.Typer, command: Command) -> None:
    """Import a sub-command's file and put what it holds in the sub-command's place."""
    try:
        module = import_module(f"streams.cli.{command.module}")
    except ModuleNotFoundError as error:
        if command.extra is None:
            raise
        app.command(command.name, rich_help_panel=command.panel, help=command.summary, context_settings=_ANY_ARGUMENTS)(
            _not_installed(command, error)
        )
        return
    group: typer.Typer = module.app
    for single in group.registered_commands:
        single.help = _reflowed(single.help or getdoc(single.callback) or "")
        if _name_of(single) == command.name:
            single.rich_help_panel = command.panel
            app.registered_commands.append(single)
            return
    app.add_typer(group, name=command.name, rich_help_panel=command.panel)


def _reflowed(text: str) -> str:
    """The text with each paragraph on one line: typer keeps the line breaks of a docstring, which no terminal's width fits."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def _name_of(single: CommandInfo) -> str | None:
    """The command's name, which by default is that of its function."""
    return single.name or (single.callback.__name__.replace("_", "-") if single.callback else None)


_ANY_ARGUMENTS: Final = {"allow_extra_args": True, "ignore_unknown_options": True}


def _not_installed(command: Command, error: ModuleNotFoundError) -> Callable[[], None]:
    def tell() -> None:
        from streams.installing import install_line  # not needed by a start that works

        print(
            f"error: `streams {command.name}` needs more than this install has ({error}): {install_line(command.extra or 'worker')}",
            file=sys.stderr,
        )
        raise typer.Exit(1)

    return tell


if __name__ == "__main__":
    main()
