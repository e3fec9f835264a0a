"""`streams demo`."""
