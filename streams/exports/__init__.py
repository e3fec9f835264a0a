"""Exports of a session: what it holds as JSON, CSV or Parquet, whole, or only what is new since the last export.

Pure, over a state or a copy of one: `document` (the JSON), `tables` (CSV and Parquet), `rows` (what both are made of).
With a broker: `committed` (the state as its worker last committed it) and `increments` (what is new, to files).
"""
