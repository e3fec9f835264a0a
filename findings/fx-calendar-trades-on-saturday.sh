#!/usr/bin/env bash
# The calendar FX of pandas_market_calendars has a session named Sunday that goes from Saturday 17:00 to Sunday 17:00 in New York, when
# nobody trades currencies, each week; and sessions on 25 December and 1 January. exchange_calendars has 24/5 instead, which is open
# from Monday 00:00 to Saturday 00:00 UTC: two to three hours of Sunday evening's trading lie outside of it, and two to three hours of Friday
# night inside. Neither has the market's week, Sunday 17:00 to Friday 17:00 in New York.
# Matters to whoever counts expected bars of EUR/USD, or asks whether the market is open: one day in six is not there, and its bars are
# gaps. Trade by windows of your own.
# Versions: pandas_market_calendars 5.5.0, exchange_calendars 4.13.2, pandas 3.0.6, Python 3.11. Seen 2026-11-30 (UTC, June):
#   FX    Saturday 2026-06-06 23:00 open    Sunday 2026-06-07 22:00 open    Friday 2026-06-05 22:00 closed
#   24/5  Saturday 2026-06-06 23:00 closed  Sunday 2026-06-07 22:00 closed  Friday 2026-06-05 22:00 open
#   FX sessions of 2026: 313, of them 52 on Sundays; 2026-12-25 is one
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
changed() { echo "NOT AS DESCRIBED ANY MORE: $*" >&2; exit 1; }

python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  exchange_calendars==4.13.2 pandas_market_calendars==5.5.0 pandas==3.0.6

"$work/venv/bin/python" -W ignore - <<'END' || changed "the calendars of currencies are open at other times than described"
import exchange_calendars
import pandas as pd
import pandas_market_calendars

INSTANTS = ["2026-06-06 23:00", "2026-06-07 22:00", "2026-06-05 22:00"]
fx = pandas_market_calendars.get_calendar("FX")
schedule = fx.schedule("2026-01-01", "2026-12-31")
weekdays = exchange_calendars.get_calendar("24/5", start="2026-01-01", end="2026-12-31")
instants = [pd.Timestamp(text, tz="UTC") for text in INSTANTS]
found = {
    "FX": [bool(fx.open_at_time(schedule, instant)) for instant in instants],
    "24/5": [bool(weekdays.is_open_on_minute(instant)) for instant in instants],
}
sundays = int((schedule.index.dayofweek == 6).sum())
for name, are_open in found.items():
    print(name, dict(zip(INSTANTS, are_open)))
print("FX sessions of 2026:", len(schedule), "on Sundays:", sundays, "on 2026-12-25:", "2026-12-25" in schedule.index)
print(schedule.loc["2026-06-07"].to_dict())

assert found == {"FX": [True, True, False], "24/5": [False, False, True]}, found
assert (len(schedule), sundays, "2026-12-25" in schedule.index) == (313, 52, True)
assert schedule.loc["2026-06-07"].market_open == pd.Timestamp("2026-06-06 21:00", tz="UTC")
END
echo "as described: FX trades on Saturdays, 24/5 not on Sunday evenings"
