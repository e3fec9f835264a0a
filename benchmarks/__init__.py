"""Measurements: `make bench`. Each row is a median over several runs, taken in turn with what it is compared to."""
