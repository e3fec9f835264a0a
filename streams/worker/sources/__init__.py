"""Source topics, past days and gaps of each symbol, kept in step with the session's state."""
