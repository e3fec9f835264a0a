"""Session streams: gated, exactly-once sessions of market bars on Kafka.

The engine (`streams.engine`) holds every rule and does no I/O; the shells around it (`worker`, `replay`,
`client`, `cli`, `broker`) are thin. Start reading at `streams.engine.session`.
"""

__version__ = "0.2.0"
