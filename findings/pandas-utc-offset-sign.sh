#!/usr/bin/env bash
# pandas reads one text as two instants: "2014-07-01 00:00 UTC-05:00" is 05:00Z for pandas.to_datetime and 19:00Z of the day
# before for pandas.Timestamp, ten hours apart. With a short offset ("UTC-05", "UTC-5", "GMT-5") both, and read_csv, take the
# sign the wrong way round without a word; with "-05:00" alone all are right. The turned sign is dateutil's parser, which
# pandas falls back to; dateutil's own tz.gettz("UTC-05") says the opposite of its parser. DuckDB reads 05:00Z.
# Matters to whoever takes in bars stamped "UTC-5" or "GMT+1", as charting platforms export them, or reads zone names such as LEAN's
# "UTC-05" (its name for the zone of FXCM's files): every bar lies ten hours off, and one and the same file does so by how it
# is read. Strip the letters, or parse with an explicit format ("%Y-%m-%d %H:%M UTC%z").
# Versions: pandas 3.0.6 with python-dateutil 4.0.0 (pandas 3.1.1 and python-dateutil 2.9.0.post0 do the same); DuckDB 2.0.1;
# Python 3.11. Seen 2026-11-30:
#   UTC-05:00  Timestamp 2014-06-30 19:00Z  to_datetime 2014-07-01 05:00Z  read_csv 2014-07-01 05:00Z  DuckDB 2014-07-01 05:00Z
#   UTC-05     Timestamp 2014-06-30 19:00Z  to_datetime 2014-06-30 19:00Z  read_csv 2014-06-30 19:00Z  DuckDB 2014-07-01 05:00Z
#   -05:00     all of pandas 2014-07-01 05:00Z
#   dateutil: parser 19:00Z the day before, tz.gettz 05:00Z
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
changed() { echo "NOT AS DESCRIBED ANY MORE: $*" >&2; exit 1; }

python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check pandas==3.0.6 python-dateutil==4.0.0 duckdb==2.0.1

"$work/venv/bin/python" -W ignore - <<'END' || changed "the sign of an offset behind UTC or GMT is read in another way than described"
import io
from datetime import UTC, datetime

import duckdb
import pandas
from dateutil import parser, tz

RIGHT, WRONG = "2014-07-01 05:00Z", "2014-06-30 19:00Z"
database = duckdb.connect()


def said(instant):
    return instant.astimezone(UTC).strftime("%Y-%m-%d %H:%MZ")


def by_duckdb(text):
    epoch = database.execute(f"SELECT epoch('{text}'::TIMESTAMPTZ)").fetchone()[0]
    return datetime.fromtimestamp(epoch, UTC)


expected = {
    "UTC-05:00": [WRONG, RIGHT, RIGHT, RIGHT],
    "GMT-05:00": [WRONG, RIGHT, RIGHT, None],
    "UTC-05": [WRONG, WRONG, WRONG, RIGHT],
    "UTC-5": [WRONG, WRONG, WRONG, None],
    "GMT-5": [WRONG, WRONG, WRONG, None],
    "-05:00": [RIGHT, RIGHT, RIGHT, None],
}
for offset, instants in expected.items():
    text = f"2014-07-01 00:00 {offset}"
    read = pandas.read_csv(io.StringIO(f"time\n{text}\n"), parse_dates=["time"]).time[0]
    found = [said(pandas.Timestamp(text)), said(pandas.to_datetime(text)), said(read), said(by_duckdb(text)) if instants[3] else None]
    names = ("Timestamp", "to_datetime", "read_csv", "DuckDB")
    print(f"{offset:10}", *(f"{name} {instant} " for name, instant in zip(names, found) if instant))
    assert found == instants, found

local = datetime(2014, 7, 1)
parsed, named = said(parser.parse("2014-07-01 00:00 UTC-05")), said(local.replace(tzinfo=tz.gettz("UTC-05")))
print("dateutil: parser", parsed, "tz.gettz", named)
assert (parsed, named) == (WRONG, RIGHT)
END
echo "as described: an offset behind UTC or GMT is taken with the wrong sign, by pandas depending on which function reads it"
