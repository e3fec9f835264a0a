"""What tests share: a broker, names of their own, waiting."""

from tests.support.kafka.topics import create_topics, unique_name, unique_symbol
from tests.support.waiting import wait_until

__all__ = ["create_topics", "unique_name", "unique_symbol", "wait_until"]
