"""Averages on every Python that is here: they are plain arithmetic, so they need no environment."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from streams.engine import averages
from tests.support.interpreters import other_interpreters

_PROGRAM = """
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("averages", sys.argv[1])
averages = importlib.util.module_from_spec(spec)
spec.loader.exec_module(averages)
exec(sys.argv[2])
print(json.dumps(told(averages)))
"""
# What is asked of them, as text: it runs here and there. repr of a float, which json writes, tells every bit.
_ASKED = """
class Bar:
    def __init__(self, close):
        self.high, self.low, self.close = close + 0.03, close - 0.07, close

def told(averages):
    closes = [round(100 + (n * 7919 % 1000) / 100, 2) for n in range(500)]
    return [
        [averages.sma(20, closes[n:n + 20]), averages.ema(20, closes[n:n + 40]), averages.atr(20, [Bar(one) for one in closes[n:n + 40]])]
        for n in range(0, 460)
    ] + [averages.sma(10, [0.1] * 10)]
"""


def test_averages_have_the_same_bits_on_every_python() -> None:
    others = other_interpreters()
    if not others:
        pytest.skip("there is one Python alone here")
    here: dict[str, Any] = {}
    exec(_ASKED, here)
    expected = json.loads(json.dumps(here["told"](averages)))
    assert expected[-1] == 0.1
    for version, interpreter in others.items():
        words = [str(interpreter), "-I", "-c", _PROGRAM, str(Path(averages.__file__)), _ASKED]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, (version, done.stderr)
        assert json.loads(done.stdout) == expected, version
