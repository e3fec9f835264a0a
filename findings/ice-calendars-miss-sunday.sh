#!/usr/bin/env bash
# ICE's energy futures (Brent) trade from 20:00 to 18:00 in New York, on Sundays from 18:00 (ICE Brent contract specification: "Open 20:00
# (18:00 on Sundays)"). Both IEPA of exchange_calendars and ICE of pandas_market_calendars open at 20:00 on Sundays too, ICE even at
# 20:01 each day, so its hours from 20:01 are cut at 21:01, 22:01, ...
# Matters to whoever drops what lies outside the calendar: the first two hours of each week, the ones in which Brent moves after a weekend's
# news, are lost, and with ICE the first minute of each day. Nothing warns, since both libraries agree on the sessions.
# Versions: exchange_calendars 4.13.2, pandas_market_calendars 5.5.0, pandas 3.0.6, Python 3.11. Seen 2026-11-30:
#   Monday 2026-06-08 opens: IEPA 2026-06-08 00:00Z, ICE 2026-06-08 00:01Z; ICE trades from 2026-06-07 22:00Z
#   the first hour of ICE ends at 2026-06-08 01:01Z
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
changed() { echo "NOT AS DESCRIBED ANY MORE: $*" >&2; exit 1; }

python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  exchange_calendars==4.13.2 pandas_market_calendars==5.5.0 pandas==3.0.6

"$work/venv/bin/python" -W ignore - <<'END' || changed "the calendars of ICE open at other times than described"
import exchange_calendars
import pandas as pd
import pandas_market_calendars

first = exchange_calendars.get_calendar("IEPA", start="2026-01-01", end="2026-12-31")
second = pandas_market_calendars.get_calendar("ICE")
schedule = second.schedule("2026-01-01", "2026-12-31")
monday = "2026-06-08"
opens = [first.session_open(monday), schedule.loc[monday].market_open]
hour = pandas_market_calendars.date_range(second.schedule(monday, monday), "1h")[0]
evening = pd.Timestamp("2026-06-07 22:30", tz="UTC")  # Sunday 18:30 in New York
are_open = [bool(first.is_open_on_minute(evening)), bool(second.open_at_time(schedule, evening))]
print("Monday opens:", *opens, " open on Sunday 18:30:", are_open, " first hour ends:", hour)
print("same sessions:", set(first.sessions) == set(schedule.index))

assert opens == [pd.Timestamp("2026-06-08 00:00", tz="UTC"), pd.Timestamp("2026-06-08 00:01", tz="UTC")], opens
assert are_open == [False, False], are_open
assert hour == pd.Timestamp("2026-06-08 01:01", tz="UTC"), hour
assert set(first.sessions) == set(schedule.index)
END
echo "as described: both calendars of ICE miss Sunday 18:00 to 20:00, one opens a minute late"
