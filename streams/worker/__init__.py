"""The live shell: a Faust app around the engine, with the feed, the ledger and the tables."""
