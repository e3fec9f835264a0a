"""Bars at rest: the Parquet store, what fills it, and readers of bar files.

Pure: `rules` (what may stand in a store, what a write makes), `layout` (paths), `fields` (a line's fields to a bar), `checks`.
On disks: `store`, `audit`, `importing`, `export`, `files`; readers of `lean`, `textfiles` and `tables`.
"""
