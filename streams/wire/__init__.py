"""Bytes and names on Kafka: Avro codec and its fast path, framing, schema ids, topic names, dead letters."""
