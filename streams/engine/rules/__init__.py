"""The rules of a session: functions over `streams.engine.state`."""
