"""The store of past bars: one Parquet file a symbol, interval and day."""
