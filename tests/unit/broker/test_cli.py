from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streams.cli.broker import app
from streams.installing import install_line


@pytest.fixture
def runner(tmp_path: Path) -> CliRunner:
    return CliRunner(env={"STREAMS_BROKER_DATA": str(tmp_path / "data"), "COLUMNS": "200"})


def test_status_of_a_broker_that_is_down_exits_with_1_and_says_how_to_start_it(runner: CliRunner) -> None:
    done = runner.invoke(app, ["status"])
    assert done.exit_code == 1
    assert "not running: start it with streams broker up" in done.output


def test_status_as_json_has_every_field_and_no_address_before_the_first_start(runner: CliRunner, tmp_path: Path) -> None:
    done = runner.invoke(app, ["status", "--json"])
    assert json.loads(done.stdout) == {
        "running": False,
        "ready": False,
        "started": False,
        "pid": None,
        "bootstrap_servers": None,
        "data_dir": str(tmp_path / "data"),
        "log": str(tmp_path / "data" / "logs" / "broker.log"),
        "kafka_version": "4.1.0",
    }


def test_down_of_a_broker_that_is_down_is_harmless(runner: CliRunner) -> None:
    done = runner.invoke(app, ["down"])
    assert done.exit_code == 0
    assert "not running" in done.output


def test_up_on_a_data_folder_that_can_not_be_one_exits_with_1_and_the_reason(runner: CliRunner, tmp_path: Path) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("not a folder")
    done = runner.invoke(app, ["up", "--data", str(occupied)])
    assert done.exit_code == 1
    assert done.output.startswith("refused: the data folder")


def test_a_port_that_is_none_is_a_usage_error(runner: CliRunner) -> None:
    assert runner.invoke(app, ["up", "--port", "70000"]).exit_code == 2


@pytest.mark.parametrize("command", ["up", "down", "status"])
def test_every_command_has_help_with_an_example(runner: CliRunner, command: str) -> None:
    done = runner.invoke(app, [command, "--help"])
    assert done.exit_code == 0
    assert f"Example: streams broker {command}" in done.output


def test_without_the_extra_the_command_says_what_to_install(runner: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "streams.broker", None)
    done = runner.invoke(app, ["status"])
    assert done.exit_code == 1
    assert install_line("broker") in done.output


def test_the_default_port_is_kafkas(runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.broker.local.answers", lambda servers: False)  # to find out takes two seconds
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            holder.bind(("127.0.0.1", 9092))
            holder.listen()
        except OSError:
            pass  # something else has it, which serves as well
        done = runner.invoke(app, ["up"], env={"STREAMS_CACHE": str(tmp_path / "cache")})
    assert done.exit_code == 1
    assert "port 9092" in done.output
