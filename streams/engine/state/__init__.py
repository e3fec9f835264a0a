"""The session as data. The rules in `streams.engine.rules` change it."""
