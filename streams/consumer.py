"""A session's reader for strategies: fresh bars once each, and the state to begin from."""
