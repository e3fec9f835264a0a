#!/usr/bin/env bash
# pandas' tz_localize(ambiguous="infer") tells the hour that comes twice by the order of the rows, and takes them to be of one series,
# oldest first, without a look at it. With the newest row first, as many exchanges write their files, hourly bars get the two passes
# swapped without a word: the result runs back in time in its middle. Half-hourly bars raise, so a test with those finds nothing. With
# two symbols in one file that have one row each in that hour, the second symbol's row goes to the second pass without a word.
# Matters to whoever turns local times of bars or trades into UTC: one hour a year two bars are each other's, or one is an hour late.
# Sort by time and localize each symbol by itself; the infer mode can't be asked to check either.
# Versions: pandas 3.0.6 and 3.1.1, Python 3.11. Seen 2026-11-30, in New York on 2024-11-03 (UTC times):
#   hourly, newest first   03:00 02:00 01:00 01:00 00:00              -> 08:00 07:00 05:00 06:00 04:00   (right: 08 07 06 05 04)
#   30m, newest first      02:00 01:30 01:00 01:30 01:00 00:30        -> ValueError: There are 2 dst switches
#   two symbols, one pass  00:00 00:00 01:00 01:00 02:00 02:00        -> 04:00 04:00 05:00 06:00 07:00 07:00 (one symbol alone: ValueError)
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
changed() { echo "NOT AS DESCRIBED ANY MORE: $*" >&2; exit 1; }

cat >"$work/infer.py" <<'END'
import pandas as pd

def infer(times):
    index = pd.DatetimeIndex([f"2024-11-03 {time}" for time in times.split()])
    try:
        found = index.tz_localize("America/New_York", ambiguous="infer").tz_convert("UTC")
    except ValueError as error:
        return f"{type(error).__name__}: {str(error)[:28]}"
    return " ".join(found.strftime("%H:%M"))

print("pandas", pd.__version__)
seen = {}
for name, times in (
    ("hourly, oldest first", "00:00 01:00 01:00 02:00 03:00"),
    ("hourly, newest first", "03:00 02:00 01:00 01:00 00:00"),
    ("30m, newest first", "02:00 01:30 01:00 01:30 01:00 00:30"),
    ("two symbols, one pass", "00:00 00:00 01:00 01:00 02:00 02:00"),
    ("one symbol, one pass", "00:00 01:00 02:00"),
):
    seen[name] = infer(times)
    print(f"  {name:22}  {times:36}  -> {seen[name]}")
assert seen["hourly, oldest first"] == "04:00 05:00 06:00 07:00 08:00"
assert seen["hourly, newest first"] == "08:00 07:00 05:00 06:00 04:00"
assert seen["30m, newest first"].startswith("ValueError: There are 2 dst switches")
assert seen["two symbols, one pass"] == "04:00 04:00 05:00 06:00 07:00 07:00"
assert seen["one symbol, one pass"].startswith("ValueError: Cannot infer dst time")
END
python3 -m venv "$work/venv"
for version in 3.0.6 3.1.1; do
  "$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check "pandas==$version"
  "$work/venv/bin/python" -W ignore "$work/infer.py" || changed "pandas $version infers other instants than described"
done
echo "as described: the two passes of hourly bars are swapped where the newest row is first"
