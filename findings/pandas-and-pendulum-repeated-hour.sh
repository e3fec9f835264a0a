#!/usr/bin/env bash
# One local time of the hour that comes twice when clocks go back is two instants within one library, by which function is
# asked: pandas.Timestamp(local, tz=...) silently takes the first pass of 01:30 where tz_localize refuses to choose; pendulum.datetime
# takes the second pass and pendulum.instance the first, an hour apart. In the hour that is skipped in spring pendulum.instance
# gives an instant before the change and pendulum.datetime one after it. zoneinfo, arrow and whenever take the first pass.
# Matters to whoever turns exchange times into UTC: markets that trade over that night (FX, crypto, futures on local clocks)
# get an hour of bars twice or not at all, and a test with one of the functions says nothing about the other.
# Versions: pandas 3.0.6, pendulum 3.3.0, arrow 1.4.0, whenever 0.11.0, Python 3.11. Seen 2026-11-30:
#   2024-11-03 01:30 in New York: Timestamp 05:30Z, tz_localize ValueError, pendulum.datetime 06:30Z, pendulum.instance 05:30Z
#   2024-03-10 02:30 in New York: Timestamp 07:30Z, tz_localize ValueError, pendulum.datetime 07:30Z, pendulum.instance 06:30Z
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
changed() { echo "NOT AS DESCRIBED ANY MORE: $*" >&2; exit 1; }

python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check pandas==3.0.6 pendulum==3.3.0 arrow==1.4.0 whenever==0.11.0

"$work/venv/bin/python" -W ignore - <<'END' || changed "a repeated or skipped local time becomes another instant than described"
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import arrow
import pandas
import pendulum
import whenever

ZONE = "America/New_York"


def localized(local):
    try:
        return pandas.Timestamp(local).tz_localize(ZONE)
    except ValueError as error:
        return type(error).__name__


WAYS = {
    "zoneinfo": lambda local: local.replace(tzinfo=ZoneInfo(ZONE)),
    "pandas.Timestamp": lambda local: pandas.Timestamp(local, tz=ZONE),
    "pandas tz_localize": localized,
    "pendulum.datetime": lambda local: pendulum.datetime(*local.timetuple()[:6], tz=ZONE),
    "pendulum.instance": lambda local: pendulum.instance(local, tz=ZONE),
    "arrow": lambda local: arrow.get(local, ZONE).datetime,
    "whenever": lambda local: datetime.fromisoformat(str(whenever.PlainDateTime(*local.timetuple()[:6]).assume_tz(ZONE).to_instant())),
}
expected = {
    datetime(2024, 11, 3, 1, 30): ["05:30Z", "05:30Z", "ValueError", "06:30Z", "05:30Z", "05:30Z", "05:30Z"],
    datetime(2024, 3, 10, 2, 30): ["07:30Z", "07:30Z", "ValueError", "07:30Z", "06:30Z", "07:30Z", "07:30Z"],
}
for local, instants in expected.items():
    found = [way(local) for way in WAYS.values()]
    found = [one if isinstance(one, str) else one.astimezone(UTC).strftime("%H:%MZ") for one in found]
    print(local, "in New York:", ", ".join(f"{name} {one}" for name, one in zip(WAYS, found)))
    assert found == instants, found
END
echo "as described: within pandas and within pendulum, the same local time is refused or taken, and an hour apart"
