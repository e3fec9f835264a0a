"""What `make wheel` builds: installed into an empty environment, its first commands work and its messages advise what works."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from streams import __version__

ROOT = Path(__file__).parents[2]
DECODES = """
from streams.wire.codec import Codec
Codec().bar_from(b'{"symbol":"SPY","interval":"1m","start":"2013-10-07T13:30:00Z","open":1,"high":1,"low":1,"close":1,"volume":1}')
"""


def done(*words: str | Path, code: int = 0) -> str:
    found = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=120, cwd="/", check=False)
    assert found.returncode == code, found.stdout + found.stderr
    return found.stdout + found.stderr


@pytest.mark.slow
def test_a_wheel_in_an_empty_environment_runs_and_says_how_to_install_more(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    done(*pip, "wheel", "--no-deps", "--wheel-dir", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name == f"session_streams-{__version__}-py3-none-any.whl"
    done(sys.executable, "-m", "venv", tmp_path / "venv")
    own = tmp_path / "venv" / "bin"
    done(own / "python", "-m", "pip", "--quiet", "install", wheel)
    assert done(own / "streams", "--version").split() == ["session-streams", __version__]
    assert "produce" in done(own / "streams", "--help")
    done(own / "python", "-c", DECODES)  # the schemas are in the wheel
    assert f"pip install '{wheel}[worker]'" in done(own / "streams", "worker", "session.json", code=1)
    assert "no broker answers at 127.0.0.1:1" in done(own / "streams", "status", "--session", "a", "--bootstrap", "127.0.0.1:1", code=3)
