"""The programs of docs/guide.md, run against a session in process."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from streams.client import asession, session
from tests.support.api import app_over
from tests.unit.api.worlds import active_desk
from tests.unit.client.test_session_client import OverApp

GUIDE = (Path(__file__).parents[3] / "docs" / "guide.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"^```python\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def over_app(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let both clients reach an active session in process instead of the network."""
    app = app_over(active_desk())
    blocking, asynchronous = httpx.Client, httpx.AsyncClient
    monkeypatch.setattr(session.httpx, "Client", lambda **more: blocking(**more | {"transport": OverApp(app)}))
    monkeypatch.setattr(asession.httpx, "AsyncClient", lambda **more: asynchronous(**more | {"transport": httpx.ASGITransport(app)}))


@pytest.mark.usefixtures("over_app")
@pytest.mark.parametrize("program", PROGRAMS, ids=["SessionClient", "AsyncSessionClient"])
def test_a_program_of_the_guide_prints_bars_with_aware_times(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(program, "docs/guide.md", "exec"), {})
    printed = capsys.readouterr().out
    assert re.search(r"^(SPY )?2013-10-08 \d\d:\d\d:00\+00:00 \d+(\.\d+)?$", printed, re.MULTILINE), printed
