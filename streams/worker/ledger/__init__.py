"""Committing: two transactional IDs, the barrier, and what a takeover finds."""
