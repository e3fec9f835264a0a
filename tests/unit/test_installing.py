"""The command that a message advises to install an extra: from where the package itself came, as pip wrote it down."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streams import installing


class Installed:
    """A distribution with this `direct_url.json`; the forms are those of PEP 610."""

    def __init__(self, origin: dict[str, object] | None) -> None:
        self._origin = origin

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return None if self._origin is None else json.dumps(self._origin)


def line(monkeypatch: pytest.MonkeyPatch, origin: dict[str, object] | None) -> str:
    monkeypatch.setattr(installing, "distribution", lambda name: Installed(origin))
    return installing.install_line("worker")


def test_from_a_folder_or_a_wheel_the_same_place_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wheel = tmp_path / "a b" / "session_streams-0.2.0-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.touch()
    assert line(monkeypatch, {"url": wheel.as_uri(), "archive_info": {}}) == f"pip install '{wheel}[worker]'"
    assert line(monkeypatch, {"url": tmp_path.as_uri(), "dir_info": {}}) == f"pip install '{tmp_path}[worker]'"
    editable = {"url": tmp_path.as_uri(), "dir_info": {"editable": True}}
    assert line(monkeypatch, editable) == f"pip install --editable '{tmp_path}[worker]'"


@pytest.mark.parametrize("origin", [None, {"url": "file:///gone/session_streams.whl"}, {"url": "https://example.org/a.whl"}])
def test_where_the_place_is_not_known_the_reader_is_asked_to_name_it(
    monkeypatch: pytest.MonkeyPatch, origin: dict[str, object] | None
) -> None:
    expected = "pip install 'PATH[worker]', where PATH is the folder or the wheel of session-streams (`make wheel` builds one)"
    assert line(monkeypatch, origin) == expected
