"""The second shell over the engine: past bars, in order of event time, through the same rules as live ones.

`runner` wires it together; `source`, `lean`, `store` and `kafka` say where bars come from; `lane`, `days` and `commands` what comes
when; `sinks` and `summary` what becomes of it.
"""
