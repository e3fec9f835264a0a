"""What a session of real bars comes to, printed as JSON: for comparing interpreters. Imports the product alone.

PYTHONPATH=. python -P tests/support/sessions/values.py examples/data/lean
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from io import StringIO
from pathlib import Path

from streams.config.session import SessionConfig
from streams.engine.reads import SessionData
from streams.replay.lean_source import LeanSource
from streams.replay.runner import EPOCH, Replay
from streams.replay.sinks import JsonLines, Outputs
from streams.wire.codec import Codec

SYMBOLS = ["AIG", "BAC", "IBM", "SPY"]
PERIODS = (5, 10, 14, 20, 50)
_DAY = "2013-10-09"


def config() -> SessionConfig:
    """A day after two, with an average of each kind and period over minutes and hours, and all daily ones."""
    averages = [
        {"name": f"{kind}{period}-{interval}", "kind": kind, "period": period, "interval": interval}
        for kind in ("sma", "ema", "atr", "vwap")
        for period in PERIODS
        for interval in ("1m", "5m")
    ]
    daily = [{"name": kind, "kind": kind, "period": 2} for kind in ("average_daily_volume", "vwap")]
    return SessionConfig.from_dict(
        {
            "session_name": "pythons",
            "mode": "backtest",
            "exchange": "XNYS",
            "session_data_config": {
                "symbols": SYMBOLS,
                "streams": ["1m"],
                "derived_intervals": ["5m", "15m", "1h"],
                "historical": {"trailing_days": 2, "indicators": [*averages, *daily]},
            },
            "backtest_config": {"start_date": _DAY, "end_date": _DAY},
        }
    )


def main(folder: str) -> None:
    """Replay, and print the values, the hash of the records and that of the rows."""
    session = config()
    replay = Replay(session, source=LeanSource.of([Path(folder)]))
    outputs = Outputs(session.session_name, EPOCH, JsonLines(StringIO()))
    for step in replay.steps():
        outputs.take(step)
    codec, data = Codec(), SessionData(replay.session.state)
    rows = hashlib.sha256()
    for key, row in sorted(replay.session.rows.items()):
        rows.update(key.encode() + codec.row_to(row))
    indicators = {symbol: data.get_indicators(symbol, internal=True) for symbol in SYMBOLS}
    told = {"python": platform.python_version(), "indicators": indicators, "records": outputs.sha256, "rows": rows.hexdigest()}
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1])
