#!/usr/bin/env bash
# A LEAN zip can hold two CSVs, and every reader makes something else of it. The sample index/india/minute/nifty50/20190101_trade.zip
# holds the rows of one day twice, the second time under the next day's name, which stands first in the zip: Python's
# namelist()[0] and LEAN's own reader take the one named 2019-01-02, pandas refuses, and `unzip -p` glues the last row of one to
# the first of the other, since no CSV ends with a newline: 755 lines of 756 rows, one with 11 columns, whose volume "0" has become
# the time "032820000". (The CSVs in LEAN's zips of futures do end with a newline, so the habit works until it meets such a file.)
# Matters to whoever reads LEAN's data with anything but LEAN: by its name the file gives 2019-01-02 the prices of the day before,
# and a pipe loses two bars at each seam. Take the CSV with the zip's own date, and never pipe several through `unzip -p`.
# Data: QuantConnect/Lean, Apache-2.0, copied in tests/data/lean.
# Versions: pandas 3.0.6, Info-ZIP UnZip 6.00, Python 3.11. Seen 2026-11-30:
#   names 20190102_nifty_minute_trade.csv, 20190101_nifty_minute_trade.csv; 378 rows each, the same bytes
#   pandas: ValueError "Multiple files found in ZIP file. Only one file per ZIP"
#   unzip -p: 755 lines, one of them 55860000,10910.1,10910.1,10910.1,10910.1,032820000,10881.7,10881.7,10881.7,10881.7,0
set -euo pipefail
zip=$(cd "$(dirname "$0")/../tests/data/lean/index/india/minute/nifty50" && pwd)/20190101_trade.zip
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
changed() { echo "NOT AS DESCRIBED ANY MORE: $*" >&2; exit 1; }

python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check pandas==3.0.6

"$work/venv/bin/python" - "$zip" <<'END' || changed "the zip, or what pandas makes of it, is other than described"
import sys
import zipfile

import pandas

with zipfile.ZipFile(sys.argv[1]) as archive:
    names = archive.namelist()
    first, second = (archive.read(name) for name in names)
print("names", ", ".join(names), "the same bytes:", first == second, "rows:", len(first.splitlines()))
assert names == ["20190102_nifty_minute_trade.csv", "20190101_nifty_minute_trade.csv"] and first == second
assert len(first.splitlines()) == 378 and not first.endswith(b"\n")
try:
    pandas.read_csv(sys.argv[1], header=None)
except ValueError as error:
    print("pandas: ValueError", error)
else:
    raise SystemExit("pandas has read it")
END
unzip -p "$zip" >"$work/piped"
lines=$(awk 'END { print NR }' "$work/piped")
glued=$(awk -F, 'NF != 6' "$work/piped")
echo "unzip -p: $lines lines, one of them $glued"
[ "$lines" = 755 ] && [ "$glued" = "55860000,10910.1,10910.1,10910.1,10910.1,032820000,10881.7,10881.7,10881.7,10881.7,0" ] ||
  changed "unzip -p gives other lines"
echo "as described: one day under two names, refused by pandas, glued by unzip -p"
