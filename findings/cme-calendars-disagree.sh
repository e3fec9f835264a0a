#!/usr/bin/env bash
# The calendars of CME in exchange_calendars and pandas_market_calendars disagree with each other on four sessions of 2026, two
# calendars of the second one disagree as well, and both are wrong for 2013. For index futures (ES):
#   2026-04-03 Good Friday: closed in CMES, open to 08:15 Chicago in both others (CME opened for the employment report)
#   2026-06-19 Juneteenth: a full day in CMES, a halt at 12:00 in both others (as CME published)
#   2026-11-27 and 2026-12-24: 12:00 in CMES and in CME_Equity, 12:15 in "CME Globex Equity" (CME published 12:15)
#   every day: CMES is open from 17:00 to 17:00, so there is no daily pause; the others close at 16:00
#   2013-10-08: 17:00 and 16:00; ES, GC and CL traded to 16:15 until 2015-09-18 (CME moved the close with 2015-09-21), and LEAN's public
#   minute bars of ES and GC of that week have their last bar at 16:14. Only CME_Equity has the halt of 15:15 to 15:30.
# Matters to whoever counts expected bars or settles by date: a full day has 1440, 1380 or 1365 minutes, and a quarter of an hour of real
# trades lies outside the hours of either library. Take the calendar of the product group, and put in what is missing.
# Versions: exchange_calendars 4.13.2, pandas_market_calendars 5.5.0, pandas 3.0.6, Python 3.11. Seen 2026-11-30:
#   CMES               closed, 17:00, 12:00, 12:00, 17:00, minutes 1440
#   CME_Equity         08:15,  12:00, 12:00, 12:00, 16:00, minutes 1380 (1365 with its halt in 2013)
#   CME Globex Equity  08:15,  12:00, 12:15, 12:15, 16:00, minutes 1380
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
changed() { echo "NOT AS DESCRIBED ANY MORE: $*" >&2; exit 1; }

python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  exchange_calendars==4.13.2 pandas_market_calendars==5.5.0 pandas==3.0.6

"$work/venv/bin/python" -W ignore - <<'END' || changed "the calendars of CME close at other times than described"
import exchange_calendars
import pandas_market_calendars

DATES = ["2026-04-03", "2026-06-19", "2026-11-27", "2026-12-24", "2013-10-08", "2026-11-24"]
cmes = exchange_calendars.get_calendar("CMES", start="2013-01-02", end="2026-12-31").schedule
found = {"CMES": cmes.rename(columns={"open": "market_open", "close": "market_close"})}
for name in ("CME_Equity", "CME Globex Equity"):
    found[name] = pandas_market_calendars.get_calendar(name).schedule("2013-01-02", "2026-12-31")

closes, minutes = {}, {}
for name, schedule in found.items():
    days = {date: schedule.loc[date] for date in DATES if date in schedule.index}
    closes[name] = [f"{days[date].market_close.tz_convert('America/Chicago'):%H:%M}" if date in days else "closed" for date in DATES]
    usual = days["2026-11-24"]
    minutes[name] = int((usual.market_close - usual.market_open).total_seconds()) // 60
    print(f"{name:18}", dict(zip(DATES, closes[name])), "minutes of 2026-11-24:", minutes[name])
halted = found["CME_Equity"].loc["2013-10-08"]
print("CME_Equity halts in 2013 from", halted.break_start, "to", halted.break_end)

assert closes == {
    "CMES": ["closed", "17:00", "12:00", "12:00", "17:00", "17:00"],
    "CME_Equity": ["08:15", "12:00", "12:00", "12:00", "16:00", "16:00"],
    "CME Globex Equity": ["08:15", "12:00", "12:15", "12:15", "16:00", "16:00"],
}
assert minutes == {"CMES": 1440, "CME_Equity": 1380, "CME Globex Equity": 1380}
assert (halted.break_end - halted.break_start).total_seconds() == 900
END
echo "as described: three calendars of index futures on CME, three answers"
