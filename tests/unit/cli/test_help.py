"""The command line without a broker: what it lists, what it imports, how it ends."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from itertools import pairwise

import pytest
import typer
from typer.testing import CliRunner

from streams import __version__
from streams.cli.main import COMMANDS, build, exit_code_of, run
from streams.errors import CommandRefusedError, FencedError, NobodyThereError, SettingsError, StreamsError
from streams.installing import install_line

LEAN = "examples/data/lean/equity/usa"


def all_commands() -> list[list[str]]:
    """Every command that can be called, as its words."""
    words = []
    for command in COMMANDS:
        if find_spec(f"streams.cli.{command.module}") is None:
            continue
        called = typer.main.get_command(build(command.name))
        found = called.commands[command.name]
        words.extend([[command.name, name] for name in getattr(found, "commands", {})] or [[command.name]])
    return words


@pytest.mark.parametrize("words", all_commands(), ids=" ".join)
def test_every_command_has_help_with_an_example_that_calls_it(words: list[str]) -> None:
    shown = CliRunner().invoke(build(words[0]), [*words, "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    text = re.sub(r"\s+", " ", shown.output)
    assert "Example: " in text
    assert f"streams {' '.join(words)}" in text.partition("Example: ")[2]


@pytest.mark.parametrize("words", all_commands(), ids=" ".join)
def test_help_breaks_its_lines_where_the_terminal_ends_only(words: list[str]) -> None:
    shown = CliRunner().invoke(build(words[0]), [*words, "--help"], env={"COLUMNS": "60", "TERMINAL_WIDTH": "60"}).output
    prose = shown.partition("\u256d")[0]  # a box with arguments or options begins
    for paragraph in re.split(r"\n\s*\n", prose):
        lines = [line.strip() for line in paragraph.strip().splitlines()]
        for line, next_line in pairwise(lines):
            assert len(f"{line} {next_line.split()[0]}") > 58, f"{line!r} ends before the terminal does"


@pytest.mark.parametrize(
    "words",
    [["watch"], ["status"], ["verify"], ["add-symbol"], ["remove-symbol"], ["symbol-list"], ["list-dynamic"], ["export"]],
    ids=" ".join,
)
def test_commands_about_a_session_take_broker_session_and_json(words: list[str]) -> None:
    shown = CliRunner().invoke(build(words[0]), [*words, "--help"], env={"COLUMNS": "200"}).output
    for option in ("--bootstrap", "--session", "--json", "STREAMS_BOOTSTRAP_SERVERS", "STREAMS_SESSION"):
        assert option in shown


def test_the_list_names_every_command_and_imports_none() -> None:
    code = (
        "import sys; from streams.cli.main import run; run(['--help']);"
        "print([name for name in ('confluent_kafka', 'faust', 'pandas', 'pydantic', 'loguru') if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.rstrip().endswith("[]")
    for command in COMMANDS:
        assert command.name in ended.stdout


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"session-streams {__version__}\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [(NobodyThereError("x"), 3), (CommandRefusedError("x"), 1), (SettingsError("x"), 2), (FencedError("x"), 11)],
)
def test_each_expected_error_has_its_exit_code(error: StreamsError, code: int) -> None:
    assert exit_code_of(error) == code


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["produce", "lean", "no/such/folder"], 1, "no/such/folder: there is no such file or folder"),
        (["produce", "lean", "x", "--speed", "fast"], 2, "'fast' is not a speed"),
        (["produce", "lean", "x", "--from", "soon"], 2, "neither a time of day"),
        (["produce", "csv", "x", "--zone", "Mars/Base"], 2, "'Mars/Base' is not a time zone"),
        (["produce", "csv", "no-such.csv"], 1, "no-such.csv"),
        (["watch"], 2, "give --session main"),
        (["status", "--session", "a b"], 2, "STREAMS_SESSION"),
        (["status", "--session", "main", "--bootstrap", "a:b:c"], 2, "STREAMS_BOOTSTRAP_SERVERS"),
        (["add-symbol", "IBM", "--session", "main", "--streams", "1x"], 2, "'1x' is no interval"),
        (["add-symbol", "IBM", "--session", "main", "--start", "2013-10-07T09:30"], 2, "has no time zone"),
        (["add-symbol", "IBM", "--session", "main", "--start", "093000"], 2, "before 1973"),
        (["no-such-command"], 2, "No such command"),
    ],
)
def test_what_is_wrong_is_said_in_words_and_never_as_a_traceback(
    words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("STREAMS_SESSION", raising=False)
    if words[:2] == ["produce", "csv"] and words[2] == "no-such.csv":
        words = [*words, "--bootstrap", "127.0.0.1:1"]
    assert run(words) == code
    shown = capsys.readouterr().err
    assert said in shown
    assert "Traceback" not in shown


def test_the_client_and_its_commands_need_nothing_but_the_plain_install() -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('aiohttp', 'aiokafka', 'exchange_calendars', 'faust', 'jgo', 'numpy', 'pandas',"
        "'prometheus_client', 'psutil', 'pyarrow')));"
        "import streams.cli.files.produce, streams.cli.status, streams.cli.symbols, streams.cli.watch; print('imported')"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == ("imported\n", "")


@pytest.mark.parametrize("words", [["status", "--session", "main"], ["worker", "examples/live.json", "--http-port", "0"]])
@pytest.mark.parametrize("properties", ['{"no.such.property": "1"}', '{"security.protocol": "SSLL"}', '{"linger.ms": "soon"}'])
def test_a_property_that_librdkafka_does_not_know_is_a_setting_at_fault(
    words: list[str], properties: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMS_KAFKA_CONFIG", properties)
    assert run([*words, "--bootstrap", "127.0.0.1:1"]) == 2
    told = capsys.readouterr().err
    assert "error: STREAMS_KAFKA_CONFIG: " in told
    assert "Traceback" not in told


def test_without_a_broker_each_command_says_so_and_ends_with_three() -> None:
    commands = [
        ["status", "--session", "main"],
        ["produce", "lean", f"{LEAN}/minute/spy"],
        ["replay", "examples/backtest.json"],
        ["replay", "examples/backtest.json", LEAN, "--to", "topic"],
    ]
    # Port 1 is reserved and nothing listens on it. All at once, since each tries for five seconds.
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "streams.cli.main", *words, "--bootstrap", "127.0.0.1:1"], stderr=subprocess.PIPE, text=True
        )
        for words in commands
    ]
    for words, process in zip(commands, running, strict=True):
        _, shown = process.communicate(timeout=60)
        assert process.returncode == 3, words
        assert "no broker answers at 127.0.0.1:1" in shown, words
        assert "`streams broker up` starts one" in shown, words
        # librdkafka would write lines such as "%3|1381152600.123|FAIL|rdkafka#producer-1| ..." of its own.
        assert len(shown.strip().splitlines()) == 1, words


def test_a_command_that_this_install_lacks_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "streams.cli.worker", None)
    assert run(["worker", "config.json", "--any-option"]) == 1
    assert install_line("worker") in capsys.readouterr().err
