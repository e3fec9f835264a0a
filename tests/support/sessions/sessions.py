"""Configs of sessions that trade around the clock on second bars: what tests with real workers run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streams.config.session import SessionConfig
from tests.support.feeders import around_the_clock


def second_bars(
    name: str,
    symbols: Sequence[str],
    *,
    derived: Sequence[str] = ("5s",),
    threshold_seconds: int = 300,
    per_symbol: Mapping[str, Mapping[str, object]] | None = None,
    extra: Sequence[str] = (),
    bars_topic: bool = False,
    **keys: object,
) -> SessionConfig:
    """A session of `symbols`; `per_symbol` has their streaming settings, `extra` is quotes, ticks or both, `keys` are for the top."""
    streaming: dict[str, object] = {"catchup_threshold_seconds": threshold_seconds}
    if per_symbol:
        streaming["symbols"] = {symbol: dict(own) for symbol, own in per_symbol.items()}
    return SessionConfig.from_dict(
        {
            "session_name": name,
            **around_the_clock(),
            "session_data_config": {
                "symbols": list(symbols),
                "streams": ["1s", *extra],
                "derived_intervals": list(derived),
                "streaming": streaming,
                "bars_topic": bars_topic,
            },
            **keys,
        }
    )


def thresholds_of_all_kinds(symbols: Sequence[str], seconds: int) -> dict[str, dict[str, object]]:
    """Own settings for the first three symbols, so that bars are held back and published, gated and not, in one session."""
    return {
        symbols[0]: {"catchup_threshold_seconds": 60, "gates": False},
        symbols[1]: {"catchup_threshold_seconds": seconds // 2, "catchup_check_interval": 3},
        symbols[2]: {"gates": False},
    }
