#!/usr/bin/env bash
# exchange_calendars knows the midday break of Hong Kong, Shanghai and Tokyo, and of no other exchange: Bangkok (12:30 to 14:00), Jakarta
# (12:00 to 13:30, longer on Fridays), Kuala Lumpur (12:30 to 14:30), Manila (12:00 to 13:00) and Singapore (12:00 to 13:00) publish one
# and are open throughout there. is_open_on_minute says yes in the middle of it, has_break says no.
# Matters to whoever counts bars or waits for a feed: each day of these five has 60 to 120 minutes in which nothing can come. Cut the break
# out yourself.
# Versions: exchange_calendars 4.13.2, pandas 3.0.6, Python 3.11. Seen 2026-11-30, the Wednesday 2026-06-10 at 12:40 local time:
#   XHKG closed 330 minutes, XSHG closed 240, XTKS open (its break ends 12:30) 330
#   XBKK open 390, XIDX open 410, XKLS open 480, XPHS open 360, XSES open 480
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
changed() { echo "NOT AS DESCRIBED ANY MORE: $*" >&2; exit 1; }

python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check exchange_calendars==4.13.2 pandas==3.0.6

"$work/venv/bin/python" -W ignore - <<'END' || changed "these calendars have other breaks than described"
import exchange_calendars
import pandas as pd

DAY = "2026-06-10"
found = {}
for name in ("XHKG", "XSHG", "XTKS", "XBKK", "XIDX", "XKLS", "XPHS", "XSES"):
    calendar = exchange_calendars.get_calendar(name, start="2026-06-01", end="2026-06-30")
    noon = pd.Timestamp(f"{DAY} 12:40").tz_localize(calendar.tz).tz_convert("UTC")
    found[name] = (bool(calendar.is_open_on_minute(noon)), len(calendar.session_minutes(DAY)), bool(calendar.has_break))
    print(name, "open at 12:40:", found[name][0], " minutes:", found[name][1], " has a break:", found[name][2])
with_breaks = []
for name in exchange_calendars.get_calendar_names(include_aliases=False):
    if exchange_calendars.get_calendar(name, start="2026-06-01", end="2026-06-30").has_break:
        with_breaks.append(name)
print("with a break:", *sorted(with_breaks))

assert found == {
    "XHKG": (False, 330, True), "XSHG": (False, 240, True), "XTKS": (True, 330, True),
    "XBKK": (True, 390, False), "XIDX": (True, 410, False), "XKLS": (True, 480, False),
    "XPHS": (True, 360, False), "XSES": (True, 480, False),
}, found
assert sorted(with_breaks) == ["XHKG", "XSHG", "XTKS"]
END
echo "as described: five exchanges with a midday break are open through it"
