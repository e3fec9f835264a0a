#!/usr/bin/env bash
# A Parquet file in a folder `symbol=BTC_2FUSD` whose own column `symbol` says BTC/USD is read with BTC_2FUSD by Polars, PyArrow and
# DuckDB alike: the folder takes the place of the column, without a word. A filter for the value that is in the file finds no row, since
# the folder is skipped unread. In PyArrow the same read, with the types left to be guessed, is an error about types instead, and
# in pandas even for a value that is equal in both places. And `symbol=0700` is 700 to Polars and PyArrow and '0700' to DuckDB.
# Matters to whoever keeps a column beside the partition of its name (a name with a slash can't be a folder, so it is escaped): a
# query for it gives an empty result, not an error. Switch the folders off, or name the column in the folders otherwise.
# Versions: polars 2.1.0, pyarrow 26.0.1, pandas 3.0.6, duckdb 2.0.1, Python 3.11. Seen 2026-11-30:
#   polars   symbols ['BTC_2FUSD', 'SPY']   rows where symbol = 'BTC/USD': 0    symbol=0700 alone: 700
#   pyarrow  symbols ['BTC_2FUSD', 'SPY']   rows where symbol = 'BTC/USD': 0    symbol=0700 alone: 700
#   duckdb   symbols ['BTC_2FUSD', 'SPY']   rows where symbol = 'BTC/USD': 0    symbol=0700 alone: '0700'
#   pandas, types guessed: ArrowTypeError, Unable to merge
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
changed() { echo "NOT AS DESCRIBED ANY MORE: $*" >&2; exit 1; }

python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check polars==2.1.0 pyarrow==26.0.1 pandas==3.0.6 duckdb==2.0.1

cd "$work"
"$work/venv/bin/python" -W ignore - <<'END' || changed "folders and columns are read otherwise than described"
import pathlib

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq


def write(root, folder, **columns):
    path = pathlib.Path(root, f"symbol={folder}")
    path.mkdir(parents=True)
    pq.write_table(pa.table({**columns, "close": [1.0]}), path / "data.parquet")


write("both", "BTC_2FUSD", symbol=["BTC/USD"])
write("both", "SPY", symbol=["SPY"])
write("digits", "0700")

folders = ds.partitioning(pa.schema([("symbol", pa.string())]), flavor="hive")
both = ds.dataset("both", partitioning=folders)
lazy = pl.scan_parquet("both/**/*.parquet", hive_partitioning=True, hive_schema={"symbol": pl.String})
files = "read_parquet('both/**/*.parquet', hive_partitioning = true, hive_types = {'symbol': VARCHAR})"
digits = duckdb.sql("SELECT symbol FROM read_parquet('digits/**/*.parquet', hive_partitioning = true)").fetchall()[0][0]
seen = {
    "polars": (
        sorted(lazy.collect()["symbol"]),
        lazy.filter(pl.col("symbol") == "BTC/USD").collect().height,
        pl.read_parquet("digits/**/*.parquet", hive_partitioning=True)["symbol"][0],
    ),
    "pyarrow": (
        sorted(both.to_table()["symbol"].to_pylist()),
        both.to_table(filter=ds.field("symbol") == "BTC/USD").num_rows,
        ds.dataset("digits", partitioning="hive").to_table()["symbol"][0].as_py(),
    ),
    "duckdb": (
        sorted(symbol for (symbol,) in duckdb.sql(f"SELECT symbol FROM {files}").fetchall()),
        duckdb.sql(f"SELECT count(*) FROM {files} WHERE symbol = 'BTC/USD'").fetchall()[0][0],
        digits,
    ),
}
for name, (symbols, rows, code) in seen.items():
    print(f"{name:8} symbols {symbols}   rows where symbol = 'BTC/USD': {rows}    symbol=0700 alone: {code!r}")
    assert (symbols, rows, code) == (["BTC_2FUSD", "SPY"], 0, "0700" if name == "duckdb" else 700), name
try:
    pd.read_parquet("both")
except pa.ArrowTypeError as error:
    print("pandas, types guessed:", str(error)[:90])
    assert "Unable to merge" in str(error)
else:
    raise AssertionError("pandas reads it")
END
echo "as described: the folder takes the place of the column, and a filter for the column's value finds nothing"
