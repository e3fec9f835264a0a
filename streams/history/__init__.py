"""Bars at rest: readers of bar files, and the sources that answer for the past."""
