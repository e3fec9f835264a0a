"""The embedded local Kafka: the real broker as a child process, for demos and tests.

`local` has the three verbs and wires the rest: `jars` and `java` get what runs, `folder` and `ports` say where,
`process` starts and ends it, `health` knows when it is ready. Needs the extra `session-streams[broker]`.
"""

from streams.broker.local import DEFAULT_PORT, BrokerStatus, LocalBroker, default_cache_dir, default_data_dir

__all__ = ["DEFAULT_PORT", "BrokerStatus", "LocalBroker", "default_cache_dir", "default_data_dir"]
