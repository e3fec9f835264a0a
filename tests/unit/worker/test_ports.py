"""Where a worker's pages are served, and what a worker refuses before it makes anything."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.cli.main import run
from streams.config.settings import Settings
from streams.errors import SettingsError
from streams.worker.ports import port_to_serve

HOST = "127.0.0.1"
DEFAULT = Settings.model_fields["http_port"].default


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_port_that_nobody_asked_for_gives_way_to_the_next_free_one() -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, DEFAULT))
            listener.listen()
        except OSError:
            pass  # a worker of this machine has it, which serves as well
        assert DEFAULT < port_to_serve(HOST, None, DEFAULT) < DEFAULT + 32


@pytest.mark.parametrize("by", ["option", "environment"])
def test_a_port_that_was_asked_for_is_refused_when_it_is_taken(by: str, taken: int) -> None:
    asked, default = (taken, DEFAULT) if by == "option" else (None, taken)
    with pytest.raises(SettingsError, match=f"port {taken} on {HOST} is taken by somebody: give --http-port another one"):
        port_to_serve(HOST, asked, default)


@pytest.mark.parametrize("asked", [0, None], ids=["by option", "by environment"])
def test_zero_turns_the_pages_off(asked: int | None) -> None:
    assert port_to_serve(HOST, asked, 0 if asked is None else DEFAULT) == 0


def test_an_exchange_that_is_none_is_refused_before_kafka_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "session.json"
    config.write_text(json.dumps({"exchange": "XNYX", "session_data_config": {"symbols": []}}))
    assert run(["worker", str(config), "--bootstrap", "127.0.0.1:1"]) == 1
    assert "XNYX" in capsys.readouterr().err
