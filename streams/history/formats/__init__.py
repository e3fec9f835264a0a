"""Files of bars, quotes and ticks: CSV, JSON lines, Parquet."""
