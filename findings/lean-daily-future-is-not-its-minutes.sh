#!/usr/bin/env bash
# LEAN's sample of the ES future (CME) has a daily bar of Sunday 2013-10-06 with the open, high, low and close of that date's minutes
# and 2.07 times their volume: 21,573 contracts, where the minutes of the same contract have 10,442. The Sunday is a bar of its own
# although CME counts its two hours to Monday. So daily and minute files of futures can't be mixed or checked against each
# other, and a daily average of volumes from one is twice that from the other.
# Matters to whoever backtests futures with daily filters (average volume, liquidity) and minute entries, or checks resampled
# minutes against the daily file. On Coinbase's and FXCM's samples the two agree.
# Data: future/cme/{daily/es_trade.zip, minute/es/20131006_trade.zip} of QuantConnect/Lean, Apache-2.0, copied in tests/data/lean.
# Versions: Polars 2.1.0, Python 3.11. Seen 2026-11-30:
#   daily 20131006 [1676.75, 1678.25, 1673.25, 1676.5] volume 21573
#   minutes 22:00Z to 23:59Z [1676.75, 1678.25, 1673.25, 1676.5] volume 10442, 118 rows
set -euo pipefail
data=$(cd "$(dirname "$0")/../tests/data/lean/future/cme" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
changed() { echo "NOT AS DESCRIBED ANY MORE: $*" >&2; exit 1; }

python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check polars==2.1.0

"$work/venv/bin/python" - "$data" <<'END' || changed "the daily bar and the minutes are other than described"
import io
import sys
import zipfile

import polars as pl


def rows(name, entry):
    with zipfile.ZipFile(f"{sys.argv[1]}/{name}") as archive:
        return pl.read_csv(io.BytesIO(archive.read(entry)), has_header=False, new_columns=["time", "open", "high", "low", "close", "volume"])


minutes = rows("minute/es/20131006_trade.zip", "20131006_es_minute_trade_201312.csv")
summed = minutes.select(pl.first("open"), pl.max("high"), pl.min("low"), pl.last("close"), pl.sum("volume")).row(0)
daily = rows("daily/es_trade.zip", "es_trade_201312.csv").filter(pl.col("time") == "20131006 00:00").row(0)[1:]
print("daily 20131006", list(daily[:4]), "volume", daily[4])
print("minutes", list(summed[:4]), "volume", summed[4], "in", minutes.height, "rows")
assert daily == (1676.75, 1678.25, 1673.25, 1676.5, 21573), daily
assert summed == (1676.75, 1678.25, 1673.25, 1676.5, 10442), summed
END
echo "as described: the same prices, and twice the volume in the daily bar"
