"""Sessions for tests, live and in memory."""
